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
        ("d1000 u1100 d1300 t4350 u9000", ["Pressed@1000", "DoublePressed@1300"]),
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


def test_function_button() -> None:
    """Edges for mute (BWC-POL-17), a hold for sleep (BWC-POL-16)."""
    assert gestures("d1000 u1200", Button.FUNCTION) == ["FunctionPressed@1000", "FunctionReleased@1200"]
    assert gestures("d1000 t4050 u5000", Button.FUNCTION) == ["FunctionPressed@1000", "SleepRequested@4000", "FunctionReleased@5000"]
    assert gestures("d1000 u4500", Button.FUNCTION) == ["FunctionPressed@1000", "SleepRequested@4000", "FunctionReleased@4500"]
    assert gestures("d1000 d1010 u1200 d1210 u1300 t9000", Button.FUNCTION)[:2] == ["FunctionPressed@1000", "FunctionReleased@1200"]


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
