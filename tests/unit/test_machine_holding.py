"""A camera that the policy wants held after a critical recording (BWC-POL-21)."""

from __future__ import annotations

import pytest
from helpers_machine import Hand, at, fresh, pick, policy, ready, recording

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.indicators import CUES, CueName
from firmware.machine.machine import resumed
from firmware.machine.states import Button, Cause, Port, Previous, State
from firmware.machine.supervision import Step
from firmware.policy.lists import CATEGORIES

FUNCTION = Button.FUNCTION
HOLDS = policy(categories={"critical_hold": True})
ENTERED, AGAIN, RELEASED, UNWANTED = (True, "critical"), (True, "boot"), (False, "docked"), (False, "policy")


def call_critical(hand: Hand, seconds: float, *, code: str = "CRITICAL") -> None:
    """One tap opens the list, the others step; a hold takes it within four seconds."""
    place = next(i for i, one in enumerate(CATEGORIES) if one.code == code)
    for tap in range(place + 2):
        hand.tap(seconds + tap * 0.3, FUNCTION)
    hand.hold(seconds + 3, 0.9, FUNCTION)


def held(when: float = 70.0) -> Hand:
    """Called critical while recording, and stopped."""
    hand = recording(HOLDS)
    call_critical(hand, 50)
    hand.hold(when - 5)
    assert hand.state is State.HELD
    return hand


def leaves(hand: Hand) -> list[tuple[bool, str]]:
    """What stands in the ledger of holds: with an answer, or by itself."""
    found = []
    for _, one in hand.told:
        if isinstance(one, do.Annotate) and one.hold:
            found.append(ENTERED)
        elif isinstance(one, do.Write) and one.kind == "hold":
            found.append((bool(one.fields["entered"]), str(one.fields["cause"])))
    return found


def gaps(hand: Hand) -> list[object]:
    return [one.fields["cause"] for one in hand.all(do.Write) if one.kind == "gap"]


def refusals(hand: Hand) -> list[object]:
    return [one.fields["port"] for one in hand.all(do.Write) if "asked for" in str(one.fields.get("reason"))]


def felt(hand: Hand, name: CueName) -> int:
    return sum(one.signal.cue == CUES[name] for one in hand.all(do.Show))


def test_no_profile_holds_and_without_the_rule_nothing_is_held() -> None:
    hand = recording()
    call_critical(hand, 50)
    hand.hold(60)
    assert hand.state is State.READY
    assert leaves(hand) == []


def test_a_running_recording_goes_on_and_its_end_holds_the_camera() -> None:
    hand = recording(HOLDS)
    call_critical(hand, 50)
    assert hand.state is State.RECORDING
    hand.tap(56)
    assert len(hand.all(do.AddMark)) == 1
    hand.hold(60)
    assert hand.state is State.HELD
    assert [one.cause for one in hand.all(do.StopRecording)] == [Cause.BUTTON]
    assert leaves(hand) == [ENTERED]
    assert not hand.model.camera_on


@pytest.mark.parametrize("end", [ev.StorageFilled(at(60)), ev.ShutdownRequested(at(60), "asked"), ev.PowerChanged(at(60), 1)])
def test_whatever_ends_it(end: ev.Event) -> None:
    """A full card is told first, and then the hold; a run that ends leaves it to the next."""
    hand = recording(HOLDS)
    call_critical(hand, 50)
    hand.tell(end)
    assert hand.model.on_hold
    assert leaves(hand) == [ENTERED]
    if hand.state is State.FULL:
        hand.double(70)
        assert hand.all(do.StartRecording)[1:] == []
        hand.tell(ev.StorageFreed(at(80)))
        assert hand.state is State.HELD
        assert gaps(hand)[-1] == "full"


def test_a_recording_that_goes_on_in_the_next_one_is_not_over() -> None:
    hand = recording(policy(categories={"critical_hold": True}, recording={"max_seconds": 60}))
    call_critical(hand, 50)
    hand.wait(200)
    assert hand.state is State.RECORDING
    assert len(hand.all(do.SplitRecording)) == 2
    hand.hold(201)
    assert hand.state is State.HELD


def test_called_critical_after_its_end_it_is_held_at_the_answer() -> None:
    """By a hold, or by the pause after the last step; another category holds nothing."""
    for pause in (False, True):
        hand = recording(HOLDS)
        hand.hold(45)
        for tap in range(8):
            hand.tap(50 + tap * 0.3, FUNCTION)
        assert hand.state is State.READY
        if pause:
            hand.wait(55)
        else:
            hand.hold(53, 0.9, FUNCTION)
        assert hand.state is State.HELD
        assert leaves(hand) == [ENTERED]
        assert felt(hand, CueName.HELD) == 1
    other = recording(HOLDS)
    other.hold(45)
    call_critical(other, 50, code="SEARCH")
    assert other.state is State.READY


