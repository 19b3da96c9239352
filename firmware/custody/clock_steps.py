"""Steps of the wall clock: noticed, measured against a dock, judged, and found again by a reader (BWC-POL-26, -27; docs/time.md).

Responsible for arithmetic and rules. Wall time less boot time is the *frame* of a reading: the kernel moves both clocks alike, whatever
disciplines them, so within a boot the frame changes only when somebody steps the wall clock. Refuses to read a clock and to set one.
Times in microseconds; UTC since 1970.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from firmware.custody.clock_bounds import DRIFT_PPM
from firmware.custody.entries import Entry
from firmware.timebase import Timestamp, Trust, format_utc

STEP_US = 10_000
"""A frame that moved by more than this was stepped. Readings err by their bracket: 50 microseconds, or under a load that spoils eight
tries in a row a little more. What is smaller adds up and is told when it is more than this; a picture lasts three times as long."""
WIDEST_US = 600_000_000
"""A dock's time that is not known more closely than this is no measurement: nobody is to be told a clock that is five minutes off."""
RTC_BOUND_US = 3_600_000_000
"""The most that a clock with a battery may be off: 50 parts in a million for two years are 53 minutes."""
SYNCED_BOUND_US = 60_000_000
"""The most that a clock may be off which was set in this very boot: 50 parts in a million for two weeks."""
SAME_FRAME_US = 100_000
"""Two leaves whose frames differ by less are in one: their stamps add the errors of two readings, and steps too small to be told."""


def frame_us(at: Timestamp) -> int:
    """Wall time less boot time."""
    return at.wall_ns // 1000 - at.boottime_ns // 1000


@dataclass(frozen=True, slots=True)
class Bracket:
    """By how much another's clock is ahead of this boot's boot time: not less than ``low_us``, not more than ``high_us``."""

    low_us: int
    high_us: int
    who: str


def bracket(said: tuple[int, int], between: tuple[int, int], who: str) -> Bracket:
    """``who`` signed, with a time in ``said`` (first and last possible), at a moment whose boot time lies in ``between``."""
    spread = max(0, between[1] - between[0]) * DRIFT_PPM // 1_000_000 + 1
    return Bracket(said[0] - between[1] - spread, said[1] - between[0] + spread, who)


class Action(Enum):
    """What a ``clock`` leaf says became, or is to become, of the clock."""

    SET = "set"
    """About to be stepped by the recorder, by the measured offset."""
    KEPT = "kept"
    """Measured and left as it is."""
    NOTICED = "noticed"
    """Stepped by something else, or its trust has changed: found afterwards."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """Within which a time can be true, UTC: not before this firmware was written nor the camera's certificate, not after that ends."""

    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Measured:
    """The camera's clock against another's. ``offset_us`` is the other's less the camera's, give or take ``uncertainty_us``.

    ``action`` is ``None`` when the measurement is refused or no good; ``reason`` then says why, and is empty for one that is not worth
    telling.
    """

    offset_us: int
    uncertainty_us: int
    action: Action | None
    reason: str = ""


def judge(found: Bracket, now: Timestamp, life: Lifetime, may_set: bool) -> Measured:
    """What to do about a dock's time: the rules of docs/time.md, in their order. ``may_set``: this back-end's clock is the recorder's."""
    frame = frame_us(now)
    low, high = found.low_us - frame, found.high_us - frame
    offset, uncertainty = (low + high) // 2, (high - low + 1) // 2
    wall_us = now.wall_ns // 1000

    def refused(reason: str) -> Measured:
        return Measured(offset, uncertainty, None, reason)

    if high - low > WIDEST_US:
        return refused("")
    if wall_us + high < life.first_us or wall_us + low > life.last_us:
        return refused(f"the clock of {found.who} is outside the camera's life: {_date(wall_us + offset)}")
    bound = {Trust.RTC: RTC_BOUND_US, Trust.SYNCED: SYNCED_BOUND_US}.get(now.trust)
    if bound is not None and abs(offset) - uncertainty > bound:
        return refused(f"the clock of {found.who} differs by {offset / 1e6:+.3f} s from one that is trusted ({now.trust.value})")
    fits = now.trust is not Trust.UNSET and abs(offset) <= uncertainty
    return Measured(offset, uncertainty, Action.KEPT if fits or not may_set else Action.SET)


