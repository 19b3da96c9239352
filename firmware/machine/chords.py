"""Both buttons at once: what two gestures mean together.

Responsible for the one chord there is, both buttons pressed within ``TOGETHER_NS`` and held for as long as a stop takes
(BWC-POL-15). Refuses to take part where the policy knows no stealth: there a hold of the record button stops, whatever the other
hand does.

Rules: a tap or a double press is never held back, so no press that asks for a recording or marks one can be lost in a chord. A hold
counts as part of a chord only while the other button is down as well; who lets one of them go has only held the other.
"""

from __future__ import annotations

from firmware.machine.events import FunctionHeld, Held, SleepRequested, StealthRequested, TableEvent
from firmware.machine.gestures import Finger

TOGETHER_NS = 500_000_000
"""Two press-downs this close belong together: thumbs are not simultaneous."""


def merge(made: tuple[TableEvent, ...], record: Finger, function: Finger) -> tuple[TableEvent, ...]:
    """``made`` of one button, with the fingers before the edge or timer that made it."""
    if not _together(record, function):
        return made
    return tuple(one for gesture in made for one in _as_chord(gesture))


def _together(record: Finger, function: Finger) -> bool:
    if not (record.pressed and function.pressed) or record.down_at is None or function.down_at is None:
        return False
    return abs(record.down_at.since(function.down_at)) <= TOGETHER_NS


def _as_chord(gesture: TableEvent) -> tuple[TableEvent, ...]:
    match gesture:
        case Held(at, _):
            return (StealthRequested(at),)
        case FunctionHeld() | SleepRequested():
            return ()
        case _:
            return (gesture,)
