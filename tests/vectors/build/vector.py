"""One golden vector: its header, its inputs, its text form, both ways. README.md beside the vectors is the specification."""

from __future__ import annotations

import base64
import hashlib
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

SUCCESS = "success"
_BLOCK = re.compile(r"-----BEGIN ([a-z -]+)-----\n([A-Za-z0-9+/=\n]*?)-----END \1-----\n")


@dataclass(frozen=True)
class Vector:
    """``expect``: success, or the family of the error; ``layer``: which layer says it; ``reason``: words of its message.

    ``released``: what an implementation may hand on before it stops: all of it on success. ``keys`` name files of ``keys/``,
    ``facts`` are the other arguments. ``cuts``: the first input is to be cut there, and each cut must fail in the same way.
    """

    name: str
    shows: str
    kind: str
    inputs: dict[str, bytes]
    expect: str = SUCCESS
    layer: str = ""
    reason: str = ""
    released: bytes = b""
    keys: dict[str, str] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    cuts: tuple[int, ...] = ()

    @property
    def released_sha256(self) -> str:
        return hashlib.sha256(self.released).hexdigest()

    def text(self) -> str:
        header = {"name": self.name, "shows": self.shows, "object": self.kind, "expect": self.expect}
        header |= {key: value for key, value in (("layer", self.layer), ("reason", self.reason)) if value}
        header |= {"released": self.released_sha256}
        header |= {f"key {role}": file for role, file in self.keys.items()} | self.facts
        if self.cuts:
            header["cuts"] = " ".join(map(str, self.cuts))
        assert all("\n" not in value for value in header.values()), self.name
        lines = "".join(f"{key}: {value}\n" for key, value in header.items())
        return lines + "\n" + "".join(_block(label, data) for label, data in self.inputs.items())


def _block(label: str, data: bytes) -> str:
    body = "".join(line + "\n" for line in textwrap.wrap(base64.b64encode(data).decode("ascii"), 76))
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


@dataclass(frozen=True)
class Read:
    """A vector as anybody reads it from its file, without the builders."""

    header: dict[str, str]
    inputs: dict[str, bytes]

    @classmethod
    def of(cls, text: str) -> Read:
        head, _, body = text.partition("\n\n")
        header = dict(line.split(": ", 1) for line in head.split("\n"))
        return cls(header, {label: base64.b64decode(block) for label, block in _BLOCK.findall(body)})


def named(prefix: str, vectors: Iterable[Vector]) -> dict[str, Vector]:
    """By name; a name is used once."""
    found: dict[str, Vector] = {}
    for one in vectors:
        assert one.name.startswith(prefix + "/"), one.name
        assert one.name not in found, one.name
        found[one.name] = one
    return found
