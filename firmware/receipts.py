"""The spool in which the dock-sync process leaves receipts, and their check by the camera itself.

Responsible for believing nothing that lies in the spool: a receipt counts when a store of the agency signed it and it fits
this camera's own manifest and files, byte for byte (BWC-POL-23, -42). Called from the custodian's worker only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography import x509

from firmware.custody.receipt import Receipt, check_receipt
from firmware.errors import RefusedError
from firmware.evidence.primitives import sha256
from firmware.storage import durable
from firmware.storage.vault import MANIFEST, Vault
from hal.errors import DeviceFault, HalError, VolumeFull
from hal.interfaces import Volume

SPOOL = "sync/receipts"
READ_BYTES = 8 * 1024 * 1024
"""Read in one go: half a second of a slow card. What was pressed for meanwhile comes next, not behind gigabytes."""
_MAX_RECEIPT_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class _Reading:
    """A receipt whose recording is being read: its files' hashes and sizes so far, and what is still to be read."""

    data: bytes
    signature: bytes
    receipt: Receipt
    waiting: deque[tuple[str, int]]
    hashes: dict[str, tuple[str, int]] = field(default_factory=dict)


class ReceiptInbox:
    """Reads ``sync/receipts/<recording>.json`` and its ``.p7s``; another, less trusted process writes them."""

    def __init__(self, volume: Volume, roots: Sequence[x509.Certificate], serial: str) -> None:
        self._volume = volume
        self._roots = tuple(roots)
        self._serial = serial
        self._readings: dict[str, _Reading] = {}

    def prepare(self, vault: Vault) -> None:
        """Each of them at every boot: power may have gone, or the card failed, after the first. What stands in a directory's place is moved
        aside: who may write here may not keep the camera from opening its ledger."""
        for name in ("sync", SPOOL, f"{SPOOL}/refused"):
            try:
                durable.make_directory(self._volume, name)
            except (DeviceFault, VolumeFull):
                raise
            except HalError:
                vault.move_aside(name, name.replace("/", "-"))
                durable.make_directory(self._volume, name)

    def waiting(self) -> tuple[str, ...]:
        """Recordings with a complete pair of files, by name."""
        names = {name for name, size in self._volume.list(SPOOL) if 0 <= size <= _MAX_RECEIPT_BYTES}
        return tuple(sorted(name[:-5] for name in names if name.endswith(".json") and f"{name}.p7s" in names))

    def check(self, recording: str, vault: Vault) -> tuple[bytes, bytes, str] | None:
        """Receipt, signature and store id; ``None`` while the recording is not read to its end: call again, also after an error of the
        volume. Raises RefusedError, IntegrityError or FormatError when anything does not fit."""
        reading = self._readings.get(recording)
        if reading is None:
            reading = self._readings[recording] = self._begin(recording, vault)
        read_bytes = 0
        while reading.waiting and read_bytes < READ_BYTES:
            name, size = reading.waiting[0]
            reading.hashes[name] = (sha256(vault.read(recording, name)).hex(), size)
            reading.waiting.popleft()
            read_bytes += size
        if reading.waiting:
            return None
        del self._readings[recording]
        check_receipt(reading.receipt, reading.signature, self._roots, vault.read(recording, MANIFEST), reading.hashes)
        return reading.data, reading.signature, reading.receipt.store

    def _begin(self, recording: str, vault: Vault) -> _Reading:
        files = vault.files(recording)
        if MANIFEST not in files:
            raise RefusedError(f"receipt for {recording!r}, which is not a closed recording of this camera")
        data = self._volume.read(f"{SPOOL}/{recording}.json")
        signature = self._volume.read(f"{SPOOL}/{recording}.json.p7s")
        receipt = Receipt.from_bytes(data)
        if receipt.recording != recording or receipt.device != self._serial:
            raise RefusedError(f"receipt for {receipt.recording!r} of {receipt.device!r}, expected {recording!r} of {self._serial!r}")
        return _Reading(data, signature, receipt, deque(files.items()))

    def refuse(self, recording: str) -> None:
        """Move a bad receipt, whose leaf is durable, out of the way, and keep it."""
        for suffix in (".json", ".json.p7s"):
            durable.move(self._volume, f"{SPOOL}/{recording}{suffix}", f"{SPOOL}/refused/{recording}{suffix}")

    def done(self, recording: str) -> None:
        """Clear a receipt whose leaf is durable; the kept copy lies in the ledger's directory. What a failing card leaves of the pair
        is no receipt, and harms nobody."""
        for suffix in (".json", ".json.p7s"):
            self._volume.remove(f"{SPOOL}/{recording}{suffix}")
        self._volume.sync_directory(SPOOL)
