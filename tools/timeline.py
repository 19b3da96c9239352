"""A shift as intervals and events, told by the checked ledger and the manifests alone. Pure; used by the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from firmware.custody.entries import Entry
from firmware.evidence.manifest import Manifest
from firmware.timebase import parse_utc

_BEGUN = {"button": "pressed", "recovery": "goes on", "max-length": "next recording"}
_STATE_AFTER = {"ready": "ready", "begin": "recording", "dock": "docked", "sleep": "asleep", "shutdown": "off"}


@dataclass(frozen=True, slots=True)
class Interval:
    """``kind``: booting, ready, recording, held, docked, asleep, off, pre-event. Times are nanoseconds since 1970 UTC."""

    kind: str
    start_ns: int
    end_ns: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """``kind``: press, mark, stop, power-loss, boot, dock, receipt, fault."""

    kind: str
    at_ns: int
    label: str


@dataclass(frozen=True, slots=True)
class Timeline:
    start_ns: int
    end_ns: int
    states: tuple[Interval, ...]
    pre_event: tuple[Interval, ...]
    moments: tuple[Moment, ...]


def build_timeline(entries: Sequence[Entry], manifests: Iterable[Manifest]) -> Timeline:
    """Intervals that tile the shift from the first leaf to the last, and what happened in it."""
    known = {manifest.recording: manifest for manifest in manifests}
    last_alive = _last_alive(entries, known)
    states: list[Interval] = []
    state, since = "booting", entries[0].time.wall_ns
    for index, (entry, following) in enumerate(zip(entries, _states_after(entries), strict=True)):
        at = entry.time.wall_ns
        if entry.kind == "boot" and index > 0:
            lost = last_alive[index]
            states.append(Interval(state, since, lost))
            states.append(Interval("off", lost, at, entry.fields["previous"]))
            state, since = "booting", at
        if following is not None and following != state:
            states.append(Interval(state, since, at))
            state, since = following, at
    end = max(entries[-1].time.wall_ns, since)
    states.append(Interval(state, since, end))
    tiled = tuple(one for one in states if one.end_ns > one.start_ns)
    return Timeline(entries[0].time.wall_ns, end, tiled, tuple(_pre_event(known.values())), tuple(_moments(entries, known)))


def _states_after(entries: Sequence[Entry]) -> Iterator[str | None]:
    """What each leaf makes of the camera's state. On hold it is held from the end of the recording that is open, or at once."""
    on_hold = records = False
    for entry in entries:
        following = _STATE_AFTER.get(entry.kind)
        match entry.kind:
            case "boot":
                on_hold = records = False
            case "begin":
                records = True
            case "end":
                records, following = False, "held" if on_hold else None
            case "hold":
                on_hold = bool(entry.fields["entered"])
                following = ("held" if not records else None) if on_hold else "docked" if entry.fields["cause"] == "docked" else None
        yield following


def _last_alive(entries: Sequence[Entry], manifests: dict[str, Manifest]) -> dict[int, int]:
    """For each boot leaf: the last instant at which the camera is known to have been alive before it."""
    alive: dict[int, int] = {}
    latest = entries[0].time.wall_ns
    for index, entry in enumerate(entries):
        if entry.kind == "boot":
            alive[index] = latest
            latest = entry.time.wall_ns
            continue
        latest = max(latest, entry.time.wall_ns)
        if entry.kind == "fragment":
            latest = max(latest, parse_utc(entry.fields["start_utc"]) + entry.fields["duration_us"] * 1000)
    return alive


def _pre_event(manifests: Iterable[Manifest]) -> Iterable[Interval]:
    for manifest in manifests:
        if manifest.fragments:
            label = f"{manifest.pre_event.actual_ms / 1000:.1f} s"
            yield Interval("pre-event", parse_utc(manifest.fragments[0].utc), parse_utc(manifest.begin.utc), label)


def _moments(entries: Sequence[Entry], manifests: dict[str, Manifest]) -> Iterable[Moment]:
    for index, entry in enumerate(entries):
        at = entry.time.wall_ns
        match entry.kind:
            case "begin":
                yield Moment("press", at, _BEGUN.get(entry.fields["cause"], entry.fields["cause"]))
            case "mark":
                yield Moment("mark", at, "mark")
            case "end" if entry.fields["cause"] in ("power-loss", "fault"):
                manifest = manifests.get(entry.fields["recording"])
                if manifest is not None:
                    yield Moment("power-loss", parse_utc(manifest.end.utc), entry.fields["cause"].replace("-", " "))
            case "end":
                yield Moment("stop", at, "stopped")
            case "boot" if index > 0:
                yield Moment("boot", at, "restarted" if entry.fields["previous"] == "crash" else "booted")
            case "dock":
                yield Moment("dock", at, "docked")
            case "release":
                yield Moment("receipt", at, "released")
            case "fault":
                yield Moment("fault", at, f"fault: {entry.fields['port']}")
