"""The ONVIF Media Signing SEI: built, and taken apart into what is signed and the records that say what for.

Responsible for the SEI NAL unit of ONVIF Media Signing (specification 24.12 and later, "SEI format"): header, UUID, flags,
emulation prevention, and which bytes are its document. Refuses to know GOPs, keys and verdicts; what a record says is read
by :mod:`firmware.media.onvif_records`.

Built: records in the order crypto, vendor, certificates, general, hash list, signature; integers big-endian; the document
hashed without emulation prevention and escaped once at the end. Parsed: any order with the signature last.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.nal import SEI, escape, unescape
from firmware.media.onvif_records import (
    CERTIFICATES,
    CRYPTO,
    GENERAL,
    GENERAL_VALUE,
    HASH_BYTES,
    HASH_LIST,
    LAYER,
    SHA256_OID,
    SIGNATURE,
    SPEC_VERSION,
    VENDOR,
    General,
    Records,
    Vendor,
    read_records,
    split_records,
)
from firmware.timebase import Timestamp

__all__ = [
    "HASH_BYTES",
    "LAYER",
    "General",
    "SigningSei",
    "Vendor",
    "build_document",
    "build_sei",
    "fixed_records",
    "is_signing_sei",
    "parse_sei",
]

UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
MAX_LISTED_HASHES = 600
MAX_SEI_BYTES = 256 * 1024
MAX_CERTIFICATES = 4

_USER_DATA_UNREGISTERED = 5
_PREFIX = bytes((SEI, _USER_DATA_UNREGISTERED))
_CERTIFICATE_SEI = 0x80
_DOCUMENT_ESCAPED = 0x40
_FILETIME_OFFSET = 11_644_473_600 * 10_000_000


@dataclass(frozen=True, slots=True)
class SigningSei:
    """A parsed SEI. ``document`` is what is hashed: up to the signature record, or all of it when there is none.

    ``is_certificate_sei``: it brings certificates for the whole stream and speaks of no GOP. Without ``records.general`` and
    without that flag it carries arbitrary data, which is hashed with the pictures.
    """

    document: bytes
    records: Records
    is_certificate_sei: bool
    signature: bytes | None

    @property
    def general(self) -> General:
        """What it is signed for; FormatError when it speaks of no GOP."""
        if self.records.general is None:
            raise FormatError(LAYER, "expected general information, got an SEI of another kind")
        return self.records.general

    @property
    def hash_list(self) -> tuple[bytes, ...] | None:
        """The hashes of a GOP, ``None`` in low-bitrate mode."""
        return self.records.hash_list

    @property
    def vendor(self) -> Vendor | None:
        """Who made the stream, when it says so."""
        return self.records.vendor

    @property
    def certificates_pem(self) -> bytes | None:
        """The chain of the key that signs GOPs, when the SEI brings it."""
        return self.records.certificates_pem


def onvif_time(time: Timestamp) -> int:
    """Wall time in 100 ns units since 1601-01-01 UTC."""
    return time.wall_ns // 100 + _FILETIME_OFFSET


# --- building


def record(tag: int, value: bytes) -> bytes:
    """Tag u8, length u16, value. ``ValueError`` when the value is too long."""
    if len(value) > 0xFFFF:
        raise ValueError(f"expected a record of at most 65535 bytes, got {len(value)!r}")
    return struct.pack(">BH", tag, len(value)) + value


def fixed_records(vendor: Vendor, certificates_pem: bytes) -> bytes:
    """The records that are the same in every SEI of a stream: crypto, vendor, certificates."""
    texts = [text.encode() for text in (vendor.firmware_version, vendor.serial_number, vendor.manufacturer)]
    if any(len(text) > 255 for text in texts):
        raise ValueError(f"expected vendor texts of at most 255 bytes, got {vendor!r}")
    crypto = bytes((1, len(SHA256_OID))) + SHA256_OID + bytes(3)  # no signature algorithm for EC; u16 0
    vendor_value = b"\x01" + b"".join(bytes((len(text),)) + text for text in texts)
    return record(CRYPTO, crypto) + record(VENDOR, vendor_value) + record(CERTIFICATES, b"\x01\x00" + certificates_pem)


def build_document(fixed: bytes, general: General, hash_list: list[bytes], signature_max_bytes: int) -> bytes:
    """From the NAL header up to the signature record's tag: what is hashed and signed.

    An empty ``hash_list`` leaves the record out. ``signature_max_bytes`` is the reserved size, part of payloadSize.
    """
    value = GENERAL_VALUE.pack(
        2, bytes(SPEC_VERSION), general.partial, general.start, general.end, general.counter, general.hashed_nals,
        general.gop_hash, general.linked_hash,
    )  # fmt: skip
    body = fixed + record(GENERAL, value)
    if hash_list:
        body += record(HASH_LIST, b"\x01" + b"".join(hash_list))
    size = len(UUID) + 1 + len(body) + 3 + 3 + signature_max_bytes
    return _PREFIX + b"\xff" * (size // 255) + bytes((size % 255,)) + UUID + b"\x00" + body


def build_sei(document: bytes, signature: bytes, signature_max_bytes: int) -> bytes:
    """The finished NAL unit: document, signature record padded with 0x01 to its reserved size, stop byte; escaped."""
    if not 0 < len(signature) <= signature_max_bytes:
        raise FormatError(LAYER, f"expected a signature of at most {signature_max_bytes} bytes, got {len(signature)!r}")
    value = struct.pack(">BH", 1, len(signature)) + signature.ljust(signature_max_bytes, b"\x01")
    return escape(document + record(SIGNATURE, value) + b"\x80")


# --- parsing


def is_signing_sei(nal: bytes) -> bool:
    """Whether the NAL unit claims to be a Media Signing SEI: a cheap look, no parse."""
    if nal[0] & 0x1F != SEI or len(nal) < 20 or nal[1] != _USER_DATA_UNREGISTERED:
        return False
    position = 2
    while position < len(nal) - 1 and nal[position] == 0xFF:
        position += 1
    return nal.startswith(UUID, position + 1)  # no two zeros in it: it stands unescaped


def parse_sei(nal: bytes) -> SigningSei:
    """Parse a Media Signing SEI NAL unit; FormatError on anything that the specification does not allow.

    IntegrityError for what it calls not authentic: arbitrary data beside other records.
    """
    if not 2 < len(nal) <= MAX_SEI_BYTES or not nal.startswith(_PREFIX):
        raise FormatError(LAYER, f"expected a user data SEI of at most {MAX_SEI_BYTES} bytes, got {nal[:2]!r} of {len(nal)} bytes")
    raw, begin = _unescaped(nal)
    if raw[begin : begin + len(UUID)] != UUID:
        raise FormatError(LAYER, "expected the UUID of Media Signing, got another", offset=begin)
    flags = raw[begin + len(UUID)]
    if flags & ~(_CERTIFICATE_SEI | _DOCUMENT_ESCAPED):
        raise FormatError(LAYER, f"expected flags 0x80 and 0x40 at most, got {flags:#04x}", offset=begin + len(UUID))
    found, signature_at = split_records(raw, begin + len(UUID) + 1, len(raw) - 1)
    records = read_records(found, bool(flags & _CERTIFICATE_SEI))
    # "Hashed from first byte to last written byte, stop bit inclusive": an SEI without signature is a document as a whole.
    document = raw if records.signature is None else raw[:signature_at]
    return SigningSei(
        escape(document) if flags & _DOCUMENT_ESCAPED else document, records, bool(flags & _CERTIFICATE_SEI), records.signature
    )


def _unescaped(nal: bytes) -> tuple[bytes, int]:
    """The NAL unit without emulation prevention, and where its payload begins."""
    position = 2
    while position < len(nal) and nal[position] == 0xFF:
        position += 1
    size = 255 * (position - 2) + (nal[position] if position < len(nal) else 0)
    begin = position + 1
    # ONVIF's signer library leaves emulation prevention to its caller, and its example signer writes none into MP4: the
    # payload's size tells which form stands here.
    raw = next((form for form in (unescape(nal), nal) if len(form) == begin + size + 1), b"")
    if not raw or raw[-1] != 0x80 or size < len(UUID) + 1:
        raise FormatError(LAYER, f"expected a payload of {size!r} bytes and a stop byte, got {len(nal) - begin} bytes", offset=position)
    return raw, begin
