"""Stories of a shift, told to the machine: what a wearer does, what the camera then is, says and writes."""

from __future__ import annotations

import pytest
from helpers_machine import WALL_S, at, fresh, pick, policy, ready, recording

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.indicators import CUES, Colour, CueName
from firmware.machine.machine import step
from firmware.machine.states import Battery, Button, Cause, Port, Previous, State, TimerName
from firmware.timebase import Trust


def test_a_whole_shift() -> None:
    """Boot, ready, double press, mark, hold, dock, offload, undock (BWC-POL-01, BWC-POL-02, BWC-POL-18, BWC-POL-45)."""
    hand = ready()
    hand.double(40)
    assert hand.all(do.StartRecording) == [do.StartRecording(Cause.BUTTON, at(40), pre_event_short=False)]
    hand.tap(50)
    assert hand.all(do.AddMark) == [do.AddMark(at(50))]
    hand.hold(60)
    assert hand.all(do.StopRecording) == [do.StopRecording(Cause.BUTTON, at(63))]
    assert hand.state is State.READY
    hand.tell(ev.Docked(at(70)))
    assert hand.state is State.DOCKED
    assert hand.all(do.RequestSync) == [do.RequestSync(at(70))]
    assert pick(hand.tell(ev.ReceiptVerified(at(80), "r1")), do.Release) == [do.Release("r1", at(80))]
    hand.tell(ev.OffloadCompleted(at(81)))
    assert hand.all(do.Show)[-1].signal.status.colour is Colour.BLUE
    hand.tell(ev.PowerChanged(at(82), 95, charging=True))
    assert hand.all(do.Show)[-1].signal.status.colour is Colour.GREEN
    hand.tell(ev.Undocked(at(90)))
    assert hand.state is State.READY
    assert hand.writes() == ["boot", "ready", "gap", "ready", "dock", "power", "undock", "ready"]


def test_the_lamp_is_lit_before_the_first_picture_is_kept() -> None:
    """BWC-POL-13: Show comes before StartRecording, and StopRecording before the lamp goes out."""
    hand = ready()
    hand.tap(39.7)
    kinds = [type(effect) for effect in hand.edge(40, True) if isinstance(effect, do.Show | do.StartRecording)]
    assert kinds == [do.Show, do.StartRecording]
    kinds = [type(effect) for effect in hand.tell(ev.StorageFilled(at(50))) if isinstance(effect, do.Show | do.StopRecording)]
    assert kinds == [do.StopRecording, do.Show]


def test_start_cue_says_when_the_buffer_was_short() -> None:
    """BWC-POL-09: pressed 20 s after boot with a buffer of 30 s."""
    hand = ready()
    hand.double(22)
    assert hand.all(do.StartRecording)[0].pre_event_short
    assert hand.all(do.Show)[-1].signal.cue == CUES[CueName.START_SHORT]
    assert not recording(when=33).all(do.StartRecording)[0].pre_event_short


# Presses at awkward moments (BWC-POL-01).


def test_a_press_while_booting_starts_as_soon_as_booted() -> None:
    """BWC-POL-01: at the instant of the press, from a camera that was started first of all."""
    hand = fresh(camera_on=True)
    hand.double(1)
    assert hand.state is State.BOOTING
    hand.tell(ev.Booted(at(3), Previous.CLEAN, 0))
    assert hand.state is State.RECORDING
    assert hand.all(do.StartRecording) == [do.StartRecording(Cause.BUTTON, at(1), pre_event_short=True)]
    assert hand.all(do.StartCamera) == []


def test_a_press_while_booting_can_be_taken_back() -> None:
    hand = fresh()
    hand.double(1)
    hand.hold(2)
    hand.tell(ev.Booted(at(9), Previous.CLEAN, 0))
    assert hand.state is State.READY


