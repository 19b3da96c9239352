"""Receipts: a store's signed word that it holds a recording, all of it, and what a camera must see before it releases one.

Responsible for the receipt's fields and for the check (BWC-POL-23, -42). Refuses to know how a receipt travels and what a
release does. Invariant: :func:`check_receipt` returns only for a receipt that a store of the agency signed over exactly the
files and the manifest that the camera itself holds.
"""
# ruff: noqa: RUF009  (a field's check is made by a call on purpose; it holds no state)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from firmware.errors import FormatError, RefusedError
from firmware.evidence import cms, jcs, pki, primitives
from firmware.evidence import fields as f
from firmware.evidence.fields import field
from firmware.evidence.manifest import MAX_FRAGMENTS, Manifest

LAYER = "receipt"
FORMAT = "oathcam-receipt/1"


@dataclass(frozen=True, slots=True)
class ReceiptFile:
    """One file as the store hashed it itself."""

    name: str = field(f.file_name)
    sha256: str = field(f.digest)
    bytes: int = field(f.integer())


@dataclass(frozen=True, slots=True)
class LedgerPoint:
    """The camera's checkpoint that the store had accepted by then; ``root`` in hex."""

    size: int = field(f.integer())
    root: str = field(f.digest)


@dataclass(frozen=True, slots=True)
class Receipt:
    """``files`` are sorted by name. ``store_index`` numbers the store's receipts."""

    recording: str = field(f.name)
    device: str = field(f.text(64))
    manifest_sha256: str = field(f.digest)
    files: tuple[ReceiptFile, ...] = field(f.each(f.nested(ReceiptFile), MAX_FRAGMENTS + 10, 1))
    ledger: LedgerPoint = field(f.nested(LedgerPoint))
    store: str = field(f.text(64))
    store_index: int = field(f.integer())
    received_utc: str = field(f.utc)

    def to_bytes(self) -> bytes:
        """Canonical JSON, which the store signs. ``FormatError`` when :meth:`from_bytes` would not accept it."""
        value = f.to_value(self)
        _check_order(f.read(Receipt, value, LAYER))
        return jcs.canonical({"format": FORMAT, **value})

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        """``FormatError`` naming the field that does not fit."""
        value = jcs.parse(data, LAYER)
        if not isinstance(value, dict) or value.pop("format", None) != FORMAT:
            raise FormatError(LAYER, f"expected an object with the format {FORMAT!r}")
        receipt = f.read(cls, value, LAYER)
        _check_order(receipt)
        return receipt


def check_receipt(
    receipt: Receipt, signature: bytes, roots: Sequence[x509.Certificate], manifest: bytes, files: Mapping[str, tuple[str, int]]
) -> None:
    """Check a receipt against what the camera (or a verifier) holds: manifest bytes, and of every file (hex SHA-256, size).

    ``RefusedError``: it speaks of something else. ``IntegrityError``: it is not signed by a store of the agency.
    ``FormatError``: signature or manifest do not parse. ``UnavailableError``: no root fits.
    """
    signer = cms.verify_detached(receipt.to_bytes(), signature, roots, pki.Role.STORE)
    if pki.common_name(signer.certificate) != receipt.store:
        raise RefusedError(f"receipt of store {receipt.store!r}, signed by {pki.common_name(signer.certificate)!r}")
    held = Manifest.from_bytes(manifest)
    if (receipt.recording, receipt.device) != (held.recording, held.device.serial):
        raise RefusedError(
            f"receipt for {receipt.recording!r} of {receipt.device!r}, expected {held.recording!r} of {held.device.serial!r}"
        )
    if receipt.manifest_sha256 != primitives.sha256(manifest).hex():
        raise RefusedError(f"receipt for another manifest of {held.recording!r}")
    received = {one.name: (one.sha256, one.bytes) for one in receipt.files}
    for name in sorted(received.keys() | files.keys()):
        if received.get(name) != files.get(name):
            what = "does not name" if name not in received else "names, and the camera has not," if name not in files else "differs in"
            raise RefusedError(f"receipt for {held.recording!r} {what} the file {name!r}")


def _check_order(receipt: Receipt) -> None:
    names = [one.name for one in receipt.files]
    if names != sorted(set(names)):
        raise FormatError(LAYER, "files: expected every name once, sorted")
