"""Instants of drivers on the firmware's clock.

Responsible for turning a kernel time stamp into a ``ClockReading``. Refuses to know which device made it.

Drivers stamp with CLOCK_MONOTONIC, the firmware orders by CLOCK_BOOTTIME. The two differ by the time that the machine was
suspended, so their difference is kept until it really changes: the steps between two stamps stay the driver's own.
"""

from __future__ import annotations

import time

from hal.interfaces import Clock, ClockReading

_NS = 1_000_000_000
_SUSPENDED_NS = 1_000_000
"""A change of the difference by less is the jitter of two reads, not a suspend."""
_PLAUSIBLE_NS = 5 * _NS


def reading_at(clock: Clock, boottime_ns: int) -> ClockReading:
    """An instant of the near past as the clock would have read it then."""
    return of_boottime(clock.now(), boottime_ns)


def of_boottime(now: ClockReading, boottime_ns: int) -> ClockReading:
    """The reading that ``now``'s clock would have given at ``boottime_ns``."""
    return ClockReading(boottime_ns, now.wall_ns - (now.boottime_ns - boottime_ns), now.trust, now.uncertainty_ns)


def of_monotonic(clock: Clock, monotonic_ns: int) -> ClockReading:
    """An instant on CLOCK_MONOTONIC, which stands still in suspend: right as long as there was none since."""
    passed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - monotonic_ns
    return reading_at(clock, time.clock_gettime_ns(time.CLOCK_BOOTTIME) - passed_ns)


class MonotonicStamps:
    """CLOCK_MONOTONIC stamps of one device on CLOCK_BOOTTIME. One thread at a time."""

    def __init__(self) -> None:
        self._difference_ns: int | None = None

    def boottime_ns(self, monotonic_ns: int) -> int | None:
        """``None`` for a stamp that is not of this clock: older drivers stamp with the wall clock, broken ones with nothing."""
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        boottime = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        now = (before + time.clock_gettime_ns(time.CLOCK_MONOTONIC)) // 2
        if not now - _PLAUSIBLE_NS < monotonic_ns < now + _PLAUSIBLE_NS:
            return None
        found = boottime - now
        if self._difference_ns is None or abs(found - self._difference_ns) > _SUSPENDED_NS:
            self._difference_ns = found
        return monotonic_ns + self._difference_ns