def _date(utc_us: int) -> str:
    """For a sentence: what no calendar has is left as a number."""
    try:
        return format_utc(utc_us * 1000)
    except OverflowError:
        return f"{utc_us // 1_000_000} s since 1970"


def grace_left_ns(receipted: Timestamp, now: Timestamp, days: int) -> int:
    """What is left of a grace period of ``days`` since a receipt (BWC-POL-43), to be counted on in boot time, which nobody steps.

    Time that no clock knows does not count: not of a boot in which the clock was not set, and never less than none.
    """
    known = Trust.UNSET not in (receipted.trust, now.trust)
    return days * 86_400_000_000_000 - (max(0, now.wall_ns - receipted.wall_ns) if known else 0)


# --- what a reader finds


class Told(Enum):
    """What the leaves say of one movement of the clock."""

    STEPPED = "stepped"
    """It moved, and a leaf says so."""
    NOT_STEPPED = "not stepped"
    """A leaf says that it is about to be set, and no later one of the boot has moved."""
    COMPARED = "compared"
    TRUST = "trust"
    """Its trust changed; it did not move."""
    UNTOLD = "untold"
    """It moved, and no leaf says so."""


@dataclass(frozen=True, slots=True)
class Movement:
    """``entry``: the ``clock`` leaf, or for an untold one the first leaf that has moved. ``recording``: what was open then."""

    told: Told
    entry: Entry
    offset_us: int
    recording: str = ""


def movements(entries: Sequence[Entry]) -> Iterator[Movement]:
    """Every step that a checked ledger tells of, and every one that it does not, in the order of the leaves."""
    boots: dict[int, list[Entry]] = {}
    for entry in entries:
        boots.setdefault(entry.boot, []).append(entry)
    for leaves in boots.values():
        yield from _of_boot(leaves)


def _of_boot(leaves: Sequence[Entry]) -> Iterator[Movement]:
    """A leaf fits when its frame is one that the boot began in, or that a leaf of the boot tells of: told late, or from before."""
    frames = [frame_us(leaves[0].time)]
    told = {entry.n: _frame_told(entry) for entry in leaves if entry.kind == "clock"}
    known = [*frames, *(frame for frame in told.values() if frame is not None)]
    current, recording = frames[0], ""
    for place, entry in enumerate(leaves):
        recording = _open_recording(entry, recording)
        frame = frame_us(entry.time)
        if entry.kind == "clock":
            yield _told(entry, told[entry.n], leaves[place + 1 :], recording)
            frame = told[entry.n] or frame
        elif not any(abs(frame - one) <= SAME_FRAME_US for one in known):
            known.append(frame)
            yield Movement(Told.UNTOLD, entry, frame - current, recording)
        current = frame


def _frame_told(entry: Entry) -> int | None:
    """The frame from then on; ``None`` when the leaf does not tell of a step."""
    frame = frame_us(entry.time)
    match entry.fields["action"]:
        case "set":
            return frame + int(entry.fields["offset_us"])
        case "noticed":
            return frame
    return None


def _told(entry: Entry, frame: int | None, after: Sequence[Entry], recording: str) -> Movement:
    offset = int(entry.fields["offset_us"])
    if frame is None:
        return Movement(Told.COMPARED, entry, offset, recording)
    if entry.fields["action"] == "set":
        # The recorder's own readings say whether it went through with it.
        moved = not after or abs(offset) <= SAME_FRAME_US or any(abs(frame_us(one.time) - frame) <= SAME_FRAME_US for one in after)
        return Movement(Told.STEPPED if moved else Told.NOT_STEPPED, entry, offset, recording)
    return Movement(Told.STEPPED if abs(offset) > STEP_US else Told.TRUST, entry, offset, recording)


def _open_recording(entry: Entry, recording: str) -> str:
    if entry.kind == "begin":
        return str(entry.fields["recording"])
    return "" if entry.kind == "end" and entry.fields["recording"] == recording else recording
