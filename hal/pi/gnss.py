"""The positioning receiver on the UART: NMEA GGA and RMC, UBX-NAV-PVT.

Responsible for the newest fix that is still true, with the instant it was true at. Refuses to set the receiver up, which keeps its own
settings, and to touch the pulse per second: the kernel has that line (``dtoverlay=pps-gpio``) for whatever disciplines the clock.

Bytes of a jammed, faked or unplugged receiver never raise and never cost more than a message: pyubx2 reads from a stream that gives
it short messages only. A fix is dropped when the receiver says that it has none, and when it is older than :data:`FIX_FOR_S`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from hal.errors import HalUnavailable
from hal.instants import of_boottime
from hal.interfaces import Clock, ClockReading, ClockTrust, Fix, Positioning
from hal.loop import Loop
from hal.pi.board import Board
from hal.serial_line import SerialLine

FIX_FOR_S = 5.0
PVT_RULES_FOR_S = 3.0
"""While NAV-PVT comes, which knows its own accuracy, GGA is not asked."""
UERE_M = 5.0
"""Standard deviation of one range, multiplied by HDOP where the receiver gives no accuracy of its own. Design: SPS without ionospheric
correction is about this."""
LONGEST_MESSAGE_BYTES = 1024
LONGEST_DELAY_NS = 2_000_000_000
"""A receiver tells of an epoch within tenths of a second; anything older is not this epoch."""
_DAY_NS = 86_400 * 1_000_000_000
_SLIPS = (ValueError, LookupError, TypeError, ArithmeticError, AttributeError)
"""What escapes pyubx2 and pynmeagps for bytes that pass a checksum and are nonsense (text that is not UTF-8, fields that are absent)."""


class _Messages:
    """The stream that UBXReader reads: exact reads of bounded length, and when the last bytes came."""

    def __init__(self, line: SerialLine, clock: Clock, refuse: Callable[[str], Exception]) -> None:
        self._line, self._clock, self._refuse = line, clock, refuse
        self._buffer = bytearray()
        self.arrived: ClockReading = clock.now()

    def read(self, size: int) -> bytes:
        """Empty when the line is silent; UBXReader then gives the message up."""
        if size > LONGEST_MESSAGE_BYTES:
            raise self._refuse(f"a message of {size} bytes")
        while len(self._buffer) < size:
            if not self._more():
                break
        return self._take(min(size, len(self._buffer)))

    def readline(self) -> bytes:
        while (end := self._buffer.find(b"\n", 0, LONGEST_MESSAGE_BYTES)) < 0:
            if len(self._buffer) >= LONGEST_MESSAGE_BYTES or not self._more():
                return self._take(min(len(self._buffer), LONGEST_MESSAGE_BYTES))
        return self._take(end + 1)

    def _more(self) -> bool:
        data = self._line.read()
        if data:
            self.arrived = self._clock.now()
        self._buffer += data
        return bool(data)

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


class PiPositioning(Positioning):
    """``HalUnavailable`` when a library is missing; a receiver that is absent or away is a fix that is not there."""

    def __init__(self, line: SerialLine, clock: Clock) -> None:
        try:
            import pyubx2
        except ImportError as error:
            raise HalUnavailable(f"positioning needs the library {error.name!r}; install pyubx2") from error
        self._line, self._clock = line, clock
        self._messages = _Messages(line, clock, pyubx2.UBXStreamError)
        protocols = pyubx2.NMEA_PROTOCOL | pyubx2.UBX_PROTOCOL
        self._reader: Any = pyubx2.UBXReader(self._messages, protfilter=protocols, quitonerror=pyubx2.ERR_IGNORE)
        self._lock = threading.Lock()
        self._fix: Fix | None = None
        self._pvt_s = float("-inf")
        self._loop = Loop("gnss", self._step, line.interrupt)
        self._loop.start()

    def fix(self) -> Fix | None:
        with self._lock:
            fix = self._fix
        if fix is None or self._clock.now().boottime_ns - fix.at.boottime_ns > FIX_FOR_S * 1e9:
            return None
        return fix

    def close(self) -> None:
        self._loop.close()
        self._line.close()

    def _step(self) -> None:
        try:
            _, message = self._reader.read()
            if message is not None:
                self._take(message)
        except _SLIPS:
            return

    def _take(self, message: Any) -> None:
        match getattr(message, "identity", ""):
            case "NAV-PVT":
                self._pvt_s = time.monotonic()
                self._keep(self._of_pvt(message))
            case str(name) if time.monotonic() - self._pvt_s < PVT_RULES_FOR_S or len(name) != 5:
                return
            case str(name) if name.endswith("GGA"):
                self._keep(self._of_gga(message))
            case str(name) if name.endswith("RMC") and message.status != "A":
                self._keep(None)

    def _keep(self, fix: Fix | None) -> None:
        with self._lock:
            self._fix = fix

    def _of_pvt(self, message: Any) -> Fix | None:
        """u-blox interface description, UBX-NAV-PVT: ``fixType`` 2, 3 and 4 are positions, ``hAcc`` is in millimetres."""
        if not message.gnssFixOk or message.fixType not in (2, 3, 4):
            return None
        day_ns = ((message.hour * 60 + message.min) * 60 + message.second) * 1_000_000_000 + message.nano
        return self._fix_of(message.lat, message.lon, message.hAcc / 1000, day_ns if message.validTime else None)

    def _of_gga(self, message: Any) -> Fix | None:
        """NMEA 0183, GGA: quality 0 is no fix, 6 is dead reckoning, 7 and 8 are made up by hand or by a simulator."""
        if message.quality not in (1, 2, 3, 4, 5):
            return None
        t = message.time
        day_ns = ((t.hour * 60 + t.minute) * 60 + t.second) * 1_000_000_000 + t.microsecond * 1000
        return self._fix_of(message.lat, message.lon, message.HDOP * UERE_M, day_ns)

    def _fix_of(self, latitude: float, longitude: float, accuracy_m: float, day_ns: int | None) -> Fix | None:
        latitude, longitude, accuracy_m = float(latitude), float(longitude), float(accuracy_m)
        # Written so that a value which is no number fails, too.
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < accuracy_m < 1e5):
            return None
        return Fix(latitude, longitude, accuracy_m, instant_of_fix(self._messages.arrived, day_ns))


def instant_of_fix(arrived: ClockReading, day_ns: int | None) -> ClockReading:
    """When the fix was true. ``day_ns``: the receiver's time of day, UTC.

    With a clock that was disciplined since boot that is the epoch which the message names. With any other clock, whose error may be
    larger than a receiver's delay, it is when the message arrived: late by tenths of a second, never early.
    """
    if day_ns is None or arrived.trust is not ClockTrust.SYNCED:
        return arrived
    age_ns = (arrived.wall_ns - day_ns) % _DAY_NS
    return of_boottime(arrived, arrived.boottime_ns - age_ns) if age_ns <= LONGEST_DELAY_NS else arrived


def open_positioning(board: Board, clock: Clock) -> PiPositioning:
    """``HalUnavailable`` when pyserial or pyubx2 is missing."""
    return PiPositioning(SerialLine(board.build.gnss_device, board.build.gnss_baud), clock)
