"""What the kernel says of the recorder's processes and what the ledger says of its recording, once a second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process at one instant; ``ticks`` of processor time since it began."""

    rss_bytes: int = 0
    descriptors: int = 0
    threads: int = 0
    ticks: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One second. ``lag_ms``: from the last picture of a fragment to its promise, the worst of this second; -1 when there was none.
    ``capture_…``: the capture process, where the back-end has one; ``both_…``: the recorder and it together."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    cpu_percent: float
    pictures: int
    lag_ms: float
    capture_rss_bytes: int = 0
    capture_descriptors: int = 0
    capture_threads: int = 0
    capture_cpu_percent: float = 0.0
    both_cpu_percent: float = 0.0


class LedgerTail:
    """Leaves as they are written."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self.pictures = 0
        self.first_us = self.last_us = 0
        self.gaps: list[Mapping[str, Any]] = []
        self.fragments: list[Mapping[str, Any]] = []
        self.drops: list[Mapping[str, Any]] = []
        self.faults: list[Mapping[str, Any]] = []
        self.lags_ms: list[float] = []
        """Of the fragments that ended after the press: those before it waited in the pre-event buffer."""
        self._pressed_us = 0

    def read(self) -> float:
        """Take what is new; the worst lag in it."""
        worst = -1.0
        if not self._log.exists():
            return worst
        with self._log.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                worst = max(worst, self._take(json.loads(line)))
        return worst

    def _take(self, leaf: Mapping[str, Any]) -> float:
        match leaf.get("type"):
            case "gap" if leaf["cause"] != "boot":
                self.gaps.append(leaf)
            case "drop":
                self.drops.append(leaf)
            case "fault":
                self.faults.append(leaf)
            case "begin":
                self._pressed_us = self._pressed_us or leaf["boottime_us"]
            case "fragment":
                self.fragments.append(leaf)
                end_us = leaf["start_us"] + leaf["duration_us"]
                self.first_us = self.first_us or leaf["start_us"]
                self.last_us = end_us
                self.pictures += leaf["pictures"]
                lag_ms = (leaf["boottime_us"] - end_us) / 1000
                if end_us > self._pressed_us:
                    self.lags_ms.append(lag_ms)
                    return lag_ms
        return -1.0


class Sampler:
    """Reads the recorder ``pid``, its children, and the ledger."""

    def __init__(self, pid: int, tail: LedgerTail) -> None:
        self._pid = pid
        self._tail = tail
        self.began = time.monotonic()
        self._before = (self.began, 0, 0)

    def sample(self) -> Sample:
        ours, capture = look(self._pid), look(*children(self._pid))
        now = time.monotonic()
        before_s, our_ticks, capture_ticks = self._before
        self._before = now, ours.ticks, capture.ticks
        scale = 100 / TICKS / max(now - before_s, 1e-3)
        cpu, capture_cpu = scale * (ours.ticks - our_ticks), scale * max(0, capture.ticks - capture_ticks)
        lag = self._tail.read()
        return Sample(
            round(now - self.began, 2),
            ours.rss_bytes,
            ours.descriptors,
            ours.threads,
            round(cpu, 1),
            self._tail.pictures,
            round(lag, 1),
            capture.rss_bytes,
            capture.descriptors,
            capture.threads,
            round(capture_cpu, 1),
            round(cpu + capture_cpu, 1),
        )


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(number) for task in tasks for number in _read(task).split()]


def look(*pids: int) -> Seen:
    """The sum over processes; one that ended meanwhile is nothing."""
    seen = [one for one in map(_look, pids) if one is not None]
    return Seen(*(sum(column) for column in zip(*((one.rss_bytes, one.descriptors, one.threads, one.ticks) for one in seen), strict=True)))


def _look(pid: int) -> Seen | None:
    process = Path("/proc") / str(pid)
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return Seen(int(fields[21]) * PAGE, len(os.listdir(process / "fd")), int(fields[17]), int(fields[11]) + int(fields[12]))
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
