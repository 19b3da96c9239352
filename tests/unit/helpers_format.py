"""The worked examples of docs/format.md, made by the code: every input stands here or in the document, nothing is random.

The private keys are published test keys (RFC 6979 A.2.5, RFC 5903 8.1, RFC 8032 7.1), so that anybody can recompute the rest.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, get_type_hints

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from helpers_evidence import begin
from helpers_media import PPS_NAL, SPS_NAL, annexb

from firmware.custody import entries, order, receipt, snapshot
from firmware.custody.checkpoint import Checkpoint, checkpoint_line, cosign, digest_to_sign, signed_note
from firmware.custody.entries import Entry
from firmware.custody.merkle import consistency_proof, inclusion_proof, leaf_hash, node_hash, root_of
from firmware.custody.receipt import LedgerPoint, Receipt, ReceiptFile
from firmware.dock.protocol import DeviceReport, FileOffer, RecordingOffer
from firmware.dock.upload import Append, append_fields
from firmware.evidence import annotation, cms, cms_asn1, jcs, manifest, pki, primitives
from firmware.evidence import fields as f
from firmware.media.access_unit import parse_access_unit
from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from firmware.media.gop import AudioUnit, Gop
from firmware.media.onvif_sei import Vendor
from firmware.media.signer import StreamSigner
from firmware.media.time_sei import build_time_sei, insert_time
from firmware.policy.lists import Choices
from firmware.policy.load import TEXT_CHARACTERS
from firmware.policy.minisign import public_key_text, sign_minisign
from firmware.policy.model import Policy
from firmware.timebase import Timestamp, Trust
from tools import pki as issuing

CAMERA_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RECIPIENT_SCALAR = 0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433
AUTHORITY_SCALAR = 0xC6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53
ED25519_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
SERIAL = "OC-000001"
RECORDING = "OC-000001-000007-0001"
WALL_NS = 1_795_421_687_123_456_000
PLAIN = b"oathcam\n"
VIDEO_TIME = Timestamp(65_000_000_000, WALL_NS, Trust.SYNCED)

CAMERA = ec.derive_private_key(CAMERA_SCALAR, ec.SECP256R1())
SPKI = CAMERA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign_digest(digest: bytes) -> bytes:
    """ECDSA with the nonce of RFC 6979."""
    return CAMERA.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True))


def hexes(data: bytes) -> str:
    """Lines of 32 bytes."""
    return "\n".join(data[at : at + 32].hex() for at in range(0, len(data), 32))


def certificates() -> tuple[x509.Certificate, x509.Certificate]:
    """The camera's and the recipient's."""
    key = ec.derive_private_key(AUTHORITY_SCALAR, ec.SECP256R1())
    validity = issuing.Validity(1_767_225_600 * 10**9, 365 * 30)
    root = issuing.make_root("Example Agency", key, 1, validity)
    authority = issuing.make_authority(root, pki.Role.DEVICE_CA, key, 2, validity)
    camera = issuing.issue(authority, pki.Role.CAMERA, SERIAL, CAMERA.public_key(), 3, validity)
    recipient = ec.derive_private_key(RECIPIENT_SCALAR, ec.SECP256R1()).public_key()
    return camera, issuing.issue(root, pki.Role.RECIPIENT, "agency", recipient, 4, validity)


def leaves() -> list[bytes]:
    boot = {
        "counter": 7,
        "firmware": "0.1.0",
        "firmware_sha256": "11" * 32,
        "backend": "pi",
        "key_protection": "tpm",
        "key_sha256": "22" * 32,
        "policy_sha256": "33" * 32,
        "previous": "clean",
        "down_us": 3_600_000_000,
    }
    at = [Timestamp(2_500_000_000 + n * 1_000_000_000, WALL_NS + n * 1_000_000_000, Trust.RTC) for n in range(3)]
    made = [("boot", boot), ("ready", {}), ("mark", {"recording": RECORDING})]
    return [Entry(n, kind, at[n], 7, fields).to_bytes() for n, (kind, fields) in enumerate(made)]


def begin_document() -> str:
    video = manifest.Video(1280, 720, 30, "h264")
    notes = manifest.Notes("66" * 32, 512)
    device = manifest.Device(SERIAL, "oathcam", "0.1.0", "11" * 32, "pi")
    policy = manifest.PolicyRef("dhs", 3, "33" * 32)
    whole = replace(begin(), recording=RECORDING, device=device, key_protection="tpm", policy=policy, video=video, assignment=notes)
    return whole.to_bytes().decode()


def tree_lines() -> str:
    h = [leaf_hash(one) for one in leaves()]
    lines = [f"H(0x00 || leaf {n})       {one.hex()}" for n, one in enumerate(h)]
    lines += [f"H(0x01 || h0 || h1)     {node_hash(h[0], h[1]).hex()}", f"root of 3 leaves        {root_of(h).hex()}"]
    lines += [f"root of no leaf         {root_of([]).hex()}"]
    lines += [f"inclusion of leaf 1     {' '.join(one.hex() for one in inclusion_proof(h, 1, 3))}"]
    lines += [f"consistency 2 to 3      {' '.join(one.hex() for one in consistency_proof(h, 2, 3))}"]
    return "\n".join(lines)


def checkpoint(size: int) -> Checkpoint:
    return Checkpoint(f"oathcam/{SERIAL}", size, root_of([leaf_hash(one) for one in leaves()[:size]]))


def log_file() -> str:
    one, two, three = leaves()
    out = one + b"\n" + two + b"\n" + checkpoint_line(checkpoint(2), sign_digest(digest_to_sign(checkpoint(2).text())))
    out += three + b"\n" + checkpoint_line(checkpoint(3), sign_digest(digest_to_sign(checkpoint(3).text())))
    return out.decode().rstrip("\n")


def note() -> str:
    text = checkpoint(3).text()
    whole = signed_note(text, f"oathcam/{SERIAL}", SPKI, sign_digest(digest_to_sign(text))) + cosign(
        text, "dock-7", 1_795_425_287, ED25519_SEED
    )
    return whole.decode().rstrip("\n")


def counting() -> Callable[[int], bytes]:
    """The "random" bytes 00 01 02 …, going on from call to call."""
    state = {"at": 0}

    def draw(count: int) -> bytes:
        state["at"] += count
        return bytes(at % 256 for at in range(state["at"] - count, state["at"]))

    return draw


def sealed() -> bytes:
    return cms.seal(PLAIN, [cms.Recipient.from_certificate(certificates()[1])], counting())


def signature_lines() -> str:
    chain = [pki.to_der(certificates()[0])]
    _, info = cms._parse_signature(cms.sign_detached(PLAIN, chain, sign_digest, WALL_NS))
    attributes = cms_asn1.encode(info.signed_attributes)
    digest = primitives.sha256(attributes).hex()
    return f"signed attributes\n{hexes(attributes)}\nSHA-256 of them\n{digest}\nsignature\n{hexes(info.signature)}"


def gop() -> Gop:
    """Two pictures of one slice, a thirtieth of a second apart, and one AAC unit."""
    later = [Timestamp(VIDEO_TIME.boottime_ns + n * 33_333_333, WALL_NS + n * 33_333_333, Trust.SYNCED) for n in range(3)]
    idr = parse_access_unit(annexb(SPS_NAL, PPS_NAL, bytes.fromhex("6588840033ff")), True, later[0])
    other = parse_access_unit(annexb(bytes.fromhex("419a0204")), False, later[1])
    return Gop((idr, other), (AudioUnit(bytes.fromhex("211004"), later[0]),), later[2], 0)


def signing_sei() -> bytes:
    signer = StreamSigner(b"-----BEGIN CERTIFICATE-----", sign_digest, 72, Vendor("0.1.0", SERIAL, "Oathcam"))
    return signer.finish(gop()).units[-1].nals[-1]


def fragment() -> bytes:
    one = gop()
    timed = Gop(tuple(insert_time(unit) for unit in one.units), one.audio, one.end, 0)
    return Fragmenter(one.start, AUDIO).fragment(0, timed)


AUDIO = AudioTrack(48_000, 1, bytes.fromhex("1188"))


def time_seis() -> str:
    unlocked = Timestamp(1, WALL_NS, Trust.RTC)
    return f"trust synced  {build_time_sei(VIDEO_TIME).hex()}\nother trust   {build_time_sei(unlocked).hex()}"


def signed_receipt() -> str:
    files = (ReceiptFile("begin.json", "44" * 32, 1010), ReceiptFile("manifest.json", "55" * 32, 2020))
    point = LedgerPoint(3, checkpoint(3).root.hex())
    return Receipt(RECORDING, SERIAL, "55" * 32, files, point, "store-1", 0, "2026-11-23T09:14:47.000000Z").to_bytes().decode()


def report() -> str:
    offer = RecordingOffer(RECORDING, "55" * 32, (FileOffer("manifest.json", "55" * 32, 2020),))
    return DeviceReport(SERIAL, "0.1.0", 7, 3, (offer,)).to_bytes().decode()


def patch() -> str:
    fields = append_fields(Append(1000, 1020, 2020, True), hashlib.sha256(PLAIN).hexdigest())
    return "\n".join(f"{name}: {value}" for name, value in fields.items())


def minisign() -> str:
    public = primitives.ed25519_public(ED25519_SEED)
    key_id = bytes.fromhex("0102030405060708")
    return public_key_text(key_id, public) + sign_minisign(ED25519_SEED, key_id, PLAIN, "oathcam policy dhs version 3").rstrip("\n")


def keys() -> str:
    lines = [f"SubjectPublicKeyInfo\n{hexes(SPKI)}", f"key id  {hashlib.sha256(SPKI).hexdigest()}"]
    return "\n".join(lines)


def canonical() -> str:
    return jcs.canonical({"b": [1, -5, None, True], "a": 'caf\u00e9 \u20ac "\\\n\u0007', "": {}}).decode()


def examples() -> dict[str, str]:
    """Name → the text of the block in the document."""
    return {
        "canonical-json": canonical(),
        "begin": begin_document(),
        "annotation": annotation.Annotation(RECORDING, "category", "FA_INCIDENTAL", 65_000_000).to_bytes().decode(),
        "leaves": "\n".join(one.decode() for one in leaves()),
        "tree": tree_lines(),
        "key": keys(),
        "checkpoint-text": checkpoint(3).text().decode().rstrip("\n"),
        "checkpoint-digest": digest_to_sign(checkpoint(3).text()).hex(),
        "log": log_file(),
        "note": note(),
        "shared-info": cms._SHARED_INFO.hex(),
        "recipient-key-id": pki.key_id(certificates()[1]),
        "sealed": hexes(sealed()),
        "certificate": base64.b64encode(pki.to_der(certificates()[0])).decode(),
        "signature": signature_lines(),
        "time-sei": time_seis(),
        "signing-sei": hexes(signing_sei()),
        "init": hexes(init_segment(VideoTrack.from_gop(gop()), AUDIO)),
        "fragment": hexes(fragment()),
        "receipt": signed_receipt(),
        "device-report": report(),
        "patch": patch(),
        "minisign": minisign(),
    }


# What the code checks, in the document's words.

_PATTERNS = {annotation.CODE: "code", f._NAME: "name", f._FILE: "file name", f._TOKEN: "token", f._HEX32: "digest"}


def number(value: int) -> str:
    return {f.MAX_INTEGER: "2^53-1", -f.MAX_INTEGER: "-(2^53-1)"}.get(value, str(value))


def type_of(check: f.Check) -> str:
    """A check of ``firmware.evidence.fields``, told apart by the function that made it and what it was made with."""
    kind = check.__qualname__.partition(".")[0]
    cells = dict(zip(check.__code__.co_freevars, [one.cell_contents for one in check.__closure__ or ()], strict=True))
    match kind:
        case "integer":
            return f"integer {number(cells['low'])} to {number(cells['high'])}"
        case "text":
            return f"text of 1 to {cells['max_length']}"
        case "matching":
            return _PATTERNS[cells["pattern"]]
        case "one_of":
            return "one of " + ", ".join(f"`{one}`" for one in cells["allowed"])
        case "base64_of":
            return f"base64 of 1 to {cells['max_bytes']} bytes"
        case "nullable":
            return f"{type_of(cells['inner'])} or null"
        case "nested":
            return f"object `{cells['kind'].__name__}`"
        case "each":
            return f"array of {cells['min_count']} to {cells['max_count']}: {type_of(cells['inner'])}"
    return {"boolean": "boolean", "utc": "time", "utc_ns": "time"}[kind]


def document(name: str) -> type[Any]:
    """``manifest.Begin`` → the dataclass."""
    module, _, kind = name.partition(".")
    return getattr({"manifest": manifest, "order": order, "receipt": receipt, "snapshot": snapshot, "annotation": annotation}[module], kind)


def documents() -> set[str]:
    """Every dataclass that is written as JSON with checked fields."""
    modules = {"manifest": manifest, "order": order, "receipt": receipt, "snapshot": snapshot, "annotation": annotation}
    return {
        f"{name}.{kind.__name__}"
        for name, module in modules.items()
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
    }


def field_types(kind: type[Any]) -> dict[str, str]:
    return {name: type_of(check) for name, check in f.checks_of(kind).items()}


def leaf_types() -> dict[str, str]:
    head = {f"*.{name}": "one of the types below" if name == "type" else type_of(check) for name, check in entries._HEAD.items()}
    return head | {f"{kind}.{name}": type_of(check) for kind, checks in entries.KINDS.items() for name, check in checks.items()}


def policy_rules(kind: type[Any] = Policy, path: str = "") -> list[tuple[str, str, str, str, str]]:
    """(rule, type, default, requirement, meaning)."""
    found = []
    hints = get_type_hints(kind)
    for one in fields(kind):
        hint, rule = hints[one.name], one.metadata
        if is_dataclass(hint):
            found += policy_rules(hint, f"{path}{one.name}.")
            continue
        if hint == Choices:
            codes = ", ".join(f"`{choice.code}`" for choice in one.default)
            found.append((path + one.name, "list", codes, rule["requirement"], rule["text"]))
            continue
        shown = one.default.value if isinstance(one.default, Enum) else str(one.default).lower() if hint is bool else one.default
        found.append((path + one.name, _rule_type(hint, rule), f"`{shown}`", rule["requirement"], rule["text"]))
    return found


def _rule_type(hint: Any, rule: Any) -> str:
    if issubclass(hint, Enum):
        return "one of " + ", ".join(f"`{one.value}`" for one in hint)
    if rule["allowed"] is not None:
        return "always " + ", ".join(f"`{str(one).lower() if hint is bool else one}`" for one in rule["allowed"])
    if hint is int:
        return f"integer {rule['low']} to {rule['high']}"
    return "boolean" if hint is bool else f"text of 1 to {TEXT_CHARACTERS}"


def value_of(name: str) -> str:
    """``evidence.cms.MAX_RECIPIENTS`` → its value, as the document prints it."""
    module, _, constant = name.rpartition(".")
    found = getattr(importlib.import_module(module if module.startswith("tools") else f"firmware.{module}"), constant)
    return found.dotted_string if isinstance(found, x509.ObjectIdentifier) else str(found)
