"""Sound on the pictures' clock: drift is taken out a sample at a time, what is lost is a hole, and nothing clicks."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.sound_clock import BLOCK, TOLERATED_NS, Corrections, DriftCorrector, SoundLine, stretch

RATE = 48_000
NS = 1_000_000_000
MS = 1_000_000


def drifted(ppm: float, seconds: float, jitter_ns: int, seed: int = 1) -> tuple[float, Corrections]:
    """The largest true difference, ns, of a card whose crystal is off, whose stamps scatter."""
    dice = random.Random(seed)
    corrections = Corrections()
    corrector = DriftCorrector(RATE, 0, corrections)
    true_ns = NS / RATE / (1 + ppm / 1e6)
    taken = given_out = 0
    worst = 0.0
    for _ in range(int(seconds * RATE / BLOCK)):
        taken += corrector.next_size()
        given_out += BLOCK
        worst = max(worst, abs(taken * true_ns - given_out * NS / RATE))
        assert corrector.observe(taken, round(taken * true_ns + (dice.random() * jitter_ns if jitter_ns else 0)))
    return worst, corrections


@pytest.mark.parametrize("ppm", [-200, -20, 0, 35, 200])
def test_four_hours_stay_within_twenty_milliseconds(ppm: int) -> None:
    """Camera notes §2.5: audio drift that grows by minutes; here both crystals' worst for longer than any recording."""
    worst, corrections = drifted(ppm, 4 * 3600, jitter_ns=3 * MS)
    assert worst < 20 * MS
    drift = ppm / 1e6 * 4 * 3600 * RATE
    made = corrections.removed - corrections.added
    assert abs(made - drift) <= 20 * MS * RATE / NS
    # Corrections go one way only: a crystal that runs fast never has samples added.
    assert not (corrections.added and corrections.removed)
    assert corrections.holes == 0


@settings(max_examples=25, deadline=None)
@given(ppm=st.floats(-500, 500), jitter_ms=st.integers(0, 15), seed=st.integers(0, 1000))
def test_any_crystal_and_any_scatter(ppm: float, jitter_ms: int, seed: int) -> None:
    """Stamps that come up to 15 ms late bias by half of that at most."""
    worst, corrections = drifted(ppm, 600, jitter_ms * MS, seed)
    assert worst < TOLERATED_NS + jitter_ms * MS / 2 + 4 * MS
    assert corrections.holes == 0


@given(size=st.sampled_from([BLOCK - 1, BLOCK + 1]), seed=st.integers(0, 1000))
def test_no_correction_clicks(size: int, seed: int) -> None:
    """No step between two samples grows by more than a thousandth, across the seams of the block too."""
    sound = np.random.default_rng(seed).uniform(-1, 1, 4 * BLOCK).astype(np.float32)
    before, after = sound[:BLOCK], sound[BLOCK + size : 2 * BLOCK + size]
    heard = np.concatenate((before, stretch(sound[BLOCK:], size), after))
    assert len(heard) == 3 * BLOCK
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(sound)).max() * 1.002


def fed(line: SoundLine, start_ns: int, count: int, seed: int = 3) -> list:
    """``count`` samples in reads of odd sizes, each with the instant of the next sample."""
    dice = random.Random(seed)
    blocks, at = [], 0
    while at < count:
        size = min(dice.randint(1, 1500), count - at)
        line.put(np.arange(at, at + size, dtype=np.float32))
        at += size
        line.observe(start_ns + at * NS // RATE)
        blocks += line.blocks()
    return blocks


def test_sound_that_needs_no_correction_is_not_touched() -> None:
    line = SoundLine(RATE, 0, Corrections())
    blocks = fed(line, 5 * NS, 50 * BLOCK)
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), np.arange(len(blocks) * BLOCK, dtype=np.float32))
    assert [block.first for block in blocks] == [True] + [False] * (len(blocks) - 1)
    assert blocks[0].at_ns == 5 * NS
    assert {later.at_ns - earlier.at_ns for earlier, later in pairwise(blocks)} <= {21_333_333, 21_333_334}


def test_nothing_from_before_the_start_is_given_out() -> None:
    """BWC-POL-17: a card that had samples waiting does not bring back what was muted."""
    line = SoundLine(RATE, 5 * NS + 10 * MS, Corrections())
    (first, *_) = fed(line, 5 * NS, 20 * BLOCK)
    assert first.at_ns == 5 * NS + 10 * MS
    assert first.samples[0] == 480


def test_an_overrun_is_a_hole_in_the_instants() -> None:
    """What was overwritten is missing from the times by its own length, never a shift of what follows."""
    corrections = Corrections()
    line = SoundLine(RATE, 0, corrections)
    before = fed(line, 5 * NS, 20 * BLOCK)
    line.lost()
    after = fed(line, 9 * NS, 20 * BLOCK)
    assert after[0].first
    assert after[0].at_ns == 9 * NS
    assert before[-1].at_ns < 6 * NS
    assert corrections.holes == 1


def test_samples_lost_without_a_word_are_noticed() -> None:
    """A server that drops 300 ms silently: within three looks the times are right again."""
    corrections = Corrections()
    line = SoundLine(RATE, 0, corrections)
    fed(line, 5 * NS, 100 * BLOCK)
    at, wrong, blocks = 100 * BLOCK, 0, []
    for _ in range(20):
        line.put(np.arange(at, at + BLOCK, dtype=np.float32))
        at += BLOCK
        line.observe(5 * NS + 300 * MS + at * NS // RATE)
        blocks += line.blocks()
    for block in blocks:
        wrong += abs(block.at_ns - (5 * NS + 300 * MS + round(float(block.samples[0])) * NS // RATE)) > TOLERATED_NS
    assert corrections.holes == 1
    assert wrong <= 3
    assert all(later.at_ns > earlier.at_ns for earlier, later in pairwise(blocks))


@settings(max_examples=50, deadline=None)
@given(jumps=st.lists(st.integers(-400, 400), min_size=1, max_size=6), seed=st.integers(0, 100))
def test_times_never_go_back(jumps: list[int], seed: int) -> None:
    """However the stamps lie: blocks neither overlap nor go back."""
    line = SoundLine(RATE, 0, Corrections())
    blocks, at_ns = [], 5 * NS
    for jump in jumps:
        at_ns += jump * MS
        blocks += fed(line, at_ns, 12 * BLOCK, seed)
        at_ns += 12 * BLOCK * NS // RATE
    assert all(later.at_ns - earlier.at_ns >= 21_333_333 - 1 for earlier, later in pairwise(blocks))
