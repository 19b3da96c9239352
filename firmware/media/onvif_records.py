"""The records inside a Media Signing SEI, read: what each says, in every form that the specification has had.

Responsible for the values of ONVIF Media Signing ("TLV tags" and the sections that follow): tag versions, optional
records, byte order. Refuses to know NAL units, keys and verdicts.

Read liberally where the specification allows it: any order, general information of version 1 (no end time), times and
counter in the byte order that the text asks for (little) and in the one that devices write (big), tags that this version
does not know. Read strictly where a liberal reading would leave a byte free that no signature covers: the padding of the
signature. Invariant: a value that parses has been read to its last byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware.errors import FormatError, IntegrityError

LAYER = "onvif-sei"
SPEC_VERSION = (25, 12, 0)
HASH_BYTES = 32
MAX_LISTED_HASHES = 2047
"""What a record of 65535 bytes can hold; the signer stops at 600."""
SHA256_OID = bytes.fromhex("0609608648016503040201")

GENERAL, HASH_LIST, SIGNATURE, CRYPTO, VENDOR, CERTIFICATES, ARBITRARY = 1, 2, 3, 4, 5, 6, 7

GENERAL_VALUE = struct.Struct(">B3sBqqIH32s32s")
_GENERAL_1 = struct.Struct(">B3sBqIH32s32s")
_YEAR_1970 = 11_644_473_600 * 10_000_000
_YEAR_2400 = 252_140_000_000 * 1_000_000


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who made the stream; each text at most 255 bytes of UTF-8."""

    firmware_version: str
    serial_number: str
    manufacturer: str


@dataclass(frozen=True, slots=True)
class General:
    """What one (partial) GOP is signed for. Times in 100 ns units since 1601-01-01 UTC; ``partial``: closed by no IDR.

    ``end`` equals ``start`` in version 1 of the record, which has none. ``revision``: of the specification, as the signer says.
    ``little_endian``: the byte order of times and counter, as the times tell.
    """

    partial: bool
    start: int
    end: int
    counter: int
    hashed_nals: int
    gop_hash: bytes
    linked_hash: bytes
    revision: tuple[int, int, int] = SPEC_VERSION
    little_endian: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """What an SEI holds, read; ``None`` for a record that is not there.

    ``certificates_pem`` is the chain of the key that signs GOPs: the user's where there is one, else the manufacturer's, which is
    ``manufacturer_pem``. ``signature_oid``: DER of the algorithm that the signer names, empty when it names none.
    """

    general: General | None = None
    hash_list: tuple[bytes, ...] | None = None
    signature: bytes | None = None
    signature_oid: bytes | None = None
    vendor: Vendor | None = None
    certificates_pem: bytes | None = None
    manufacturer_pem: bytes | None = None
    unknown_tags: tuple[int, ...] = ()


def split_records(raw: bytes, position: int, end: int) -> tuple[list[tuple[int, bytes]], int]:
    """Tags and values in their order, and where the signature record begins (``end`` when there is none)."""
    records: list[tuple[int, bytes]] = []
    signature_at = end
    while position < end:
        if signature_at != end:
            raise FormatError(LAYER, "expected the signature record last", offset=position)
        if end - position < 3:
            raise FormatError(LAYER, f"expected a record of at least 3 bytes, got {end - position}", offset=position)
        tag, length = struct.unpack_from(">BH", raw, position)
        if not tag or length > end - position - 3:
            raise FormatError(LAYER, f"expected a record within the SEI, got tag {tag!r} of {length!r} bytes", offset=position)
        if tag == SIGNATURE:
            signature_at = position
        records.append((tag, raw[position + 3 : position + 3 + length]))
        position += 3 + length
    return records, signature_at


def read_records(found: list[tuple[int, bytes]], is_certificate_sei: bool) -> Records:
    """Interpret the records of one SEI.

    FormatError when a value does not parse, or is of a version or algorithm that is not read here. IntegrityError for
    arbitrary data beside other records, which the specification calls not authentic.
    """
    tags = [tag for tag, _ in found]
    if ARBITRARY in tags:
        return _arbitrary(tags)
    values = dict(found)
    if len(values) + max(tags.count(CERTIFICATES) - 1, 0) != len(tags) or tags.count(CERTIFICATES) > 2:
        raise FormatError(LAYER, f"expected every record once, got tags {tags!r}")
    required = {CRYPTO, CERTIFICATES, SIGNATURE} if is_certificate_sei else {GENERAL}
    if not required <= set(tags) or (is_certificate_sei and GENERAL in tags):
        raise FormatError(LAYER, f"expected records {sorted(required)!r}, got tags {tags!r}")
    user, maker = _read_chains([value for tag, value in found if tag == CERTIFICATES])
    return Records(
        _read_general(values[GENERAL]) if GENERAL in values else None,
        _read_hash_list(values[HASH_LIST]) if HASH_LIST in values else None,
        _read_signature(values[SIGNATURE]) if SIGNATURE in values else None,
        _read_crypto(values[CRYPTO]) if CRYPTO in values else None,
        _read_vendor(values[VENDOR]) if VENDOR in values else None,
        user or maker,
        maker,
        tuple(tag for tag in tags if tag > ARBITRARY),
    )


