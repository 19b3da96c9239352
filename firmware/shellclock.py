"""From the port's clock readings to the firmware's timestamps: the one place where the two types meet."""

from __future__ import annotations

from firmware.timebase import Timestamp, Trust
from hal.interfaces import Clock, ClockReading

_TRUST = {trust.value: trust for trust in Trust}


def stamp(reading: ClockReading) -> Timestamp:
    """A back-end's reading as a timestamp; the trust levels have the same names on both sides."""
    return Timestamp(reading.boottime_ns, reading.wall_ns, _TRUST[reading.trust.value], reading.uncertainty_ns)


def read_clock(clock: Clock) -> Timestamp:
    return stamp(clock.now())
