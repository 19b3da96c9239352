"""The station as a witness of each camera's ledger.

Responsible for accepting only what continues what was seen before (BWC-POL-29): signed by this camera, consistent with the
high-water mark, every leaf under the signed root; for keeping the camera's bytes as they came; and for the cosignature. Refuses to
judge recordings. Called under the camera's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from cryptography import x509

from firmware.custody import checkpoint as notes
from firmware.custody.checkpoint import Checkpoint, digest_to_sign
from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree, leaf_hash, verify_consistency
from firmware.custody.note import decode_base64
from firmware.dock.protocol import LedgerAnswer, LedgerExtension, LedgerMark, Refusal
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import pki, primitives
from tools.dock import files
from tools.dock.database import Database, KnownLedger, LeafRow
from tools.dock.layout import Layout, reject

LAYER = "ledger"
_CHECKPOINT = b"= "


@dataclass(frozen=True, slots=True)
class Witness:
    """The name under which the dock cosigns, and its Ed25519 seed (32 bytes)."""

    name: str
    seed: bytes


@dataclass(frozen=True, slots=True)
class _Signed:
    """A checkpoint line, parsed; its signature not checked yet."""

    checkpoint: Checkpoint
    signature: bytes


def origin_of(serial: str) -> str:
    """The log's name in its checkpoints."""
    return f"oathcam/{serial}"