def _arbitrary(tags: list[int]) -> Records:
    if len(tags) != 1:
        raise IntegrityError(LAYER, f"arbitrary data stands beside other records, tags {tags!r}")
    return Records()


def _read_crypto(value: bytes) -> bytes:
    """The signature algorithm's OID. Only SHA-256 is read."""
    hash_oid, rest = _counted(value[1:])
    signature_oid, rest = _counted(rest)
    if value[:1] != b"\x01" or len(rest) != 2:
        raise FormatError(LAYER, f"expected crypto information version 1, got {value[:16]!r}")
    if hash_oid != SHA256_OID:
        raise FormatError(LAYER, f"expected hashes by SHA-256, got algorithm {hash_oid.hex()}")
    return signature_oid


def _read_general(value: bytes) -> General:
    version = value[:1]
    if len(value) < 5 or value[4] > 1 or (version, len(value)) not in ((b"\x01", _GENERAL_1.size), (b"\x02", GENERAL_VALUE.size)):
        raise FormatError(LAYER, f"expected general information version 1 or 2, got {value[:5]!r} of {len(value)} bytes")
    big, little = _unpack_general(value, ">"), _unpack_general(value, "<")
    # "Little endian", says the text for times and counter; big, say the devices. A time within these centuries tells.
    as_text = _is_plausible(little) and (not _is_plausible(big) or little.counter < big.counter)
    return little if as_text else big


def _unpack_general(value: bytes, order: str) -> General:
    if value[0] == 1:
        _, revision, partial, start, counter, hashed, gop_hash, linked_hash = struct.unpack(order + _GENERAL_1.format[1:], value)
        end = start
    else:
        _, revision, partial, start, end, counter, hashed, gop_hash, linked_hash = struct.unpack(order + GENERAL_VALUE.format[1:], value)
    major, minor, patch = revision
    return General(bool(partial), start, end, counter, hashed, gop_hash, linked_hash, (major, minor, patch), order == "<")


def _is_plausible(general: General) -> bool:
    return all(_YEAR_1970 <= time < _YEAR_2400 for time in (general.start, general.end))


def _read_hash_list(value: bytes) -> tuple[bytes, ...]:
    count, rest = divmod(len(value) - 1, HASH_BYTES)
    if value[:1] != b"\x01" or rest or not 0 < count <= MAX_LISTED_HASHES:
        raise FormatError(LAYER, f"expected a hash list version 1 of 1 to {MAX_LISTED_HASHES} hashes, got {len(value)} bytes")
    return tuple(value[at : at + HASH_BYTES] for at in range(1, len(value), HASH_BYTES))


def _read_chains(values: list[bytes]) -> tuple[bytes | None, bytes | None]:
    """PEM of the user's and of the manufacturer's chain; each at most once."""
    chains: dict[int, bytes] = {}
    for value in values:
        if value[:2] not in (b"\x01\x00", b"\x01\x01") or len(value) == 2 or value[1] in chains:
            raise FormatError(LAYER, f"expected certificates version 1 in PEM, got {value[:2]!r} of {len(value)} bytes")
        chains[value[1]] = value[2:]
    return chains.get(1), chains.get(0)


def _read_vendor(value: bytes) -> Vendor:
    if value[:1] != b"\x01":
        raise FormatError(LAYER, f"expected vendor information version 1, got {value[:1]!r}")
    first, rest = _counted(value[1:])
    second, rest = _counted(rest)
    third, rest = _counted(rest)
    if rest:
        raise FormatError(LAYER, f"expected three vendor texts, got {len(rest)} bytes more")
    try:
        return Vendor(first.decode(), second.decode(), third.decode())
    except UnicodeDecodeError:
        raise FormatError(LAYER, f"expected vendor texts in UTF-8, got {value[1:33]!r}") from None


def _read_signature(value: bytes) -> bytes:
    if len(value) < 4 or value[0] != 1:
        raise FormatError(LAYER, f"expected a signature version 1, got {value[:1]!r} of {len(value)} bytes")
    size = int.from_bytes(value[1:3], "big")
    # Padding is not signed; it must be what ONVIF's own signer writes, so that no byte of an SEI is free.
    if not 0 < size <= len(value) - 3 or value[3 + size :].strip(b"\x01"):
        raise FormatError(LAYER, f"expected a signature of up to {len(value) - 3} bytes padded with 0x01, got {size!r}")
    return value[3 : 3 + size]


def _counted(data: bytes) -> tuple[bytes, bytes]:
    """A value after its length u8, and what follows it."""
    if not data or len(data) < 1 + data[0]:
        raise FormatError(LAYER, "expected a counted value, got too few bytes")
    return data[1 : 1 + data[0]], data[1 + data[0] :]
