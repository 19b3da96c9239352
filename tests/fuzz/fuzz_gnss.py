"""A receiver's bytes raise nothing, mean the same in any pieces, and are a place only where a frame whose checksum holds says so."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import suppress

from hal.interfaces import Fix
from hal.pi.gnss import LONGEST_DELAY_NS, UERE_M
from tests.unit.helpers_gnss import GGA, NOW, PVT, fixes, nmea, ubx, ubx_checksum

Place = tuple[float, float, float]

SEEDS = (
    nmea(GGA),
    GGA,
    b"GNRMC,100000.10,V,5130.50000,N,00007.20000,W,0,0,010126,,,A",
    nmea(GGA) + ubx(b"\x01\x07", PVT) + nmea(b"GNRMC,,V,,,,,,,,,,N"),
    b"\x01\x07" + PVT,
    b"\x01\x07" + PVT[:84],
    b"\x01\x07" + PVT[:78] + b"\x01" + PVT[79:],
    b"\x21\x0e\0\0\xff\xff",
    b"GNALC,01,01,01,999999999",
    b"\xd3\0\x13" + bytes(22) + nmea(GGA),
)


def target(data: bytes) -> None:
    """As they are, and as a sender makes them who knows how a checksum is made."""
    for heard in (data, nmea(data), ubx(data[:2].ljust(2), data[2:])):
        told = fixes(_pieces(heard, 4096))
        assert fixes(_pieces(heard, 1)) == told
        with_silences = fixes(piece for spoken in _pieces(heard, 11) for piece in (spoken, b""))
        said = [*_said(heard)]
        for fix in (*told, *with_silences):
            assert fix is None or _is_within(fix)
            assert fix is None or any(_is_near(fix, place) for place in said)


def _pieces(heard: bytes, size: int) -> list[bytes]:
    return [heard[at : at + size] for at in range(0, len(heard), size)]


def _said(heard: bytes) -> Iterator[Place]:
    """Every place that a whole frame names, wherever the frame begins."""
    for found in re.finditer(rb"\$([A-Z]{2}GGA,[^$*\n]*)\*([0-9A-Fa-f]{2})\r?\n", heard):
        if nmea(found[1])[-4:-2] == found[2].upper():
            with suppress(ValueError):
                yield from _of_gga(found[1].decode("ascii").split(","))
    for found in re.finditer(rb"\xb5\x62(?=\x01\x07)", heard):
        body, end = heard[found.end() :], 4 + int.from_bytes(heard[found.end() + 2 : found.end() + 4], "little")
        if end < 88 or len(body) < end + 2 or body[end : end + 2] != ubx_checksum(body[:end]):
            continue
        if body[24] in (2, 3, 4) and body[25] & 1 and not body[82] & 1:
            longitude, latitude = struct.unpack_from("<2i", body, 4 + 24)
            yield latitude / 1e7, longitude / 1e7, int.from_bytes(body[44:48], "little") / 1000


def _of_gga(fields: list[str]) -> Iterator[Place]:
    _, _, latitude, side, longitude, hand, quality, _, hdop, *_ = [*fields, *[""] * 9]
    if quality in ("1", "2", "3", "4", "5") and side in ("N", "S") and hand in ("E", "W"):
        north, east = int(latitude[:2]) + float(latitude[2:]) / 60, int(longitude[:3]) + float(longitude[3:]) / 60
        yield north if side == "N" else -north, east if hand == "E" else -east, float(hdop) * UERE_M


def _is_near(fix: Fix, place: Place) -> bool:
    return all(abs(one - other) < 1e-6 for one, other in zip((fix.latitude, fix.longitude, fix.accuracy_m), place, strict=True))


def _is_within(fix: Fix) -> bool:
    when = NOW.boottime_ns - LONGEST_DELAY_NS <= fix.at.boottime_ns <= NOW.boottime_ns
    return when and -90 <= fix.latitude <= 90 and -180 <= fix.longitude <= 180 and 0 < fix.accuracy_m < 1e5
