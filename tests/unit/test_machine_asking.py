"""Questions to the wearer: asked after a stop or a mute, stepped through by taps, answered once, in nobody's way."""

from __future__ import annotations

from typing import Any

import pytest
from helpers_machine import Hand, at, policy, ready, recording

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.indicators import CUES, Colour, Counted, CueName, Lamp, count
from firmware.machine.states import Button, Cause, Port, State, TimerName
from firmware.policy.lists import CATEGORIES, MUTE_REASONS, NOT_GIVEN, STOP_REASONS
from firmware.policy.model import MuteMode, Policy

FUNCTION = Button.FUNCTION


def asks(**sections: dict[str, Any]) -> Policy:
    """A policy that asks about everything, with toggled mute; ``sections`` over it."""
    reasons = {"ask_on_stop": True, "ask_on_mute": True}
    base: dict[str, dict[str, Any]] = {"reasons": reasons, "categories": {"ask_on_stop": True}, "mute": {"mode": MuteMode.TOGGLE}}
    return policy(**{name: base.get(name, {}) | sections.get(name, {}) for name in base.keys() | sections.keys()})


def answers(hand: Hand) -> list[tuple[str, str]]:
    return [(one.about.value, one.code) for one in hand.all(do.Annotate)]


def cues(hand: Hand, since: float) -> list[tuple[float, object]]:
    """(second, cue) played after an instant."""
    return [(round(when, 2), one.signal.cue) for when, one in hand.told if isinstance(one, do.Show) and one.signal.cue and when > since]


def test_a_stop_asks_why_and_then_what_it_was() -> None:
    """BWC-POL-04, BWC-POL-18: the cue of the stop, a moment later the question, two taps, a pause; then the category."""
    hand = recording(asks())
    hand.hold(50)
    for second in (56, 57):
        hand.tap(second, FUNCTION)
    hand.tap(63, FUNCTION)
    hand.wait(80)
    assert answers(hand) == [("stop-reason", STOP_REASONS[1].code), ("category", CATEGORIES[0].code)]
    told = cues(hand, since=52)
    assert told[0] == (53.05, CUES[CueName.STOP])
    assert (54.5, CUES[CueName.ASK_REASON]) in told
    assert [cue for when, cue in told if 56 <= when < 58] == [count(Counted(place, STOP_REASONS[place].label)) for place in (0, 1)]
    assert (59.5, CUES[CueName.ANSWERED]) in told
    assert (61.0, CUES[CueName.ASK_CATEGORY]) in told
    assert hand.state is State.READY


def test_no_answer_in_eight_seconds_is_not_given() -> None:
    """BWC-POL-04: of each question; the stop was long over."""
    hand = recording(asks())
    hand.hold(50)
    assert hand.all(do.StopRecording) == [do.StopRecording(Cause.BUTTON, at(53))]
    hand.wait(80)
    assert answers(hand) == [("stop-reason", NOT_GIVEN), ("category", NOT_GIVEN)]
    times = [one.at.boottime_ns / 1e9 for one in hand.all(do.Annotate)]
    assert times == [54.5 + 8, 64 + 8]
    assert TimerName.ANSWER not in hand.timers


def test_the_default_policy_asks_nothing_and_still_takes_a_category() -> None:
    """BWC-POL-18: while recording a tap opens the list, taps step through it, a hold takes it at once."""
    hand = recording()
    hand.tap(50, FUNCTION)
    assert hand.all(do.Show)[-1].signal.cue == CUES[CueName.ASK_CATEGORY]
    assert hand.all(do.Show)[-1].signal.status == Lamp(Colour.GREEN, 125)
    for second in (51, 52, 53):
        hand.tap(second, FUNCTION)
    hand.hold(54, 1.0, FUNCTION)
    assert answers(hand) == [("category", CATEGORIES[2].code)]
    assert hand.all(do.Mute) == []
    assert hand.all(do.Show)[-1].signal.status == Lamp(Colour.RED)
    hand.hold(60)
    hand.wait(90)
    assert len(answers(hand)) == 1


def test_a_later_answer_is_another_one() -> None:
    """BWC-POL-04, BWC-POL-31: the first stays as it was, also after the stop."""
    hand = recording()
    for first in (50, 60):
        for tap in range(2 if first == 50 else 4):
            hand.tap(first + tap, FUNCTION)
    hand.wait(70)
    hand.hold(70)
    hand.tap(75, FUNCTION)
    hand.tap(76, FUNCTION)
    hand.wait(90)
    assert answers(hand) == [("category", CATEGORIES[place].code) for place in (0, 2, 0)]


def test_a_list_that_was_opened_and_left_is_no_answer() -> None:
    """BWC-POL-04: nobody had asked, so nothing was not given; the lamp says that it is closed."""
    hand = recording()
    hand.tap(50, FUNCTION)
    hand.wait(60)
    assert answers(hand) == []
    assert hand.all(do.Show)[-1].signal.cue == CUES[CueName.NOT_ANSWERED]


def test_the_list_goes_round() -> None:
    hand = recording()
    hand.tap(50, FUNCTION)
    for step in range(len(CATEGORIES) + 1):
        hand.tap(51 + step, FUNCTION)
    hand.wait(70)
    assert answers(hand) == [("category", CATEGORIES[0].code)]


def test_the_next_recording_waits_for_no_answer() -> None:
    """BWC-POL-01, BWC-POL-04: it starts at once; what was not answered by then was not given, and what was chosen is taken."""
    hand = recording(asks())
    hand.hold(50)
    hand.tap(55, FUNCTION)
    hand.double(56)
    assert hand.state is State.RECORDING
    assert answers(hand) == [("stop-reason", STOP_REASONS[0].code), ("category", NOT_GIVEN)]
    order = [type(one) for _, one in hand.told if isinstance(one, do.Annotate | do.StartRecording)]
    assert order == [do.StartRecording, do.Annotate, do.Annotate, do.StartRecording]
    hand.wait(70)
    assert len(answers(hand)) == 2


