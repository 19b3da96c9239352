"""Battery and room, judged with hysteresis so that a value on the edge does not chatter.

Refuses to know what follows from a level: that is the table's.
"""

from __future__ import annotations

from firmware.machine.states import Battery
from firmware.policy.model import Battery as BatteryRules

HYSTERESIS_PERCENT = 3
"""A level is left only this many percent above the threshold that entered it."""


def battery_level(now: Battery, percent: int, rules: BatteryRules) -> Battery:
    """The level at ``percent`` for a battery that was at ``now`` (BWC-POL-48)."""
    if percent <= rules.critical_percent or (now is Battery.CRITICAL and percent < rules.critical_percent + HYSTERESIS_PERCENT):
        return Battery.CRITICAL
    if percent <= rules.warn_percent or (now is not Battery.OK and percent < rules.warn_percent + HYSTERESIS_PERCENT):
        return Battery.LOW
    return Battery.OK


def minutes_left(free_bytes: int, reserve_bytes: int, bits_per_second: int) -> int:
    """Whole recording minutes that fit above the reserve (BWC-POL-23); ``bits_per_second`` is video and audio together."""
    if bits_per_second <= 0:
        raise ValueError(f"expected a positive bit rate, got {bits_per_second!r}")
    return max(0, free_bytes - reserve_bytes) * 8 // bits_per_second // 60


def room_warning(minutes: int, first: int, last: int) -> int:
    """0: enough room; 1: the first warning is due; 2: the last one."""
    return 2 if minutes <= last else 1 if minutes <= first else 0
