"""What a visit to a dock leaves on a card: the store's receipts in the spool, by the dock sync's own hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.custody.entries import Entry
from firmware.custody.merkle import leaf_hash, root_of
from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from firmware.dock.holdings import spool_receipt
from firmware.dock.protocol import SignedReceipt
from firmware.evidence import pki
from firmware.evidence.cms import sign_detached
from firmware.evidence.primitives import sha256
from firmware.timebase import format_utc
from tests.bench.device import EPOCH_NS


def leave_receipts(card: Path, store: Path, serial: str, leaves: Sequence[Entry]) -> None:
    """For every recording that a button closed. ``store``: a directory with ``store.key`` and ``store.crt``; ``leaves``: the card's."""
    key = load_pem_private_key((store / "store.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    chain = [pki.to_der(one) for one in pki.load_certificates_pem((store / "store.crt").read_bytes())]
    ledger = LedgerPoint(len(leaves), root_of([leaf_hash(one.to_bytes()) for one in leaves]).hex())
    closed = [one.fields["recording"] for one in leaves if one.kind == "end" and one.fields["cause"] == "button"]
    for number, recording in enumerate(closed):
        data = _receipt(card / "vault" / recording, serial, ledger, number).to_bytes()
        signature = sign_detached(data, chain, lambda digest: key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()))), EPOCH_NS)
        spool_receipt(card, recording, SignedReceipt(data, signature))


def _receipt(directory: Path, serial: str, ledger: LedgerPoint, number: int) -> Receipt:
    files = [ReceiptFile(one.name, sha256(one.read_bytes()).hex(), one.stat().st_size) for one in sorted(directory.iterdir())]
    return Receipt(
        recording=directory.name,
        device=serial,
        manifest_sha256=sha256((directory / "manifest.json").read_bytes()).hex(),
        files=tuple(files),
        ledger=ledger,
        store="store-1",
        store_index=number,
        received_utc=format_utc(EPOCH_NS),
    )
