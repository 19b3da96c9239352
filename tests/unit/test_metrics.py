"""Counting in bounded memory: peaks, quantiles, losses by cause."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.metrics import Durations, Losses, Peak

MS = 1_000_000


def test_a_peak_stays() -> None:
    level = Peak()
    for value in (3, 7, 2):
        level.set(value)
    assert (level.now, level.peak) == (2, 7)


@given(st.lists(st.integers(0, 5000 * 1000 * MS), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_at_most_two_in_a_hundred_too_high(lengths: list[int], share: float) -> None:
    """Below a millisecond it says a millisecond, or the longest."""
    durations = Durations()
    for length in lengths:
        durations.add(length)
    exact = sorted(lengths)[math.ceil(share * len(lengths)) - 1]
    assert exact <= durations.quantile_ns(share) <= max(MS, exact * 1.021)
    assert (durations.count, durations.last_ns, durations.longest_ns) == (len(lengths), lengths[-1], max(lengths))


def test_nothing_yet_is_nought() -> None:
    assert Durations().quantile_ns(0.99) == 0


@pytest.mark.parametrize("length_ns", [-5, 10**18])
def test_what_no_class_was_made_for_is_counted_all_the_same(length_ns: int) -> None:
    durations = Durations()
    durations.add(length_ns)
    assert durations.count == 1
    assert 0 <= durations.quantile_ns(0.5) <= max(0, length_ns)


def test_losses_by_cause() -> None:
    losses = Losses()
    losses.add("camera", 2)
    losses.add("writer-behind", 30, gops=1)
    losses.add("camera", 1)
    assert (losses.pictures, losses.gops, losses.total()) == ({"camera": 3, "writer-behind": 30}, {"writer-behind": 1}, 33)
