"""Levels with hysteresis, and room in minutes."""

from __future__ import annotations

from firmware.machine.health import battery_level, minutes_left, room_warning
from firmware.machine.states import Battery
from firmware.policy.model import Policy

RULES = Policy().battery


def follow(*percents: int) -> str:
    level, seen = Battery.OK, ""
    for percent in percents:
        level = battery_level(level, percent, RULES)
        seen += level.name[0]
    return seen


def test_a_level_is_left_three_percent_above_where_it_was_entered() -> None:
    """BWC-POL-48: warn at 15, critical at 4; no chatter at the edge."""
    assert follow(16, 15, 16, 17, 18) == "OLLLO"
    assert follow(5, 4, 5, 6, 7, 17, 18) == "LCCCLLO"
    assert follow(3, 30) == "CO"


def test_minutes_left() -> None:
    """BWC-POL-23: 4 Mbit/s and at most 128 kbit/s of sound are 30.96 MB a minute."""
    assert minutes_left(30_960_000, Policy()) == 1
    assert minutes_left(30_959_999, Policy()) == 0
    assert minutes_left(-5, Policy()) == 0


def test_room_warning() -> None:
    assert [room_warning(minutes, 60, 30) for minutes in (61, 60, 31, 30, 0)] == [0, 1, 1, 2, 2]
