"""Accounting of the time in which an undocked camera could not record at once (BWC-POL-05).

Responsible for one open interval at a time, opened and closed by state changes. Refuses to know why a state changed.

Invariant: ready, recording and docked time and the gaps written tile the run, without hole or overlap. Lengths are boot
time. ``from_us`` (microseconds since 1970 UTC) is the wall time of the closing instant less the length: of all wall
times seen, the last is the best known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from firmware.machine.effects import Write
from firmware.machine.states import State
from firmware.timebase import Timestamp


class GapCause(Enum):
    OFF = "off"
    """No power, or no recorder running; the boot entry says which."""
    BOOT = "boot"
    FAULT = "fault"
    FULL = "full"
    SLEEP = "sleep"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class OpenGap:
    cause: GapCause
    since: Timestamp


_CAUSES = {
    State.BOOTING: GapCause.BOOT,
    State.FAULT: GapCause.FAULT,
    State.FULL: GapCause.FULL,
    State.SLEEPING: GapCause.SLEEP,
    State.HELD: GapCause.HOLD,
}


def account(gap: OpenGap | None, state: State, docked: bool, at: Timestamp) -> tuple[OpenGap | None, tuple[Write, ...]]:
    """The open gap in ``state``, and the entry of the one that ended ``at``."""
    cause = None if docked else _CAUSES.get(state)
    if gap is None or gap.cause is cause:
        return (gap or (OpenGap(cause, at) if cause else None)), ()
    length_ns = max(0, at.since(gap.since))
    written = (gap_entry(gap.cause, length_ns, at),) if length_ns else ()
    return (OpenGap(cause, at) if cause else None), written


def gap_entry(cause: GapCause, length_ns: int, end: Timestamp) -> Write:
    """The ledger entry of a gap of ``length_ns`` that ended at ``end``."""
    fields = {"from_us": (end.wall_ns - length_ns) // 1000, "duration_us": length_ns // 1000, "cause": cause.value}
    return Write("gap", end, fields)
