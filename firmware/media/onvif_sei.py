"""The ONVIF Media Signing SEI: its type-length-value records, built and parsed.

Responsible for the SEI NAL unit of ONVIF Media Signing (specification 24.12 and later, "SEI format"): header, UUID,
records, and what of it is signed. Refuses to know GOPs, keys and verdicts.

Built: records in the order crypto, vendor, certificates, general, hash list, signature; integers big-endian; the document
hashed without emulation prevention and escaped once at the end. Parsed: any order with the signature last, each record at
most once, nothing unknown. Invariant: a record that parses has been read to its last byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.nal import SEI, escape, unescape
from firmware.timebase import Timestamp

LAYER = "onvif-sei"
UUID = bytes.fromhex("005bc93f2d715e95ada4796f90877a6f")
SPEC_VERSION = (25, 12, 0)
HASH_BYTES = 32
MAX_LISTED_HASHES = 600
MAX_SEI_BYTES = 256 * 1024
MAX_CERTIFICATES = 4
SHA256_OID = bytes.fromhex("0609608648016503040201")

GENERAL, HASH_LIST, SIGNATURE, CRYPTO, VENDOR, CERTIFICATES = 1, 2, 3, 4, 5, 6

_USER_DATA_UNREGISTERED = 5
_PREFIX = bytes((SEI, _USER_DATA_UNREGISTERED))
_ESCAPED_UUID = escape(UUID)
_DOCUMENT_ESCAPED = 0x40
_FILETIME_OFFSET = 11_644_473_600 * 10_000_000
_GENERAL = struct.Struct(">B3sBqqIH32s32s")


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who made the stream; each text at most 255 bytes of UTF-8."""

    firmware_version: str
    serial_number: str
    manufacturer: str


@dataclass(frozen=True, slots=True)
class General:
    """What one (partial) GOP is signed for. Times in 100 ns units since 1601-01-01 UTC; ``partial``: closed by no IDR."""

    partial: bool
    start: int
    end: int
    counter: int
    hashed_nals: int
    gop_hash: bytes
    linked_hash: bytes


