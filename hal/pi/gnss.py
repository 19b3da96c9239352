"""The positioning receiver on the UART: NMEA GGA and RMC, UBX-NAV-PVT.

Responsible for the newest fix that is still true, with the instant it was true at. Refuses to set the receiver up, which keeps its own
settings, and to touch the pulse per second: the kernel has that line (``dtoverlay=pps-gpio``) for whatever disciplines the clock.

Bytes of a jammed, faked or unplugged receiver never raise and never cost more than a message: pyubx2 reads from a stream that gives
it short messages only, and parses no other kinds than these: it repeats a group as often as a message says (a billion times in an
ALC sentence of thirty bytes). A fix is dropped when the receiver says that it has none, and when it is older than :data:`FIX_FOR_S`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

from hal.errors import HalUnavailable
from hal.instants import of_boottime
from hal.interfaces import Clock, ClockReading, ClockTrust, Fix, Positioning
from hal.loop import Loop
from hal.pi.board import Board
from hal.serial_line import SerialLine

FIX_FOR_S = 5.0
PVT_RULES_FOR_NS = 3_000_000_000
"""While NAV-PVT comes, which knows its own accuracy, GGA is not asked."""
UERE_M = 5.0
"""Standard deviation of one range, multiplied by HDOP where the receiver gives no accuracy of its own. Design: SPS without ionospheric
correction is about this."""
LONGEST_MESSAGE_BYTES = 1024
LONGEST_DELAY_NS = 2_000_000_000
"""A receiver tells of an epoch within tenths of a second; anything older is not this epoch."""
_DAY_NS = 86_400 * 1_000_000_000
_PVT = b"\xb5\x62\x01\x07"
_PVT_BYTES = 92
"""Of the shortest whole NAV-PVT, that of u-blox 7: header and checksum take 8. pyubx2 reads a shorter one as if zeros followed."""
_SENTENCE = re.compile(rb"\$[A-Z]{2}(GGA|RMC),[A-Z0-9.,-]*\*[0-9A-Fa-f]{2}\r?\n")
"""pynmeagps sums characters, not bytes: beyond ASCII a checksum holds that does not."""
_POSITION = re.compile(
    rb"\$..GGA,[0-9]{6}(?:\.[0-9]*)?,[0-9]{2}[0-5][0-9]\.[0-9]+,[NS],[0-9]{3}[0-5][0-9]\.[0-9]+,[EW],[1-5],[0-9]*,[0-9]+(?:\.[0-9]+)?,"
)
"""NMEA 0183, GGA: time, place, HDOP; quality 0 is no fix, 6 is dead reckoning, 7 and 8 are made up by hand or by a simulator."""
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


class Receiver:
    """What a receiver's bytes say, a message a step. No thread; ``HalUnavailable`` when pyubx2 is missing."""

    def __init__(self, line: SerialLine, clock: Clock) -> None:
        try:
            import pyubx2
        except ImportError as error:
            raise HalUnavailable(f"positioning needs the library {error.name!r}; install pyubx2") from error
        self._messages = _Messages(line, clock, pyubx2.UBXStreamError)
        self._pyubx2: Any = pyubx2
        self._frames = self._reader(self._messages, parsing=False)
        self._pvt_until_ns = 0
        self.fix: Fix | None = None
        """As the newest message has it, however old that is. Replaced whole: any thread may read it."""

    def step(self) -> None:
        """Take one message, or the silence that a time-out of the line is."""
        try:
            raw, _ = self._frames.read()
            if raw is not None:
                self._take(raw)
        except _SLIPS:
            return

    def _reader(self, stream: object, parsing: bool) -> Any:
        protocols = self._pyubx2.NMEA_PROTOCOL | self._pyubx2.UBX_PROTOCOL
        return self._pyubx2.UBXReader(stream, protfilter=protocols, quitonerror=self._pyubx2.ERR_IGNORE, parsing=parsing)

    def _take(self, raw: bytes) -> None:
        now_ns = self._messages.arrived.boottime_ns
        sentence = _SENTENCE.fullmatch(raw)
        is_pvt = raw.startswith(_PVT) and len(raw) >= _PVT_BYTES
        if not is_pvt and (sentence is None or now_ns < self._pvt_until_ns):
            return
        _, message = self._reader(BytesIO(raw), parsing=True).read()
        if message is None:  # The checksum does not hold.
            return
        if is_pvt:
            self._pvt_until_ns = now_ns + PVT_RULES_FOR_NS
            self.fix = self._of_pvt(message)
        elif sentence is not None and sentence[1] == b"GGA":
            self.fix = self._of_gga(message) if _POSITION.match(raw) else None
        elif message.status != "A":
            self.fix = None

    def _of_pvt(self, message: Any) -> Fix | None:
        """u-blox interface description, UBX-NAV-PVT: ``fixType`` 2, 3 and 4 are positions, ``hAcc`` is in millimetres."""
        if not message.gnssFixOk or message.fixType not in (2, 3, 4) or message.invalidLlh:
            return None
        day_ns = ((message.hour * 60 + message.min) * 60 + message.second) * 1_000_000_000 + message.nano
        return self._fix_of(message.lat, message.lon, message.hAcc / 1000, day_ns if message.validTime else None)

    def _of_gga(self, message: Any) -> Fix | None:
        t = message.time
        day_ns = ((t.hour * 60 + t.minute) * 60 + t.second) * 1_000_000_000 + t.microsecond * 1000
        return self._fix_of(message.lat, message.lon, message.HDOP * UERE_M, day_ns)

    def _fix_of(self, latitude: float, longitude: float, accuracy_m: float, day_ns: int | None) -> Fix | None:
        latitude, longitude, accuracy_m = float(latitude), float(longitude), float(accuracy_m)
        # Written so that a value which is no number fails, too.
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 < accuracy_m < 1e5):
            return None
        return Fix(latitude, longitude, accuracy_m, instant_of_fix(self._messages.arrived, day_ns))


class PiPositioning(Positioning):
    """``HalUnavailable`` when a library is missing; a receiver that is absent or away is a fix that is not there."""

    def __init__(self, line: SerialLine, clock: Clock) -> None:
        self._line, self._clock = line, clock
        self._receiver = Receiver(line, clock)
        self._loop = Loop("gnss", self._receiver.step, line.interrupt)
        self._loop.start()

    def fix(self) -> Fix | None:
        fix = self._receiver.fix
        if fix is None or self._clock.now().boottime_ns - fix.at.boottime_ns > FIX_FOR_S * 1e9:
            return None
        return fix

    def close(self) -> None:
        self._loop.close()
        self._line.close()


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
