"""``report.html``: one shift, its evidence and what the verifier says of it, in one self-contained page.

Everything on the page is read from signed objects that the verifier accepted, or from the run's own measurements, which are
headed as such. Text is escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.custody.entries import Entry
from firmware.evidence.findings import Finding, Report, Severity, Verdict, layers_of
from firmware.evidence.manifest import Manifest
from firmware.timebase import format_utc, parse_utc
from tools.page import write_page
from tools.timeline import Interval, Moment, Timeline, build_timeline

WIDTH = 1040
LEFT, RIGHT = 92, 16
CLOSE = 40


@dataclass(frozen=True, slots=True)
class RecordingPage:
    """One recording as opened: its manifest, sealed notes, MP4 (beside the page) and stills as ``data:`` URIs."""

    manifest: Manifest
    notes: Mapping[str, Any]
    movie: str
    movie_bytes: int
    stills: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShiftPage:
    """All that the page shows. ``tampered`` is the report over a copy with one flipped byte; ``made_of`` says what is real in the
    run, ``fakes`` what is not."""

    title: str
    entries: Sequence[Entry]
    report: Report
    recordings: Sequence[RecordingPage]
    tampered: Report | None
    offload: Mapping[str, Any]
    figures: Sequence[tuple[str, str]]
    source: str
    made_of: str
    fakes: str = ""


def write_report(path: Path, page: ShiftPage) -> None:
    """Render and write; ``path`` is replaced."""
    timeline = build_timeline(page.entries, [one.manifest for one in page.recordings])
    write_page(
        path,
        "report.html.j2",
        {"megabytes": _megabytes, "clock": _clock, "seconds": _seconds},
        page=page,
        timeline=draw(timeline),
        verdicts={one.recording: one for one in page.report.recordings},
        layers_of=layers_of,
        notable=notable,
        Severity=Severity,
        Verdict=Verdict,
    )


def notable(findings: Sequence[Finding]) -> list[Finding]:
    """Everything but the checks that passed."""
    return [one for one in findings if one.severity is not Severity.GOOD]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _clock(utc: str) -> str:
    """Time of day with tenths, from RFC 3339."""
    return utc[11:21]


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:.2f} s"


def draw(timeline: Timeline) -> dict[str, Any]:
    """The time line in page units: rectangles, markers and ticks."""
    span = max(1, timeline.end_ns - timeline.start_ns)

    def x(at_ns: int) -> float:
        clipped = min(max(at_ns, timeline.start_ns), timeline.end_ns)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (clipped - timeline.start_ns) / span, 2)

    def box(one: Interval) -> dict[str, Any]:
        title = f"{one.kind} {one.label}".strip()
        start, end = format_utc(one.start_ns)[11:21], format_utc(one.end_ns)[11:21]
        return {
            "kind": one.kind,
            "x": x(one.start_ns),
            "width": round(max(1.5, x(one.end_ns) - x(one.start_ns)), 2),
            "title": f"{title}: {start} to {end} ({(one.end_ns - one.start_ns) / 1e9:.1f} s)",
        }

    moments = sorted(timeline.moments, key=lambda one: one.at_ns)
    placed, row_ends = [], [0.0, 0.0, 0.0, 0.0]
    for one, label in _merged(moments, x):
        at = x(one.at_ns)
        width = 9 + 6.2 * len(label)
        flipped = at + width > WIDTH
        start = at - width if flipped else at
        row = next((index for index, end in enumerate(row_ends) if start > end), row_ends.index(min(row_ends)))
        row_ends[row] = start + width
        title = f"{one.label} {format_utc(one.at_ns)[11:21]}"
        placed.append({"kind": one.kind, "x": at, "row": row, "label": label, "title": title, "flipped": flipped})
    return {
        "width": WIDTH,
        "left": LEFT,
        "states": [box(one) for one in timeline.states],
        "pre_event": [box(one) for one in timeline.pre_event],
        "moments": placed,
        "ticks": [{"x": x(at), "label": format_utc(at)[11:19]} for at in _ticks(timeline)],
        "start": format_utc(timeline.start_ns),
        "end": format_utc(timeline.end_ns),
    }


def _merged(moments: Sequence[Moment], x: Callable[[int], float]) -> Iterator[tuple[Moment, str]]:
    """Neighbours that say the same, too close to be read one by one, under the first one's mark."""
    run: list[Moment] = []
    for one in [*moments, None]:
        if run and (one is None or one.label != run[0].label or x(one.at_ns) - x(run[0].at_ns) > CLOSE):
            yield run[0], run[0].label if len(run) == 1 else f"{run[0].label} ×{len(run)}"
            run = []
        if one is not None:
            run.append(one)


def _ticks(timeline: Timeline) -> list[int]:
    span_s = (timeline.end_ns - timeline.start_ns) / 1e9
    step = next((step for step in (5, 10, 30, 60, 300, 900) if span_s / step <= 12), 3600) * 1_000_000_000
    first = -(-timeline.start_ns // step) * step
    return list(range(first, timeline.end_ns, step))


def offset_seconds(manifest: Manifest, boottime_us: int) -> float:
    """Seconds from the first picture to an instant of boot time."""
    return (boottime_us - manifest.fragments[0].boottime_us) / 1e6 if manifest.fragments else 0.0


def still_moments(manifest: Manifest) -> list[tuple[str, float]]:
    """What is worth a picture: the first one kept, the activation, each mark, the end."""
    if not manifest.fragments:
        return []
    moments = [
        ("first picture kept", 0.0),
        (
            "at the press" if manifest.begin.cause == "button" else f"activation ({manifest.begin.cause})",
            offset_seconds(manifest, manifest.begin.boottime_us),
        ),
    ]
    for mark in manifest.marks:
        moments.append((f"mark {mark.utc[11:21]}", offset_seconds(manifest, mark.boottime_us)))
    last = manifest.fragments[-1]
    ended = {"power-loss": "the power loss", "fault": "the recorder died"}.get(manifest.end.cause, "its end")
    label = f"last picture before {ended}" if manifest.recovered is not None else "last picture"
    moments.append((label, offset_seconds(manifest, last.boottime_us + last.duration_us)))
    return moments


__all__ = ["RecordingPage", "ShiftPage", "draw", "parse_utc", "still_moments", "write_report"]
