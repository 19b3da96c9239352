"""Instants that a device reports on a clock of its own, brought to boot time and wall time.

Responsible for the one conversion that several ports need. Refuses to know any device. Pure but for the two reads of the kernel's
clocks in :func:`of_monotonic`.
"""

from __future__ import annotations

import time

from hal.interfaces import Clock, ClockReading


def of_boottime(now: ClockReading, boottime_ns: int) -> ClockReading:
    """The reading that ``now``'s clock would have given at ``boottime_ns``."""
    back_ns = now.boottime_ns - boottime_ns
    return ClockReading(boottime_ns, now.wall_ns - back_ns, now.trust, now.uncertainty_ns)


def of_monotonic(clock: Clock, monotonic_ns: int) -> ClockReading:
    """An instant on CLOCK_MONOTONIC, which stands still in suspend: right as long as there was none since."""
    passed_ns = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - monotonic_ns
    return of_boottime(clock.now(), time.clock_gettime_ns(time.CLOCK_BOOTTIME) - passed_ns)
