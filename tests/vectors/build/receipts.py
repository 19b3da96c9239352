"""A store's receipts, as a camera checks them before it deletes anything (BWC-POL-23, -42)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from tests.vectors.build import people
from tests.vectors.build.people import SERIAL, agency, house
from tests.vectors.build.vector import Vector

MANIFEST = house.manifest(2).to_bytes()
FILES = {"000000.m4s.p7m": (house.digest("f"), 500_600), "manifest.json": (hashlib.sha256(MANIFEST).hexdigest(), len(MANIFEST))}


def receipt() -> Receipt:
    files = tuple(ReceiptFile(name, *FILES[name]) for name in sorted(FILES))
    return Receipt(
        house.manifest().recording, SERIAL, FILES["manifest.json"][0], files, LedgerPoint(12, house.digest("root")), "store-1", 3, house.UTC
    )


def vectors() -> Iterator[Vector]:
    one, whole = receipt(), receipt().to_bytes()
    yield _receipt("store", "a store's receipt for exactly what the camera holds", whole)
    yield from _for_something_else(one)
    yield from _by_somebody_else(whole)
    yield from _not_canonical(whole)


def _receipt(
    name: str,
    shows: str,
    data: bytes,
    expect: str = "success",
    layer: str = "",
    reason: str = "",
    signature: bytes | None = None,
    **changes,
) -> Vector:
    signed = agency().store.sign(data) if signature is None else signature
    held = changes.get("files", FILES)
    files = " ".join(f"{file}={digest},{size}" for file, (digest, size) in sorted(held.items()))
    inputs = {"receipt": data, "signature": signed, "manifest": changes.get("manifest", MANIFEST)}
    root = {"root": changes.get("root", "root.crt")}
    released = data if expect == "success" else b""
    return Vector(f"receipt/{name}", shows, "receipt", inputs, expect, layer, reason, released, root, {"files": files})


def _for_something_else(one: Receipt) -> Iterator[Vector]:
    first, second = one.files
    wrong = {
        "other-recording": ("another recording", replace(one, recording="R-2"), "receipt for 'R-2'"),
        "other-device": ("another camera", replace(one, device="OC-000002"), "OC-000002"),
        "other-manifest": ("another manifest of the same recording", replace(one, manifest_sha256=house.digest("x")), "another manifest"),
        "other-store": ("a store that says it is another", replace(one, store="store-2"), "receipt of store 'store-2'"),
        "file-missing": ("a file less than the camera holds", replace(one, files=(second,)), "does not name the file"),
        "file-more": (
            "a file that the camera has not",
            replace(one, files=(*one.files, ReceiptFile("z", house.digest("z"), 1))),
            "the camera has not",
        ),
        "file-other-hash": (
            "a file with another hash",
            replace(one, files=(replace(first, sha256=house.digest("y")), second)),
            "differs in",
        ),
        "file-other-size": ("a file with another size", replace(one, files=(replace(first, bytes=1), second)), "differs in"),
    }
    for name, (shows, changed, reason) in wrong.items():
        yield _receipt(name, shows, changed.to_bytes(), "refused", "receipt", reason)
    more = {**FILES, "notes.json.p7m": (house.digest("n"), 900)}
    yield _receipt(
        "held-more",
        "the camera holds a file that the store has not seen",
        one.to_bytes(),
        "refused",
        "receipt",
        "does not name",
        files=more,
    )


def _by_somebody_else(whole: bytes) -> Iterator[Vector]:
    one = agency()
    integrity = "integrity"
    yield _receipt(
        "by-camera",
        "the camera signed its own receipt",
        whole,
        integrity,
        "certificate",
        "expected the role 'store'",
        one.camera.sign(whole),
    )
    forged = people.likeness().store.sign(whole)
    yield _receipt(
        "by-likeness",
        "a store of an agency of the same name with other keys",
        whole,
        integrity,
        "certificate",
        "not signed by the key",
        forged,
    )
    other = agency("Other Agency").store.sign(whole)
    yield _receipt("by-other-agency", "another agency's store", whole, "unavailable", "certificate", "no root certificate", other)
    yield _receipt(
        "signature-of-other",
        "a signature over another receipt",
        whole,
        integrity,
        "signature",
        "SHA-256 differs",
        one.store.sign(whole + b" "),
    )
    yield _receipt("signature-empty", "no signature", whole, "format", "signature", "DER", b"")
    yield _receipt(
        "held-manifest-other",
        "the camera holds another manifest",
        whole,
        "refused",
        "receipt",
        "another manifest",
        manifest=house.manifest(3).to_bytes(),
    )


def _not_canonical(whole: bytes) -> Iterator[Vector]:
    value = json.loads(whole)

    def text(changed) -> bytes:
        return json.dumps(changed, separators=(",", ":"), sort_keys=True).encode()

    wrong = {
        "twin-space": ("a space", whole.replace(b'"store":', b'"store": ')),
        "twin-float": ("an integer as 3.0", whole.replace(b'"store_index":3', b'"store_index":3.0')),
        "twin-key-order": ("keys in another order", json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()),
        "twin-duplicate": ("a key twice", b'{"device":"x",' + whole[1:]),
        "files-unsorted": ("files out of order", text({**value, "files": value["files"][::-1]})),
        "file-twice": ("a file twice", text({**value, "files": [value["files"][0]] * 2})),
        "no-files": ("no file", text({**value, "files": []})),
        "file-path": ("a file name that climbs", text({**value, "files": [{**value["files"][0], "name": "../x"}]})),
        "field-more": ("a field more", text({**value, "thanks": "yes"})),
        "format-other": ("another format", text({**value, "format": "oathcam-receipt/2"})),
        "array": ("an array", b"[]"),
    }
    for name, (shows, data) in wrong.items():
        yield _receipt(name, shows, data, "format", "receipt")
    for field in value:
        yield _receipt(
            f"absent-{field.replace('_', '-')}",
            f"{field} is absent",
            text({k: v for k, v in value.items() if k != field}),
            "format",
            "receipt",
            field,
        )
    cuts = tuple(place for place in range(1, len(whole)) if whole[place - 1 : place] in b"{}[],:")
    yield replace(_receipt("cut", "cut behind braces, brackets, commas and colons", whole, "format", "receipt"), cuts=cuts)
