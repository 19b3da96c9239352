"""Accounting of a camera's time, told by its signed leaves alone (BWC-POL-05).

Responsible for one question: for every moment of a run, was the camera ready, recording, docked, or in a gap whose cause it signed?
What none of these covers is *unaccounted*, and is told by its place. Refuses to judge, and to use any time that is not in a leaf.

A run is one life of the recorder: from a boot leaf to the last sign of life before the next one. Inside a run, times are boot time,
which never steps; where claims overlap, the one that says most counts: recording before gap before docked before ready. Between
runs the camera was off; the next boot's leaf says how long, or that its clock could not tell. Assignment is not in the ledger: all
time out of the dock counts as assigned.

Invariant: in each run, ready + recording + docked + gaps + unaccounted is the run's length, to the microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from firmware.custody.entries import Entry
from firmware.timebase import format_utc

SEAM_US = 50_000
"""Between two leaves that belong together lies a moment in which the camera works; less than this is not told."""
_READY_ENDS = frozenset({"begin", "sleep", "dock", "shutdown", "ready"})
_LAST_US = 253_402_300_799 * 1_000_000
_RANK = {"recording": 3, "gap": 2, "docked": 1, "ready": 0}


@dataclass(frozen=True, slots=True)
class Interval:
    """``kind``: ready, recording, docked, gap, unaccounted. Boot time in microseconds; ``utc`` is when it began, as far as known."""

    kind: str
    start_us: int
    end_us: int
    cause: str = ""
    utc: str = ""

    @property
    def length_us(self) -> int:
        return self.end_us - self.start_us


@dataclass(frozen=True, slots=True)
class RunAccount:
    """One run. ``off_us`` is the signed time without power or recorder before it; ``None`` when the clock could not tell."""

    boot: int
    previous: str
    off_us: int | None
    intervals: tuple[Interval, ...]

    def total_us(self, kind: str) -> int:
        return sum(one.length_us for one in self.intervals if one.kind == kind)

    def gaps_us(self) -> dict[str, int]:
        """Signed gaps by cause, without the time before the run."""
        return _sums((one.cause, one.length_us) for one in self.intervals if one.kind == "gap")

    @property
    def length_us(self) -> int:
        return sum(one.length_us for one in self.intervals)

    def as_dict(self) -> dict[str, Any]:
        return {
            "boot": self.boot,
            "previous": self.previous,
            "off_before_us": self.off_us,
            "length_us": self.length_us,
            "ready_us": self.total_us("ready"),
            "recording_us": self.total_us("recording"),
            "docked_us": self.total_us("docked"),
            "gaps_us": self.gaps_us(),
            "unaccounted_us": self.total_us("unaccounted"),
        }


@dataclass(frozen=True, slots=True)
class Accounting:
    """All runs of a ledger."""

    runs: tuple[RunAccount, ...]

    def total_us(self, kind: str) -> int:
        return sum(run.total_us(kind) for run in self.runs)

    def gaps_us(self) -> dict[str, int]:
        """Signed gaps by cause, off included."""
        inside = [item for run in self.runs for item in run.gaps_us().items()]
        return _sums([*inside, *(("off", run.off_us) for run in self.runs if run.off_us)])

    def unaccounted(self) -> tuple[tuple[int, Interval], ...]:
        """(boot, interval) of all time that no leaf explains."""
        return tuple((run.boot, one) for run in self.runs for one in run.intervals if one.kind == "unaccounted")

    def unknown_lengths(self) -> tuple[int, ...]:
        """Boots before which the camera was off for a time that its clock could not tell."""
        return tuple(run.boot for run in self.runs if run.off_us is None and run.previous != "first")

    @property
    def undocked_us(self) -> int:
        """All known time out of the dock, that in which the camera was off included."""
        kinds = ("ready", "recording", "unaccounted")
        return sum(self.total_us(kind) for kind in kinds) + sum(self.gaps_us().values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "undocked_us": self.undocked_us,
            "ready_us": self.total_us("ready"),
            "recording_us": self.total_us("recording"),
            "docked_us": self.total_us("docked"),
            "gaps_us": self.gaps_us(),
            "unaccounted_us": self.total_us("unaccounted"),
            "off_of_unknown_length_before_boots": list(self.unknown_lengths()),
            "runs": [run.as_dict() for run in self.runs],
        }


def account(entries: Sequence[Entry]) -> Accounting:
    """The accounts of every run of a checked ledger."""
    ends = _ends(entries)
    return Accounting(tuple(_account_run(run, ends) for run in _runs(entries)))


def _runs(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Leaves from boot leaf to boot leaf; what stands before the first (a torn tail that was set aside) belongs to the next."""
    run: list[Entry] = []
    for entry in entries:
        if entry.kind == "boot" and any(one.kind == "boot" for one in run):
            yield run
            run = []
        run.append(entry)
    if any(one.kind == "boot" for one in run):
        yield run


def _ends(entries: Sequence[Entry]) -> dict[str, Entry]:
    return {entry.fields["recording"]: entry for entry in entries if entry.kind == "end"}


