"""The custody ledger on the volume: leaves and their signed checkpoints in one append-only file.

Responsible for giving leaves their indexes, signing each batch and making both durable in one write and one sync (W4).
Refuses to know what a leaf asserts. One writer, the custodian's worker; readers are other processes, of whole lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.custody.checkpoint import Checkpoint, LogState, checkpoint_line, digest_to_sign, is_signed, read_log, signed_note, split_log
from firmware.custody.entries import Entry
from firmware.custody.flags import critical_recordings
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.custody.snapshot import Receipted, Snapshot, read_snapshot, write_snapshot
from firmware.errors import FormatError, IntegrityError
from firmware.storage import durable
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Volume

LEDGER = "ledger"
LOG = "ledger/log"
CHECKPOINT = "ledger/checkpoint"
SNAPSHOT = "ledger/snapshot"
RECEIPTS = "ledger/receipts"
PEEK_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Draft:
    """A leaf before it has an index."""

    kind: str
    time: Timestamp
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedLedger:
    """What was found on the volume: the signed entries, and the bytes after the last good signature (W4). With a ``snapshot`` the
    entries are those that follow it."""

    ledger: Ledger
    entries: tuple[Entry, ...]
    tail: bytes
    signed_bytes: int
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where the newest checkpoint line begins, in bytes, and the tree there."""

    line_at: int
    tree: CompactTree


class Ledger:
    """Appends; nothing else (house law 9). Called from the custodian's worker only."""

    def __init__(
        self,
        volume: Volume,
        origin: str,
        sign_digest: Callable[[bytes], bytes],
        tree: CompactTree,
        length_bytes: int,
    ) -> None:
        self._volume = volume
        self._origin = origin
        self._sign = sign_digest
        self._tree = tree
        self._log = durable.AppendLog(volume, LOG, length_bytes)
        self._signature = b""
        self._torn = False
        self._line_at: int | None = None
        self.boot = 0
        self.newest_us = 0
        """Boot time of the newest leaf's event in this run: the leaf itself was not written before."""

    @classmethod
    def open(
        cls,
        volume: Volume,
        origin: str,
        sign_digest: Callable[[bytes], bytes],
        public_key: ec.EllipticCurvePublicKey,
    ) -> OpenedLedger:
        """Read and check the log, from its snapshot on where there is one that fits. Raises FormatError or IntegrityError only when the
        signed part itself is broken.

        The tail is still on the volume: the caller keeps it aside, then calls :meth:`cut_tail`.
        """
        have = {name for name, _ in volume.list("")}
        if LEDGER not in have:
            durable.make_directory(volume, LEDGER)
        have = {name for name, _ in volume.list(LEDGER)}
        if "receipts" not in have:
            durable.make_directory(volume, RECEIPTS)
        read = _from_snapshot(volume, origin, public_key) if {"log", "snapshot"} <= have else None
        if read is None:
            data = volume.read(LOG) if "log" in have else b""
            read = _Read(None, CompactTree(), read_log(data, origin, public_key), len(data))
        ledger = cls(volume, origin, sign_digest, read.base.grown(read.state.hashes), read.length_bytes)
        return OpenedLedger(ledger, read.state.entries, read.state.tail, read.length_bytes - len(read.state.tail), read.snapshot)

    @property
    def size(self) -> int:
        return self._tree.size

    @property
    def place(self) -> Place | None:
        """From where on a later boot would have to read, were a snapshot made now; ``None`` before the first append of this run."""
        return None if self._line_at is None else Place(self._line_at, self._tree)

    def keep_snapshot(self, place: Place, recording: str, on_hold: bool, receipted: Sequence[Receipted]) -> None:
        """Let the next boot read from ``place`` on, where ``recording`` was the next to begin. As of there, ``on_hold``: a hold was open;
        ``receipted``: recordings that have a receipt and are on the card."""
        edge = tuple(one.hex() for one in place.tree.hashes())
        snapshot = Snapshot(place.line_at, place.tree.size, edge, recording, on_hold, tuple(receipted))
        durable.write_file(self._volume, SNAPSHOT, write_snapshot(snapshot, self._sign))

    def cut_tail(self, signed_bytes: int) -> None:
        """Shorten the log to its signed part."""
        self._log.cut(signed_bytes)

    def read_all(self) -> bytes:
        """The log as it stands, unchecked."""
        return self._volume.read(LOG)

    def mend(self) -> None:
        """Cut off what a refused append may have left, before the log is read again: the reader would find a good signature over bytes
        that the kernel shows, and that a failed sync may have kept from the card for ever."""
        if self._torn and "log" in {name for name, _ in self._volume.list(LEDGER)}:
            self._log.cut(self._log.length_bytes)
        self._torn = False

    def append(self, drafts: Sequence[Draft]) -> tuple[int, ...]:
        """Index, sign and make durable; returns the indexes. On an error of the volume nothing was appended."""
        tree = self._tree.copy()
        lines: list[bytes] = []
        for draft in drafts:
            leaf = Entry(tree.size, draft.kind, draft.time, self.boot, draft.fields).to_bytes()
            tree.append(leaf_hash(leaf))
            lines.append(leaf + b"\n")
        checkpoint = Checkpoint(self._origin, tree.size, tree.root())
        signature = self._sign(digest_to_sign(checkpoint.text()))
        line_at = self._log.length_bytes + sum(len(line) for line in lines)
        lines.append(checkpoint_line(checkpoint, signature))
        try:
            self._log.append(b"".join(lines))
        except HalError:
            self._torn = True
            raise
        self._torn = False
        self._line_at = line_at
        first, self._tree, self._signature = self._tree.size, tree, signature
        self.newest_us = drafts[-1].time.boottime_ns // 1000 if drafts else self.newest_us
        return tuple(range(first, tree.size))

    def publish_checkpoint(self, public_key: ec.EllipticCurvePublicKey) -> None:
        """Write the newest checkpoint as a C2SP signed note, for tools that know nothing of the log's lines."""
        checkpoint = Checkpoint(self._origin, self._tree.size, self._tree.root())
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        note = signed_note(checkpoint.text(), self._origin, spki, self._signature)
        durable.write_file(self._volume, CHECKPOINT, note)

    def keep_receipt(self, recording: str, receipt: bytes, signature: bytes) -> None:
        """Make a verified receipt durable, before its leaf (W1)."""
        durable.replace_group(self._volume, RECEIPTS, [(f"{recording}.json.p7s", signature), (f"{recording}.json", receipt)])

    def critical(self) -> frozenset[str]:
        """Recordings that a leaf flags as critical (BWC-POL-21); reads the whole log."""
        return critical_recordings(self._volume.read(LOG))

    def close(self) -> None:
        self._log.close()


