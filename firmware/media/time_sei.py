"""The time of a picture inside the stream: MISB ST 0604 precision time stamp, one SEI for every picture.

Responsible for the user_data_unregistered SEI "MISPmicrosectime" in H.264: UUID, status byte, microseconds in eight bytes
with an 0xFF after every second one (so that no start code can arise). Refuses to judge a clock: the status byte repeats
the trust that came with the time. ONVIF Media Signing does not hash it; the manifest's hashes do (BWC-POL-26).

Microseconds are those of POSIX time (UTC without leap seconds), as the camera's clock counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.access_unit import AccessUnit
from firmware.media.nal import is_vcl
from firmware.timebase import Timestamp, Trust

UUID = b"MISPmicrosectime"
_HEADER = bytes((0x06, 0x05, 28)) + UUID
_LOCKED = 0x1F
_NOT_LOCKED = 0x9F
"""Bit 7: not locked to an absolute reference. Bits 6 and 5, discontinuity, 0; bits 4 to 0 are reserved ones."""
_LENGTH = len(_HEADER) + 13


@dataclass(frozen=True, slots=True)
class PictureTime:
    """``wall_us``: microseconds since 1970-01-01 UTC; ``locked``: synchronised when the picture was taken."""

    wall_us: int
    locked: bool


def build_time_sei(time: Timestamp) -> bytes:
    """The SEI NAL unit. A wall clock that was never set may read before 1970: 0 is written, not locked."""
    micros = (max(time.wall_ns, 0) // 1000).to_bytes(8, "big")
    status = _LOCKED if time.trust is Trust.SYNCED else _NOT_LOCKED
    return b"%b%c%b\xff%b\xff%b\xff%b\x80" % (_HEADER, status, micros[:2], micros[2:4], micros[4:6], micros[6:])


def is_time_sei(nal: bytes) -> bool:
    """Whether the NAL unit claims to be a precision time stamp."""
    return nal.startswith(_HEADER)


def parse_time_sei(nal: bytes) -> PictureTime:
    """The inverse of :func:`build_time_sei`; FormatError on anything else."""
    if len(nal) != _LENGTH or not nal.startswith(_HEADER) or nal[-1] != 0x80:
        raise FormatError("st0604", f"expected a precision time stamp of {_LENGTH} bytes, got {nal[:4]!r} of {len(nal)} bytes")
    status, body = nal[len(_HEADER)], nal[len(_HEADER) + 1 : -1]
    if status & 0x1F != 0x1F or body[2] != 0xFF or body[5] != 0xFF or body[8] != 0xFF:
        raise FormatError("st0604", f"expected reserved bits and emulation bytes of ones, got {status:#04x} {body!r}")
    return PictureTime(int.from_bytes(body[:2] + body[3:5] + body[6:8] + body[9:], "big"), not status & 0x80)


def insert_time(unit: AccessUnit) -> AccessUnit:
    """The same picture with its time in front of the first slice, behind delimiter, parameter sets and other SEI."""
    nals = unit.nals
    first = 0
    while not is_vcl(nals[first]):
        first += 1
    return AccessUnit((*nals[:first], build_time_sei(unit.time), *nals[first:]), unit.keyframe, unit.time)