@dataclass(frozen=True, slots=True)
class SigningSei:
    """A parsed SEI. ``document`` is what is hashed; ``signature`` is DER, ``None`` when the SEI is not signed."""

    document: bytes
    general: General
    hash_list: tuple[bytes, ...] | None
    certificates_pem: bytes | None
    vendor: Vendor | None
    signature: bytes | None


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
    value = _GENERAL.pack(
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
    return nal.startswith((UUID, _ESCAPED_UUID), position + 1)


def parse_sei(nal: bytes) -> SigningSei:
    """Parse a Media Signing SEI NAL unit; FormatError on anything that the specification does not allow."""
    if not 2 < len(nal) <= MAX_SEI_BYTES or nal[0] != SEI or nal[1] != _USER_DATA_UNREGISTERED:
        raise FormatError(LAYER, f"expected a user data SEI of at most {MAX_SEI_BYTES} bytes, got {nal[:2]!r} of {len(nal)} bytes")
    raw = unescape(nal)
    position = 2
    while position < len(raw) and raw[position] == 0xFF:
        position += 1
    begin = position + 1
    size = 255 * (position - 2) + (raw[position] if position < len(raw) else 0)
    if len(raw) != begin + size + 1 or raw[-1] != 0x80 or size < len(UUID) + 1:
        raise FormatError(LAYER, f"expected a payload of {size!r} bytes and a stop byte, got {len(raw) - begin} bytes", offset=position)
    if raw[begin : begin + len(UUID)] != UUID:
        raise FormatError(LAYER, "expected the UUID of Media Signing, got another", offset=begin)
    reserved = raw[begin + len(UUID)]
    if reserved & ~_DOCUMENT_ESCAPED:
        raise FormatError(LAYER, f"expected flags 0x00 or 0x40, got {reserved:#04x}", offset=begin + len(UUID))
    records, signature_at = _split_records(raw, begin + len(UUID) + 1, len(raw) - 1)
    document = raw[:signature_at]
    return _interpret(records, escape(document) if reserved else document)


def _split_records(raw: bytes, position: int, end: int) -> tuple[dict[int, bytes], int]:
    """The records by tag, and where the signature record begins (the end when there is none)."""
    records: dict[int, bytes] = {}
    signature_at = end
    while position < end:
        if SIGNATURE in records:
            raise FormatError(LAYER, "expected the signature record last", offset=position)
        if end - position < 3:
            raise FormatError(LAYER, f"expected a record of at least 3 bytes, got {end - position}", offset=position)
        tag, length = struct.unpack_from(">BH", raw, position)
        if tag in records or not GENERAL <= tag <= CERTIFICATES or length > end - position - 3:
            raise FormatError(LAYER, f"expected a known record once, within the SEI, got tag {tag!r} of {length!r} bytes", offset=position)
        if tag == SIGNATURE:
            signature_at = position
        records[tag] = raw[position + 3 : position + 3 + length]
        position += 3 + length
    return records, signature_at


def _interpret(records: dict[int, bytes], document: bytes) -> SigningSei:
    if GENERAL not in records or CRYPTO not in records:
        raise FormatError(LAYER, f"expected records 1 and 4 in every SEI, got {sorted(records)!r}")
    _check_crypto(records[CRYPTO])
    return SigningSei(
        document,
        _parse_general(records[GENERAL]),
        _parse_hash_list(records[HASH_LIST]) if HASH_LIST in records else None,
        _parse_certificates(records[CERTIFICATES]) if CERTIFICATES in records else None,
        _parse_vendor(records[VENDOR]) if VENDOR in records else None,
        _parse_signature(records[SIGNATURE]) if SIGNATURE in records else None,
    )


def _check_crypto(value: bytes) -> None:
    # Only SHA-256 is read. The signature algorithm is the key's; the field is empty for EC keys.
    hash_oid, rest = _counted(value[1:])
    _, rest = _counted(rest)
    if value[:1] != b"\x01" or hash_oid != SHA256_OID or rest != bytes(2):
        raise FormatError(LAYER, f"expected crypto information version 1 with SHA-256, got {value[:16]!r}")


def _parse_general(value: bytes) -> General:
    if len(value) != _GENERAL.size or value[0] != 2 or value[4] > 1:
        raise FormatError(LAYER, f"expected general information version 2 of {_GENERAL.size} bytes, got {value[:5]!r} of {len(value)}")
    _, _, partial, start, end, counter, hashed_nals, gop_hash, linked_hash = _GENERAL.unpack(value)
    return General(bool(partial), start, end, counter, hashed_nals, gop_hash, linked_hash)


def _parse_hash_list(value: bytes) -> tuple[bytes, ...]:
    count, rest = divmod(len(value) - 1, HASH_BYTES)
    if value[:1] != b"\x01" or rest or not 0 < count <= MAX_LISTED_HASHES:
        raise FormatError(LAYER, f"expected a hash list version 1 of 1 to {MAX_LISTED_HASHES} hashes, got {len(value)} bytes")
    return tuple(value[at : at + HASH_BYTES] for at in range(1, len(value), HASH_BYTES))


def _parse_certificates(value: bytes) -> bytes:
    if value[:2] != b"\x01\x00" or len(value) == 2:
        raise FormatError(LAYER, f"expected certificates version 1 in PEM, got {value[:2]!r} of {len(value)} bytes")
    return value[2:]


def _parse_vendor(value: bytes) -> Vendor:
    if value[:1] != b"\x01":
        raise FormatError(LAYER, f"expected vendor information version 1, got {value[:1]!r}")
    first, rest = _counted(value[1:])
    second, rest = _counted(rest)
    third, rest = _counted(rest)
    if rest:
        raise FormatError(LAYER, f"expected three vendor texts, got {len(rest)} bytes more")
    try:
        return Vendor(first.decode(), second.decode(), third.decode())
    except UnicodeDecodeError as error:
        raise FormatError(LAYER, f"expected vendor texts in UTF-8, got {value[error.start : error.start + 1]!r}") from None


def _parse_signature(value: bytes) -> bytes:
    if len(value) < 4 or value[0] != 1:
        raise FormatError(LAYER, f"expected a signature version 1, got {value[:1]!r} of {len(value)} bytes")
    size = int.from_bytes(value[1:3], "big")
    # Padding is not signed; it must be what the specification writes, so that no byte of an SEI is free.
    if not 0 < size <= len(value) - 3 or value[3 + size :].strip(b"\x01"):
        raise FormatError(LAYER, f"expected a signature of up to {len(value) - 3} bytes padded with 0x01, got {size!r}")
    return value[3 : 3 + size]


def _counted(data: bytes) -> tuple[bytes, bytes]:
    """A value after its length u8, and what follows it."""
    if not data or len(data) < 1 + data[0]:
        raise FormatError(LAYER, "expected a counted value, got too few bytes")
    return data[1 : 1 + data[0]], data[1 + data[0] :]