def test_a_press_while_booting_in_the_dock() -> None:
    """BWC-POL-01: incl. the dock handshake."""
    hand = fresh()
    hand.double(1)
    hand.tell(ev.Docked(at(2)))
    hand.tell(ev.Booted(at(3), Previous.CLEAN, 0))
    assert hand.state is State.RECORDING
    hand.hold(10)
    assert hand.state is State.DOCKED
    assert len(hand.all(do.RequestSync)) == 1


def test_a_press_in_the_dock_records_and_a_stop_returns_to_it() -> None:
    hand = ready()
    hand.tell(ev.Docked(at(10)))
    assert hand.all(do.ClearPreEvent) == [do.ClearPreEvent("docked")]
    hand.double(20)
    assert hand.state is State.RECORDING
    kinds = [type(e) for _, e in hand.told if isinstance(e, do.StartCamera | do.StartRecording)]
    assert kinds[-2:] == [do.StartCamera, do.StartRecording]
    assert not pick(hand.tell(ev.OffloadCompleted(at(21))), do.Show)
    hand.hold(30)
    assert hand.state is State.DOCKED
    assert len(hand.all(do.RequestSync)) == 2


def test_docking_never_stops_a_recording() -> None:
    hand = recording()
    hand.tell(ev.Docked(at(50)))
    assert hand.state is State.RECORDING
    assert hand.all(do.RequestSync) == []
    hand.hold(60)
    assert hand.state is State.DOCKED
    assert len(hand.all(do.RequestSync)) == 1


def test_a_press_in_fault_is_alarmed_written_tried_and_served_later() -> None:
    """BWC-POL-01, BWC-POL-47."""
    hand = ready()
    hand.tell(ev.Faulted(at(10), Port.CAMERA, "no picture for 1.5 s"))
    assert hand.state is State.FAULT
    hand.tap(19.7)
    effects = hand.edge(20, True)
    assert pick(effects, do.StartCamera)
    assert pick(effects, do.Show)[0].signal.cue == CUES[CueName.FAULT]
    (entry,) = pick(effects, do.Write)
    assert (entry.kind, entry.fields) == ("fault", {"port": "camera", "reason": "recording asked for while it did not work"})
    hand.edge(20.1, False)
    hand.tell(ev.Recovered(at(25), Port.CAMERA))
    assert hand.all(do.StartRecording) == [do.StartRecording(Cause.BUTTON, at(20), pre_event_short=True)]


def test_a_press_when_full_is_alarmed_and_written() -> None:
    """BWC-POL-01, BWC-POL-23."""
    hand = ready()
    hand.tell(ev.StorageFilled(at(10)))
    hand.tap(19.7)
    effects = hand.edge(20, True)
    assert hand.state is State.FULL
    assert pick(effects, do.Show)[0].signal.cue == CUES[CueName.FULL]
    assert pick(effects, do.Write)[0].fields["reason"] == "recording asked for while the store was full"


@pytest.mark.parametrize(
    ("trouble", "state", "reason"),
    [
        (ev.StorageFilled(at(2)), State.FULL, "the store was full"),
        (ev.Faulted(at(2), Port.KEYS, "no key"), State.FAULT, "it did not work"),
        (ev.PowerChanged(at(2), 2), State.HALTED, "the battery was empty"),
    ],
)
def test_a_press_while_booting_into_trouble_is_answered(trouble: ev.Event, state: State, reason: str) -> None:
    """BWC-POL-01: written, at the instant of the press, after the boot entry."""
    hand = fresh()
    hand.double(1)
    hand.tell(trouble)
    hand.tell(ev.Booted(at(3), Previous.CLEAN, 0))
    assert hand.state is state
    refused = [write for write in hand.all(do.Write) if write.fields.get("reason") == f"recording asked for while {reason}"]
    assert [write.at for write in refused] == [at(1)]
    assert hand.writes()[0] == "boot"
    assert hand.all(do.StartRecording) == []


