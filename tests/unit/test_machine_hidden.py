"""What the camera may hide when the policy lets it: sound (mute), itself (stealth), everything (sleep)."""

from __future__ import annotations

import pytest
from helpers_machine import Hand, at, policy, ready, recording

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.indicators import CUES, Colour, Cue, CueName, Lamp
from firmware.machine.states import Button, State, TimerName
from firmware.machine.table import TABLE
from firmware.policy.model import MuteMode, Policy

FUNCTION = Button.FUNCTION
HIDING = policy(indicators={"stealth": True, "stealth_max_seconds": 300}, mute={"mode": MuteMode.TOGGLE}, sleep={"allowed": True})


def both(hand: Hand, second: float, length: float = 3.2, apart: float = 0.1) -> None:
    """Both buttons down, the function button ``apart`` seconds later, and up again together."""
    hand.edge(second, True)
    hand.edge(second + apart, True, FUNCTION)
    hand.edge(second + apart + length, False)
    hand.edge(second + apart + length, False, FUNCTION)


def leaves(hand: Hand) -> list[tuple[bool, str]]:
    return [(bool(one.fields["entered"]), str(one.fields["cause"])) for one in hand.all(do.Write) if one.kind == "stealth"]


# Mute.


@pytest.mark.parametrize(("mode", "calls"), [(MuteMode.OFF, 0), (MuteMode.HOLD, 2), (MuteMode.TOGGLE, 1)])
def test_mute_by_policy(mode: MuteMode, calls: int) -> None:
    """BWC-POL-17: one hold of the function button; the stop unmutes; outside a recording there is nothing to mute."""
    hand = recording(policy(mute={"mode": mode}))
    hand.hold(50, 1.0, FUNCTION)
    assert len(hand.all(do.Mute)) + len(hand.all(do.Unmute)) == calls
    hand.hold(60)
    assert len(hand.all(do.Mute)) == len(hand.all(do.Unmute))
    hand.hold(70, 1.0, FUNCTION)
    assert len(hand.all(do.Mute)) == (calls + 1) // 2


def test_a_brush_of_the_button_mutes_nothing() -> None:
    """BWC-POL-17: a tap is for the lists."""
    hand = recording(policy(mute={"mode": MuteMode.TOGGLE}))
    hand.edge(50, True, FUNCTION)
    hand.edge(50.79, False, FUNCTION)
    assert hand.all(do.Mute) == []


def test_a_mute_is_shown_and_ends_by_itself_if_the_policy_says_so() -> None:
    """BWC-POL-17: the lamp for the microphone, and the option to unmute after a time, with its cause."""
    hand = recording(policy(mute={"mode": MuteMode.TOGGLE, "auto_unmute_seconds": 60}))
    hand.hold(50, 1.0, FUNCTION)
    assert hand.all(do.Show)[-1].signal.status == Lamp(Colour.BLUE, 500)
    hand.wait(120)
    assert hand.all(do.Unmute) == [do.Unmute(at(110.85), "policy")]
    assert hand.all(do.Show)[-1].signal.status == Lamp(Colour.RED)
    hand.hold(130, 1.0, FUNCTION)
    hand.hold(140)
    assert TimerName.UNMUTE not in hand.timers
    assert len(hand.all(do.Mute)) == len(hand.all(do.Unmute)) == 2


# Stealth.


def test_stealth_is_felt_and_not_seen() -> None:
    """BWC-POL-15: both hands, three seconds; dark and silent while pictures are kept, every cue felt, the reminder too."""
    hand = recording(HIDING)
    both(hand, 50)
    assert hand.state is State.RECORDING
    assert hand.all(do.StopRecording) == hand.all(do.Mute) == []
    assert hand.all(do.Show)[-1].signal == do.Show(do.Signal(Lamp(), Lamp(), Cue((), CUES[CueName.STEALTH].pulses))).signal
    hand.tap(60)
    assert hand.all(do.Show)[-1].signal.cue == Cue((), CUES[CueName.MARK].pulses)
    hand.wait(170)
    assert hand.all(do.Show)[-1].signal.cue == Cue((), CUES[CueName.REMINDER].pulses)
    both(hand, 200)
    assert hand.all(do.Show)[-1].signal.subject == Lamp(Colour.RED)
    assert leaves(hand) == [(True, "button"), (False, "button")]
    hand.hold(210)
    assert hand.state is State.READY


