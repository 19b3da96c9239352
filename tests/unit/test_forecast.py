"""Minutes of recording left (BWC-POL-48): never negative, never jumping about, short rather than long; and the daemon that tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers_machine import at, policy, ready
from hypothesis import given
from hypothesis import strategies as st
from prepared import prepare

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.forecast import MOST_MINUTES, Cell, battery_minutes, follow, heat_minutes, is_measured, is_short
from firmware.machine.indicators import CUES, CueName
from firmware.policy.model import Policy

MINUTE = 60_000_000_000
RULES = Policy().battery
LOADS = st.sampled_from(["recording", "ready"])


def drained(falls: list[tuple[float, int]], load: str = "recording", celsius: int = 30) -> Cell:
    """After readings at minutes."""
    cell = Cell()
    for minute, percent in falls:
        cell = follow(cell, round(minute * MINUTE), percent, celsius, False, load)
    return cell


def steady(per_minute: float, minutes: int, start: int = 100) -> list[tuple[float, int]]:
    return [(minute, start - int(minute * per_minute)) for minute in range(minutes)]


def test_the_policy_is_believed_until_the_drain_is_known() -> None:
    cell = drained([(0, 80)])
    assert not is_measured(cell)
    assert battery_minutes(cell, 80, 0, RULES) == 76 * RULES.full_minutes // 100
    fast = drained(steady(1.0, 3))
    assert not is_measured(fast)
    assert battery_minutes(fast, 98, 2 * MINUTE, RULES) == 94, "a cell that falls faster than assumed is believed at once"


@pytest.mark.parametrize("per_minute", [0.1, 0.25, 0.5, 1.0])
def test_a_steady_drain_is_known_and_the_forecast_comes_true(per_minute: float) -> None:
    minutes = 60
    cell = drained(steady(per_minute, minutes))
    assert is_measured(cell)
    truth = (100 - minutes * per_minute - RULES.critical_percent) / per_minute
    percent = 100 - int((minutes - 1) * per_minute)
    found = battery_minutes(cell, percent, (minutes - 1) * MINUTE, RULES)
    assert 0.85 * truth - 2 / per_minute <= found <= 1.05 * truth + 1 / per_minute


def test_one_wrong_reading_changes_little() -> None:
    """A gauge that jumps down by ten and comes back: what it says next counts from there, and the median hardly moves."""
    falls = steady(0.5, 60)
    right = drained(falls)
    wrong = drained([*falls[:30], (29.5, 60), *falls[30:]])
    assert wrong.recording == pytest.approx(right.recording, rel=0.5)


def test_the_drain_of_a_resting_camera_is_not_taken_for_that_of_a_recording_one() -> None:
    cell = drained(steady(0.02, 120), "sleeping")
    assert not is_measured(cell)
    assert battery_minutes(cell, 98, 120 * MINUTE, RULES) <= 94 * RULES.full_minutes // 100
    known = replace(drained(steady(0.5, 60)), load="ready", steps=())
    assert battery_minutes(known, 54, 60 * MINUTE, RULES) == 100


def test_a_charger_ends_what_was_seen_and_keeps_what_is_known() -> None:
    cell = follow(drained(steady(0.5, 60)), 61 * MINUTE, 71, 30, True, "docked")
    assert (cell.steps, cell.load, is_measured(cell)) == ((), "", True)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**12), st.integers(0, 100), st.integers(-40, 120), st.booleans(), st.sampled_from(["recording", "ready"])
        ),
        max_size=40,
    ),
    st.integers(0, 100),
)
def test_whatever_is_read_the_minutes_are_whole_and_never_negative(readings: list, percent: int) -> None:
    cell, now = Cell(), 0
    for step, level, celsius, charging, load in readings:
        now += step
        cell = follow(cell, now, level, celsius, charging, load)
        for shown in (level, percent):
            found = battery_minutes(cell, shown, now, RULES)
            assert type(found) is int
            assert 0 <= found <= MOST_MINUTES
            assert found == 0 or shown > RULES.critical_percent
        heat = heat_minutes(cell, celsius, 75)
        assert heat is None or (heat == 0) >= (celsius >= 75)
        assert heat is None or 0 <= heat <= MOST_MINUTES


@given(st.lists(st.integers(0, 1), min_size=100, max_size=300), st.integers(1, 4))
def test_a_cell_that_only_drains_alarms_once(falls: list[int], minutes_each: int) -> None:
    """However unevenly: the alarm is given once and stays, unless twice the minutes are left after all."""
    cell, short, alarms, percent = Cell(), False, [], 60
    for number, fall in enumerate(falls):
        percent = max(0, percent - fall)
        now = number * minutes_each * MINUTE
        cell = follow(cell, now, percent, 30, False, "recording")
        found = battery_minutes(cell, percent, now, RULES)
        was, short = short, is_short(short, found, RULES)
        alarms += [found] if short and not was else []
        if was and not short:
            assert found >= 2 * RULES.warn_minutes
    assert percent > RULES.critical_percent or alarms


@given(st.lists(st.integers(RULES.warn_minutes - 15, RULES.warn_minutes + 15), min_size=1))
def test_around_the_mark_the_alarm_does_not_flap(minutes: list[int]) -> None:
    short, changes = False, 0
    for one in minutes:
        was, short = short, is_short(short, one, RULES)
        changes += was is not short
    assert changes <= 1
    assert not is_short(short, None, RULES), "on the charger"


def test_heat_is_told_while_the_board_warms_up() -> None:
    cell = Cell()
    for minute in range(10):
        cell = follow(cell, minute * MINUTE, 80, 50 + 2 * minute, False, "recording")
    assert heat_minutes(cell, 68, 75) == 3
    assert heat_minutes(cell, 75, 75) == 0
    assert heat_minutes(drained(steady(0.5, 20)), 30, 75) is None


def test_the_machine_alarms_once_and_again_after_a_charge() -> None:
    hand = ready(policy(battery={"warn_minutes": 20}))
    for second, minutes in ((10, 21), (20, 20), (30, 19), (40, 30), (50, None), (60, 18)):
        hand.tell(ev.BatteryForecast(at(second), minutes))
    told = [(seconds, one.fields["event"]) for seconds, one in hand.told if isinstance(one, do.Write) and one.kind == "power"]
    assert told == [(20, "short"), (60, "short")]
    felt = [seconds for seconds, one in hand.told if isinstance(one, do.Show) and one.signal.cue == CUES[CueName.LOW_BATTERY]]
    assert felt == [20, 60]


def test_a_fast_cell_alarms_by_minutes_long_before_its_percent_would(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of one hour: 20 minutes are left at 37 %, and the percent's alarm is at 15."""
    prepare(monkeypatch)
    bench = make_bench(pre_event=1)
    bench.world.battery.life_ns = 60 * MINUTE
    bench.world.set_power(48)
    bench.world.double_press(bench.at(3))
    bench.run(13 * 60)
    (short,) = [one for one in bench.entries() if one.kind == "power"]
    assert short.fields["event"] == "short"
    assert 33 <= short.fields["percent"] <= 42
    facts = json.loads((bench.config.run_directory / "status.json").read_bytes())
    left = facts["forecast"]
    assert (facts["battery_short"], facts["battery"], left["battery_measured"]) == (True, "ok", True)
    truth = (facts["power"]["percent"] - RULES.critical_percent) * 60 / 100
    assert truth * 0.85 - 1 <= left["battery_minutes"] <= truth + 1
    assert left["minutes"] == left["battery_minutes"]