def test_taps_and_double_presses_mark_and_never_stop() -> None:
    """BWC-POL-02, BWC-POL-18: two presses are two marks."""
    hand = recording()
    hand.double(50)
    hand.tap(60)
    assert hand.state is State.RECORDING
    assert hand.all(do.AddMark) == [do.AddMark(at(49.7)), do.AddMark(at(50)), do.AddMark(at(60))]


def test_a_stop_that_must_be_confirmed() -> None:
    """BWC-POL-02: the hold asks; a press within five seconds stops, a later one marks."""
    rules = policy(activation={"confirm_stop": True})
    hand = recording(rules)
    hand.hold(50)
    assert hand.state is State.RECORDING
    hand.tap(59)
    assert hand.state is State.RECORDING
    hand.hold(70)
    hand.tap(75)
    assert hand.state is State.READY
    assert len(hand.all(do.AddMark)) == 1


# Faults, room, power.


def test_a_fault_interrupts_and_the_recording_goes_on_by_itself() -> None:
    """BWC-POL-06: nobody asked for its end."""
    hand = recording()
    hand.tell(ev.Faulted(at(50), Port.CAMERA, "stalled"))
    assert hand.state is State.FAULT
    assert hand.all(do.StopRecording) == [do.StopRecording(Cause.FAULT, at(50))]
    hand.tell(ev.Faulted(at(50.5), Port.CAMERA, "no camera"))
    hand.wait(56)
    assert [when for when, e in hand.told if isinstance(e, do.StartCamera)] == [2, 50, 55]
    hand.tell(ev.Recovered(at(58), Port.CAMERA))
    assert hand.all(do.StartRecording)[-1] == do.StartRecording(Cause.RECOVERY, at(58), pre_event_short=True)


def test_an_interrupted_recording_is_over_in_the_dock_or_when_taken_back() -> None:
    for event in ("dock", "hold"):
        hand = recording()
        hand.tell(ev.Faulted(at(50), Port.STORAGE, "read-only"))
        if event == "dock":
            hand.tell(ev.Docked(at(60)))
        else:
            hand.hold(60)
        hand.tell(ev.Recovered(at(70), Port.STORAGE))
        assert hand.state is (State.DOCKED if event == "dock" else State.READY)
        assert len(hand.all(do.StartRecording)) == 1


def test_what_recording_can_do_without_alarms_and_recording_goes_on() -> None:
    """BWC-POL-13: a lamp that fails. BWC-POL-47: shown, felt, written."""
    hand = recording()
    for port in (Port.MICROPHONE, Port.INDICATORS):
        effects = hand.tell(ev.Faulted(at(50), port, "dead"))
        assert pick(effects, do.Write)[0].fields == {"port": port.value, "reason": "dead"}
        assert pick(effects, do.Show)[0].signal.cue == CUES[CueName.PARTIAL_FAULT]
    assert hand.state is State.RECORDING
    assert hand.tell(ev.Faulted(at(51), Port.MICROPHONE, "dead")) == ()
    assert hand.model.has_fault(Port.MICROPHONE)
    hand.tell(ev.Recovered(at(52), Port.MICROPHONE))
    assert not hand.model.has_fault(Port.MICROPHONE)


def test_full_stops_aloud_and_room_makes_ready() -> None:
    """BWC-POL-23, BWC-POL-47."""
    hand = recording()
    effects = hand.tell(ev.StorageFilled(at(50)))
    assert pick(effects, do.StopRecording) == [do.StopRecording(Cause.STORAGE_FULL, at(50))]
    assert pick(effects, do.Show)[0].signal.cue == CUES[CueName.FULL]
    assert hand.state is State.FULL
    hand.tell(ev.StorageFreed(at(60)))
    assert hand.state is State.READY
    assert len(hand.all(do.StartRecording)) == 1


