"""What is said of a ledger outside its file: checkpoints and cosignatures (C2SP), proofs (RFC 9162)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

from firmware.custody import merkle, note
from firmware.custody.checkpoint import Checkpoint, digest_to_sign
from firmware.evidence import pki
from tests.unit.helpers_evidence import ORIGIN, signer
from tests.vectors.build import people
from tests.vectors.build.ledger import CAMERA, LEAVES
from tests.vectors.build.people import agency
from tests.vectors.build.vector import Vector


def checkpoint_vectors() -> Iterator[Vector]:
    claim = Checkpoint(ORIGIN, 6, merkle.root_of([merkle.leaf_hash(one) for one in LEAVES]))
    whole = _signed(claim.text())
    text, signed = whole.split(b"\n\n")
    yield _checkpoint("one-signature", "a camera's checkpoint", whole)
    cosigned = whole + note.cosign(claim.text(), people.DOCK_NAME, 1_795_421_700, people.DOCK_SEED)
    yield _checkpoint("cosigned", "the same with a dock's cosignature", cosigned, claim.text())
    stranger = b"\xe2\x80\x94 example.org/witness " + base64.b64encode(bytes(72)) + b"\n"
    yield _checkpoint("stranger", "a signature by nobody we know is no signature and no fault", whole + stranger, claim.text())
    noted = "signed note"
    notes = {
        "no-empty-line": ("no empty line before the signatures", whole.replace(b"\n\n", b"\n"), "empty line"),
        "no-line-feed": ("no line feed at the end", whole[:-1], "empty line"),
        "no-signature": ("no signature line", text + b"\n\n", "signature line"),
        "empty": ("nothing", b"", "empty line"),
        "hyphen": ("a hyphen for the dash", whole.replace("\N{EM DASH}".encode(), b"-"), "signature line"),
        "key-name-plus": ("a plus in a key's name", whole + b"\xe2\x80\x94 a+b " + base64.b64encode(bytes(72)) + b"\n", "signature line"),
        "carriage-return": ("a carriage return", whole.replace(b"\n", b"\r\n"), "control character"),
        "not-utf8": ("bytes that are not UTF-8", b"\xff" + whole, "UTF-8"),
        "base64-spaced": ("a space behind the base64", whole[:-1] + b" \n", "base64"),
        "signature-short": ("a signature of no bytes", text + b"\n\n\xe2\x80\x94 x " + base64.b64encode(bytes(4)) + b"\n", "too short"),
        "17-signatures": ("more signatures than are looked at", whole + stranger * 16, "at most 16"),
        "too-long": ("more bytes than a note may have", b"x" * (64 * 1024) + b"\n\n" + signed, "at most"),
    }
    for name, (shows, data, reason) in notes.items():
        if name != "too-long":
            yield _checkpoint(name, shows, data, None, "format", noted, reason)
    texts = {
        "extension": ("an extension line", claim.text() + b"extension\n", "three lines"),
        "two-lines": ("no root", b"\n".join(claim.text().split(b"\n")[:2]) + b"\n", "three lines"),
        "size-padded": ("a size with a leading zero", claim.text().replace(b"\n6\n", b"\n06\n"), "size"),
        "size-negative": ("a negative size", claim.text().replace(b"\n6\n", b"\n-6\n"), "size"),
        "size-beyond": ("a size beyond 2^53 - 1", claim.text().replace(b"\n6\n", b"\n9007199254740992\n"), "size"),
        "root-31": ("a root of 31 bytes", claim.text().replace(base64.b64encode(claim.root), base64.b64encode(claim.root[:31])), "root"),
        "root-hex": ("a root in hex", claim.text().replace(base64.b64encode(claim.root), claim.root.hex().encode()), "root"),
        "origin-space": ("an origin with a space", claim.text().replace(b"oathcam/", b"oathcam /"), "origin"),
        "origin-empty": ("no origin", claim.text().replace(ORIGIN.encode(), b""), "origin"),
    }
    for name, (shows, changed, reason) in texts.items():
        yield _checkpoint(name, f"{shows}, signed", _signed(changed), None, "format", "checkpoint", reason)
    yield from _bad_signatures(claim, whole)


def _signed(text: bytes, name: str = ORIGIN, who=None) -> bytes:
    chosen = who or agency().camera
    return note.signed_note(text, name, pki.spki_der(chosen.certificate), signer(chosen.key)(digest_to_sign(text)))


def _checkpoint(
    name: str, shows: str, data: bytes, text: bytes | None = None, expect: str = "success", layer: str = "", reason: str = ""
) -> Vector:
    released = b"" if expect != "success" else text or data.split(b"\n\n")[0] + b"\n"
    facts = {"origin": ORIGIN}
    return Vector(f"checkpoint/{name}", shows, "checkpoint", {"checkpoint": data}, expect, layer, reason, released, CAMERA, facts)


def _bad_signatures(claim: Checkpoint, whole: bytes) -> Iterator[Vector]:
    unfit = (None, "integrity", "signed note")
    text = claim.text()
    head, encoded = whole[: whole.rindex(b" ") + 1], whole[whole.rindex(b" ") + 1 : -1]
    raw = base64.b64decode(encoded)
    made = {
        "signature-flipped": (
            "a bit of the signature flipped",
            head + base64.b64encode(raw[:-1] + bytes((raw[-1] ^ 1,))) + b"\n",
            "does not fit",
        ),
        "key-id-other": ("another key id", head + base64.b64encode(bytes(4) + raw[4:]) + b"\n", "no signature by"),
        "size-changed": ("another size", whole.replace(b"\n6\n", b"\n5\n", 1), "does not fit"),
        "name-other": ("signed under another name", _signed(text, "oathcam/OC-000002"), "no signature by"),
        "by-another": ("signed by another camera's key", _signed(text, who=people.likeness().camera), "no signature by"),
        "text-newline": ("a line feed more in the text", whole, ""),
    }
    for name, (shows, data, reason) in made.items():
        if name != "text-newline":
            yield _checkpoint(name, shows, data, *unfit, reason)


def cosignature_vectors() -> Iterator[Vector]:
    text = Checkpoint(ORIGIN, 6, merkle.root_of([merkle.leaf_hash(one) for one in LEAVES])).text()
    seconds = 1_795_421_700
    by_dock = note.cosign(text, people.DOCK_NAME, seconds, people.DOCK_SEED)
    whole = _signed(text) + by_dock
    yield _cosigned("dock", "a dock saw this checkpoint", whole)
    yield _cosigned("dock-only", "a cosignature alone", text + b"\n" + by_dock)
    extended = text + b"extension\n"
    yield _cosigned(
        "extension",
        "extension lines are covered too",
        extended + b"\n" + note.cosign(extended, people.DOCK_NAME, seconds, people.DOCK_SEED),
    )
    unfit = "does not fit"
    raw = base64.b64decode(by_dock.split(b" ")[2])
    prefix = by_dock[: by_dock.rindex(b" ") + 1]
    later = prefix + base64.b64encode(raw[:4] + (seconds + 1).to_bytes(8, "big") + raw[12:]) + b"\n"
    other = note.cosign(text, people.DOCK_NAME, seconds, people.stream("another dock")(32))
    made = {
        "absent": ("no cosignature", _signed(text), "no signature by"),
        "time-changed": ("another time", text + b"\n" + later, unfit),
        "flipped": ("a bit flipped", text + b"\n" + prefix + base64.b64encode(raw[:-1] + bytes((raw[-1] ^ 1,))) + b"\n", unfit),
        "text-changed": ("another size", whole.replace(b"\n6\n", b"\n7\n"), unfit),
        "other-dock": ("by a dock with another key", text + b"\n" + other, "no signature by"),
        "other-name": (
            "under another name",
            text + b"\n" + note.cosign(text, "dock.example/2", seconds, people.DOCK_SEED),
            "no signature by",
        ),
        "without-time": (
            "without its time",
            text + b"\n" + prefix + base64.b64encode(raw[:4] + raw[12:]) + b"\n",
            "cosignature of 72 bytes",
        ),
        "longer": ("a byte more", text + b"\n" + prefix + base64.b64encode(raw + b"\0") + b"\n", "cosignature of 72 bytes"),
    }
    for name, (shows, data, reason) in made.items():
        yield replace(_cosigned(name, shows, data), expect="integrity", layer="signed note", reason=reason, released=b"")


def _cosigned(name: str, shows: str, data: bytes) -> Vector:
    facts = {"dock": people.DOCK_NAME, "time": "1795421700"}
    text = data[: data.rindex(b"\n\n") + 1]
    return Vector(f"cosignature/{name}", shows, "cosignature", {"checkpoint": data}, released=text, keys={"dock": "dock.pub"}, facts=facts)


# --- proofs

HASHES = [merkle.leaf_hash(b"leaf %d" % index) for index in range(13)]


def consistency_vectors() -> Iterator[Vector]:
    for old, new in ((0, 0), (0, 5), (1, 2), (4, 8), (3, 7), (6, 13), (8, 13), (12, 13), (13, 13), (1, 13)):
        yield _consistency(f"{old}-to-{new}", f"a ledger of {old} leaves grew to {new}", old, new)
    proof = merkle.consistency_proof(HASHES, 6, 13)
    grown = "does not continue"
    changes = {
        "node-flipped": ("a hash of the proof changed", [*proof[:-1], bytes(32)], grown),
        "node-missing": ("a hash less", list(proof[:-1]), grown),
        "node-more": ("a hash more", [*proof, bytes(32)], "too long"),
        "nodes-swapped": ("two hashes swapped", [proof[1], proof[0], *proof[2:]], grown),
        "empty": ("no proof", [], "proof is empty"),
    }
    for name, (shows, changed, reason) in changes.items():
        yield _refused(_consistency(name, shows, 6, 13, proof=changed), reason)
    root = merkle.root_of
    other_past = root([bytes(32), *HASHES[1:6]])
    yield _refused(_consistency("past-changed", "another past than was seen", 6, 13, old_root=other_past), grown)
    yield _refused(_consistency("future-changed", "another root than was signed", 6, 13, new_root=bytes(32)), grown)
    yield _refused(_consistency("rolled-back", "smaller than was seen", 13, 6, proof=[]), "rolled back")
    yield _refused(
        _consistency("same-size-other", "the same size with another root", 6, 6, old_root=other_past, proof=[]), "not the one that was seen"
    )
    yield _refused(
        _consistency("same-size-proof", "the same tree with a proof that it needs none of", 6, 6, proof=[bytes(32)]),
        "not the one that was seen",
    )
    yield _refused(
        _consistency("empty-other", 'an empty tree with a root that is not H("")', 0, 6, old_root=bytes(32), proof=[]),
        "not the one that was seen",
    )
    yield _refused(_consistency("power-of-two", "the old root left out where it must be, and changed", 8, 13, old_root=bytes(32)), grown)


def _consistency(
    name: str, shows: str, old: int, new: int, proof=None, old_root: bytes | None = None, new_root: bytes | None = None
) -> Vector:
    path = merkle.consistency_proof(HASHES, old, new) if proof is None else proof
    roots = [merkle.root_of(HASHES[:size]) if given is None else given for size, given in ((old, old_root), (new, new_root))]
    return _proof(
        "consistency",
        name,
        shows,
        {},
        path,
        {"old size": str(old), "old root": roots[0].hex(), "new size": str(new), "new root": roots[1].hex()},
    )


def _proof(kind: str, name: str, shows: str, inputs: dict[str, bytes], path, facts: dict[str, str]) -> Vector:
    if path:
        facts = {**facts, "proof": " ".join(node.hex() for node in path)}
    return Vector(f"{kind}/{name}", shows, kind, inputs, facts=facts, released=inputs.get("leaf", b""))


def _refused(vector: Vector, reason: str) -> Vector:
    return replace(vector, expect="integrity", layer="ledger", reason=reason, released=b"")


def inclusion_vectors() -> Iterator[Vector]:
    for index, size in ((0, 1), (0, 13), (7, 8), (12, 13), (5, 11)):
        yield _inclusion(f"{index}-of-{size}", f"leaf {index} in a ledger of {size}", index, size)
    absent = "is not in the tree"
    yield _refused(_inclusion("leaf-other", "another leaf", 5, 11, leaf=b"leaf 6"), absent)
    yield _refused(_inclusion("index-other", "another place", 5, 11, claimed=4), absent)
    yield _refused(_inclusion("index-beyond", "a place behind the end", 5, 11, claimed=11), "expected an index below")
    yield _refused(_inclusion("path-short", "a hash less", 5, 11, cut=1), absent)
    yield _refused(_inclusion("path-long", "a hash more", 5, 11, more=1), "too long")


def _inclusion(name: str, shows: str, index: int, size: int, leaf: bytes = b"", claimed: int = -1, cut: int = 0, more: int = 0) -> Vector:
    path = list(merkle.inclusion_proof(HASHES, index, size))
    path = path[: len(path) - cut] + [bytes(32)] * more
    facts = {"index": str(index if claimed < 0 else claimed), "size": str(size), "root hash": merkle.root_of(HASHES[:size]).hex()}
    return _proof("inclusion", name, shows, {"leaf": leaf or b"leaf %d" % index}, path, facts)
