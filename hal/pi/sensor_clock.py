"""The sensor's time stamps on the firmware's clocks.

libcamera documents ``SensorTimestamp`` as CLOCK_BOOTTIME; kernels' capture drivers have been seen to fill in CLOCK_MONOTONIC
(libcamera bug 254). The two differ by the time that the machine was suspended. Responsible for telling which it is, from the first
stamp, and for the wall time of an exposure. Refuses to know cameras.
"""

from __future__ import annotations

import time

from hal.instants import reading_at
from hal.interfaces import Clock, ClockReading


class SensorClock:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_ns: int | None = None

    def boottime_ns(self, sensor_ns: int) -> int:
        """Boot time of a stamp. The first one decides which clock it is of: the one that it is nearer to."""
        if self._offset_ns is None:
            boot_ns, monotonic_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            suspended_ns = boot_ns - monotonic_ns
            self._offset_ns = 0 if abs(boot_ns - sensor_ns) <= abs(monotonic_ns - sensor_ns) else suspended_ns
        return sensor_ns + self._offset_ns

    def reading(self, sensor_ns: int) -> ClockReading:
        """Boot time and wall time of the exposure: the wall clock as it is now, taken back to then."""
        return reading_at(self._clock, self.boottime_ns(sensor_ns))
