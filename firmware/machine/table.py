"""The table: for every state and event, what happens. This table is the machine.

Rules for editors
    1. A row says: in one of the states ``when``, on ``event``, and if ``guard`` holds, do ``act`` and go ``to`` the target.
    2. Rows are tried in the order written; the first that fits is taken. For every state and event the last row that fits
       has no guard, and only the last: nothing is left undefined, nothing is unreachable by order. A test holds this.
    3. A target is a state, ``STAY``, or ``REST``: the resting state that follows from the conditions after the action
       (``model.resting``): FAULT, FULL, RECORDING if one is owed, DOCKED, HELD, SLEEPING, READY, in this
       order.
    4. What belongs to entering or leaving a state, whatever the way (camera, timers, gaps, ``ready`` and ``sleep`` entries,
       start and stop of the recording), stands once, in ``transition.py``, never in an action.
    5. To ignore an event is a row like any other: ``ignore``, and ``why`` gives the reason.
    6. After a change run ``tools/diagram.py``: docs/state-machine.md is drawn from here and a test fails when it is stale.

Theory of operation
    The wearer's gestures may only *start* with taps and only *stop* with a hold (BWC-POL-01, -02). A press that cannot be
    obeyed is remembered (BOOTING, FAULT) or answered with an alarm and an entry (FAULT, FULL, HELD): none is lost. Docking never
    stops a recording. A fault or a full store stops one, aloud, because there is nothing to record with; what a fault
    stopped goes on by itself when the fault is over. Nothing but the record button and those two starts one: there is no
    event that a network could send (BWC-POL-07).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

from firmware.machine import actions as act
from firmware.machine import asking, guards, holding, stealth
from firmware.machine import events as ev
from firmware.machine.model import Model
from firmware.machine.states import State


class Target(Enum):
    STAY = "stay"
    REST = "rest"


STAY, REST = Target.STAY, Target.REST
BOOTING, READY, RECORDING, SLEEPING = State.BOOTING, State.READY, State.RECORDING, State.SLEEPING
DOCKED, FAULT, FULL, HELD, HALTED = State.DOCKED, State.FAULT, State.FULL, State.HELD, State.HALTED

ALIVE = (BOOTING, READY, RECORDING, SLEEPING, DOCKED, FAULT, FULL, HELD)
RUNNING = (READY, RECORDING, SLEEPING, DOCKED, FAULT, FULL, HELD)
FREE = (READY, SLEEPING, DOCKED, FAULT, FULL)
RESTING = (*FREE, HELD)
STEADY = (BOOTING, RECORDING)
"""States that a change of conditions does not end: it counts when they end by themselves."""


@dataclass(frozen=True, slots=True)
class Row:
    when: tuple[State, ...]
    event: type
    guard: Callable[[Model, Any], bool] | None
    act: Callable[[Model, Any], act.Acted]
    to: State | Target
    why: str


EVENTS: tuple[type, ...] = get_args(ev.TableEvent)

TABLE: tuple[Row, ...] = (
    # Boot.
    Row((BOOTING,), ev.Booted, guards.exhausted, act.boot, HALTED, "a battery this low would not close what it opened"),
    Row((BOOTING,), ev.Booted, None, act.boot, REST, "a press made while booting is owed, and starts now"),
    Row(RUNNING, ev.Booted, None, act.ignore, STAY, "a run boots once"),
    # Record button. Taps start and mark.
    Row((BOOTING,), ev.DoublePressed, holding.refuses, act.alarm, STAY, "known to be held: answered with the alarm"),
    Row((BOOTING,), ev.DoublePressed, holding.on_hold, holding.want, STAY, "what was interrupted goes on, and is what was asked for"),
    Row((BOOTING,), ev.DoublePressed, None, act.owe, STAY, "remembered until recording is possible"),
    Row((READY, SLEEPING, DOCKED), ev.DoublePressed, None, act.owe, RECORDING, "the one gesture that starts a recording"),
    Row((RECORDING,), ev.DoublePressed, None, act.mark, STAY, "two presses are two marks; the first was told as a tap"),
    Row((FAULT,), ev.DoublePressed, None, act.alarm, STAY, "remembered, answered with the alarm, and tried again"),
    Row((FULL,), ev.DoublePressed, None, act.alarm, STAY, "answered with the alarm; nothing is overwritten"),
    Row((HELD,), ev.DoublePressed, None, act.alarm, STAY, "answered with the alarm; the dock ends it"),
    Row((RECORDING,), ev.Pressed, guards.stop_asked, act.end_by_button, REST, "the press that confirms the hold before it"),
    Row((RECORDING,), ev.Pressed, None, act.mark, STAY, "a tap marks and never stops"),
    Row((BOOTING, *RESTING), ev.Pressed, None, act.ignore, STAY, "outside a recording one press asks for nothing"),
    # Record button. Only a hold stops.
    Row(ALIVE, ev.Held, guards.wanted_by_it, act.ignore, STAY, "the press that asked for a recording does not end it, however long"),
    Row((RECORDING,), ev.Held, guards.confirms, act.ask, STAY, "the policy wants a press that confirms"),
    Row((RECORDING,), ev.Held, None, act.end_by_button, REST, "the one gesture that stops a recording"),
    Row((BOOTING, FAULT), ev.Held, None, act.withdraw, STAY, "takes back a recording that is owed"),
    Row((READY, SLEEPING, DOCKED, FULL, HELD), ev.Held, None, act.ignore, STAY, "there is nothing to stop"),
    # Function button.
    Row((READY,), ev.SleepRequested, guards.may_sleep, act.sleep, SLEEPING, "the policy lets the wearer do this"),
    Row((READY,), ev.SleepRequested, None, act.ignore, STAY, "the policy does not allow sleep"),
    Row((SLEEPING,), ev.SleepRequested, None, act.wake, REST, "the same gesture ends it"),
    Row((BOOTING, RECORDING, DOCKED, FAULT, FULL, HELD), ev.SleepRequested, None, act.ignore, STAY, "only a ready camera is put to sleep"),
    Row((READY, SLEEPING), ev.FunctionHeld, asking.holds, asking.take, HELD, "called critical after its end: no other before the dock"),
    Row(ALIVE, ev.FunctionHeld, asking.stepped, asking.take, STAY, "a hold takes the choice at once"),
    Row((RECORDING,), ev.FunctionHeld, guards.toggles_back, act.unmute, STAY, "the second hold unmutes"),
    Row((RECORDING,), ev.FunctionHeld, guards.may_mute, act.mute, STAY, "the policy lets the wearer mute"),
    Row(ALIVE, ev.FunctionHeld, None, act.ignore, STAY, "no mute by policy, or nothing to mute"),
    Row((RECORDING,), ev.FunctionReleased, guards.lets_go, act.unmute, STAY, "muted only while held"),
    Row(ALIVE, ev.FunctionReleased, None, act.ignore, STAY, "the release means something only to mute by holding"),
    Row(ALIVE, ev.FunctionTapped, asking.asking, asking.step, STAY, "steps to the next choice"),
    Row((READY, RECORDING, DOCKED, HELD), ev.FunctionTapped, asking.may_categorise, asking.open_categories, STAY, "opens the categories"),
    Row(ALIVE, ev.FunctionTapped, None, act.ignore, STAY, "nothing is asked, and there is nothing to name"),
    # Both buttons.
    Row((READY, RECORDING), ev.StealthRequested, stealth.in_stealth, stealth.leave, STAY, "the same gesture ends it"),
    Row((READY, RECORDING), ev.StealthRequested, stealth.may_hide, stealth.enter, STAY, "the policy lets the wearer do this"),
    Row(ALIVE, ev.StealthRequested, None, act.ignore, STAY, "not allowed, or a camera that has something to tell"),
    # What fails, and works again.
    Row(ALIVE, ev.Faulted, guards.known_fault, act.ignore, STAY, "told before; an alarm a second would be no alarm"),
    Row((SLEEPING, DOCKED, FULL, HELD), ev.Faulted, guards.camera, act.ignore, STAY, "the camera is off: a late report of its stop"),
    Row((RECORDING,), ev.Faulted, guards.blocking, act.interrupt, REST, "closed aloud; owed until the fault is over"),
    Row(STEADY, ev.Faulted, None, act.fault, STAY, "the alarm is given; recording or booting goes on"),
    Row(RESTING, ev.Faulted, None, act.fault, REST, "FAULT if a recording would be impossible"),
    Row(ALIVE, ev.Recovered, guards.unknown_fault, act.ignore, STAY, "it had not failed"),
    Row(STEADY, ev.Recovered, None, act.recover, STAY, "noted"),
    Row(RESTING, ev.Recovered, None, act.recover, REST, "an owed recording starts when the last blocking fault is over"),
    Row((FAULT,), ev.Escalated, guards.ends_run, act.leave, HALTED, "another process, or another boot, is to try"),
    Row(RUNNING, ev.Escalated, guards.signer_ends_run, act.leave, HALTED, "nothing can be promised here; another process is to try"),
    Row(ALIVE, ev.Escalated, None, act.escalate, STAY, "what is being tried to bring a port back is told"),
    Row(ALIVE, ev.StorageFilled, guards.full, act.ignore, STAY, "told before"),
    Row((BOOTING,), ev.StorageFilled, None, act.fill, STAY, "noted until booted"),
    Row((RECORDING,), ev.StorageFilled, None, act.overflow, REST, "stop and alarm; never overwrite (BWC-POL-23)"),
    Row(RESTING, ev.StorageFilled, None, act.fill, REST, "stop and alarm; never overwrite (BWC-POL-23)"),
    Row((FULL,), ev.StorageFreed, None, act.free, REST, "room again"),
    Row((BOOTING, FAULT), ev.StorageFreed, guards.full, act.free, STAY, "room again; the state has another reason"),
    Row((BOOTING, READY, RECORDING, SLEEPING, DOCKED, FAULT, HELD), ev.StorageFreed, None, act.ignore, STAY, "there was room"),
    Row(ALIVE, ev.StorageMeasured, None, act.measure, STAY, "warned at two marks"),
    # Dock.
    Row(ALIVE, ev.Docked, guards.docked, act.ignore, STAY, "told before"),
    Row(STEADY, ev.Docked, None, act.dock, STAY, "docking never stops a recording, nor a boot"),
    Row(RESTING, ev.Docked, None, act.dock, REST, "camera off, vault offered to the dock"),
    Row(ALIVE, ev.Undocked, guards.undocked, act.ignore, STAY, "told before"),
    Row(STEADY, ev.Undocked, None, act.undock, STAY, "noted"),
    Row(RESTING, ev.Undocked, None, act.undock, REST, "the shift begins"),
    Row(ALIVE, ev.ReceiptVerified, None, act.release, STAY, "the one way in which a recording leaves the camera"),
    Row(ALIVE, ev.OffloadCompleted, guards.idle_in_dock, act.finish_offload, STAY, "safe to remove"),
    Row(ALIVE, ev.OffloadCompleted, None, act.ignore, STAY, "there is a newer recording, or the dock was left"),
    Row((HELD,), ev.HoldFound, None, act.ignore, STAY, "begun anew in this run"),
    Row((BOOTING, RECORDING, FAULT, FULL), ev.HoldFound, holding.on_hold, act.ignore, STAY, "begun anew in this run"),
    Row((*STEADY, *FREE), ev.HoldFound, holding.unwanted, holding.drop, STAY, "the policy in force wants none: written, and over"),
    Row(STEADY, ev.HoldFound, None, holding.take_over, STAY, "a recording that runs is never stopped by it"),
    Row(FREE, ev.HoldFound, None, holding.take_over, REST, "held again; in the dock it is over"),
    # Power, clock, end.
    Row(RUNNING, ev.PowerChanged, guards.exhausting, act.exhaust, HALTED, "close cleanly while there is charge for it"),
    Row(ALIVE, ev.PowerChanged, None, act.power, STAY, "the level is followed with hysteresis"),
    Row(ALIVE, ev.ClockSet, None, act.trust_clock, STAY, "the clock decides nothing but its own warning"),
    Row(ALIVE, ev.ShutdownRequested, None, act.shutdown, HALTED, "an orderly end; a recording is closed first"),
    # What the recorder finds of itself.
    Row(ALIVE, ev.PictureJudged, None, act.judge_picture, STAY, "a lens that does not see is felt and written, and records on"),
    Row(ALIVE, ev.BatteryForecast, None, act.measure_battery, STAY, "warned in minutes, which percent are not"),
    Row(ALIVE, ev.SelfTested, guards.docked, act.ignore, STAY, "back in the dock before it was decided"),
    Row(ALIVE, ev.SelfTested, None, act.finish_selftest, STAY, "go or no-go; a press records either way"),
    Row(ALIVE, ev.UpdateChecked, None, act.note_update, STAY, "the dock's lamp shows it"),
    # Timers.
    Row(ALIVE, ev.Elapsed, guards.reminder_due, act.remind, STAY, "reminder of a recording, a sleep, a fault, a full store or a hold"),
    Row((RECORDING,), ev.Elapsed, guards.split_due, act.split, STAY, "the policy's longest recording; continued without a gap"),
    Row((FAULT,), ev.Elapsed, guards.retry_due, act.retry, STAY, "try the camera again"),
    Row((RECORDING,), ev.Elapsed, guards.unmute_due, act.unmute_by_policy, STAY, "the policy's longest mute"),
    Row(ALIVE, ev.Elapsed, stealth.stealth_due, stealth.run_out, STAY, "the policy's longest stealth"),
    Row((READY, SLEEPING), ev.Elapsed, asking.hold_due, asking.elapse, HELD, "called critical after its end: no other before the dock"),
    Row(ALIVE, ev.Elapsed, asking.answer_due, asking.elapse, STAY, "a question is asked, or has its answer"),
    Row(ALIVE, ev.Elapsed, None, act.ignore, STAY, "a timer that was replaced or cancelled, or that gestures consumed"),
    # The end.
    *(Row((HALTED,), event, None, act.ignore, STAY, "shut down: nothing can be recorded or written") for event in EVENTS),
)

_INDEX: dict[tuple[State, type], tuple[Row, ...]] = {
    (state, event): tuple(row for row in TABLE if row.event is event and state in row.when) for state in State for event in EVENTS
}


def rows(state: State, event: type) -> tuple[Row, ...]:
    """The rows for a state and an event, in the order in which they are tried."""
    return _INDEX[state, event]


def row_for(model: Model, event: ev.TableEvent) -> Row:
    """The row that is taken."""
    return next(row for row in _INDEX[model.state, type(event)] if row.guard is None or row.guard(model, event))
