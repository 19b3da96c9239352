"""A receiver's line without a receiver: what comes is written down, and the clock stands still."""

from __future__ import annotations

import struct
from collections.abc import Iterable

from hal.interfaces import ClockReading, ClockTrust, Fix
from hal.pi.gnss import Receiver

NOW = ClockReading(1_000_000_000_000, 20_000 * 86_400_000_000_000 + 36_000_200_000_000, ClockTrust.SYNCED)
"""0.2 s after ten o'clock."""


class StillClock:
    def now(self) -> ClockReading:
        return NOW


class SpokenLine:
    """Gives ``pieces`` one a read, then silence; an empty piece is a silence between."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = [*pieces]
        self.is_over = False

    def read(self, limit: int = 4096) -> bytes:
        self.is_over = not self._pieces
        return b"" if self.is_over else self._pieces.pop(0)


def fixes(pieces: Iterable[bytes]) -> list[Fix | None]:
    """What is known after each step, until nothing comes any more."""
    line = SpokenLine(pieces)
    receiver = Receiver(line, StillClock())
    found = []
    while not line.is_over:
        receiver.step()
        found.append(receiver.fix)
    return found


def nmea(text: bytes) -> bytes:
    """A sentence with the checksum that it should have."""
    total = 0
    for byte in text:
        total ^= byte
    return b"$" + text + b"*%02X\r\n" % total


def ubx(kind: bytes, payload: bytes) -> bytes:
    """A message with the checksum that it should have; ``kind`` is class and id."""
    body = kind + struct.pack("<H", len(payload)) + payload
    return b"\xb5\x62" + body + ubx_checksum(body)


def ubx_checksum(body: bytes) -> bytes:
    """u-blox interface description: Fletcher's algorithm, 8 bits."""
    one = two = 0
    for byte in body:
        one = one + byte & 0xFF
        two = two + one & 0xFF
    return bytes((one, two))


GGA = b"GNGGA,100000.10,5130.50000,N,00007.20000,W,1,09,0.9,10,M,40,M,,"
PVT = bytearray(92)
PVT[8] = 10  # hour
PVT[11] = 3  # date and time are valid
PVT[20:22] = b"\x03\x01"  # a position in three dimensions that is good enough
PVT[24:32] = struct.pack("<2i", 202_500_000, 105_000_000)
PVT[40:44] = struct.pack("<I", 2500)
