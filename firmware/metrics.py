"""What the recorder counts of itself: queues and their peaks, how late promises are, what was dropped and why.

Responsible for arithmetic in bounded memory. Refuses to know devices, clocks and files: ``firmware.status`` asks those and shows it all.
For operators: nothing here is evidence, and nothing here is decided by.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

_MS = 1_000_000
_STEP = 1.02
"""Each class of the histogram is two in a hundred wider than the one before: a quantile is at most so much too high."""
_CLASSES = 1 + math.ceil(math.log(10_000_000) / math.log(_STEP))
"""From 1 ms to ten thousand seconds."""


@dataclass(slots=True)
class Peak:
    """A level now, and the highest that it was told."""

    now: int = 0
    peak: int = 0

    def set(self, value: int) -> None:
        self.now = value
        self.peak = max(self.peak, value)


class Durations:
    """Lengths of time; quantiles of all of them from a histogram of fixed size."""

    def __init__(self) -> None:
        self._classes = [0] * _CLASSES
        self._quantiles: dict[float, int] = {}
        self.count = 0
        self.last_ns = 0
        self.longest_ns = 0

    def add(self, length_ns: int) -> None:
        length_ns = max(0, length_ns)
        self._classes[_class_of(length_ns)] += 1
        self._quantiles.clear()
        self.count += 1
        self.last_ns = length_ns
        self.longest_ns = max(self.longest_ns, length_ns)

    def quantile_ns(self, share: float) -> int:
        """The length that ``share`` (0 to 1) of them do not exceed, at most 2 % too high, never above the longest; 0 for none."""
        if share not in self._quantiles:
            self._quantiles[share] = self._quantile_ns(share)
        return self._quantiles[share]

    def _quantile_ns(self, share: float) -> int:
        rank, seen = max(1, math.ceil(share * self.count)), 0
        for index, count in enumerate(self._classes):
            seen += count
            if seen >= rank and count:
                return min(self.longest_ns, round(_MS * _STEP**index))
        return 0


def _class_of(length_ns: int) -> int:
    """The first class whose upper end is not below ``length_ns``: class n ends at 1 ms x 1.02^n."""
    if length_ns <= _MS:
        return 0
    return min(_CLASSES - 1, math.ceil(math.log(length_ns / _MS) / math.log(_STEP) - 1e-9))


@dataclass(slots=True)
class Losses:
    """What did not become evidence, by cause (as in gap entries): pictures, and of those how many GOPs went whole."""

    gops: Counter[str] = field(default_factory=Counter)
    pictures: Counter[str] = field(default_factory=Counter)

    def add(self, cause: str, pictures: int, gops: int = 0) -> None:
        self.pictures[cause] += pictures
        if gops:
            self.gops[cause] += gops

    def total(self) -> int:
        """Pictures."""
        return self.pictures.total()


@dataclass(slots=True)
class Metrics:
    """One run of the recorder. Called from the loop only."""

    inbox: Peak = field(default_factory=Peak)
    lag: Durations = field(default_factory=Durations)
    """From the exposure of a fragment's last picture (for what waited in the pre-event buffer: from the press) to its promise."""
    losses: Losses = field(default_factory=Losses)
