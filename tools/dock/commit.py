"""Commits: from uploaded files to a stored recording and a signed receipt.

Responsible for asking everything that must hold before a camera may delete (BWC-POL-42): every hash recomputed from the disk, the
manifest signed by this camera, the sequence complete and without a stranger, every fragment behind a leaf of the witnessed ledger,
the end leaf naming this manifest. Then D3. What fails goes to quarantine with its reason (BWC-POL-44). Refuses to open anything:
a store holds no key to footage. Called under the camera's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from firmware.dock.fields import ASSIGNMENT, BEGIN, BEGIN_SIGNATURE, INIT, MANIFEST, MANIFEST_SIGNATURE, NOTES
from firmware.dock.protocol import OfferState, RecordingOffer, Refusal, SignedReceipt
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, jcs, pki
from firmware.evidence.manifest import Begin, Manifest, fragment_name
from firmware.timebase import format_utc
from tools.dock import files
from tools.dock.database import Database
from tools.dock.layout import Layout, reject

LAYER = "commit"


@dataclass(frozen=True, slots=True)
class Store:
    """Who signs receipts: the store's name, its chain (DER, leaf first), and its key as a function of a digest."""

    name: str
    chain: tuple[bytes, ...]
    sign_digest: Callable[[bytes], bytes]


