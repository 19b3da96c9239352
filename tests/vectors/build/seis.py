"""The ONVIF Media Signing SEI, alone.

It is written here once more, from the specification, and not taken from the product.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.unit.helpers_evidence import signer
from tests.vectors.build.people import SERIAL, Holder, agency
from tests.vectors.build.vector import Vector
from tools import pki as issuing

UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
START = 134_398_952_870_000_000
SECOND = 10_000_000
NO_LINK = bytes(32)
CRYPTO_VALUE = bytes.fromhex("010b0609608648016503040201000000")
LITTLE_ENDIAN = "<B3sBqqIH32s32s"
GENERAL_1 = struct.pack(">B3sBqIH32s32s", 1, bytes((24, 12, 0)), 0, START, 1, 1, hashlib.sha256(bytes(32)).digest(), NO_LINK)
VENDOR_VALUE = b"\x01\x050.1.0" + bytes((len(SERIAL),)) + SERIAL.encode() + b"\x07oathcam"


def escape(data: bytes) -> bytes:
    """Emulation prevention, byte by byte (H.264 7.4.1.1)."""
    made, zeros = bytearray(), 0
    for byte in data:
        if zeros == 2 and byte < 4:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(made)


def record(tag: int, value: bytes) -> bytes:
    return struct.pack(">BH", tag, len(value)) + value


def pem(who: Holder) -> bytes:
    return issuing.certificate_pem(who.certificate, agency().device_ca.certificate)


@dataclass(frozen=True)
class Sei:
    """All that an SEI says, each of it to be said wrongly."""

    hashes: tuple[bytes, ...] = (bytes(32),)
    counter: int = 1
    link: bytes = NO_LINK
    partial: int = 0
    listed: bool = True
    who: Holder | None = None
    general_layout: str = ">B3sBqqIH32s32s"
    version: int = 2
    crypto: bytes = CRYPTO_VALUE
    vendor: bytes = VENDOR_VALUE
    certificates: bytes | None = None
    flags: int = 0
    extra: bytes = b""
    order: tuple[int, ...] = (4, 5, 6, 1, 2)
    reserved: int = 72
    signature: bytes | None = None
    padding: bytes = b"\x01"
    uuid: bytes = UUID
    hash_list: bytes | None = None

    def document(self) -> bytes:
        holder = self.who or agency().camera
        gop_hash = hashlib.sha256(b"".join(self.hashes)).digest()
        begin = START + (self.counter - 1) * SECOND
        values = (
            self.version,
            bytes((25, 12, 0)),
            self.partial,
            begin,
            begin + SECOND,
            self.counter,
            len(self.hashes),
            gop_hash,
            self.link,
        )
        records = {
            1: struct.pack(self.general_layout, *values),
            2: (b"\x01" + b"".join(self.hashes)) if self.hash_list is None else self.hash_list,
            4: self.crypto,
            5: self.vendor,
            6: b"\x01\x00" + pem(holder) if self.certificates is None else self.certificates,
        }
        body = b"".join(record(tag, records[tag]) for tag in self.order if tag != 2 or self.listed) + self.extra
        size = 17 + len(body) + 6 + self.reserved
        return b"\x06\x05" + b"\xff" * (size // 255) + bytes((size % 255,)) + self.uuid + bytes((self.flags,)) + body

    def nal(self) -> bytes:
        document = self.document()
        hashed = escape(document) if self.flags & 0x40 else document
        signed = signer((self.who or agency().camera).key)(hashlib.sha256(hashed).digest()) if self.signature is None else self.signature
        value = struct.pack(">BH", 1, len(signed)) + signed.ljust(self.reserved, self.padding)
        return escape(document + record(3, value) + b"\x80")


# --- the SEI alone


def sei_vectors() -> Iterator[Vector]:
    one = Sei()
    fine = {
        "signed": ("an SEI with every record", one),
        "no-list": ("without the hash list", replace(one, listed=False)),
        "escaped-document": ("the document hashed after emulation prevention", replace(one, flags=0x40)),
        "other-order": ("records in another order, the signature last", replace(one, order=(1, 2, 6, 5, 4))),
        "no-vendor": ("without vendor information", replace(one, order=(4, 6, 1, 2))),
        "no-certificates": ("without certificates, which only a later SEI may leave out", replace(one, order=(4, 5, 1, 2))),
        "partial": ("for a partial GOP", replace(one, partial=1)),
        "600-hashes": ("as many hashes as may be listed", replace(one, hashes=(bytes(32),) * 600)),
        "little-endian": (
            "integers little-endian, as the text says and devices do not: the times tell which order it is",
            replace(one, general_layout=LITTLE_ENDIAN),
        ),
        "general-version-1": (
            "general information version 1, which has no end time",
            replace(one, order=(4, 5, 6, 2), extra=record(1, GENERAL_1)),
        ),
        "crypto-absent": (
            "without crypto information, which only a later SEI may leave out: the first one's algorithm is meant",
            replace(one, order=(5, 6, 1, 2)),
        ),
        "certificates-user": (
            "certificates of kind 1, of a key that the user provisioned",
            replace(one, certificates=b"\x01\x01" + pem(agency().camera)),
        ),
        "certificate-sei": ("a certificate SEI: it brings a chain and speaks of no GOP", replace(one, flags=0x80, order=(4, 5, 6))),
        "list-601": (
            "more hashes than our signer lists: a reader takes what a record can hold",
            replace(one, hashes=(bytes(32),) * 601),
        ),
        "record-unknown": ("tag 9, of a later version: signed, skipped, and remarked", replace(one, extra=record(9, b"x"))),
    }
    for name, (shows, made) in fine.items():
        document = made.document()
        yield _sei(name, shows, made.nal(), released=escape(document) if made.flags & 0x40 else document)
    yield from _sei_records(one)
    yield from _sei_bytes(one)


def _sei(name: str, shows: str, nal: bytes, reason: str | None = None, released: bytes = b"", layer: str = "onvif-sei") -> Vector:
    if reason is None:
        return Vector(f"sei/{name}", shows, "sei", {"nal unit": nal}, released=released)
    return Vector(f"sei/{name}", shows, "sei", {"nal unit": nal}, "format", layer, reason)


def _sei_records(one: Sei) -> Iterator[Vector]:
    sha1 = bytes.fromhex("010706052b0e03021a000000")
    wrong = {
        "uuid-other": ("another UUID", replace(one, uuid=UUID[:-1] + b"\x70"), "UUID"),
        "flags-reserved": ("a reserved flag", replace(one, flags=0x01), "flags"),
        "flags-certificate": ("a certificate SEI that speaks of a GOP", replace(one, flags=0x80), "expected records [3, 4, 6]"),
        "certificate-sei-bare": ("a certificate SEI without certificates", replace(one, flags=0x80, order=(4, 5)), "expected records [3,"),
        "general-absent": ("no general record", replace(one, order=(4, 5, 6, 2)), "expected records [1]"),
        "general-version": ("general information version 1 with the fields of version 2", replace(one, version=1), "version 1 or 2"),
        "general-version-3": ("general information version 3", replace(one, version=3), "version 1 or 2"),
        "general-partial": ("a partial flag of 2", replace(one, partial=2), "version 1 or 2"),
        "general-short": (
            "general information without the link",
            replace(one, order=(4, 5, 6, 2), extra=record(1, bytes((2,)) * 60)),
            "version 1 or 2",
        ),
        "crypto-sha1": ("hashed with SHA-1", replace(one, crypto=sha1), "SHA-256"),
        "crypto-version": ("crypto information version 2", replace(one, crypto=b"\x02" + CRYPTO_VALUE[1:]), "version 1"),
        "crypto-longer": ("a byte behind the crypto information", replace(one, crypto=CRYPTO_VALUE + b"\0"), "version 1"),
        "crypto-short": ("crypto information cut", replace(one, crypto=CRYPTO_VALUE[:5]), "counted"),
        "list-version": ("a hash list version 2", replace(one, hash_list=b"\x02" + bytes(32)), "hash list version 1"),
        "list-uneven": ("a hash list of 33 bytes of hashes", replace(one, hash_list=b"\x01" + bytes(33)), "hash list version 1"),
        "list-empty": ("an empty hash list", replace(one, hash_list=b"\x01"), "hash list version 1"),
        "vendor-version": ("vendor information version 2", replace(one, vendor=b"\x02" + VENDOR_VALUE[1:]), "vendor information version 1"),
        "vendor-two": ("two vendor texts", replace(one, vendor=b"\x01\x01a\x01b"), "counted"),
        "vendor-four": ("four vendor texts", replace(one, vendor=VENDOR_VALUE + b"\x01x"), "three vendor texts"),
        "vendor-not-utf8": ("a vendor text that is not UTF-8", replace(one, vendor=b"\x01\x01\xff\x00\x00"), "UTF-8"),
        "certificates-version": ("certificates version 2", replace(one, certificates=b"\x02\x00x"), "version 1 in PEM"),
        "certificates-kind": ("certificates of a kind that is neither", replace(one, certificates=b"\x01\x02x"), "version 1 in PEM"),
        "certificates-twice": (
            "two chains of one kind: which one signs is not said",
            replace(one, extra=record(6, b"\x01\x00" + pem(agency().camera))),
            "version 1 in PEM",
        ),
        "certificates-empty": ("no certificate in the record", replace(one, certificates=b"\x01\x00"), "version 1 in PEM"),
        "record-twice": ("the vendor record twice", replace(one, extra=record(5, VENDOR_VALUE)), "every record once"),
        "record-unknown-twice": ("an unknown record twice", replace(one, extra=record(9, b"x") * 2), "every record once"),
        "record-zero": ("tag 0", replace(one, extra=record(0, b"")), "tag 0"),
        "signature-empty": ("a signature of no bytes", replace(one, signature=b""), "padded with 0x01"),
        "padding-zero": (
            "padding of zeros: no byte of an SEI is free",
            replace(one, signature=b"\x30" * 70, padding=b"\x00"),
            "padded with 0x01",
        ),
        "signature-not-last": (
            "a record behind the signature",
            replace(one, extra=record(3, b"\x01\x00\x01" + bytes(72))),
            "signature record last",
        ),
    }
    for name, (shows, made, reason) in wrong.items():
        yield _sei(name, shows, made.nal(), reason)
    both = replace(one, extra=record(7, b"x")).nal()
    shows = "tag 7, arbitrary data, beside other records: it parses, and the specification calls it not authentic"
    yield replace(_sei("record-arbitrary", shows, both, "arbitrary data stands beside"), expect="integrity")


def _sei_bytes(one: Sei) -> Iterator[Vector]:
    nal, document = one.nal(), one.document()
    yield _sei("stop-byte", "no stop byte", nal[:-1], "stop byte")
    yield _sei("stop-byte-other", "a stop byte in another place", nal[:-1] + b"\x40", "stop byte")
    yield _sei("trailing", "a byte behind the stop byte", nal + b"\x80", "stop byte")
    yield _sei("type-other", "user data of a registered kind", b"\x06\x04" + nal[2:], "user data SEI")
    yield _sei("nal-type-other", "a NAL unit of another type", b"\x27" + nal[1:], "user data SEI")
    yield _sei("ref-idc", "an SEI with nal_ref_idc 1: the header byte is signed too", b"\x26" + nal[1:], "user data SEI")
    shorter = nal[:2] + nal[3:] if nal[2] == 0xFF else nal
    yield _sei("size-smaller", "a payload size that is 255 too small", shorter, "payload")
    yield _sei("two-bytes", "two bytes", nal[:2], "user data SEI")
    value = struct.pack(">BH", 1, 80) + bytes(72)
    yield _sei(
        "signature-beyond", "a signature longer than its record", escape(document + record(3, value) + b"\x80"), "signature of up to"
    )
    yield _sei(
        "record-beyond",
        "a record longer than the SEI",
        escape(document + b"\x03\xff\xff" + bytes(72) + b"\x80").ljust(len(nal), b"\x80"),
        "",
    )
    begin = 2
    while nal[begin] == 0xFF:
        begin += 1
    places, position, raw = [1, 2, begin, begin + 1, begin + 17, begin + 18], begin + 18, document
    while position < len(raw):
        places += [position + 1, position + 3]
        position += 3 + int.from_bytes(raw[position + 1 : position + 3], "big")
        places.append(position)
    cuts = tuple(sorted({place for place in places if place < len(nal)}))
    yield replace(_sei("cut", "cut at every record, its length and its value", nal, ""), cuts=cuts)
