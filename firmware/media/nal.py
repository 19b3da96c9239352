"""H.264 NAL units: cut them out of a byte stream, name them, escape them, prefix them with lengths.

Responsible for ITU-T H.264 Annex B and clause 7.3.1 (byte stream, emulation prevention) and for the length-prefixed
form of ISO/IEC 14496-15. Refuses to know what a picture is or when it was taken.

Invariants: a NAL unit is ``bytes`` from its header byte to the byte that holds the stop bit, with its emulation
prevention bytes, without start code and without trailing zero bytes. Nothing but FormatError leaves a parser.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from firmware.errors import FormatError

LAYER = "h264"
MAX_NAL_UNITS = 4096
"""NAL units in one byte stream handed to :func:`split_annexb`; a picture of a camera has a handful."""

SLICE = 1
IDR_SLICE = 5
SEI = 6
SPS = 7
PPS = 8
AUD = 9
END_OF_SEQUENCE = 10
END_OF_STREAM = 11
FILLER = 12

_START_CODE = re.compile(rb"\x00\x00\x01")
"""A pattern on purpose: it runs to the next zero in a tight loop, ``bytes.split`` takes twice as long (measured), and this search
is what a picture that only waits in the pre-event buffer costs most."""
_NEEDS_ESCAPE = re.compile(rb"\x00\x00(?=[\x00-\x03])")
_PREFIX_BYTES = 4


def split_annexb(data: bytes, limit: int = MAX_NAL_UNITS) -> list[bytes]:
    """The NAL units of an Annex B byte stream, in order; trailing zero bytes stripped.

    The stream must begin with a start code (three bytes, or more leading zeros). FormatError on garbage before it, an
    empty NAL unit, or more than ``limit`` units.
    """
    chunks = _START_CODE.split(data, limit + 1)
    if len(chunks) < 2:
        raise FormatError(LAYER, "expected a start code, found none", offset=0)
    if chunks[0].strip(b"\x00"):
        raise FormatError(LAYER, f"expected a start code, got {data[:4]!r}", offset=0)
    if len(chunks) > limit + 1:
        raise FormatError(LAYER, f"expected at most {limit!r} NAL units, got more")
    del chunks[0]
    nals = [chunk.rstrip(b"\x00") for chunk in chunks]
    if not all(nals):
        raise FormatError(LAYER, "expected a NAL unit after every start code, got an empty one")
    return nals


def nal_type(nal: bytes) -> int:
    """``nal_unit_type``, 0 to 31. ``nal`` must not be empty."""
    return nal[0] & 0x1F


def is_vcl(nal: bytes) -> bool:
    """Whether the NAL unit is a slice of a coded picture (types 1 and 5; data partitioning is not used)."""
    return nal[0] & 0x1F in (SLICE, IDR_SLICE)


def is_primary_slice(nal: bytes) -> bool:
    """Whether the NAL unit is the slice that begins a picture: ``first_mb_in_slice`` is ue(v) 0, a single 1 bit."""
    return nal[0] & 0x1F in (SLICE, IDR_SLICE) and len(nal) > 1 and nal[1] >= 0x80


def escape(rbsp: bytes) -> bytes:
    """Insert emulation prevention bytes (clause 7.4.1.1). ``rbsp`` ends with its stop bit, so never with a zero."""
    # A regular expression sees non-overlapping matches; 00 00 00 00 needs a second look after the first insertion.
    # Each match leaves the scan behind two zeros, with the inserted 03 before the next byte, as the clause wants.
    return _NEEDS_ESCAPE.sub(b"\x00\x00\x03", rbsp)


def unescape(nal: bytes) -> bytes:
    """Remove emulation prevention bytes: every 03 that follows two zero bytes."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00") if b"\x00\x00\x03" in nal else nal


def to_length_prefixed(nals: Sequence[bytes]) -> bytes:
    """An MP4 sample: each NAL unit after its length, 4 bytes big-endian (ISO/IEC 14496-15, lengthSizeMinusOne 3)."""
    return b"".join([part for nal in nals for part in (len(nal).to_bytes(_PREFIX_BYTES, "big"), nal)])


def split_length_prefixed(sample: bytes | memoryview, limit: int = MAX_NAL_UNITS, prefix_bytes: int = _PREFIX_BYTES) -> tuple[bytes, ...]:
    """The inverse of :func:`to_length_prefixed`. FormatError on a length that is zero or does not fit."""
    nals: list[bytes] = []
    position, size = 0, len(sample)
    while position < size:
        begin = position + prefix_bytes
        position = begin + int.from_bytes(sample[begin - prefix_bytes : begin], "big")
        if position > size or position <= begin:
            raise FormatError(LAYER, f"expected a NAL unit of 1 to {max(size - begin, 0)} bytes, got {position - begin!r}", offset=begin)
        if len(nals) == limit:
            raise FormatError(LAYER, f"expected at most {limit!r} NAL units, got more", offset=begin)
        nals.append(bytes(sample[begin:position]))
    return tuple(nals)


def prefix_bytes_of(configuration: bytes) -> int:
    """Bytes of a NAL unit's length, from a demuxer's decoder configuration: 1, 2 or 4 by an avcC box (MP4, Matroska).

    0: the container carries a byte stream (MPEG-TS, raw H.264). FormatError for an avcC box that allows neither.
    """
    if not configuration.startswith(b"\x01"):
        return 0
    if len(configuration) < 7 or configuration[4] & 3 == 2:
        raise FormatError(LAYER, f"expected an AVC decoder configuration, got {configuration[:7]!r}", offset=4)
    return (configuration[4] & 3) + 1


def split_packet(packet: bytes, prefix_bytes: int) -> tuple[bytes, ...]:
    """The NAL units of what a demuxer hands out; ``prefix_bytes`` by :func:`prefix_bytes_of`. FormatError when they are none."""
    return split_length_prefixed(packet, prefix_bytes=prefix_bytes) if prefix_bytes else tuple(split_annexb(packet))
