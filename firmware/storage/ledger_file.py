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

from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign, read_log, signed_note
from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.storage import durable
from firmware.timebase import Timestamp
from hal.interfaces import Volume

LEDGER = "ledger"
LOG = "ledger/log"
CHECKPOINT = "ledger/checkpoint"
RECEIPTS = "ledger/receipts"


@dataclass(frozen=True, slots=True)
class Draft:
    """A leaf before it has an index."""

    kind: str
    time: Timestamp
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OpenedLedger:
    """What was found on the volume: the signed entries, and the bytes after the last good signature (W4)."""

    ledger: Ledger
    entries: tuple[Entry, ...]
    tail: bytes
    signed_bytes: int


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
        self.boot = 0

    @classmethod
    def open(
        cls,
        volume: Volume,
        origin: str,
        sign_digest: Callable[[bytes], bytes],
        public_key: ec.EllipticCurvePublicKey,
    ) -> OpenedLedger:
        """Read and check the log. Raises FormatError or IntegrityError only when the signed part itself is broken.

        The tail is still on the volume: the caller keeps it aside, then calls :meth:`cut_tail`.
        """
        have = {name for name, _ in volume.list("")}
        if LEDGER not in have:
            durable.make_directory(volume, LEDGER)
        if "receipts" not in {name for name, _ in volume.list(LEDGER)}:
            durable.make_directory(volume, RECEIPTS)
        data = volume.read(LOG) if "log" in {name for name, _ in volume.list(LEDGER)} else b""
        state = read_log(data, origin, public_key)
        tree = CompactTree()
        for digest in state.hashes:
            tree.append(digest)
        signed_bytes = len(data) - len(state.tail)
        ledger = cls(volume, origin, sign_digest, tree, len(data))
        return OpenedLedger(ledger, state.entries, state.tail, signed_bytes)

    @property
    def size(self) -> int:
        return self._tree.size

    def cut_tail(self, signed_bytes: int) -> None:
        """Shorten the log to its signed part."""
        self._log.cut(signed_bytes)

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
        lines.append(checkpoint_line(checkpoint, signature))
        self._log.append(b"".join(lines))
        first, self._tree, self._signature = self._tree.size, tree, signature
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

    def close(self) -> None:
        self._log.close()