def test_room_is_warned_of_once_at_each_mark() -> None:
    """BWC-POL-23: at 60 and 30 minutes."""
    hand = ready()
    cues = []
    for i, minutes in enumerate((90, 60, 59, 30, 29, 1, 90, 60)):
        shows = pick(hand.tell(ev.StorageMeasured(at(10 + i), minutes)), do.Show)
        cues.append(bool(shows and shows[0].signal.cue == CUES[CueName.LOW_STORAGE]))
    assert cues == [False, True, False, True, False, False, False, True]


def test_low_battery_warns_and_critical_closes_and_halts() -> None:
    """BWC-POL-48."""
    hand = recording()
    effects = hand.tell(ev.PowerChanged(at(50), 15))
    assert pick(effects, do.Show)[0].signal.cue == CUES[CueName.LOW_BATTERY]
    assert pick(effects, do.Write)[0].fields == {"event": "low", "percent": 15}
    assert hand.tell(ev.PowerChanged(at(51), 14)) == ()
    effects = hand.tell(ev.PowerChanged(at(60), 4))
    assert hand.state is State.HALTED
    assert pick(effects, do.StopRecording) == [do.StopRecording(Cause.LOW_BATTERY, at(60))]
    assert effects[-1] == do.Halt("low-battery", at(60))
    assert [write.kind for write in pick(effects, do.Write)] == ["power", "shutdown"]


def test_a_critical_battery_on_the_charger_does_not_halt() -> None:
    hand = ready()
    hand.tell(ev.PowerChanged(at(5), 3, charging=True))
    assert hand.state is State.READY
    assert hand.model.battery is Battery.CRITICAL
    hand.tell(ev.PowerChanged(at(6), 3))
    assert hand.state is State.HALTED


def test_shutdown_closes_the_recording_first() -> None:
    hand = recording()
    effects = hand.tell(ev.ShutdownRequested(at(50), "service manager"))
    wanted = [effect for effect in effects if isinstance(effect, do.StopRecording | do.Write | do.Halt)]
    assert wanted == [
        do.StopRecording(Cause.SHUTDOWN, at(50)),
        do.Write("shutdown", at(50), {"reason": "service manager"}),
        do.Halt("service manager", at(50)),
    ]
    assert step(hand.model, ev.DoublePressed(at(51), at(50.8)))[1] == ()


# Reminders, split, sleep, mute, clock.


def test_reminder_every_two_minutes_while_recording_only() -> None:
    """BWC-POL-14."""
    hand = recording(when=40)
    hand.wait(521)
    reminders = [when for when, e in hand.told if isinstance(e, do.Show) and e.signal.cue == CUES[CueName.REMINDER]]
    assert reminders == [160, 280, 400, 520]
    hand.hold(530)
    hand.wait(2000)
    assert hand.timers == {}


def test_a_fault_reminds_too() -> None:
    """BWC-POL-47: while it lasts, undocked."""
    hand = ready()
    hand.tell(ev.StorageFilled(at(10)))
    hand.wait(251)
    assert [when for when, e in hand.told if isinstance(e, do.Show) and e.signal.cue == CUES[CueName.FULL]] == [10, 130, 250]
    hand.tell(ev.Docked(at(260)))
    assert TimerName.REMINDER not in hand.timers


def test_a_long_recording_is_split_without_a_stop() -> None:
    """BWC-POL-06."""
    hand = recording(policy(recording={"max_seconds": 60}), when=40)
    hand.wait(161)
    assert hand.all(do.SplitRecording) == [do.SplitRecording(at(100)), do.SplitRecording(at(160))]
    assert hand.all(do.StopRecording) == []


def test_stale_timers_do_nothing() -> None:
    hand = recording()
    for name in TimerName:
        assert hand.tell(ev.Elapsed(at(41), name)) == ()