class Committer:
    """Turns a complete upload into a receipt, once; asked again, it gives the same one."""

    def __init__(
        self, layout: Layout, database: Database, roots: tuple[x509.Certificate, ...], store: Store, now_ns: Callable[[], int]
    ) -> None:
        self._layout = layout
        self._database = database
        self._roots = roots
        self.store = store
        self._now_ns = now_ns
        self._signing = threading.Lock()

    def commit(self, serial: str, recording: str) -> SignedReceipt:
        """The receipt; or Rejected: 409 when something is still missing, 422 when the recording is refused for good."""
        receipted = self._database.receipt(serial, recording)
        if receipted is not None:
            return receipted[1]
        found = self._database.offer(serial, recording)
        if found is None:
            raise reject(404, Refusal.OTHER, f"{recording} was not offered")
        offer, state, reason = found
        if state is OfferState.REFUSED:
            raise reject(422, Refusal.RECORDING, reason)
        paths = self._locate(serial, offer)
        try:
            self._check(serial, offer, paths)
        except (FormatError, IntegrityError, UnavailableError) as error:
            self._quarantine(serial, offer, paths, str(error))
            raise reject(422, Refusal.RECORDING, str(error)) from None
        return self._store_and_sign(serial, offer, paths)

    # --- where the files are

    def _locate(self, serial: str, offer: RecordingOffer) -> dict[str, Path]:
        """Every offered file, in the store (a commit that a crash interrupted) or among the uploads; Rejected if one is absent."""
        final = self._layout.recording(serial, offer.recording)
        if final.is_dir():
            return {file.name: final / file.name for file in offer.files}
        incoming = self._layout.incoming(serial)
        paths: dict[str, Path] = {}
        for file in offer.files:
            whole, bad = incoming.whole(file.sha256), incoming.bad(file.sha256)
            paths[file.name] = bad if bad.exists() else whole
        missing = [name for name, path in paths.items() if not path.exists()]
        if missing:
            raise reject(409, Refusal.MISSING, f"{len(missing)} files are not here yet, the first is {missing[0]}")
        return paths

    # --- what must hold

    def _check(self, serial: str, offer: RecordingOffer, paths: Mapping[str, Path]) -> None:
        """Raises FormatError, IntegrityError or UnavailableError with the reason; Rejected when the ledger is merely behind."""
        offered = {file.name: (file.sha256, file.size_bytes) for file in offer.files}
        self._rehash(serial, offer, paths)
        for name in (MANIFEST, MANIFEST_SIGNATURE, BEGIN, BEGIN_SIGNATURE):
            if name not in offered:
                raise IntegrityError(LAYER, f"{name} is missing")
        data = paths[MANIFEST].read_bytes()
        self._check_signature(serial, data, paths[MANIFEST_SIGNATURE].read_bytes())
        manifest = Manifest.from_bytes(data)
        if (manifest.recording, manifest.device.serial) != (offer.recording, serial):
            raise IntegrityError(LAYER, f"the manifest is of {manifest.recording!r} of {manifest.device.serial!r}")
        if offer.manifest_sha256 != offered[MANIFEST][0]:
            raise IntegrityError(LAYER, "the manifest is not the one that was offered")
        self._check_begin(serial, manifest, paths)
        _check_complete(manifest, offered)
        self._check_leaves(serial, manifest, offer.manifest_sha256)

    def _rehash(self, serial: str, offer: RecordingOffer, paths: Mapping[str, Path]) -> None:
        """What the disk gives back now must be what was offered; an upload that rotted here is asked for again."""
        incoming = self._layout.incoming(serial)
        for file in offer.files:
            path = paths[file.name]
            if files.sha256_of(path) == file.sha256 and path.stat().st_size == file.size_bytes:
                continue
            if path == incoming.whole(file.sha256):
                incoming.forget(file.sha256)
                raise reject(409, Refusal.MISSING, f"{file.name} changed on the store's disk and must be sent again")
            raise IntegrityError(LAYER, f"{file.name} does not have the hash that the camera gave for it")

    def _check_signature(self, serial: str, content: bytes, signature: bytes) -> None:
        signer = cms.verify_detached(content, signature, self._roots, pki.Role.CAMERA)
        name = pki.common_name(signer.certificate)
        if name != serial:
            raise IntegrityError(LAYER, f"expected the signature of {serial!r}, got that of {name!r}")

    def _check_begin(self, serial: str, manifest: Manifest, paths: Mapping[str, Path]) -> None:
        data = paths[BEGIN].read_bytes()
        self._check_signature(serial, data, paths[BEGIN_SIGNATURE].read_bytes())
        begin = Begin.from_bytes(data)
        if (begin.recording, begin.device.serial) != (manifest.recording, serial):
            raise IntegrityError(LAYER, f"{BEGIN} is of {begin.recording!r} of {begin.device.serial!r}")

    def _check_leaves(self, serial: str, manifest: Manifest, manifest_sha256: str) -> None:
        """Each thing that the manifest names was in the witnessed ledger before, with the same hash, once."""
        ends = [row.hash for row in self._database.leaves(serial, manifest.recording, "end")]
        if not ends:
            raise reject(409, Refusal.MISSING, "the ledger that the dock has seen does not close this recording yet")
        if ends != [manifest_sha256]:
            raise IntegrityError(LAYER, "the ledger closes this recording with another manifest")
        if [row.hash for row in self._database.leaves(serial, manifest.recording, "begin")] != [manifest.begin_sha256]:
            raise IntegrityError(LAYER, f"the ledger does not begin this recording with this {BEGIN}")
        wanted_init = [manifest.init.sealed_sha256] if manifest.init is not None else []
        if [row.hash for row in self._database.leaves(serial, manifest.recording, "init")] != wanted_init:
            raise IntegrityError(LAYER, f"the ledger does not have this {INIT}")
        rows = [(row.seq, row.hash) for row in self._database.leaves(serial, manifest.recording, "fragment")]
        wanted = [(one.seq, one.sealed_sha256) for one in manifest.fragments]
        if rows != wanted:
            odd = next((seq for seq, _ in sorted(set(rows) ^ set(wanted))), len(rows))
            raise IntegrityError(LAYER, f"the ledger and the manifest differ in {fragment_name(odd)}")

    # --- storing

    def _store_and_sign(self, serial: str, offer: RecordingOffer, paths: Mapping[str, Path]) -> SignedReceipt:
        final = self._layout.recording(serial, offer.recording)
        if not final.is_dir():
            files.make_directory(final.parent)
            files.publish_directory(final, paths, {})
        with self._signing:
            now_ns = self._now_ns()
            receipt = self._receipt(serial, offer, now_ns).to_bytes()
            signed = SignedReceipt(receipt, cms.sign_detached(receipt, self.store.chain, self.store.sign_digest, now_ns))
            directory = self._layout.receipts(serial)
            files.make_directory(directory)
            files.write_file(directory / f"{offer.recording}.json.p7s", signed.signature)
            files.write_file(directory / f"{offer.recording}.json", signed.receipt)
            self._database.keep_receipt(serial, offer.recording, offer.manifest_sha256, signed)
        incoming = self._layout.incoming(serial)
        for file in offer.files:
            incoming.forget(file.sha256)
        return signed

    def _receipt(self, serial: str, offer: RecordingOffer, now_ns: int) -> Receipt:
        mark = self._database.ledger(serial).mark
        ordered = sorted(offer.files, key=lambda file: file.name)
        return Receipt(
            recording=offer.recording,
            device=serial,
            manifest_sha256=offer.manifest_sha256,
            files=tuple(ReceiptFile(file.name, file.sha256, file.size_bytes) for file in ordered),
            ledger=LedgerPoint(mark.size, mark.root),
            store=self.store.name,
            store_index=self._database.receipt_count(),
            received_utc=format_utc(now_ns // 1000 * 1000),
        )

    def _quarantine(self, serial: str, offer: RecordingOffer, paths: Mapping[str, Path], reason: str) -> None:
        """Keep what came, say why, and raise an alarm; the camera keeps its own."""
        directory = self._layout.quarantine(serial, offer.recording)
        files.make_directory(directory.parent)
        note = jcs.canonical({"recording": offer.recording, "reason": reason, "serial": serial, "utc": format_utc(self._now_ns())})
        files.publish_directory(directory, paths, {"reason.json": note})
        with self._database.transaction():
            self._database.refuse_offer(serial, offer.recording, reason[:400])
            self._database.raise_alarm(serial, f"{offer.recording} refused: {reason}"[:400])
        incoming = self._layout.incoming(serial)
        for file in offer.files:
            incoming.forget(file.sha256)


def _check_complete(manifest: Manifest, offered: Mapping[str, tuple[str, int]]) -> None:
    """The files are those that the manifest names, each with its hash and length: none missing, none more (BWC-POL-42)."""
    named: dict[str, tuple[str, int]] = {fragment_name(one.seq): (one.sealed_sha256, one.sealed_bytes) for one in manifest.fragments}
    if manifest.init is not None:
        named[INIT] = (manifest.init.sealed_sha256, manifest.init.sealed_bytes)
    if manifest.notes is not None:
        named[NOTES] = (manifest.notes.sealed_sha256, manifest.notes.sealed_bytes)
    if manifest.assignment is not None:
        named[ASSIGNMENT] = (manifest.assignment.sealed_sha256, manifest.assignment.sealed_bytes)
    if offered.get(BEGIN, ("", 0))[0] != manifest.begin_sha256:
        raise IntegrityError(LAYER, f"{BEGIN} is not the one that the manifest names")
    others = {BEGIN, BEGIN_SIGNATURE, MANIFEST, MANIFEST_SIGNATURE}
    for name in sorted(named.keys() | (offered.keys() - others)):
        if name not in offered:
            raise IntegrityError(LAYER, f"{name} is missing")
        if name not in named:
            raise IntegrityError(LAYER, f"{name} is not in the manifest")
        if offered[name] != named[name]:
            raise IntegrityError(LAYER, f"{name} is not what the manifest names")
