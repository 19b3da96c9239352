"""Checkpoints, and the ledger file in which leaves and their signed checkpoints stand.

Responsible for the C2SP tlog-checkpoint text that a camera signs, for the file's line format, and for reading that file back
without believing it. Signed notes and cosignatures are :mod:`firmware.custody.note`. Refuses to know files, keys and clocks.

The file ``ledger/log`` holds one leaf a line, and after each appended batch one line ``= <size> <base64 root> <base64 DER
signature>``. The signature is the one of the checkpoint's note, over SHA-256 of its text. Batch and signature are written and
synced together, so at a power cut the last batch is there with its signature, or it is not there.

Invariants: what :func:`read_log` returns as entries hashes to a root that the camera signed; everything behind the last such
line is the tail, nobody's word; a line that the camera signed and that the leaves do not fit is an :class:`IntegrityError`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.entries import Entry
from firmware.custody.merkle import HASH_BYTES, CompactTree, leaf_hash
from firmware.custody.note import (
    Note,
    NoteSignature,
    cosign,
    decode_base64,
    is_key_name,
    parse_note,
    signed_note,
    verify_cosignature,
    verify_note,
)
from firmware.errors import FormatError, IntegrityError
from firmware.evidence import primitives

__all__ = [
    "Checkpoint",
    "CheckpointLine",
    "LogState",
    "Note",
    "NoteSignature",
    "checkpoint_line",
    "cosign",
    "digest_to_sign",
    "is_signed",
    "parse_note",
    "read_log",
    "signed_note",
    "split_log",
    "verify_cosignature",
    "verify_note",
]

LAYER = "ledger"
MAX_SIZE = 2**53 - 1
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``origin`` names the log (``oathcam/<serial>``), ``size`` counts its leaves, ``root`` is the tree's root, 32 bytes."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.origin) or not 0 <= self.size <= MAX_SIZE or len(self.root) != HASH_BYTES:
            raise ValueError(f"not a checkpoint: origin {self.origin!r}, size {self.size!r}, root of {len(self.root)} bytes")

    def text(self) -> bytes:
        """What is signed: ``origin\\nsize\\nbase64(root)\\n`` (C2SP tlog-checkpoint)."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n".encode()

    @classmethod
    def from_text(cls, text: bytes) -> Checkpoint:
        """The inverse of :meth:`text`; ``FormatError`` for anything else, extension lines included."""
        lines = bytes(text).split(b"\n")
        if len(lines) != 4 or lines[3]:
            raise FormatError("checkpoint", f"expected three lines, got {len(lines) - 1}")
        try:
            return cls(lines[0].decode("utf-8"), _parse_size(lines[1], "checkpoint"), decode_base64(lines[2], "checkpoint"))
        except ValueError as error:
            raise FormatError("checkpoint", str(error)) from None


def digest_to_sign(text: bytes) -> bytes:
    """The 32-byte digest that a key store signs for a checkpoint's text."""
    return primitives.sha256(text)


def checkpoint_line(checkpoint: Checkpoint, signature: bytes) -> bytes:
    """The ledger file's line for a signed checkpoint, with its newline."""
    root, signed = base64.b64encode(checkpoint.root), base64.b64encode(signature)
    return b"= %d %s %s\n" % (checkpoint.size, root, signed)


@dataclass(frozen=True, slots=True)
class LogState:
    """What a ledger file proves. ``hashes`` are leaf hashes; ``checkpoint`` and ``signature`` are ``None`` and empty when it
    proves nothing; ``tail`` is everything behind the last good signature."""

    entries: tuple[Entry, ...]
    hashes: tuple[bytes, ...]
    checkpoint: Checkpoint | None
    signature: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class CheckpointLine:
    """A line that has the form of a checkpoint: its claim, how many leaves stand before it, where it begins and ends."""

    checkpoint: Checkpoint
    signature: bytes
    leaves: int
    start: int
    end: int


