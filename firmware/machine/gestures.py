"""Button edges to gestures, by the instants of the edges alone.

Responsible for telling tap, double press and hold apart on the record button, and tap, hold and long hold on the function
button. Refuses to know what a gesture is for: it is the same in every state.

Rules of the record button, in the order they bind:

1. A press-down within ``bounce_ms`` after the edge before it continues the press: the contact bounced. A continued press
   keeps its beginning, so a hold through a bounce is a hold, and never a double press.
2. Any other press-down while the button is down means that a release was lost. The old press counts as a tap, never as a hold:
   a lost edge may at worst mark or start a recording, never end one.
3. The second press-down within ``double_press_ms`` after the first is a double press, decided at that edge without
   waiting. It is no tap, whatever its length, and begins no other double press.
4. Any press that is down for ``hold_to_stop_ms`` is a hold, whatever came before it, a tap or a double press. It is decided by the
   timer, ``SETTLE_NS`` late so that a release still on its way through a debouncing driver counts, or by a release edge that comes
   first and is late enough.
5. Any other press is a tap, decided at its release, at the instant of its press-down.

So ``n`` quick presses are: tap, double press, tap, double press ... and each press-down is one gesture, or a double press that
became a hold. That a press which asked for a recording does not end it is the table's to say: it knows what was asked for.

The function button: down for less than ``function_hold_ms`` is a tap, told at its release; down for that long is a hold, which happens
when it is told (what came before may be on the card already), and its release is told too; down for ``hold_to_stop_ms`` is a long
hold as well. Bounces and lost releases as above.

Edges of one button come in the order of their instants; one that seems earlier than the last is taken at its own word,
and can do no more than count as a bounce. Instants are boot time: a clock that is set in the middle of a press changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware.machine.effects import CancelTimer, Effect, SetTimer
from firmware.machine.events import (
    ButtonChanged,
    DoublePressed,
    Elapsed,
    FunctionHeld,
    FunctionReleased,
    FunctionTapped,
    Held,
    Pressed,
    SleepRequested,
    TableEvent,
)
from firmware.machine.states import Button, TimerName
from firmware.policy.model import Activation
from firmware.timebase import Timestamp

SETTLE_NS = 50_000_000
"""Longer than any debouncing delay of a driver (10-20 ms is usual)."""

_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Finger:
    """What one button has done. ``down_at``: beginning of the press; ``pressed``: the contact is closed now."""

    pressed: bool = False
    down_at: Timestamp | None = None
    up_at: Timestamp | None = None
    used: bool = False
    """The press was told as a hold (of the function button: as a long one); there is nothing more to tell of it."""
    told: bool = False
    """The press was told as a tap or a double press; it can still become a hold."""
    held: bool = False
    """The press of the function button was told as a hold."""
    first_at: Timestamp | None = None
    """A tap that a press-down within the window would complete to a double press."""


Outcome = tuple[Finger, tuple[TableEvent, ...], tuple[Effect, ...]]


def feed(finger: Finger, event: ButtonChanged, timing: Activation) -> Outcome:
    """The finger after an edge, the gestures it made, and the timer it needs."""
    if event.button is Button.FUNCTION:
        return _function_press(finger, event.at, timing) if event.pressed else _function_release(finger, event.at, timing)
    return _press(finger, event.at, timing) if event.pressed else _release(finger, event.at, timing)


def elapse(finger: Finger, event: Elapsed, timing: Activation) -> Outcome:
    """The finger after a hold timer; nothing when the press it was set for is over or not yet long enough."""
    if event.timer is TimerName.FUNCTION_HOLD:
        held, made = _function_holds(finger, event.at, timing)
        return held, made, _function_timer(held, timing)
    held_at = _held_at(finger, timing.hold_to_stop_ms)
    if held_at is None or event.at.boottime_ns < held_at.boottime_ns:
        return finger, (), ()
    assert finger.down_at is not None
    return replace(finger, used=True, first_at=None), (Held(held_at, finger.down_at),), ()


def _press(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if _bounced(finger, at, timing):
        return replace(finger, pressed=True), (), _hold_timer(finger, timing)
    gestures: tuple[TableEvent, ...] = ()
    first = finger.first_at
    if finger.pressed and not finger.used and not finger.told and finger.down_at is not None:
        gestures, first = (Pressed(finger.down_at),), finger.down_at
    if first is not None and at.since(first) <= timing.double_press_ms * _MS:
        begun, gestures = Finger(pressed=True, down_at=at, told=True), (*gestures, DoublePressed(at, first))
    else:
        begun = Finger(pressed=True, down_at=at)
    return begun, gestures, _hold_timer(begun, timing)


def _release(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if not finger.pressed or finger.down_at is None:
        return finger, (), ()
    up, timers = replace(finger, pressed=False, up_at=at), (CancelTimer(TimerName.RECORD_HOLD),)
    if finger.used:
        return up, (), timers
    held_at = _held_at(finger, timing.hold_to_stop_ms)
    if held_at is not None and at.boottime_ns >= held_at.boottime_ns:
        return replace(up, used=True, first_at=None), (Held(held_at, finger.down_at),), timers
    if finger.told:
        return up, (), timers
    return replace(up, told=True, first_at=finger.down_at), (Pressed(finger.down_at),), timers


def _function_press(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if _bounced(finger, at, timing):
        again = replace(finger, pressed=True)
        return again, (), _function_timer(again, timing)
    begun = Finger(pressed=True, down_at=at)
    return begun, _let_go(finger, at) if finger.pressed else (), _function_timer(begun, timing)


def _function_release(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if not finger.pressed or finger.down_at is None:
        return finger, (), ()
    held, made = _function_holds(finger, at, timing)
    made = (*made, *_let_go(held, at))
    return replace(held, pressed=False, up_at=at, told=True), made, (CancelTimer(TimerName.FUNCTION_HOLD),)


def _let_go(finger: Finger, at: Timestamp) -> tuple[TableEvent, ...]:
    if finger.held:
        return (FunctionReleased(at),)
    return () if finger.told or finger.down_at is None else (FunctionTapped(finger.down_at),)


def _function_holds(finger: Finger, at: Timestamp, timing: Activation) -> tuple[Finger, tuple[TableEvent, ...]]:
    """What a press that is still down ``at`` has become and was not told as yet."""
    made: tuple[TableEvent, ...] = ()
    held, long = _held_at(finger, timing.function_hold_ms, at), _held_at(finger, timing.hold_to_stop_ms, at)
    if held is not None and not finger.held:
        made = (FunctionHeld(at),)
    if long is not None:
        made = (*made, SleepRequested(long))
    return replace(finger, held=finger.held or held is not None, used=finger.used or long is not None), made


def _bounced(finger: Finger, at: Timestamp, timing: Activation) -> bool:
    last = finger.down_at if finger.pressed else finger.up_at
    return last is not None and at.since(last) < timing.bounce_ms * _MS


def _held_at(finger: Finger, hold_ms: int, by: Timestamp | None = None) -> Timestamp | None:
    """The instant at which the running press becomes a hold; ``None`` when it cannot become one, or has not ``by`` then."""
    if not finger.pressed or finger.down_at is None or finger.used:
        return None
    span = hold_ms * _MS
    held_at = replace(finger.down_at, boottime_ns=finger.down_at.boottime_ns + span, wall_ns=finger.down_at.wall_ns + span)
    return held_at if by is None or by.boottime_ns >= held_at.boottime_ns else None


def _hold_timer(finger: Finger, timing: Activation) -> tuple[Effect, ...]:
    if finger.used or finger.down_at is None:
        return ()
    return (SetTimer(TimerName.RECORD_HOLD, finger.down_at.boottime_ns + timing.hold_to_stop_ms * _MS + SETTLE_NS),)


def _function_timer(finger: Finger, timing: Activation) -> tuple[Effect, ...]:
    """For the next thing that a press which lasts would become."""
    if finger.used or finger.down_at is None or not finger.pressed:
        return ()
    wait_ms = timing.hold_to_stop_ms if finger.held else timing.function_hold_ms
    return (SetTimer(TimerName.FUNCTION_HOLD, finger.down_at.boottime_ns + wait_ms * _MS + SETTLE_NS),)
