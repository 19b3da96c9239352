"""What each kind of vector is handed to: the product's function, and what that function released.

A function here takes a vector as read from its file and returns the bytes that the product would hand on; it raises what the
product raises. A stream raises nothing: what the product says of it is compared in ``test_vectors``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.custody import merkle, note
from firmware.custody.checkpoint import Checkpoint, read_log
from firmware.custody.entries import Entry
from firmware.custody.receipt import Receipt, check_receipt
from firmware.evidence import cms, jcs, pki
from firmware.evidence.manifest import Begin, Manifest
from firmware.media.nal import split_annexb
from firmware.media.onvif_sei import parse_sei
from firmware.media.stream_report import GopStatus, StreamReport
from firmware.media.validator import validate_stream
from firmware.policy import minisign
from firmware.policy.load import parse_policy
from tests.vectors.build.vector import Read

HERE = Path(__file__).parent / "evidence"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def key_file(one: Read, role: str) -> bytes:
    return (HERE / "keys" / one.header[f"key {role}"]).read_bytes()


def certificates(one: Read, role: str) -> tuple[x509.Certificate, ...]:
    return pki.load_certificates_pem(key_file(one, role))


def sealed(one: Read) -> bytes:
    private = load_pem_private_key(key_file(one, "private"), None)
    return cms.open_sealed(one.inputs["sealed"], private, certificates(one, "recipient")[0])


def signature(one: Read) -> bytes:
    role = pki.Role(one.header["role"])
    signer = cms.verify_detached(one.inputs["content"], one.inputs["signature"], certificates(one, "root"), role)
    assert signer.clock_was_behind == (one.header.get("clock") == "behind")
    return one.inputs["content"]


def json_text(one: Read) -> bytes:
    allow = one.header.get("floats") == "allowed"
    return jcs.canonical(jcs.parse(one.inputs["json"], "json", allow_floats=allow))


def leaf(one: Read) -> bytes:
    return Entry.from_bytes(one.inputs["leaf"]).to_bytes()


def log(one: Read) -> bytes:
    camera = certificates(one, "camera")[0]
    state = read_log(one.inputs["log"], one.header["origin"], pki.public_key(camera), verify_all=one.header["reader"] == "verifier")
    assert len(state.entries) == int(one.header.get("leaves", "0"))
    return b"".join(entry.to_bytes() + b"\n" for entry in state.entries)


def checkpoint(one: Read) -> bytes:
    parsed = note.parse_note(one.inputs["checkpoint"])
    Checkpoint.from_text(parsed.text)
    note.verify_note(parsed, one.header["origin"], certificates(one, "camera")[0])
    return parsed.text


def cosignature(one: Read) -> bytes:
    parsed = note.parse_note(one.inputs["checkpoint"])
    key = bytes.fromhex(key_file(one, "dock").decode())
    assert note.verify_cosignature(parsed, one.header["dock"], key) == int(one.header["time"])
    return parsed.text


def _proof(one: Read) -> list[bytes]:
    return [bytes.fromhex(item) for item in one.header.get("proof", "").split()]


def consistency(one: Read) -> bytes:
    header = one.header
    roots = [bytes.fromhex(header[name]) for name in ("old root", "new root")]
    merkle.verify_consistency(int(header["old size"]), roots[0], int(header["new size"]), roots[1], _proof(one))
    return b""


def inclusion(one: Read) -> bytes:
    header = one.header
    digest = merkle.leaf_hash(one.inputs["leaf"])
    merkle.verify_inclusion(digest, int(header["index"]), int(header["size"]), bytes.fromhex(header["root hash"]), _proof(one))
    return one.inputs["leaf"]


def receipt(one: Read) -> bytes:
    """``receipt.from_bytes`` first: its canonical form is what the store signed."""
    parsed = Receipt.from_bytes(one.inputs["receipt"])
    files = dict(part.split("=") for part in one.header["files"].split())
    held = {name: (value.split(",")[0], int(value.split(",")[1])) for name, value in files.items()}
    check_receipt(parsed, one.inputs["signature"], certificates(one, "root"), one.inputs["manifest"], held)
    return one.inputs["receipt"]


def policy(one: Read) -> bytes:
    """A camera takes a policy in this order: signature, content, and not an older one than it has."""
    key = minisign.parse_public_key(key_file(one, "policy").decode())
    minisign.verify_minisign(key, one.inputs["policy"], minisign.parse_signature(one.inputs["signature"].decode()))
    found = parse_policy(one.inputs["policy"].decode())
    if "policy in force" in one.inputs:
        minisign.accept(found, parse_policy(one.inputs["policy in force"].decode()))
    return one.inputs["policy"]


def sei(one: Read) -> bytes:
    return parse_sei(one.inputs["nal unit"]).document


def access_units(stream: bytes) -> list[tuple[bytes, ...]]:
    """NAL units of each picture: a picture ends before its successor's parameter sets, SEI or first slice."""
    units: list[list[bytes]] = [[]]
    for nal in split_annexb(stream):
        slices = [one for one in units[-1] if one[0] & 0x1F in (1, 5)]
        is_slice = nal[0] & 0x1F in (1, 5)
        if slices and (not is_slice or nal[1:2] >= b"\x80"):
            units.append([])
        units[-1].append(nal)
    return [tuple(unit) for unit in units]


def stream(one: Read) -> StreamReport:
    return validate_stream(access_units(one.inputs["stream"]), certificates(one, "root"))


def released(one: Read, report: StreamReport) -> bytes:
    """The slices of the GOPs that are valid, up to the first that is not."""
    good = 0
    for verdict in report.verdicts:
        if verdict.status is not GopStatus.VALID:
            break
        good += verdict.pictures
    pictures = [unit for unit in access_units(one.inputs["stream"]) if any(nal[0] & 0x1F in (1, 5) for nal in unit)]
    return b"".join(nal for unit in pictures[:good] for nal in unit if nal[0] & 0x1F in (1, 5))


RUN: dict[str, Callable[[Read], bytes]] = {
    "sealed": sealed,
    "signature": signature,
    "json": json_text,
    "begin": lambda one: Begin.from_bytes(one.inputs["document"]).to_bytes(),
    "manifest": lambda one: Manifest.from_bytes(one.inputs["document"]).to_bytes(),
    "leaf": leaf,
    "log": log,
    "checkpoint": checkpoint,
    "cosignature": cosignature,
    "consistency": consistency,
    "inclusion": inclusion,
    "receipt": receipt,
    "policy": policy,
    "sei": sei,
}