def read_log(
    data: bytes, origin: str, public_key: ec.EllipticCurvePublicKey, verify_all: bool = False, base: CompactTree | None = None
) -> LogState:
    """Read and check a ledger file, or what follows the leaves of ``base`` in one (entries and hashes are then those that follow).

    Without ``verify_all`` (a boot): the last checkpoint that the camera signed and that the leaves hash to; a signed line
    at the very end that does not fit its leaves is a torn write and belongs to the tail. With it (a verifier): every
    checkpoint line up to that one is checked, and any signed line that does not fit raises.

    ``IntegrityError``: the camera signed something else than what stands here. ``FormatError``: a signed leaf does not parse.
    """
    leaves, marks = split_log(data, origin)
    hashes = [leaf_hash(one) for one in leaves]
    base = base or CompactTree()
    last = None if verify_all else _trusted_end(marks, hashes, public_key, base)
    if last is None:
        last = _last_good(marks, hashes, len(data), public_key, verify_all, base)
    if last is None:
        return LogState((), (), None, b"", bytes(data))
    entries = tuple(_entry(base.size + index, leaf) for index, leaf in enumerate(leaves[: last.leaves]))
    return LogState(entries, tuple(hashes[: last.leaves]), last.checkpoint, last.signature, bytes(data[last.end :]))


def split_log(data: bytes, origin: str) -> tuple[list[bytes], list[CheckpointLine]]:
    """Lines that end: checkpoint lines, and everything else, which counts as a leaf until a root says otherwise."""
    leaves: list[bytes] = []
    marks: list[CheckpointLine] = []
    start = 0
    for line in bytes(data).split(b"\n")[:-1]:
        end = start + len(line) + 1
        claim = _parse_line(line, origin) if line.startswith(b"= ") else None
        if claim is None:
            leaves.append(line)
        else:
            marks.append(CheckpointLine(*claim, len(leaves), start, end))
        start = end
    return leaves, marks


def _parse_line(line: bytes, origin: str) -> tuple[Checkpoint, bytes] | None:
    parts = line.split(b" ")
    if len(parts) != 4:
        return None
    try:
        return Checkpoint(origin, _parse_size(parts[1], LAYER), decode_base64(parts[2], LAYER)), decode_base64(parts[3], LAYER)
    except (FormatError, ValueError):
        return None


def _parse_size(raw: bytes, layer: str) -> int:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        text = ""
    if _SIZE.fullmatch(text) is None:
        raise FormatError(layer, f"expected a size, got {raw[:20]!r}")
    return int(text)


def _trusted_end(
    marks: Sequence[CheckpointLine], hashes: Sequence[bytes], key: ec.EllipticCurvePublicKey, base: CompactTree
) -> CheckpointLine | None:
    """The usual case, cheaply: the last checkpoint line is signed and fits. Its root covers every leaf before it."""
    if not marks:
        return None
    last = marks[-1]
    fits = _fits(last, base.grown(hashes[: last.leaves]))
    return last if fits and is_signed(last, key) else None


def _fits(mark: CheckpointLine, tree: CompactTree) -> bool:
    return mark.checkpoint.size == tree.size and mark.checkpoint.root == tree.root()


def _last_good(
    marks: Sequence[CheckpointLine],
    hashes: Sequence[bytes],
    length: int,
    key: ec.EllipticCurvePublicKey,
    verify_all: bool,
    base: CompactTree,
) -> CheckpointLine | None:
    """The last signed line that fits, having looked at all of them; raises for a signed one that does not fit."""
    tree = base.copy()
    good: CheckpointLine | None = None
    unsigned: CheckpointLine | None = None
    for mark in marks:
        for digest in hashes[tree.size - base.size : mark.leaves]:
            tree.append(digest)
        signed = is_signed(mark, key)
        fits = _fits(mark, tree)
        if signed and not fits and (verify_all or mark.end != length):
            raise IntegrityError(LAYER, f"the leaves before byte {mark.start} are not those that the camera signed there")
        if signed and fits:
            good = mark
        elif not signed:
            unsigned = unsigned or mark
    if verify_all and good is not None and unsigned is not None and unsigned.start < good.start:
        raise IntegrityError(LAYER, f"the checkpoint at byte {unsigned.start} is not signed by the camera")
    return good


def is_signed(mark: CheckpointLine, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether the line's signature is the camera's, over the claim that stands in it."""
    try:
        primitives.verify_digest(key, digest_to_sign(mark.checkpoint.text()), mark.signature, LAYER)
    except IntegrityError:
        return False
    return True


def _entry(index: int, leaf: bytes) -> Entry:
    entry = Entry.from_bytes(leaf)
    if entry.n != index:
        raise FormatError(LAYER, f"leaf {index} says that it is number {entry.n}")
    return entry