@dataclass(frozen=True, slots=True)
class _Read:
    """What follows the leaves of ``base`` in a log of so many bytes."""

    snapshot: Snapshot | None
    base: CompactTree
    state: LogState
    length_bytes: int


def _from_snapshot(volume: Volume, origin: str, public_key: ec.EllipticCurvePublicKey) -> _Read | None:
    """``None`` when snapshot and log do not fit together, or the snapshot cannot be read: then all is read."""
    try:
        stored = volume.read(SNAPSHOT)
    except HalError:  # nothing needs it
        return None
    try:
        snapshot = read_snapshot(stored, public_key)
        data, tree = volume.read(LOG, snapshot.line_at), snapshot.tree()
        line = data[: data.find(b"\n") + 1]
        leaves, marks = split_log(line, origin)
        claim = Checkpoint(origin, tree.size, tree.root())
        if leaves or len(marks) != 1 or marks[0].checkpoint != claim or not is_signed(marks[0], public_key):
            return None
        return _Read(snapshot, tree, read_log(data[len(line) :], origin, public_key, base=tree), snapshot.line_at + len(data))
    except (FormatError, IntegrityError):
        return None


def peek(volume: Volume) -> tuple[Entry, ...]:
    """The newest leaves, a few dozen, unchecked: enough to say how the last run ended before the whole log is read."""
    size_bytes = dict(volume.list(LEDGER)).get("log", 0)
    start = max(0, size_bytes - PEEK_BYTES)
    data = volume.read(LOG, start) if size_bytes > 0 else b""
    signed = data[: data.rfind(b"\n= ") + 1]
    lines = signed.split(b"\n")[1 if start else 0 :]
    return tuple(entry for line in lines if line.startswith(b"{") and (entry := _entry(line)) is not None)


def _entry(line: bytes) -> Entry | None:
    try:
        return Entry.from_bytes(line)
    except FormatError:
        return None
