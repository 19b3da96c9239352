"""A sound card's samples on the pictures' clock.

Responsible for blocks of samples whose instants lie on an exact grid of that clock, although the card counts with a crystal of its
own: where the two have drifted apart by :data:`TOLERATED_NS`, single samples are put in or left out until they agree again. Refuses
to know devices, threads, clocks and codecs: samples and instants are arguments.

Invariants: a sample that needs no correction is passed on untouched; a correction stretches one block of 1024 by one sample, so no
step between two samples grows by more than a thousandth; what was lost is a hole in the instants, never a shift of what follows;
the instants of the blocks never go back.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
BLOCK = 1024
TOLERATED_NS = 10_000_000
"""Half of what an ear notices between lips and voice at the earliest, and half of what is promised."""
SETTLED_NS = 1_000_000
TORN_NS = 60_000_000
"""No crystal drifts this far between two looks: samples were lost without a word."""
_TORN_LOOKS = 3
_WINDOW, _EVERY = 64, 8
"""Looks that the median is taken over, and how often: a sound server's instants scatter by milliseconds."""
_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Block:
    """:data:`BLOCK` samples; ``first``: the one before it does not adjoin."""

    at_ns: int
    samples: Samples
    first: bool


@dataclass(slots=True)
class Corrections:
    """What was done to the samples, since the beginning: for whoever asks whether sound was touched."""

    added: int = 0
    removed: int = 0
    holes: int = 0

    def __str__(self) -> str:
        return f"{self.added} samples added, {self.removed} removed, {self.holes} holes"


class DriftCorrector:
    """One run of adjoining samples. ``origin_ns`` is the instant of its first."""

    def __init__(self, rate: int, origin_ns: int, corrections: Corrections | None = None) -> None:
        self._rate = rate
        self._origin_ns = origin_ns
        self._corrections = corrections or Corrections()
        self._shift = 0
        """Samples given out less samples taken in, by corrections."""
        self._looks: deque[int] = deque(maxlen=_WINDOW)
        self._count = self._torn = 0
        self._error_ns = 0
        self._correcting = False

    @property
    def error_ns(self) -> int:
        """By how much the sound is later than its instants say."""
        return self._error_ns - self._shift * _NS // self._rate

    def observe(self, taken: int, at_ns: int) -> bool:
        """After ``taken`` samples of this run the card's next is of ``at_ns``. ``False``: the run is torn, begin another."""
        seen = at_ns - self._origin_ns - taken * _NS // self._rate
        self._torn = self._torn + 1 if abs(seen - self._shift * _NS // self._rate) > TORN_NS else 0
        self._looks.append(seen)
        self._count += 1
        if self._count % _EVERY == 0:
            self._error_ns = round(statistics.median(self._looks))
        return self._torn < _TORN_LOOKS

    def next_size(self) -> int:
        """How many of the card's samples the next block is made of."""
        error_ns = self.error_ns
        if abs(error_ns) > TOLERATED_NS:
            self._correcting = True
        elif abs(error_ns) < SETTLED_NS:
            self._correcting = False
        if not self._correcting:
            return BLOCK
        if error_ns > 0:
            self._shift += 1
            self._corrections.added += 1
            return BLOCK - 1
        self._shift -= 1
        self._corrections.removed += 1
        return BLOCK + 1


def stretch(samples: Samples, size: int) -> Samples:
    """The first ``size`` samples as :data:`BLOCK`, by straight lines between neighbours; ``samples`` has one more to lean on."""
    if size == BLOCK:
        return samples[:BLOCK]
    places = np.arange(BLOCK) * (size / BLOCK)
    return np.asarray(np.interp(places, np.arange(size + 1), samples[: size + 1]), np.float32)


class SoundLine:
    """From a card's reads to blocks. ``not_before_ns``: nothing older is given out (what was muted was not captured)."""

    def __init__(self, rate: int, not_before_ns: int, corrections: Corrections) -> None:
        self._rate = rate
        self._corrections = corrections
        self._end_ns = not_before_ns
        """Where the next run may begin at the earliest."""
        self._began_ns = 0
        self._given = 0
        self._taken = 0
        self._pending: Samples = np.zeros(0, np.float32)
        self._corrector: DriftCorrector | None = None

    def put(self, samples: Samples) -> None:
        """What the card gave next."""
        self._pending = np.concatenate((self._pending, samples))
        self._taken += len(samples)

    def observe(self, at_ns: int) -> None:
        """The sample after the last that was put in is of ``at_ns``."""
        if self._corrector is None:
            self._begin(at_ns)
        elif not self._corrector.observe(self._taken, at_ns):
            self.lost()

    def lost(self) -> None:
        """The card dropped samples here: what waits for its block goes too, and the next run begins where the card says."""
        if self._corrector is not None:
            self._end_ns = self._began_ns + self._given * _NS // self._rate
            self._corrections.holes += 1
        self._pending, self._taken, self._corrector = np.zeros(0, np.float32), 0, None

    def blocks(self) -> list[Block]:
        """The blocks that are complete."""
        found: list[Block] = []
        while self._corrector is not None and len(self._pending) > BLOCK + 1:
            size = self._corrector.next_size()
            at_ns = self._began_ns + self._given * _NS // self._rate
            found.append(Block(at_ns, stretch(self._pending, size), self._given == 0))
            self._pending = self._pending[size:]
            self._given += BLOCK
        return found

    def _begin(self, at_ns: int) -> None:
        began_ns = at_ns - self._taken * _NS // self._rate
        early = max(0, -((began_ns - self._end_ns) * self._rate // _NS))
        self._pending = self._pending[early:]
        self._taken = len(self._pending)
        self._began_ns, self._given = max(began_ns + early * _NS // self._rate, self._end_ns), 0
        if self._taken or not early:
            self._corrector = DriftCorrector(self._rate, self._began_ns, self._corrections)