class LedgerKeeper:
    """Accepts extensions and indexes the leaves that commits ask for."""

    def __init__(
        self, layout: Layout, database: Database, roots: tuple[x509.Certificate, ...], witness: Witness, now_ns: Callable[[], int]
    ) -> None:
        self._layout = layout
        self._database = database
        self._roots = roots
        self._witness = witness
        self._now_ns = now_ns

    def accept(self, serial: str, extension: LedgerExtension) -> LedgerAnswer:
        """Move the high-water mark, or raise Rejected; what looks like a shorter or forked ledger also raises an alarm."""
        known = self._database.ledger(serial)
        try:
            camera = self._camera(serial, extension.chain, known)
            claim = _parse_line(extension.checkpoint, serial)
            _verify(claim, camera)
            if self._is_repeated(serial, extension, known):
                files.write_file(self._layout.checkpoint(serial), known.note.encode("utf-8"))
                return LedgerAnswer(known.mark, known.note)
            _check_continuation(known.mark, claim.checkpoint, extension)
            tree, rows = _read_batches(serial, extension, known, camera)
        except (FormatError, IntegrityError, UnavailableError) as error:
            self._refuse(serial, str(error))
        note = self._note(serial, claim, camera)
        mark = LedgerMark(tree.size, tree.root().hex(), known.mark.log_bytes + len(extension.log))
        log = self._layout.log(serial)
        files.make_directory(log.parent)
        if not known.chain:
            files.write_file(self._layout.device_chain(serial), extension.chain)
        files.append_at(log, extension.log, known.mark.log_bytes)
        self._database.advance_ledger(serial, KnownLedger(mark, tree.hashes(), known.chain or extension.chain, note.decode("utf-8")), rows)
        files.write_file(self._layout.checkpoint(serial), note)
        return LedgerAnswer(mark, note.decode("utf-8"))

    def _camera(self, serial: str, chain: bytes, known: KnownLedger) -> x509.Certificate:
        """The camera's signing certificate. Its expiry does not undo what it signs: a leaf is judged by its first valid second."""
        certificates = pki.load_certificates_pem(chain)
        pki.check_chain(certificates, self._roots, pki.Role.CAMERA, pki.not_before_ns(certificates[0]))
        if pki.common_name(certificates[0]) != serial:
            raise IntegrityError(LAYER, f"expected the certificate of {serial!r}, got {pki.common_name(certificates[0])!r}")
        if known.chain and pki.spki_der(pki.load_certificates_pem(known.chain)[0]) != pki.spki_der(certificates[0]):
            raise IntegrityError(LAYER, "the ledger is signed by another key than the one seen before")
        return certificates[0]

    def _is_repeated(self, serial: str, extension: LedgerExtension, known: KnownLedger) -> bool:
        """Whether the dock has exactly these bytes already: the answer to the first request was lost."""
        end = extension.log_offset + len(extension.log)
        if not extension.log or end > known.mark.log_bytes or extension.old_size >= known.mark.size:
            return False
        with self._layout.log(serial).open("rb") as log:
            log.seek(extension.log_offset)
            return log.read(len(extension.log)) == extension.log

    def _note(self, serial: str, claim: _Signed, camera: x509.Certificate) -> bytes:
        text = claim.checkpoint.text()
        signed = notes.signed_note(text, origin_of(serial), pki.spki_der(camera), claim.signature)
        return signed + notes.cosign(text, self._witness.name, self._now_ns() // 1_000_000_000, self._witness.seed)

    def _refuse(self, serial: str, reason: str) -> NoReturn:
        rejected = reject(409, Refusal.LEDGER, f"ledger refused: {reason}")
        self._database.raise_alarm(serial, rejected.problem.detail)
        raise rejected from None


def _parse_line(line: bytes, serial: str) -> _Signed:
    parts = line.split(b" ")
    if len(parts) != 4 or parts[0] != b"=" or not parts[1].isdigit():
        raise FormatError(LAYER, f"expected a checkpoint line, got {line[:80]!r}")
    root, signature = (decode_base64(part, LAYER) for part in parts[2:])
    try:
        checkpoint = Checkpoint(origin_of(serial), int(parts[1][:20]), root)
    except ValueError as error:
        raise FormatError(LAYER, str(error)) from None
    if notes.checkpoint_line(checkpoint, signature) != line + b"\n":
        raise FormatError(LAYER, f"expected the one form of a checkpoint line, got {line[:80]!r}")
    return _Signed(checkpoint, signature)


def _verify(claim: _Signed, camera: x509.Certificate) -> None:
    primitives.verify_digest(pki.public_key(camera), digest_to_sign(claim.checkpoint.text()), claim.signature, LAYER)


def _check_continuation(mark: LedgerMark, claimed: Checkpoint, extension: LedgerExtension) -> None:
    """The claimed tree must contain the one that was seen (RFC 9162 §2.1.4), by proof and not by trust."""
    verify_consistency(mark.size, bytes.fromhex(mark.root), claimed.size, claimed.root, extension.proof)
    if (extension.old_size, extension.log_offset) != (mark.size, mark.log_bytes):
        raise IntegrityError(LAYER, f"expected the log from leaf {mark.size} at byte {mark.log_bytes} on, got it from {extension.old_size}")


def _read_batches(
    serial: str, extension: LedgerExtension, known: KnownLedger, camera: x509.Certificate
) -> tuple[CompactTree, list[LeafRow]]:
    """Hash every leaf onto the known tree and check every checkpoint line on the way; the last line is the claim."""
    lines = extension.log.split(b"\n")
    if lines.pop() or not lines or lines[-1] != extension.checkpoint:
        raise IntegrityError(LAYER, "expected whole lines that end in the claimed checkpoint")
    tree = CompactTree(known.mark.size, known.edge)
    rows: list[LeafRow] = []
    for line in lines:
        if line.startswith(_CHECKPOINT):
            signed = _parse_line(line, serial)
            if (signed.checkpoint.size, signed.checkpoint.root) != (tree.size, tree.root()):
                raise IntegrityError(LAYER, f"the leaves do not hash to the root that stands after leaf {tree.size}")
            _verify(signed, camera)
            continue
        entry = Entry.from_bytes(line)
        if entry.n != tree.size:
            raise IntegrityError(LAYER, f"expected leaf {tree.size}, got one that says {entry.n}")
        rows += _index(entry)
        tree.append(leaf_hash(line))
    return tree, rows


def _index(entry: Entry) -> list[LeafRow]:
    fields = entry.fields
    match entry.kind:
        case "begin":
            return [LeafRow(entry.n, fields["recording"], "begin", hash=fields["begin_sha256"])]
        case "init":
            return [LeafRow(entry.n, fields["recording"], "init", hash=fields["sealed"])]
        case "fragment":
            return [LeafRow(entry.n, fields["recording"], "fragment", fields["seq"], fields["sealed"])]
        case "end":
            return [LeafRow(entry.n, fields["recording"], "end", hash=fields["manifest_sha256"])]
        case "release":
            return [LeafRow(entry.n, fields["recording"], "release")]
    return []
