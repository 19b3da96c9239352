"""The ports of time: boot time, wall time, timers. Part of :mod:`hal.interfaces`, which names them all.

Responsible for the shape of an instant. Refuses to know where time comes from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class ClockTrust(Enum):
    """How far the wall clock may be believed (BWC-POL-26, BWC-POL-27)."""

    UNSET = "unset"
    """Never set since power came on: wall time is meaningless."""
    RTC = "rtc"
    """From a battery-backed clock; error unknown but bounded by its drift since the last synchronisation."""
    SYNCED = "synced"
    """Disciplined since boot by a dock, GNSS or NTP; ``uncertainty_ns`` holds."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Boot time and wall time read together.

    ``boottime_ns`` never steps and counts suspend (CLOCK_BOOTTIME). ``wall_ns`` is nanoseconds since 1970-01-01 UTC.
    """

    boottime_ns: int
    wall_ns: int
    trust: ClockTrust
    uncertainty_ns: int = 0


class Timer(ABC):
    """A pending call; :meth:`cancel` is idempotent and safe after the call was made."""

    @abstractmethod
    def cancel(self) -> None: ...


class Clock(ABC):
    """Boot time, wall time and timers."""

    may_set = True
    """Whether the wall clock is the recorder's to set. Where it is not, :meth:`set_wall` raises."""

    @abstractmethod
    def now(self) -> ClockReading: ...

    @abstractmethod
    def call_at(self, boottime_ns: int, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` once, at or soon after ``boottime_ns`` (at once if that has passed)."""

    @abstractmethod
    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        """Step the wall clock. The caller has recorded the offset first (BWC-POL-26).

        Returns what did not go along (the chip that the next boot begins with), empty when all did. ``DeviceFault``: not stepped.
        """

    def boot_id(self) -> str:
        """A name that the machine has from power-on to power-off and never again; empty when it has none."""
        return ""