def test_asleep_it_is_held_too_and_the_sleep_is_over() -> None:
    hand = recording(policy(categories={"critical_hold": True}, sleep={"allowed": True}))
    hand.hold(45)
    hand.hold(55, 3.3, FUNCTION)
    assert hand.state is State.SLEEPING
    hand.tell(ev.Docked(at(60)))
    hand.tell(ev.Undocked(at(61)))
    for tap in range(8):
        hand.tap(62 + tap * 0.3, FUNCTION)
    hand.hold(65, 3.3, FUNCTION)
    assert hand.state is State.HELD
    hand.hold(75, 3.3, FUNCTION)
    assert hand.state is State.HELD, "a camera on hold is not put to sleep"


def test_a_press_is_answered_with_an_alarm_of_its_own_and_written() -> None:
    hand = held()
    before = felt(hand, CueName.HELD)
    hand.double(80)
    assert felt(hand, CueName.HELD) == before + 1
    assert CUES[CueName.HELD].pulses
    assert refusals(hand) == ["hold"]
    assert len(hand.all(do.StartRecording)) == 1
    assert hand.model.owed is None
    hand.wait(80 + 121)
    assert felt(hand, CueName.HELD) == before + 2, "and the wearer is reminded"


def test_no_gesture_and_no_other_event_ends_it() -> None:
    """The wearer has no way out but the dock; a later answer changes nothing either."""
    hand = held()
    for second in (80, 90):
        hand.hold(second)
        hand.hold(second + 5, 3.3, FUNCTION)
    call_critical(hand, 100, code="OTHER")
    hand.tell(ev.ClockSet(at(110)))
    hand.tell(ev.Faulted(at(111), Port.MICROPHONE, "gone"))
    hand.tell(ev.Recovered(at(112), Port.MICROPHONE))
    hand.tell(ev.HoldFound(at(113)))
    assert hand.state is State.HELD
    assert hand.all(do.Annotate)[-1].code == "OTHER"
    assert leaves(hand) == [ENTERED]


def test_the_dock_ends_it() -> None:
    hand = held()
    hand.tell(ev.Docked(at(100)))
    assert hand.state is State.DOCKED
    assert leaves(hand) == [ENTERED, RELEASED]
    assert gaps(hand)[-1] == "hold"
    assert hand.all(do.RequestSync)
    hand.tell(ev.Undocked(at(120)))
    assert hand.state is State.READY
    hand.double(130)
    assert hand.state is State.RECORDING


def test_docked_while_it_records_it_is_over_when_the_recording_ends_there() -> None:
    hand = recording(HOLDS)
    call_critical(hand, 50)
    hand.tell(ev.Docked(at(60)))
    assert leaves(hand) == [ENTERED]
    hand.hold(70)
    assert hand.state is State.DOCKED
    assert leaves(hand) == [ENTERED, RELEASED]
    pulled = recording(HOLDS)
    call_critical(pulled, 50)
    pulled.tell(ev.Docked(at(60)))
    pulled.tell(ev.Undocked(at(65)))
    pulled.hold(70)
    assert pulled.state is State.HELD, "it was in no dock since the recording ended"


def test_what_is_interrupted_in_the_dock_is_not_over_there() -> None:
    """Neither by a fault, nor by a run that ends itself: the recording goes on, and its end counts."""
    hand = recording(HOLDS)
    call_critical(hand, 50)
    hand.tell(ev.Docked(at(60)))
    hand.tell(ev.Faulted(at(62), Port.CAMERA, "gone"))
    hand.tell(ev.Undocked(at(64)))
    hand.tell(ev.Recovered(at(66), Port.CAMERA))
    assert hand.state is State.RECORDING
    hand.hold(70)
    assert hand.state is State.HELD
    left = recording(HOLDS)
    call_critical(left, 50)
    left.tell(ev.Docked(at(60)))
    left.tell(ev.Escalated(at(62), Port.SIGNER, Step.RESTART, "hangs"))
    assert left.state is State.HALTED
    assert leaves(left) == leaves(hand) == [ENTERED]


def test_called_critical_in_the_dock_nothing_is_held() -> None:
    hand = recording(HOLDS)
    hand.hold(45)
    hand.tell(ev.Docked(at(50)))
    call_critical(hand, 55)
    hand.tell(ev.Undocked(at(70)))
    assert hand.state is State.READY
    assert leaves(hand) == []


