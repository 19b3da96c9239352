"""``step``: one event in, the next model and the effects out.

Responsible for the order of things in one step: edges become gestures, each gesture and each other event takes its row of
the table, what follows from the change of state is added, then the lamps. Refuses to know a port, a clock or a file.

Invariants: total (every model and event gives a model), deterministic, and pure. ``Show`` comes before ``StartRecording``:
the subject lamp is lit before the first picture is kept (BWC-POL-13); ``Halt`` comes last.
"""

from __future__ import annotations

from dataclasses import replace

from firmware.machine import chords, gestures
from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.actions import Call
from firmware.machine.indicators import Counted, CueName, Signal, View, choose_cue, count, felt_only, lamps
from firmware.machine.model import Model, changed, initial, resting, resumed
from firmware.machine.states import Battery, Button, State, TimerName
from firmware.machine.table import REST, STAY, row_for
from firmware.machine.transition import follow
from firmware.timebase import Timestamp

__all__ = ["Model", "initial", "resumed", "step", "view"]

CHARGED_PERCENT = 95
"""Counts as charged (BWC-POL-45); gauges of used cells seldom say 100."""


def step(model: Model, event: ev.Event) -> tuple[Model, tuple[do.Effect, ...]]:
    """Take one event. Never raises for an event of the declared types."""
    if model.state is State.HALTED:
        return model, ()  # as the table says; gestures would still ask for timers that nobody serves any more
    if isinstance(event, ev.ButtonChanged):
        model, made, calls = _edge(model, event)
    elif isinstance(event, ev.Elapsed) and event.timer in _FINGERS:
        model, made, calls = _hold(model, event)
    else:
        made, calls = (event,), ()
    for one in made:
        model, more = _take(model, one, event.at)
        calls = (*calls, *more)
    return _show(*_hold_back(model, calls))


_FINGERS = {TimerName.RECORD_HOLD: Button.RECORD, TimerName.FUNCTION_HOLD: Button.FUNCTION}

_Made = tuple[Model, tuple[ev.TableEvent, ...], tuple[Call, ...]]


def _edge(model: Model, event: ev.ButtonChanged) -> _Made:
    finger, made, timers = gestures.feed(_finger(model, event.button), event, model.policy.activation)
    return _with_finger(model, event.button, finger), _merged(model, made), timers


def _hold(model: Model, event: ev.Elapsed) -> _Made:
    button = _FINGERS[event.timer]
    finger, made, timers = gestures.elapse(_finger(model, button), event, model.policy.activation)
    return _with_finger(model, button, finger), _merged(model, made), timers


def _merged(model: Model, made: tuple[ev.TableEvent, ...]) -> tuple[ev.TableEvent, ...]:
    return chords.merge(made, model.record, model.function) if model.policy.indicators.stealth else made


def _finger(model: Model, button: Button) -> gestures.Finger:
    return model.record if button is Button.RECORD else model.function


def _with_finger(model: Model, button: Button, finger: gestures.Finger) -> Model:
    return replace(model, record=finger) if button is Button.RECORD else replace(model, function=finger)


def _take(model: Model, event: ev.TableEvent, now: Timestamp) -> tuple[Model, tuple[Call, ...]]:
    """Take the table's row for ``event``, then what follows from it.

    ``now`` is the instant of the event that came in: a gesture decided later than it happened (a tap at its release) must
    not set a timer or open a gap in the past of what was already accounted.
    """
    row = row_for(model, event)
    acted, calls = row.act(model, event)
    if row.to is REST:
        acted = replace(acted, state=resting(acted))
    elif row.to is not STAY:
        assert isinstance(row.to, State)
        acted = replace(acted, state=row.to)
    followed, more = follow(model, acted, _instant(event, now))
    return followed, (*calls, *more)


def _hold_back(model: Model, calls: tuple[Call, ...]) -> tuple[Model, tuple[Call, ...]]:
    """Keep entries made while booting until the boot entry, the first of a run, is given; then give them after it."""
    writes = tuple(call for call in calls if isinstance(call, do.Write))
    if model.state is State.BOOTING:
        rest = tuple(call for call in calls if not isinstance(call, do.Write))
        return changed(model, held_back=(*model.held_back, *writes)), rest
    if not model.held_back:
        return model, calls
    place = 1 if writes and writes[0].kind == "boot" and calls[0] is writes[0] else 0
    return replace(model, held_back=()), (*calls[:place], *model.held_back, *calls[place:])


def _instant(event: ev.TableEvent, now: Timestamp) -> Timestamp:
    """A hold ends the recording at the instant it became one; everything else happens at the instant of its event."""
    return event.at if isinstance(event, ev.Held) else now


def view(model: Model) -> View:
    """The conditions that the lamps show."""
    return View(
        partial_fault=model.unfit or any(not port.blocking for port in model.faults),
        battery=Battery.LOW if model.battery is Battery.OK and model.battery_short else model.battery,
        low_storage=model.room_warning > 0,
        clock_unset=model.clock_unset,
        muted=model.muted,
        offloaded=model.offloaded,
        charged=model.percent >= CHARGED_PERCENT,
        asking=model.question is not None and model.question.asked,
        stealth=model.stealth,
        up_to_date=model.up_to_date,
    )


def _show(model: Model, calls: tuple[Call, ...]) -> tuple[Model, tuple[do.Effect, ...]]:
    """Turn the cues of a step and a change of lamps into one ``Show``, and put it where it belongs."""
    cue = choose_cue(tuple(call for call in calls if isinstance(call, CueName)))
    counted = [call for call in calls if isinstance(call, Counted)]
    if cue is None and counted:
        cue = count(counted[-1])
    if model.stealth:
        cue = felt_only(cue)
    effects = tuple(call for call in calls if not isinstance(call, CueName | Counted))
    pair = lamps(model.state, view(model))
    if cue is None and pair == model.shown:
        return model, effects
    show = do.Show(Signal(pair[0], pair[1], cue))
    place = next((i for i, e in enumerate(effects) if isinstance(e, do.StartRecording | do.Halt)), len(effects))
    return replace(model, shown=pair), (*effects[:place], show, *effects[place:])
