"""Whether a recording is whole in time: what its manifest's fragments and gap entries leave unexplained between begin and end.

Responsible for that one question, from the manifest alone (house law 4: never a lost picture without an entry). Refuses to judge.
Boot times in microseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from firmware.custody.accounting import SEAM_US
from firmware.evidence.manifest import Gap, Manifest

_PICTURES = 2
"""A fragment that was closed by an interruption ends with its last picture's instant, not with that picture's own duration."""


@dataclass(frozen=True, slots=True)
class Hole:
    """Time in no fragment and in no gap entry; ``after`` is the fragment before it, -1 at the beginning."""

    after: int
    start_us: int
    length_us: int


def unexplained(manifest: Manifest, beyond: Iterable[Gap] = ()) -> Iterator[Hole]:
    """Holes of more than two pictures' time (at least ``SEAM_US``), in order. The beginning is the activation: pictures from before it
    are explained by the pre-event facts. One that goes on where another was split begins with its first picture (BWC-POL-06).
    ``beyond``: gaps that the manifest's list could not hold."""
    tolerance = max(SEAM_US, _PICTURES * 1_000_000 // manifest.video.fps)
    explained = sorted((gap.boottime_us, gap.boottime_us + gap.duration_us) for gap in (*manifest.gaps, *beyond))
    edges = [(one.boottime_us, one.boottime_us + one.duration_us) for one in manifest.fragments]
    follows = manifest.begin.cause == "max-length" and edges
    before, reached = -1, edges[0][0] if follows else manifest.begin.boottime_us
    for seq, (start, end) in enumerate([*edges, (manifest.end.boottime_us, manifest.end.boottime_us)]):
        for hole_start, hole_end in _without(reached, start, explained):
            if hole_end - hole_start > tolerance:
                yield Hole(before, hole_start, hole_end - hole_start)
        before, reached = seq, max(reached, end) if seq else end


def _without(start: int, end: int, explained: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """``start`` to ``end`` less the intervals, which are sorted by their starts."""
    for left, right in explained:
        if start >= end:
            return
        if right > start:
            if left > start:
                yield start, min(left, end)
            start = max(start, right)
    if start < end:
        yield start, end
