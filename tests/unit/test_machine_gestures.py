"""Edges to gestures: tap, double press, hold, bounce, lost edges (BWC-POL-01, BWC-POL-02)."""

from __future__ import annotations

import pytest
from helpers_machine import at

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.gestures import SETTLE_NS, Finger, elapse, feed
from firmware.machine.states import Button, TimerName
from firmware.policy.model import Activation

RULES = Activation()


def gestures(edges: str, button: Button = Button.RECORD, rules: Activation = RULES) -> list[str]:
    """``"d0 u100 d300 t3450"``: down, up, timer at milliseconds -> gestures with their instants in ms."""
    finger, out = Finger(), []
    for word in edges.split():
        when = at(int(word[1:]) / 1000)
        if word[0] == "t":
            name = TimerName.RECORD_HOLD if button is Button.RECORD else TimerName.FUNCTION_HOLD
            finger, made, _ = elapse(finger, ev.Elapsed(when, name), rules)
        else:
            finger, made, _ = feed(finger, ev.ButtonChanged(when, button, word[0] == "d"), rules)
        out += [f"{type(one).__name__}@{one.at.boottime_ns // 1_000_000}" for one in made]
    return out


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("d1000 u1100", ["Pressed@1000"]),
        ("d1000 u1100 d1300", ["Pressed@1000", "DoublePressed@1300"]),
        ("d1000 u1100 d1300 u1400", ["Pressed@1000", "DoublePressed@1300"]),
        ("d1000 u1100 d1600 u1700", ["Pressed@1000", "DoublePressed@1600"]),
        ("d1000 u1100 d1601 u1700", ["Pressed@1000", "Pressed@1601"]),
        ("d1000 u1100 d1300 u1400 d1500 u1600", ["Pressed@1000", "DoublePressed@1300", "Pressed@1500"]),
        ("d1000 u1100 d1300 u1400 d1500 u1600 d1700", ["Pressed@1000", "DoublePressed@1300", "Pressed@1500", "DoublePressed@1700"]),
        ("d1000 t4050 u5000", ["Held@4000"]),
        ("d1000 u4000 t4050", ["Held@4000"]),
        ("d1000 u3999 t4050", ["Pressed@1000"]),
        ("d1000 t4050 u5000 d5100 u5200", ["Held@4000", "Pressed@5100"]),
        ("d1000 u1100 d1300 t4350 u9000", ["Pressed@1000", "DoublePressed@1300", "Held@4300"]),
        ("d1000 u1100 d1300 u4300", ["Pressed@1000", "DoublePressed@1300", "Held@4300"]),
        ("d1000 u1100 d1300 u4299 t4350", ["Pressed@1000", "DoublePressed@1300"]),
        ("d1000 u1100 d1300 u2000 d2010 u4350", ["Pressed@1000", "DoublePressed@1300", "Held@4300"]),
        ("d1000 u1100 d1300 d2000 u2100", ["Pressed@1000", "DoublePressed@1300", "Pressed@2000"]),
        ("d1000 u1100 d1110 u1200 d1500 u1600", ["Pressed@1000", "DoublePressed@1500"]),
        ("d1000 u2000 d2010 t4050 u4100", ["Pressed@1000", "Held@4000"]),
        ("d1000 u1004 d1009 u1100", ["Pressed@1000"]),
        ("d1000 d1005 u1100", ["Pressed@1000"]),
        ("d1000 d1300 u1400", ["Pressed@1000", "DoublePressed@1300"]),
        ("d1000 d3000 t4050 u4200", ["Pressed@1000", "Pressed@3000"]),
        ("u1000 d1300 u1400", ["Pressed@1300"]),
        ("t1000 d1300 t1400 u1500", ["Pressed@1300"]),
    ],
)
def test_rhythms(edges: str, expected: list[str]) -> None:
    """A tap is told at its release, a double press at its second edge, a hold when it has lasted (BWC-POL-01, BWC-POL-02)."""
    assert gestures(edges) == expected


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ("d1000 u1200", ["FunctionTapped@1000"]),
        ("d1000 u1799 t1850", ["FunctionTapped@1000"]),
        ("d1000 u1800", ["FunctionHeld@1800", "FunctionReleased@1800"]),
        ("d1000 t1850 u2000", ["FunctionHeld@1850", "FunctionReleased@2000"]),
        ("d1000 t1850 t4050 u5000", ["FunctionHeld@1850", "SleepRequested@4000", "FunctionReleased@5000"]),
        ("d1000 t1850 u4500", ["FunctionHeld@1850", "SleepRequested@4000", "FunctionReleased@4500"]),
        ("d1000 u4500", ["FunctionHeld@4500", "SleepRequested@4000", "FunctionReleased@4500"]),
        ("d1000 d1010 u1200 d1210 u1300 t9000", ["FunctionTapped@1000"]),
        ("d1000 u1200 d1210 t1850 u1900", ["FunctionTapped@1000", "FunctionHeld@1850", "FunctionReleased@1900"]),
        ("d1000 u1200 d1300 u1400", ["FunctionTapped@1000", "FunctionTapped@1300"]),
        ("d1000 d1500 u1600", ["FunctionTapped@1000", "FunctionTapped@1500"]),
        ("d1000 t1850 d2500 u2600", ["FunctionHeld@1850", "FunctionReleased@2500", "FunctionTapped@2500"]),
        ("u1000 t2000", []),
    ],
)
def test_function_button(edges: str, expected: list[str]) -> None:
    """Tap (BWC-POL-04, BWC-POL-18), hold (BWC-POL-17), long hold (BWC-POL-16); a lost release is a tap, never a hold."""
    assert gestures(edges, Button.FUNCTION) == expected


def test_the_function_buttons_timer_waits_for_the_hold_and_then_for_the_long_one() -> None:
    finger, _, first = feed(Finger(), ev.ButtonChanged(at(1), Button.FUNCTION, True), RULES)
    assert first == (do.SetTimer(TimerName.FUNCTION_HOLD, 1_800_000_000 + SETTLE_NS),)
    finger, _, second = elapse(finger, ev.Elapsed(at(1.85), TimerName.FUNCTION_HOLD), RULES)
    assert second == (do.SetTimer(TimerName.FUNCTION_HOLD, 4_000_000_000 + SETTLE_NS),)
    _, _, third = elapse(finger, ev.Elapsed(at(4.05), TimerName.FUNCTION_HOLD), RULES)
    assert third == ()


def test_the_hold_timer_leaves_a_release_time_to_arrive() -> None:
    finger, _, effects = feed(Finger(), ev.ButtonChanged(at(1), Button.RECORD, True), RULES)
    assert effects == (do.SetTimer(TimerName.RECORD_HOLD, 4_000_000_000 + SETTLE_NS),)
    _, _, effects = feed(finger, ev.ButtonChanged(at(2), Button.RECORD, False), RULES)
    assert effects == (do.CancelTimer(TimerName.RECORD_HOLD),)


def test_policy_sets_the_times() -> None:
    rules = Activation(double_press_ms=200, hold_to_stop_ms=5000)
    assert gestures("d1000 u1100 d1300 u1400", rules=rules) == ["Pressed@1000", "Pressed@1300"]
    assert gestures("d1000 t4050 u5999", rules=rules) == ["Pressed@1000"]
    assert gestures("d1000 t6050 u7000", rules=rules) == ["Held@6000"]
