"""The shift as a drawing for the expert's page: what the account of time says, and what happened in it. Pure.

Each stretch of time that belongs together gets a line of its own: a new one begins where the camera was off for long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from firmware.custody.accounting import Accounting
from firmware.custody.entries import Entry
from firmware.evidence.manifest import Manifest
from firmware.timebase import format_utc, parse_utc
from tools.timeline import Interval, Moment, build_timeline

WIDTH, LEFT, RIGHT, ROWS = 1040, 92, 16, 5
LONG_OFF_NS = 2 * 3600 * 1_000_000_000
_STEPS_S = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
_GAPS = {"sleep": "asleep", "boot": "booting", "hold": "held"}


@dataclass(frozen=True, slots=True)
class Line:
    """One stretch: intervals that tile it, parts from before a press, and moments."""

    states: tuple[Interval, ...]
    pre_event: tuple[Interval, ...]
    moments: tuple[Moment, ...]


def lines(entries: Sequence[Entry], accounting: Accounting, manifests: Sequence[Manifest]) -> list[Line]:
    """One line for each stretch of time without a long off time in it."""
    told = build_timeline(entries, manifests)
    moments = [*told.moments, *_more_moments(entries)]
    groups: list[list[Interval]] = []
    for index, run in enumerate(accounting.runs):
        states = [_state(one.kind, one.cause, parse_utc(one.utc), one.length_us) for one in run.intervals]
        if not states:
            continue
        off_ns = (run.off_us or 0) * 1000
        if index == 0 or not groups or off_ns > LONG_OFF_NS:
            groups.append([])
        elif off_ns:
            groups[-1].append(Interval("off", groups[-1][-1].end_ns, states[0].start_ns, "off"))
        groups[-1] += states
    return [_line(states, told.pre_event, moments) for states in groups]


def _state(kind: str, cause: str, start_ns: int, length_us: int) -> Interval:
    shown = _GAPS.get(cause, "fault") if kind == "gap" else kind
    return Interval(shown, start_ns, start_ns + length_us * 1000, cause)


def _line(states: list[Interval], pre_event: Sequence[Interval], moments: Sequence[Moment]) -> Line:
    start, end = states[0].start_ns, states[-1].end_ns
    return Line(
        tuple(states),
        tuple(one for one in pre_event if start <= one.end_ns and one.start_ns <= end),
        tuple(one for one in moments if start <= one.at_ns <= end),
    )


def _more_moments(entries: Sequence[Entry]) -> list[Moment]:
    words = {"mute": "muted", "unmute": "sound on", "clock": "clock", "undock": "undocked"}
    return [Moment(entry.kind, entry.time.wall_ns, words[entry.kind]) for entry in entries if entry.kind in words]


def draw(line: Line) -> dict[str, Any]:
    """In page units: rectangles, markers in rows that do not overlap, ticks."""
    start_ns, end_ns = line.states[0].start_ns, line.states[-1].end_ns
    span = max(1, end_ns - start_ns)

    def x(at_ns: int) -> float:
        clipped = min(max(at_ns, start_ns), end_ns)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (clipped - start_ns) / span, 2)

    def box(one: Interval) -> dict[str, Any]:
        words = f"{one.kind} {one.label}".strip()
        title = f"{words}: {format_utc(one.start_ns)[11:21]}, {(one.end_ns - one.start_ns) / 1e9:.1f} s"
        return {"kind": one.kind, "x": x(one.start_ns), "width": round(max(1.5, x(one.end_ns) - x(one.start_ns)), 2), "title": title}

    return {
        "day": format_utc(start_ns)[:10],
        "start": format_utc(start_ns),
        "end": format_utc(end_ns),
        "states": [box(one) for one in line.states],
        "pre_event": [box(one) for one in line.pre_event],
        "moments": _placed(line.moments, x),
        "ticks": [{"x": x(at), "label": format_utc(at)[11:19]} for at in _ticks(start_ns, end_ns)],
    }


def _placed(moments: Sequence[Moment], x: Any) -> list[dict[str, Any]]:
    """Labels where there is room for them; the table below the drawing names all."""
    placed, row_ends = [], [0.0] * ROWS
    for one in sorted(moments, key=lambda one: one.at_ns):
        at, width = x(one.at_ns), 12 + 6.4 * len(one.label)
        flipped = at + width > WIDTH
        begin = at - width if flipped else at
        row = next((index for index, end in enumerate(row_ends) if begin > end), None)
        if row is not None:
            row_ends[row] = begin + width
        label = one.label if row is not None else ""
        is_bad = one.kind in ("power-loss", "fault")
        title = f"{one.label} {format_utc(one.at_ns)[11:21]}"
        placed.append({"x": at, "row": row or 0, "label": label, "title": title, "flipped": flipped, "bad": is_bad})
    return placed


def _ticks(start_ns: int, end_ns: int) -> list[int]:
    span_s = (end_ns - start_ns) / 1e9
    step = next((one for one in _STEPS_S if span_s / one <= 11), _STEPS_S[-1]) * 1_000_000_000
    first = -(-start_ns // step) * step
    return list(range(first, end_ns, step))[:24]
