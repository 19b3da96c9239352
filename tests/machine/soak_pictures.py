"""Which pictures the sensor's own times show to be missing, whose they are, and whether the ledger speaks of them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from soak_samples import LedgerTail

from firmware.evidence.verify import OpeningKey
from firmware.media.fmp4_read import InitInfo, parse_fragment, parse_init
from tools.opening import opened_parts, read_manifest
from tools.sources import DirectorySource

Losses = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Hole:
    """A step between two pictures that is longer than one picture. Boot time."""

    from_us: int
    to_us: int
    pictures: int


def account(tail: LedgerTail, source: DirectorySource, key: OpeningKey, fps: int, losses: Losses) -> dict[str, Any]:
    """``pictures_lost``: missing in the evidence; ``…_bench`` of these the fake sensor never gave, for the bench was late or its processors
    were taken (``bench.Loss``); ``…_recorder``: the rest. ``…_unaccounted``: those of holes that no drop and no gap entry of the ledger
    reaches into."""
    found = holes(sorted(picture_times(tail, source, key)), fps)
    lost = sum(hole.pictures for hole in found)
    within = Counter(whose for at_ns, whose in losses if any(hole.from_us < at_ns // 1000 < hole.to_us for hole in found))
    bench = sum(count for whose, count in within.items() if whose != "product")
    told = [*map(_dropped, tail.drops), *map(_gap, tail.gaps)]
    untold = [hole for hole in found if not any(begin < hole.to_us and hole.from_us < end for begin, end in told)]
    return {
        "recorded_s": round((tail.last_us - tail.first_us) / 1e6, 1),
        "pictures": tail.pictures,
        "pictures_lost": lost,
        "pictures_lost_bench": bench,
        "pictures_lost_recorder": max(0, lost - bench),
        "pictures_lost_unaccounted": sum(hole.pictures for hole in untold),
        "lost_at_the_sensor": dict(within),
        "gaps": len(tail.gaps),
        "faults": [leaf["reason"] for leaf in tail.faults],
    }


def picture_times(tail: LedgerTail, source: DirectorySource, key: OpeningKey) -> Iterator[int]:
    """Of every picture in the evidence, opened. Microseconds of boot time; recordings that follow each other share some."""
    starts: dict[str, int] = {}
    for leaf in tail.fragments:
        starts.setdefault(leaf["recording"], leaf["start_us"])
    for recording, start_us in starts.items():
        init: InitInfo | None = None
        for number, plain in opened_parts(source, read_manifest(source, recording, None), key):
            if number < 0:
                init = parse_init(plain)
            else:
                assert init is not None
                yield from (start_us + one.time_ns // 1000 for one in parse_fragment(plain, init).video)


def holes(times_us: Sequence[int], fps: int) -> list[Hole]:
    steps = ((before, after, round((after - before) * fps / 1e6) - 1) for before, after in itertools.pairwise(times_us))
    return [Hole(before, after, count) for before, after, count in steps if count > 0]


def _dropped(leaf: Mapping[str, Any]) -> tuple[int, int]:
    """A drop entry's time is its first picture's."""
    return leaf["boottime_us"], leaf["boottime_us"] + leaf["duration_us"]


def _gap(leaf: Mapping[str, Any]) -> tuple[int, int]:
    """A gap entry is written at its end."""
    return leaf["boottime_us"] - leaf["duration_us"], leaf["boottime_us"]