def test_stealth_ends_after_the_policys_time() -> None:
    """BWC-POL-15: bounded; the wearer feels it, and the lamp is lit again while recording goes on."""
    hand = recording(HIDING)
    both(hand, 50)
    hand.wait(400)
    assert leaves(hand) == [(True, "button"), (False, "policy")]
    assert hand.all(do.Show)[-1].signal.subject == Lamp(Colour.RED)
    assert hand.state is State.RECORDING


@pytest.mark.parametrize("cause", ["docked", "shutdown", "sleep"])
def test_stealth_does_not_outlive_its_occasion(cause: str) -> None:
    """BWC-POL-15: the dock, sleep and the end of the run end it, in writing, before the run's last leaf."""
    hand = ready(HIDING)
    both(hand, 10)
    if cause == "docked":
        hand.tell(ev.Docked(at(20)))
    elif cause == "sleep":
        hand.hold(20, button=FUNCTION)
    else:
        hand.tell(ev.ShutdownRequested(at(20), "asked"))
        assert hand.writes()[-2:] == ["stealth", "shutdown"]
    assert leaves(hand) == [(True, "button"), (False, cause)]
    assert not hand.model.stealth
    assert TimerName.STEALTH not in hand.timers


def test_a_ready_camera_in_stealth_reminds_of_it() -> None:
    """BWC-POL-15, BWC-POL-14."""
    hand = ready(HIDING)
    both(hand, 10)
    hand.wait(140)
    assert hand.all(do.Show)[-1].signal.cue == Cue((), CUES[CueName.REMINDER].pulses)


def test_the_default_policy_denies_stealth_and_a_hold_stops() -> None:
    """BWC-POL-15: denied by default; there both buttons are two buttons, and the record button's hold ends the recording."""
    hand = recording()
    both(hand, 50)
    assert hand.state is State.READY
    assert leaves(hand) == []
    assert not Policy().indicators.stealth


def test_who_lets_the_other_button_go_has_held_one() -> None:
    """BWC-POL-02, BWC-POL-15: where stealth is allowed a hold of the record button alone, or with a late second finger, still stops."""
    for function_down, function_up in ((50.1, 52.0), (51.0, 53.9)):
        hand = recording(HIDING)
        hand.edge(50, True)
        hand.edge(function_down, True, FUNCTION)
        for second, pressed, button in sorted([(function_up, False, FUNCTION), (53.5, False, Button.RECORD)], key=lambda one: one[0]):
            hand.edge(second, pressed, button)
        assert hand.state is State.READY, function_down
        assert leaves(hand) == []


def test_a_double_press_with_the_other_finger_down_records() -> None:
    """BWC-POL-01: no chord swallows a press."""
    hand = ready(HIDING)
    hand.edge(39.6, True, FUNCTION)
    hand.double(40)
    assert hand.state is State.RECORDING


def test_nothing_but_two_hands_leads_into_stealth() -> None:
    """BWC-POL-15, BWC-POL-07: one event in the table, made of edges of both buttons alone."""
    entering = {row.event for row in TABLE if row.act.__name__ == "enter"}
    assert entering == {ev.StealthRequested}
    assert {row.event for row in TABLE if row.act.__module__.endswith("stealth")} == {ev.StealthRequested, ev.Elapsed}
    assert {row.act.__name__ for row in TABLE if row.event is ev.Elapsed and row.act.__module__.endswith("stealth")} == {"run_out"}


# Sleep.


def test_who_sleeps_is_reminded_at_least_every_fifteen_minutes() -> None:
    """BWC-POL-16: whatever the policy says; felt as well as heard."""
    assert Policy().sleep.reminder_seconds <= 900
    hand = ready(policy(sleep={"allowed": True}))
    hand.hold(10, button=FUNCTION)
    hand.wait(2000)
    reminders = [when for when, one in hand.told if isinstance(one, do.Show) and one.signal.cue == CUES[CueName.REMINDER]]
    assert reminders[0] - 13 <= 900.1
    assert reminders[1] - reminders[0] <= 900.1
    assert CUES[CueName.REMINDER].pulses
