"""The laptop's clocks, and how far its wall clock may be believed.

Responsible for asking the kernel whether something disciplines its clock (adjtimex(2)). Refuses to set it: a laptop's time is its
owner's, and a dock that could move it would move every other program's too.
"""

from __future__ import annotations

import ctypes

from hal.errors import DeviceFault
from hal.interfaces import ClockReading, ClockTrust
from hal.posix import PosixClock

_ASK_NS = 1_000_000_000
_STA_UNSYNC = 0x40
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    """The head of ``struct timex`` (sys/timex.h), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def kernel_trust() -> tuple[ClockTrust, int]:
    """(trust, uncertainty in ns): synchronised only if the kernel says so, else as good as the RTC that it started from."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    return judge(state, timex.status, timex.maxerror)


def judge(state: int, status: int, maxerror_us: int) -> tuple[ClockTrust, int]:
    """What adjtimex(2) answered: its return value, ``status``, ``maxerror`` in microseconds."""
    if state < 0 or state == _TIME_ERROR or status & _STA_UNSYNC:
        return ClockTrust.RTC, 0
    return ClockTrust.SYNCED, maxerror_us * 1000


class LaptopClock(PosixClock):
    """A PosixClock whose trust follows the kernel's, at most a second late."""

    may_set = False

    def __init__(self) -> None:
        super().__init__(*kernel_trust())
        self._asked_ns = 0

    def now(self) -> ClockReading:
        reading = super().now()
        if reading.boottime_ns - self._asked_ns > _ASK_NS:
            self._asked_ns = reading.boottime_ns
            self._trust, self._uncertainty_ns = kernel_trust()
        return ClockReading(reading.boottime_ns, reading.wall_ns, self._trust, self._uncertainty_ns)

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        raise DeviceFault("a laptop's wall clock is not the recorder's to set; let the system synchronise it")
