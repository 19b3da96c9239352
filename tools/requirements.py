"""What policy asks of a camera (``requirements.toml``): the rows that rules, code and tests are traced to.

Responsible for reading the file strictly. Refuses to know what a tree has for a row (``tools.traceability``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from firmware.errors import UsageError

FILE = "requirements.toml"
_TEXTS = ("waits_for", "partly", "remark")


@dataclass(frozen=True, slots=True)
class Row:
    """One requirement. ``proof``: the tests that decide whether it is met, as ``file::function``."""

    id: str
    group: str
    text: str
    source: str
    proof: tuple[str, ...]
    waits_for: str
    """What must be built before any test can decide it; empty: it is tested."""
    partly: str
    """A part that is not built yet, while the rest is tested."""
    remark: str


def parse_requirements(text: str) -> dict[str, Row]:
    """By id, in the file's order. ``UsageError`` names the row that is amiss."""
    try:
        return {name: _row(name, value) for name, value in tomllib.loads(text).items()}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{FILE}: {error}", remedy="Correct the file.") from None


def _row(name: str, value: Mapping[str, Any]) -> Row:
    unknown = value.keys() - {"group", "text", "source", "proof", *_TEXTS}
    if unknown:
        raise KeyError(f"{name}: unknown {sorted(unknown)!r}")
    proof = tuple(value.get("proof", ()))
    return Row(name, value["group"], value["text"], value["source"], proof, *(value.get(key, "") for key in _TEXTS))


def shipped_requirements() -> dict[str, Row]:
    """Those that come with the tools."""
    return parse_requirements((resources.files("tools") / FILE).read_text(encoding="utf-8"))
