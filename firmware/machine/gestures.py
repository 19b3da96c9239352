"""Button edges to gestures, by the instants of the edges alone.

Responsible for telling tap, double press and hold apart on the record button, and hold and bare edges on the function
button. Refuses to know what a gesture is for: it is the same in every state.

Rules, in the order they bind:

1. A press-down within ``bounce_ms`` after the edge before it continues the press: the contact bounced. A continued press
   keeps its beginning, so a hold through a bounce is a hold, and never a double press.
2. Any other press-down while the button is down means that a release was lost. The old press counts as a tap, never as a hold:
   a lost edge may at worst mark or start a recording, never end one.
3. The second press-down within ``double_press_ms`` after the first is a double press, decided at that edge without
   waiting. The press that completed it is used up: it is neither tap nor hold, whatever its length.
4. A press that is down for ``hold_to_stop_ms`` is a hold. It is decided by the timer, ``SETTLE_NS`` late so that a release
   still on its way through a debouncing driver counts, or by a release edge that comes first and is late enough.
5. Any other press is a tap, decided at its release, at the instant of its press-down.

So ``n`` quick presses are: tap, double press, tap, double press ... and one gesture per press-down at most, two never.
Edges of one button come in the order of their instants; one that seems earlier than the last is taken at its own word,
and can do no more than count as a bounce.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware.machine.effects import CancelTimer, Effect, SetTimer
from firmware.machine.events import (
    ButtonChanged,
    DoublePressed,
    Elapsed,
    FunctionPressed,
    FunctionReleased,
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
_TIMERS = {Button.RECORD: TimerName.RECORD_HOLD, Button.FUNCTION: TimerName.FUNCTION_HOLD}


@dataclass(frozen=True, slots=True)
class Finger:
    """What one button has done. ``down_at``: beginning of the press; ``pressed``: the contact is closed now."""

    pressed: bool = False
    down_at: Timestamp | None = None
    up_at: Timestamp | None = None
    used: bool = False
    """The press cannot become a tap or a hold any more."""
    tapped: bool = False
    """The press was told as a tap; if it bounces back it can still become a hold, not a second tap."""
    first_at: Timestamp | None = None
    """A tap that a press-down within the window would complete to a double press."""


Outcome = tuple[Finger, tuple[TableEvent, ...], tuple[Effect, ...]]


def feed(finger: Finger, event: ButtonChanged, timing: Activation) -> Outcome:
    """The finger after an edge, the gestures it made, and the timer it needs."""
    if event.button is Button.FUNCTION:
        return _function_edge(finger, event, timing)
    return _press(finger, event.at, timing) if event.pressed else _release(finger, event.at, timing)


def elapse(finger: Finger, event: Elapsed, timing: Activation) -> Outcome:
    """The finger after a hold timer; nothing when the press it was set for is over or not yet long enough."""
    held_at = _held_at(finger, timing)
    if held_at is None or event.at.boottime_ns < held_at.boottime_ns:
        return finger, (), ()
    assert finger.down_at is not None
    if event.timer is TimerName.FUNCTION_HOLD:
        return replace(finger, used=True), (SleepRequested(held_at),), ()
    return replace(finger, used=True, first_at=None), (Held(held_at, finger.down_at),), ()


def _press(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if _bounced(finger, at, timing):
        return replace(finger, pressed=True), (), _hold_timer(finger, Button.RECORD, timing)
    gestures: tuple[TableEvent, ...] = ()
    first = finger.first_at
    if finger.pressed and not finger.used and finger.down_at is not None:
        gestures, first = _tap(finger), finger.down_at
    if first is not None and at.since(first) <= timing.double_press_ms * _MS:
        done = Finger(pressed=True, down_at=at, used=True)
        return done, (*gestures, DoublePressed(at, first)), (CancelTimer(TimerName.RECORD_HOLD),)
    begun = Finger(pressed=True, down_at=at)
    return begun, gestures, _hold_timer(begun, Button.RECORD, timing)


def _release(finger: Finger, at: Timestamp, timing: Activation) -> Outcome:
    if not finger.pressed or finger.down_at is None:
        return finger, (), ()
    up = replace(finger, pressed=False, up_at=at)
    if finger.used:
        return up, (), (CancelTimer(TimerName.RECORD_HOLD),)
    held_at = _held_at(finger, timing)
    if held_at is not None and at.boottime_ns >= held_at.boottime_ns:
        gesture: TableEvent = Held(held_at, finger.down_at)
        return replace(up, used=True, first_at=None), (gesture,), (CancelTimer(TimerName.RECORD_HOLD),)
    return replace(up, tapped=True, first_at=finger.down_at), _tap(finger), (CancelTimer(TimerName.RECORD_HOLD),)


def _tap(finger: Finger) -> tuple[TableEvent, ...]:
    return () if finger.tapped or finger.down_at is None else (Pressed(finger.down_at),)


def _function_edge(finger: Finger, event: ButtonChanged, timing: Activation) -> Outcome:
    if not event.pressed:
        if not finger.pressed:
            return finger, (), ()
        gestures: tuple[TableEvent, ...] = (FunctionReleased(event.at),)
        held_at = _held_at(finger, timing)
        if held_at is not None and event.at.boottime_ns >= held_at.boottime_ns:
            gestures = (SleepRequested(held_at), *gestures)
        return replace(finger, pressed=False, up_at=event.at, used=True), gestures, (CancelTimer(TimerName.FUNCTION_HOLD),)
    if finger.pressed or _bounced(finger, event.at, timing):
        return replace(finger, pressed=True), (), ()
    begun = Finger(pressed=True, down_at=event.at)
    return begun, (FunctionPressed(event.at),), _hold_timer(begun, Button.FUNCTION, timing)


def _bounced(finger: Finger, at: Timestamp, timing: Activation) -> bool:
    last = finger.down_at if finger.pressed else finger.up_at
    return last is not None and at.since(last) < timing.bounce_ms * _MS


def _held_at(finger: Finger, timing: Activation) -> Timestamp | None:
    """The instant at which the running press becomes a hold; ``None`` when it cannot become one."""
    if not finger.pressed or finger.down_at is None or finger.used:
        return None
    span = timing.hold_to_stop_ms * _MS
    return replace(finger.down_at, boottime_ns=finger.down_at.boottime_ns + span, wall_ns=finger.down_at.wall_ns + span)


def _hold_timer(finger: Finger, button: Button, timing: Activation) -> tuple[Effect, ...]:
    if finger.used or finger.down_at is None:
        return ()
    return (SetTimer(_TIMERS[button], finger.down_at.boottime_ns + timing.hold_to_stop_ms * _MS + SETTLE_NS),)
