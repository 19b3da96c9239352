"""How many minutes of recording are left: in the cell by how it has been draining, and until the board is hot (BWC-POL-48).

Responsible for estimates that err on the short side and do not jump: medians of slopes between readings, so that one wrong reading of a
gauge changes nothing; the policy's assumption until enough was seen. Refuses to know the gauge and the clock: readings are arguments.
Room is counted in ``health.minutes_left``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median

from firmware.policy.model import Battery as BatteryRules

_MINUTE_NS = 60_000_000_000
WINDOW_NS = 60 * _MINUTE_NS
"""What is older says nothing of now."""
KNOWN_NS = 5 * _MINUTE_NS
KNOWN_STEPS = 3
"""A drain is known from so many falls of a percent that are so far apart."""
_MOST_STEPS = 24
_SLOWEST = 0.001
"""Percent a minute: a gauge that stands still is no cell that lasts for ever."""
RECORDING = "recording"
_HEAT_NS = 15 * _MINUTE_NS
_WARMS = 0.1
"""Degrees a minute; less is no trend."""
MOST_MINUTES = 6000
"""More is not promised."""

Point = tuple[int, int]
"""(boot time in ns, percent or degrees)."""


@dataclass(frozen=True, slots=True)
class Cell:
    """``steps``: when the gauge showed which percent for the first time, under one load, going down. The medians are kept with what they
    are of: a look each second costs nothing unless something has changed."""

    load: str = ""
    steps: tuple[Point, ...] = ()
    falls: float = 0.0
    """Percent a minute, of ``steps``."""
    recording: float | None = None
    """Percent a minute while recording, the newest that is known."""
    warmth: tuple[Point, ...] = ()
    rises: float = 0.0
    """Degrees a minute, of ``warmth``."""


def follow(cell: Cell, at_ns: int, percent: int, celsius: int, charging: bool, load: str) -> Cell:
    """Take a reading of gauge and board. ``load`` names what the camera is doing ("recording", "ready", …)."""
    if not cell.warmth or at_ns - cell.warmth[-1][0] >= _MINUTE_NS:
        warmth = _recent((*cell.warmth, (at_ns, celsius)), at_ns, _HEAT_NS)
        cell = replace(cell, warmth=warmth, rises=_slope(warmth))
    load = "" if charging else load
    if load != cell.load:
        cell = replace(cell, load=load, steps=(), falls=0.0)
    # A first reading lies somewhere within its percent: the slopes from it are too steep, which errs on the short side.
    if charging or (cell.steps and percent >= cell.steps[-1][1]):
        return cell
    steps = _recent((*cell.steps, (at_ns, percent)), at_ns, WINDOW_NS)
    cell = replace(cell, steps=steps, falls=max(0.0, -_slope(steps)))
    known = load == RECORDING and len(steps) >= KNOWN_STEPS and steps[-1][0] - steps[0][0] >= KNOWN_NS
    return replace(cell, recording=cell.falls) if known else cell


def _recent(points: tuple[Point, ...], at_ns: int, window_ns: int) -> tuple[Point, ...]:
    return tuple(one for one in points if at_ns - one[0] <= window_ns)[-_MOST_STEPS:]


def _slope(points: tuple[Point, ...]) -> float:
    """Units a minute, the median over all pairs (Theil and Sen); 0 for fewer than two instants."""
    slopes = [(later[1] - early[1]) * _MINUTE_NS / (later[0] - early[0]) for early, later in combinations(points, 2) if later[0] > early[0]]
    return median(slopes) if slopes else 0.0


def is_measured(cell: Cell) -> bool:
    """Whether the drain is one that was seen while recording, in this run."""
    return cell.recording is not None


def battery_minutes(cell: Cell, percent: int, at_ns: int, rules: BatteryRules) -> int:
    """Whole minutes of recording until ``critical_percent``, at which the recorder closes what is open and ends; never negative.

    By the drain while recording; before that is known by whichever is faster, what was seen or what the policy assumes."""
    drain = max(100 / rules.full_minutes, cell.falls) if cell.recording is None else cell.recording
    since_ns = cell.steps[-1][0] if cell.steps and cell.steps[-1][1] == percent else at_ns
    used = min(1.0, max(0, at_ns - since_ns) / _MINUTE_NS * drain)
    left = max(0.0, percent - rules.critical_percent - used)
    return min(MOST_MINUTES, int(left / max(drain, _SLOWEST)))


def heat_minutes(cell: Cell, celsius: int, limit_celsius: int) -> int | None:
    """Whole minutes until the board is as hot as ``limit_celsius``, 0 when it is; ``None`` while it does not warm up."""
    if celsius >= limit_celsius:
        return 0
    return min(MOST_MINUTES, int((limit_celsius - celsius) / cell.rises)) if cell.rises >= _WARMS else None


def is_short(now: bool, minutes: int | None, rules: BatteryRules) -> bool:
    """Whether the cell will not last, for one that was or was not ``now``; left at twice the mark, or on the charger (``None``)."""
    if minutes is None:
        return False
    return minutes <= rules.warn_minutes or (now and minutes < 2 * rules.warn_minutes)
