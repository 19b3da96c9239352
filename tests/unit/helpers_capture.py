"""A capture without a custodian: what it would be given is kept to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from firmware.media.gop import Gop
from firmware.timebase import Timestamp, Trust
from hal.interfaces import ClockReading, ClockTrust

WALL_NS = 1_795_421_687_000_000_000
PICTURE_NS = 33_333_333
TOLERANCE_NS = 2 * PICTURE_NS
"""What the verifier lets pass (``firmware.evidence.continuity``)."""


def reading(at_ns: int) -> ClockReading:
    return ClockReading(at_ns, WALL_NS + at_ns, ClockTrust.RTC)


def at(ns: int) -> Timestamp:
    return Timestamp(ns, WALL_NS + ns, Trust.RTC)


@dataclass
class Writer:
    """Takes what a custodian would be given."""

    gops: list[Gop] = field(default_factory=list)
    drops: list[tuple[int, int, int, str]] = field(default_factory=list)
    """Beginning, length, pictures, cause; nanoseconds."""
    final: list[Gop | None] = field(default_factory=list)
    end: tuple[int, str] | None = None

    def submit_begin(self, order: Any) -> None: ...

    def submit_gop(self, gop: Gop) -> bool:
        self.gops.append(gop)
        return True

    def submit_drop(self, first: Timestamp, duration_us: int, pictures: int, cause: str) -> None:
        self.drops.append((first.boottime_ns, duration_us * 1000, pictures, cause))

    def submit_end(self, final: Gop | None, when: Timestamp, cause: str, notes: dict[str, Any]) -> None:
        self.final, self.end = [final], (when.boottime_ns, cause)

    def kick(self) -> None: ...

    @property
    def kept(self) -> list[Gop]:
        """What became evidence, the last GOP too."""
        return [gop for gop in (*self.gops, *self.final) if gop is not None]

    @property
    def pictures(self) -> list[int]:
        """Instants of the pictures that became evidence."""
        return [unit.time.boottime_ns for gop in self.kept for unit in gop.units]

    def holes(self, begin_ns: int, end_ns: int) -> list[tuple[int, int]]:
        """What neither a fragment nor a gap entry covers, beyond the tolerance."""
        spans = [(one.start.boottime_ns, one.last_ns) for one in self.kept]
        spans += [(first, first + length) for first, length, *_ in self.drops]
        found, reached = [], begin_ns
        for start, end in [*sorted(spans), (end_ns, end_ns)]:
            if start - reached > TOLERANCE_NS:
                found.append((reached, start))
            reached = max(reached, end)
        return found