def test_sleep_by_policy_and_record_from_sleep() -> None:
    """BWC-POL-16, BWC-POL-05."""
    hand = ready(policy(sleep={"allowed": True}))
    hand.hold(10, button=Button.FUNCTION)
    assert hand.state is State.SLEEPING
    assert hand.all(do.ClearPreEvent) == [do.ClearPreEvent("sleeping")]
    hand.double(100)
    assert hand.state is State.RECORDING
    assert hand.all(do.StartRecording)[0].pre_event_short
    gap = hand.all(do.Write)[-1]
    assert (gap.kind, gap.fields["cause"], gap.fields["duration_us"]) == ("gap", "sleep", 87_000_000 - 50_000)
    assert hand.writes() == ["boot", "ready", "gap", "sleep", "wake", "gap"]
    hand.hold(110)
    assert hand.state is State.READY
    refused = ready()
    refused.hold(10, button=Button.FUNCTION)
    assert refused.state is State.READY


def test_sleep_ends_by_the_same_gesture_and_reminds() -> None:
    """BWC-POL-16."""
    hand = ready(policy(sleep={"allowed": True, "reminder_seconds": 300}))
    hand.hold(10, button=Button.FUNCTION)
    hand.wait(650)
    assert len([e for e in hand.all(do.Show) if e.signal.cue == CUES[CueName.REMINDER]]) == 2
    hand.hold(700, button=Button.FUNCTION)
    assert hand.state is State.READY


def test_clock_that_was_never_set_is_shown_and_hinders_nothing() -> None:
    """BWC-POL-27."""
    hand = fresh()
    hand.tell(ev.Booted(at(2, Trust.UNSET), Previous.FIRST))
    assert hand.state is State.READY
    show = hand.all(do.Show)[-1].signal
    assert (show.cue, show.status.colour) == (CUES[CueName.CLOCK_UNSET], Colour.BLUE)
    hand.tell(ev.ClockSet(at(3, Trust.SYNCED)))
    assert hand.all(do.Show)[-1].signal.status.colour is Colour.GREEN


# The ledger's account of time (BWC-POL-05).


def test_boot_entry_comes_first_and_down_time_is_a_gap() -> None:
    """BWC-POL-05: 60 s without power, 1 s of boot; what was learnt while booting stands after the boot entry."""
    hand = fresh(start=1)
    hand.tell(ev.PowerChanged(at(1.5), 80, charging=True))
    hand.tell(ev.Booted(at(2), Previous.POWER_LOSS, 60_000_000_000))
    assert hand.writes() == ["boot", "power", "gap", "ready", "gap"]
    boot, _, off, _, booting = hand.all(do.Write)
    assert boot.fields == {"previous": "power-loss", "down_us": 60_000_000}
    assert off.fields == {"from_us": (WALL_S - 59) * 1_000_000, "duration_us": 60_000_000, "cause": "off"}
    assert booting.fields == {"from_us": (WALL_S + 1) * 1_000_000, "duration_us": 1_000_000, "cause": "boot"}


def test_unknown_down_time_is_said_to_be_unknown() -> None:
    hand = fresh()
    hand.tell(ev.Booted(at(2), Previous.CRASH, None))
    assert hand.all(do.Write)[0].fields == {"previous": "crash"}
    assert [write.fields["cause"] for write in hand.all(do.Write) if write.kind == "gap"] == ["boot"]


def test_gaps_are_counted_undocked_only() -> None:
    """BWC-POL-05."""
    hand = ready()
    hand.tell(ev.Faulted(at(10), Port.STORAGE, "dead"))
    hand.tell(ev.Docked(at(30)))
    hand.tell(ev.Undocked(at(100)))
    hand.tell(ev.Recovered(at(105), Port.STORAGE))
    gaps = [(write.fields["cause"], write.fields["duration_us"]) for write in hand.all(do.Write) if write.kind == "gap"]
    assert gaps == [("boot", 2_000_000), ("fault", 20_000_000), ("fault", 5_000_000)]


def test_a_camera_that_starts_in_the_dock_has_no_boot_gap() -> None:
    hand = fresh(docked=True)
    hand.tell(ev.Booted(at(2), Previous.CLEAN, 0))
    assert hand.state is State.DOCKED
    assert "gap" not in hand.writes()