def test_a_category_that_was_given_is_not_asked_for_again() -> None:
    hand = recording(asks(reasons={"ask_on_stop": False}))
    hand.tap(45, FUNCTION)
    hand.tap(46, FUNCTION)
    hand.wait(50)
    hand.hold(50)
    hand.wait(80)
    assert answers(hand) == [("category", CATEGORIES[0].code)]


def test_after_a_split_there_is_another_recording_to_name() -> None:
    """BWC-POL-06: the category of the first half says nothing of the second."""
    hand = recording(asks(reasons={"ask_on_stop": False}, recording={"max_seconds": 60}))
    hand.tap(45, FUNCTION)
    hand.tap(46, FUNCTION)
    hand.hold(110)
    hand.wait(140)
    assert answers(hand) == [("category", CATEGORIES[0].code), ("category", NOT_GIVEN)]


def test_only_the_wearers_stop_asks() -> None:
    """BWC-POL-04: a fault, a full store and the end of the run have told their own cause."""
    hand = recording(asks())
    hand.tell(ev.Faulted(at(50), Port.CAMERA, "gone"))
    hand.tell(ev.Recovered(at(55), Port.CAMERA))
    hand.tell(ev.StorageFilled(at(60)))
    hand.wait(90)
    assert answers(hand) == []


def test_the_end_of_the_run_leaves_no_question_open() -> None:
    """BWC-POL-04: answered before the last entry."""
    hand = recording(asks())
    hand.hold(50)
    hand.tell(ev.ShutdownRequested(at(55), "asked"))
    assert answers(hand) == [("stop-reason", NOT_GIVEN), ("category", NOT_GIVEN)]
    kept = [one for _, one in hand.told if isinstance(one, do.Annotate | do.Write | do.Halt | do.CancelTimer)]
    assert isinstance(kept[-1], do.Halt)
    assert max(i for i, one in enumerate(kept) if isinstance(one, do.Annotate)) < kept.index(hand.all(do.Write)[-1])
    assert TimerName.ANSWER not in hand.timers


def test_a_mute_asks_why_and_is_not_held_up() -> None:
    """BWC-POL-04, BWC-POL-17, BWC-POL-20: muted at the hold, asked after it; the answer ends neither mute nor recording."""
    hand = recording(asks())
    hand.hold(50, 1.0, FUNCTION)
    assert hand.all(do.Mute) == [do.Mute(at(50.85))]
    hand.tap(54, FUNCTION)
    hand.wait(60)
    assert answers(hand) == [("mute-reason", MUTE_REASONS[0].code)]
    assert hand.all(do.Unmute) == []
    hand.hold(61, 1.0, FUNCTION)
    assert hand.all(do.Unmute) == [do.Unmute(at(61.85))]
    hand.wait(80)
    assert len(answers(hand)) == 1


def test_a_hold_without_a_step_still_mutes_while_the_camera_asks() -> None:
    """BWC-POL-04: a question blocks no mute; only a choice that was stepped to makes a hold its answer."""
    hand = recording(asks())
    hand.hold(50, 1.0, FUNCTION)
    hand.hold(54, 1.0, FUNCTION)
    hand.hold(57, 1.0, FUNCTION)
    assert (len(hand.all(do.Mute)), len(hand.all(do.Unmute))) == (2, 1)


@pytest.mark.parametrize("stopped", [False, True])
def test_muting_by_holding_asks_when_the_finger_is_off(stopped: bool) -> None:
    """BWC-POL-04: nobody can tap a button that is held."""
    hand = recording(asks(mute={"mode": MuteMode.HOLD}))
    hand.edge(50, True, FUNCTION)
    if stopped:
        hand.hold(70)
    hand.edge(80, False, FUNCTION)
    hand.wait(120)
    expected = [("mute-reason", NOT_GIVEN)] + ([("stop-reason", NOT_GIVEN), ("category", NOT_GIVEN)] if stopped else [])
    assert answers(hand) == expected


def test_marks_and_taps_of_the_record_button_are_as_without_a_question() -> None:
    """BWC-POL-02, BWC-POL-18."""
    hand = recording(asks())
    hand.tap(50, FUNCTION)
    hand.tap(51)
    assert hand.all(do.AddMark) == [do.AddMark(at(51))]
    hand.hold(53)
    assert hand.state is State.READY


def test_the_critical_category_is_flagged() -> None:
    """BWC-POL-21: by the code that the policy names, and no other."""
    place = next(i for i, one in enumerate(CATEGORIES) if one.code == "CRITICAL")
    hand = recording()
    for tap in range(place + 2):
        hand.tap(50 + tap, FUNCTION)
    hand.wait(70)
    assert [(one.code, one.critical) for one in hand.all(do.Annotate)] == [("CRITICAL", True)]
    other = recording(policy(categories={"critical": "SEARCH"}))
    for tap in range(place + 2):
        other.tap(50 + tap, FUNCTION)
    other.wait(70)
    assert [(one.code, one.critical) for one in other.all(do.Annotate)] == [("CRITICAL", False)]


def test_an_empty_list_is_never_asked_about() -> None:
    empty = asks(categories={"choices": ()}, reasons={"stop": ()})
    hand = recording(empty)
    hand.tap(45, FUNCTION)
    hand.hold(50)
    hand.wait(80)
    assert answers(hand) == []
    assert hand.model.question is None


def test_before_the_first_recording_a_tap_means_nothing() -> None:
    hand = ready()
    hand.tap(10, FUNCTION)
    assert hand.model.question is None
