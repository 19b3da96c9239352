"""Battery and room, judged with hysteresis so that a value on the edge does not chatter.

Refuses to know what follows from a level: that is the table's.
"""

from __future__ import annotations

from firmware.machine.states import Battery
from firmware.policy.model import Battery as BatteryRules
from firmware.policy.model import Heat as HeatRules
from firmware.policy.model import Policy

AUDIO_BPS = 128_000
"""More than any AAC track of ours takes: an estimate of room errs on the safe side."""
HYSTERESIS_PERCENT = 3
"""A level is left only this many percent above the threshold that entered it."""
HYSTERESIS_CELSIUS = 5


def battery_level(now: Battery, percent: int, rules: BatteryRules) -> Battery:
    """The level at ``percent`` for a battery that was at ``now`` (BWC-POL-48)."""
    if percent <= rules.critical_percent or (now is Battery.CRITICAL and percent < rules.critical_percent + HYSTERESIS_PERCENT):
        return Battery.CRITICAL
    if percent <= rules.warn_percent or (now is not Battery.OK and percent < rules.warn_percent + HYSTERESIS_PERCENT):
        return Battery.LOW
    return Battery.OK


def is_hot(now: bool, celsius: int, throttled: bool, rules: HeatRules) -> bool:
    """Whether the board is hot, for one that was or was not ``now``."""
    limit = rules.limit_celsius - (HYSTERESIS_CELSIUS if now else 0)
    return throttled or celsius >= limit


def minutes_left(room_bytes: int, policy: Policy) -> int:
    """Whole recording minutes that fit into ``room_bytes``, what is free above the policy's reserve (BWC-POL-23)."""
    bits_per_second = policy.video.bitrate_bps + (AUDIO_BPS if policy.audio.enabled else 0)
    return max(0, room_bytes) * 8 // bits_per_second // 60


def room_warning(minutes: int, first: int, last: int) -> int:
    """0: enough room; 1: the first warning is due; 2: the last one."""
    return 2 if minutes <= last else 1 if minutes <= first else 0