def _account_run(run: list[Entry], ends: dict[str, Entry]) -> RunAccount:
    boot = next(entry for entry in run if entry.kind == "boot")
    inside = [entry for entry in run if entry.boot == boot.boot]
    start = min([_us(boot)] + [_gap_start(entry) for entry in inside if _is_gap_inside(entry)])
    end = max([_us(entry) for entry in inside] + [_fragment_end(entry) for entry in inside if entry.kind == "fragment"])
    claims = [*_recordings(inside, ends, end), *_gaps(inside), *_holds(inside, end), *_docked(inside, start, end), *_ready(inside, end)]
    offset_us = boot.time.wall_ns // 1000 - _us(boot)
    off = next((entry.fields["duration_us"] for entry in inside if entry.kind == "gap" and entry.fields["cause"] == "off"), 0)
    off_us = None if boot.fields["down_us"] is None and boot.fields["previous"] != "first" else off
    return RunAccount(boot.boot, boot.fields["previous"], off_us, tuple(_tile(claims, start, end, offset_us)))


def _us(entry: Entry) -> int:
    return entry.time.boottime_ns // 1000


def _fragment_end(entry: Entry) -> int:
    return int(entry.fields["start_us"] + entry.fields["duration_us"])


def _is_gap_inside(entry: Entry) -> bool:
    return entry.kind == "gap" and entry.fields["cause"] != "off"


def _gap_start(entry: Entry) -> int:
    return max(0, _us(entry) - int(entry.fields["duration_us"]))


def _recordings(inside: list[Entry], ends: dict[str, Entry], last_sign_us: int) -> Iterator[Interval]:
    """From the activation to the end. Where a later run wrote the end: to the last promised picture, and from there to the last sign of
    life a gap with the cause that the end leaf signs, in which the fragment that was still open was lost."""
    last_kept = {one.fields["recording"]: _fragment_end(one) for one in inside if one.kind == "fragment"}
    for begin in inside:
        if begin.kind != "begin":
            continue
        recording = begin.fields["recording"]
        end = ends.get(recording)
        until = _us(end) if end is not None and end.boot == begin.boot else last_kept.get(recording, _us(begin))
        if until > _us(begin):
            yield Interval("recording", _us(begin), until, recording)
        if end is not None and end.boot != begin.boot and last_sign_us > until:
            yield Interval("gap", until, last_sign_us, end.fields["cause"])


def _gaps(inside: list[Entry]) -> Iterator[Interval]:
    for entry in inside:
        if _is_gap_inside(entry):
            yield Interval("gap", _gap_start(entry), _us(entry), entry.fields["cause"])


def _holds(inside: list[Entry], end: int) -> Iterator[Interval]:
    """From where a hold was entered to where it was released: what is not a recording then is a gap, and the power may go in it."""
    steps = [(_us(entry), bool(entry.fields["entered"])) for entry in inside if entry.kind == "hold"]
    return (Interval("gap", begin, over, "hold") for begin, over in _spans(steps, None, end))


def _docked(inside: list[Entry], start: int, end: int) -> Iterator[Interval]:
    """From each dock leaf to the next undock leaf; from the run's start when its first such leaf is an undock."""
    steps = [(_us(entry), entry.kind == "dock") for entry in inside if entry.kind in ("dock", "undock")]
    since = start if steps and not steps[0][1] else None
    return (Interval("docked", begin, over) for begin, over in _spans(steps, since, end))


def _spans(steps: list[tuple[int, bool]], since: int | None, end: int) -> Iterator[tuple[int, int]]:
    """From each step that opens to the next one that closes, the last open one to ``end``; ``since``: open from then on already."""
    for at, opens in steps:
        if opens and since is None:
            since = at
        elif not opens and since is not None:
            yield since, at
            since = None
    if since is not None:
        yield since, end


def _ready(inside: list[Entry], end: int) -> Iterator[Interval]:
    """From each ready leaf to what ends it: a press, sleep, the dock, the end; a fault's gap takes its own part."""
    order = sorted((_us(entry), entry.n, entry.kind) for entry in inside if entry.kind in _READY_ENDS or _is_blocking(entry))
    for index, (at, _, kind) in enumerate(order):
        if kind == "ready":
            yield Interval("ready", at, order[index + 1][0] if index + 1 < len(order) else end)


def _is_blocking(entry: Entry) -> bool:
    """A fault after which the camera was not ready any more: its port is one that a recording needs."""
    return entry.kind == "fault" and entry.fields["port"] in ("camera", "storage", "keys")


def _tile(claims: list[Interval], start: int, end: int, offset_us: int) -> Iterator[Interval]:
    """Claims laid over the run, strongest on top; what stays open is unaccounted, unless it is a mere seam."""
    edges = sorted({start, end, *(edge for one in claims for edge in (one.start_us, one.end_us) if start <= edge <= end)})
    current: Interval | None = None
    for left, right in pairwise(edges):
        covering = [one for one in claims if one.start_us <= left and right <= one.end_us]
        best = max(covering, key=lambda one: _RANK[one.kind], default=None)
        kind, cause = (best.kind, best.cause) if best else ("unaccounted", "")
        if current is not None and (current.kind, current.cause) == (kind, cause):
            current = Interval(kind, current.start_us, right, cause, current.utc)
            continue
        if current is not None and best is None and right - left < SEAM_US:
            current = Interval(current.kind, current.start_us, right, current.cause, current.utc)
            continue
        if current is not None:
            yield current
        current = Interval(kind, left, right, cause, _utc(left + offset_us))
    if current is not None:
        yield current


def _utc(wall_us: int) -> str:
    """RFC 3339; a clock that says what no calendar has gives the nearest that one has."""
    return format_utc(min(max(wall_us, 0), _LAST_US) * 1000)


def _sums(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, length in items:
        found[name] = found.get(name, 0) + length
    return found
