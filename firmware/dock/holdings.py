"""What a camera has to hand over: closed recordings and the ledger, read as plain files.

Responsible for turning the state directory into offers and ledger extensions, and for the spool in which verified receipts, policies and
orders wait for the recorder. Refuses to judge: a damaged recording is offered as it is, and the dock says what is wrong with it. Opens
nothing for writing outside the spool; the recorder alone owns vault and ledger, and may be appending while this reads.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from firmware.custody.flags import critical_recordings
from firmware.custody.merkle import consistency_proof, leaf_hash, root_of
from firmware.dock.fields import LOG_BATCH_BYTES, MANIFEST, MANIFEST_SIGNATURE, fragment_number, is_recording_id, is_vault_name
from firmware.dock.protocol import FileOffer, LedgerExtension, LedgerMark, RecordingOffer, SignedOrder, SignedPolicy, SignedReceipt
from firmware.errors import FormatError
from firmware.evidence.manifest import Manifest
from hal.files import sync_directory

_READ_BYTES = 1024 * 1024
_CHECKPOINT = b"= "


@dataclass(frozen=True, slots=True)
class Holding:
    """One recording on the card, as it will be offered; ``order`` sorts the critical ones before the others, the oldest first."""

    offer: RecordingOffer
    directory: Path
    order: tuple[int, int, int, str]

    def path(self, name: str) -> Path:
        return self.directory / name


def read_holdings(state_dir: Path) -> tuple[Holding, ...]:
    """Closed recordings that have no receipt yet: critical ones first (BWC-POL-21), then the oldest (BWC-POL-41)."""
    vault, log = state_dir / "vault", state_dir / "ledger" / "log"
    critical = critical_recordings(log.read_bytes()) if log.is_file() else frozenset()
    names = sorted(entry.name for entry in vault.iterdir() if entry.is_dir()) if vault.is_dir() else []
    found = [_read_holding(vault / name, name in critical) for name in names if _is_open_matter(state_dir, name)]
    return tuple(sorted(found, key=lambda holding: holding.order))


def _is_open_matter(state_dir: Path, name: str) -> bool:
    if not is_recording_id(name) or not (state_dir / "vault" / name / MANIFEST_SIGNATURE).is_file():
        return False
    receipts = (spool_directory(state_dir), state_dir / "ledger" / "receipts")
    return not any((directory / f"{name}.json").is_file() for directory in receipts)


def _read_holding(directory: Path, critical: bool) -> Holding:
    data = (directory / MANIFEST).read_bytes()
    try:
        manifest = Manifest.from_bytes(data)
        order = (0 if critical else 1, manifest.begin.boot, manifest.begin.boottime_us, directory.name)
        known = {one.seq: (one.sealed_sha256, one.sealed_bytes) for one in manifest.fragments}
    except FormatError:
        order, known = (0 if critical else 1, 0, 0, directory.name), {}
    entries = sorted((entry for entry in os.scandir(directory) if entry.is_file(follow_symlinks=False)), key=lambda entry: entry.name)
    files = tuple(_file_offer(Path(entry.path), known) for entry in entries if is_vault_name(entry.name))
    return Holding(RecordingOffer(directory.name, hashlib.sha256(data).hexdigest(), files), directory, order)


def _file_offer(path: Path, known: dict[int, tuple[str, int]]) -> FileOffer:
    """Fragments go under the hash that was taken when they were sealed: the card is read once, by the upload itself, and a byte
    that changed since shows at the dock."""
    size = path.stat().st_size
    number = fragment_number(path.name)
    sha256, sealed_bytes = known.get(-1 if number is None else number, ("", -1))
    return FileOffer(path.name, sha256 if sealed_bytes == size else _sha256_of(path), size)


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Where a batch ends: bytes of the log, leaves in the tree, its checkpoint line."""

    end: int
    size: int
    line: bytes


class LedgerView:
    """The log as it stood when it was read, up to its last checkpoint line; what follows that is still being written."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._hashes: list[bytes] = []
        self._batches: list[_Batch] = [_Batch(0, 0, b"")]
        start = 0
        while (newline := data.find(b"\n", start)) >= 0:
            line = data[start:newline]
            start = newline + 1
            if line.startswith(_CHECKPOINT):
                self._batches.append(_Batch(start, len(self._hashes), line))
            else:
                self._hashes.append(leaf_hash(line))
        del self._hashes[self.size :]

    @classmethod
    def read(cls, state_dir: Path) -> LedgerView:
        """An absent log is an empty one."""
        path = state_dir / "ledger" / "log"
        return cls(path.read_bytes() if path.is_file() else b"")

    @property
    def size(self) -> int:
        """Signed leaves."""
        return self._batches[-1].size

    def is_known_to(self, mark: LedgerMark) -> bool:
        """Whether the dock has seen all of it."""
        return mark.size == self.size and mark.root == root_of(self._hashes).hex()

    def extension(self, mark: LedgerMark, chain: bytes) -> LedgerExtension:
        """The next part of the log for a dock that stands at ``mark``: whole batches, at most LOG_BATCH_BYTES or one batch.

        When the log does not continue the mark, only the latest checkpoint goes: the dock must see it and raise its alarm.
        """
        latest = self._batches[-1]
        starts = [index for index, batch in enumerate(self._batches) if batch.end == mark.log_bytes and batch.size == mark.size]
        if not starts or root_of(self._hashes[: mark.size]).hex() != mark.root or starts[0] + 1 == len(self._batches):
            return LedgerExtension(mark.size, mark.log_bytes, b"", latest.line, (), chain)
        following = self._batches[starts[0] + 1 :]
        fitting = [batch for batch in following if batch.end - mark.log_bytes <= LOG_BATCH_BYTES]
        last = fitting[-1] if fitting else following[0]
        proof = consistency_proof(self._hashes, mark.size, last.size)
        return LedgerExtension(mark.size, mark.log_bytes, self._data[mark.log_bytes : last.end], last.line, proof, chain)


def spool_directory(state_dir: Path) -> Path:
    """Where verified receipts wait for the recorder, which checks them again."""
    return state_dir / "sync" / "receipts"


def spool_receipt(state_dir: Path, recording: str, signed: SignedReceipt) -> None:
    """Signature first, receipt last, each atomically and durably: who sees the ``.json`` finds its ``.p7s``."""
    directory = spool_directory(state_dir)
    directory.mkdir(parents=True, exist_ok=True)
    _write_durable(directory / f"{recording}.json.p7s", signed.signature)
    _write_durable(directory / f"{recording}.json", signed.receipt)


def spool_note(state_dir: Path, note: str) -> None:
    """Keep the checkpoint that the dock cosigned."""
    directory = state_dir / "sync"
    directory.mkdir(parents=True, exist_ok=True)
    _write_durable(directory / "checkpoint", note.encode("utf-8"))


def spool_policy(state_dir: Path, signed: SignedPolicy) -> None:
    """Signature first, as with receipts. What waits there already and is the same is left alone."""
    directory = state_dir / "sync" / "policy"
    _spool(directory / "policy.toml.minisig", signed.signature)
    _spool(directory / "policy.toml", signed.policy)


def spool_order(state_dir: Path, signed: SignedOrder) -> None:
    """One file, in the form in which it came."""
    _spool(state_dir / "sync" / "order" / "order.json", signed.to_bytes())


def _spool(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != data:
        _write_durable(path, data)


def _write_durable(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)
