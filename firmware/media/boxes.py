"""ISO base media file format boxes (ISO/IEC 14496-12): the few bytes that writer and reader share.

Responsible for box headers. Refuses to know which boxes exist.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from firmware.errors import FormatError

LAYER = "fmp4"
VIDEO_TRACK = 1
AUDIO_TRACK = 2
VIDEO_TIMESCALE = 90_000
AUDIO_FRAME_SAMPLES = 1024

SYNC_SAMPLE = 0x0200_0000
"""sample_depends_on 2: an independent picture, or an audio frame."""
NON_SYNC_SAMPLE = 0x0101_0000
"""sample_depends_on 1 and sample_is_non_sync_sample."""

NTP_OFFSET_S = 2_208_988_800
"""Seconds from 1900 (NTP era 0) to 1970."""


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box: size u32, type, contents."""
    payload = b"".join(parts)
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box with version u8 and flags u24."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def walk(data: memoryview, layer: str, limit: int = 16) -> Iterator[tuple[bytes, memoryview]]:
    """The boxes that fill ``data`` exactly, as (type, contents). FormatError on a size that does not fit.

    Sizes 0 ("to the end") and 1 (64 bits) are refused: our writer makes none, and a fragment is bounded.
    """
    position, size = 0, len(data)
    for _ in range(limit):
        if position == size:
            return
        if size - position < 8:
            raise FormatError(layer, f"expected a box header, got {size - position} bytes", offset=position)
        length, kind = struct.unpack_from(">I4s", data, position)
        if not 8 <= length <= size - position:
            raise FormatError(layer, f"expected a box of 8 to {size - position} bytes, got {length!r}", offset=position)
        yield kind, data[position + 8 : position + length]
        position += length
    if position != size:
        raise FormatError(layer, f"expected at most {limit} boxes, got more", offset=position)
