"""Receipts: a camera releases nothing on less than a store's word for exactly what it holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from helpers_evidence import SERIAL, UTC, agency, digest, manifest

from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile, check_receipt
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError

MANIFEST = manifest().to_bytes()
FILES = {"manifest.json": (hashlib.sha256(MANIFEST).hexdigest(), len(MANIFEST)), "000000.m4s.p7m": (digest("f"), 500_600)}


def receipt() -> Receipt:
    files = tuple(ReceiptFile(name, *FILES[name]) for name in sorted(FILES))
    point = LedgerPoint(12, digest("root"))
    return Receipt(manifest().recording, SERIAL, FILES["manifest.json"][0], files, point, "store-1", 3, UTC)


def check(one: Receipt, **changes: object) -> None:
    signature = changes.get("signature", agency().store.sign(one.to_bytes()))
    check_receipt(one, signature, changes.get("roots", agency().roots), changes.get("manifest", MANIFEST), changes.get("files", FILES))


def test_a_receipt_comes_back_as_written_and_fits():
    """BWC-POL-23."""
    assert Receipt.from_bytes(receipt().to_bytes()) == receipt()
    check(receipt())


@pytest.mark.parametrize(
    "wrong",
    [
        replace(receipt(), recording="R-2"),
        replace(receipt(), device="OC-2"),
        replace(receipt(), manifest_sha256=digest("other")),
        replace(receipt(), store="store-2"),
        replace(receipt(), files=receipt().files[:1]),
        replace(receipt(), files=(*receipt().files, ReceiptFile("z", digest("z"), 1))),
        replace(receipt(), files=(replace(receipt().files[0], bytes=1), receipt().files[1])),
        replace(receipt(), files=(replace(receipt().files[0], sha256=digest("x")), receipt().files[1])),
    ],
)
def test_a_receipt_for_anything_else_is_refused(wrong):
    """BWC-POL-42: a missing, extra or different file, another recording, another camera, another store."""
    with pytest.raises(RefusedError):
        check(wrong)


def test_only_a_store_of_the_agency_signs_receipts():
    """BWC-POL-23: a camera cannot release itself, and another agency's store cannot either."""
    content = receipt().to_bytes()
    for signature, error in (
        (agency().camera.sign(content), IntegrityError),
        (agency("Other Agency").store.sign(content), UnavailableError),
        (agency().store.sign(content + b" "), IntegrityError),
        (b"", FormatError),
    ):
        with pytest.raises(error):
            check(receipt(), signature=signature)


def test_a_manifest_that_the_camera_does_not_hold_is_refused():
    other = replace(manifest(), video=replace(manifest().video, fps=25)).to_bytes()
    with pytest.raises(RefusedError, match="manifest"):
        check(receipt(), manifest=other)


def test_files_are_sorted_and_named_once():
    first, second = receipt().files
    for files in ((second, first), (first, first), ()):
        with pytest.raises(FormatError):
            replace(receipt(), files=files).to_bytes()
    with pytest.raises(FormatError, match="name"):
        replace(receipt(), files=(replace(first, name="../x"),)).to_bytes()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format":"oathcam-receipt/1"}'])
def test_other_bytes_are_a_format_error(data):
    with pytest.raises(FormatError):
        Receipt.from_bytes(data)
