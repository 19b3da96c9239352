"""The place from which a boot reads the ledger on, instead of reading all of it.

Responsible for a small signed document that says where a checkpoint line of the log begins, what the tree was there, which recordings were
receipted and still on the card, and whether the camera was on hold. Refuses to know files and to be needed: without it, or with one that
does not fit, a boot reads the whole log. Nobody but this camera reads it, and no verdict rests on it.

Invariants: what :func:`read_snapshot` returns was signed by this camera's key under a text that nothing else signs; the tree's root is
to be compared with the log's own signed line there (``Ledger.open``). An older one is no lie, only more to read.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.merkle import CompactTree
from firmware.custody.note import decode_base64
from firmware.errors import FormatError
from firmware.evidence import fields as f
from firmware.evidence import jcs, primitives
from firmware.evidence.fields import field
from firmware.timebase import Timestamp, Trust

LAYER = "ledger snapshot"
FORMAT = "oathcam-snapshot/2"
MAX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Receipted:
    """A recording whose receipt's leaf has number ``leaf`` and was written at the time given."""

    recording: str = field(f.name)
    leaf: int = field(f.integer())
    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    trust: str = field(f.one_of("unset", "rtc", "synced"))

    @classmethod
    def of(cls, recording: str, leaf: int, at: Timestamp) -> Receipted:
        return cls(recording, leaf, at.boottime_ns // 1000, at.utc, at.trust.value)

    @property
    def at(self) -> Timestamp:
        return Timestamp(self.boottime_us * 1000, f.utc_ns(self.utc), Trust(self.trust))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``line_at``: where in the log the checkpoint line of ``size`` leaves begins, in bytes. Before it every recording that was begun had
    ended. ``edge``: :meth:`CompactTree.hashes` of those leaves, in hex. ``recording``: the first one that was begun after it.
    ``on_hold``: a hold was open there (BWC-POL-21)."""

    line_at: int = field(f.integer())
    size: int = field(f.integer())
    edge: tuple[str, ...] = field(f.each(f.digest, 64))
    recording: str = field(f.name)
    on_hold: bool = field(f.boolean)
    receipted: tuple[Receipted, ...] = field(f.each(f.nested(Receipted), 10_000))

    def tree(self) -> CompactTree:
        """``FormatError`` when size and edge do not fit together."""
        return CompactTree(self.size, [bytes.fromhex(one) for one in self.edge])


def write_snapshot(snapshot: Snapshot, sign_digest: Callable[[bytes], bytes]) -> bytes:
    """A line of canonical JSON and a line with the base64 of its signature, DER."""
    text = jcs.canonical({"format": FORMAT, **f.to_value(snapshot)}) + b"\n"
    return text + base64.b64encode(sign_digest(_digest(text))) + b"\n"


def read_snapshot(data: bytes, public_key: ec.EllipticCurvePublicKey) -> Snapshot:
    """``FormatError`` for what is no snapshot, ``IntegrityError`` for one that this key did not sign."""
    if len(data) > MAX_BYTES or data.count(b"\n") != 2 or not data.endswith(b"\n"):
        raise FormatError(LAYER, "expected two lines")
    text, signature = data[: data.index(b"\n") + 1], data[data.index(b"\n") + 1 : -1]
    primitives.verify_digest(public_key, _digest(text), decode_base64(signature, LAYER), LAYER)
    value = jcs.parse(text[:-1], LAYER)
    if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
        raise FormatError(LAYER, f"expected format {FORMAT!r}")
    snapshot = f.read(Snapshot, value, LAYER)
    snapshot.tree()
    return snapshot


def _digest(text: bytes) -> bytes:
    return primitives.sha256(FORMAT.encode() + b"\n" + text)