def test_what_a_fault_interrupted_is_not_over_and_goes_on() -> None:
    """BWC-POL-06: nobody asked for its end; withdrawn, it is over."""
    hand = recording(HOLDS)
    call_critical(hand, 50)
    hand.tell(ev.Faulted(at(60), Port.CAMERA, "gone"))
    hand.double(62)
    assert hand.state is State.FAULT
    hand.tell(ev.Recovered(at(65), Port.CAMERA))
    assert hand.state is State.RECORDING
    assert hand.all(do.StartRecording)[-1].cause is Cause.RECOVERY
    hand.tell(ev.Faulted(at(70), Port.CAMERA, "gone"))
    hand.hold(72)
    hand.double(80)
    assert refusals(hand)[-1] == "hold"
    hand.tell(ev.Recovered(at(90), Port.CAMERA))
    assert hand.state is State.HELD
    assert leaves(hand) == [ENTERED]


def test_a_fault_while_held_is_told_and_starts_nothing_when_it_is_over() -> None:
    hand = held()
    hand.tell(ev.Faulted(at(80), Port.STORAGE, "dead"))
    assert hand.state is State.FAULT
    hand.double(85)
    assert not hand.model.camera_on
    assert refusals(hand) == ["hold"]
    hand.tell(ev.Recovered(at(90), Port.STORAGE))
    assert hand.state is State.HELD
    assert len(hand.all(do.StartRecording)) == 1


# Over a boot.


def booting(rules: object = HOLDS) -> Hand:
    return fresh(rules)  # type: ignore[arg-type]


def test_a_camera_that_boots_on_hold_is_held_again() -> None:
    hand = booting()
    hand.tell(ev.HoldFound(at(1)))
    hand.tell(ev.Booted(at(2), Previous.POWER_LOSS, None))
    assert hand.state is State.HELD
    assert leaves(hand) == [AGAIN]
    assert hand.writes()[0] == "boot"
    assert felt(hand, CueName.HELD) == 1
    assert not hand.model.camera_on


@pytest.mark.parametrize("known_first", [False, True])
def test_a_press_while_booting_is_refused_once_the_hold_is_known(known_first: bool) -> None:
    hand = booting()
    if known_first:
        hand.tell(ev.HoldFound(at(0.2)))
        hand.double(0.9)
    else:
        hand.double(0.9)
        assert hand.model.owed is not None
        hand.tell(ev.HoldFound(at(1.5)))
    assert felt(hand, CueName.HELD) == 1
    hand.tell(ev.Booted(at(2), Previous.POWER_LOSS, None))
    assert hand.state is State.HELD
    assert hand.all(do.StartRecording) == []
    assert refusals(hand) == ["hold"]


def test_a_hold_that_is_known_late_stops_nothing() -> None:
    hand = booting()
    hand.double(0.9)
    hand.tell(ev.Booted(at(2), Previous.POWER_LOSS, None))
    assert hand.state is State.RECORDING
    hand.tell(ev.HoldFound(at(5)))
    assert hand.state is State.RECORDING
    hand.hold(10)
    assert hand.state is State.HELD
    late = ready(HOLDS)
    late.tell(ev.HoldFound(at(5)))
    assert late.state is State.HELD


def test_what_a_crash_interrupted_goes_on_first() -> None:
    hand = booting()
    hand.model = resumed(hand.model)
    hand.tell(ev.HoldFound(at(0.2)))
    hand.double(0.9)
    hand.wait(1.5)
    hand.tell(ev.Booted(at(2), Previous.CRASH, 0))
    assert hand.state is State.RECORDING
    assert hand.all(do.StartRecording)[0].cause is Cause.RECOVERY
    hand.hold(10)
    assert hand.state is State.HELD


def test_a_policy_that_wants_none_releases_it() -> None:
    hand = booting(policy())
    hand.double(0.9)
    hand.tell(ev.HoldFound(at(1)))
    hand.tell(ev.Booted(at(2), Previous.CLEAN, 0))
    assert hand.state is State.RECORDING
    assert leaves(hand) == [UNWANTED]


def test_a_boot_in_the_dock_releases_it() -> None:
    hand = fresh(HOLDS, docked=True)
    hand.double(0.9)
    hand.tell(ev.HoldFound(at(1)))
    effects = hand.tell(ev.Booted(at(2), Previous.CLEAN, 0))
    assert hand.state is State.RECORDING, "in the dock a press records"
    assert leaves(hand) == [RELEASED]
    assert pick(effects, do.StartRecording)
