"""The lamp that faces the people filmed, at every tick of random bad days (BWC-POL-13)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from camerabench import Bench
from test_random_lives import live, plan_misfortune, schedule_presses

from firmware.machine.states import State
from hal.interfaces import Colour, LampName

TICK_NS = 50_000_000
SECONDS = 40


def watch(bench: Bench, seen: list[tuple[bool, bool]]) -> None:
    """Note at each tick whether the lamp is lit and whether pictures are being kept."""

    def look() -> None:
        daemon = bench.daemon
        lit = bench.world.seen.colour(LampName.SUBJECT) is Colour.RED
        seen.append((lit, daemon is not None and daemon.model.state is State.RECORDING and bench.world.battery.powered))

    for tick in range(1, SECONDS * 1_000_000_000 // TICK_NS):
        bench.world.at(tick * TICK_NS + 1, look)


@pytest.mark.parametrize("seed", range(12))
def test_the_lamp_is_lit_at_every_tick_at_which_pictures_are_kept(make_bench: Callable, seed: int) -> None:
    """BWC-POL-13: and at no other, through power cuts, refused writes and whatever the hands do."""
    dice = random.Random(seed)
    bench = make_bench(pre_event=1, seed=seed)
    seen: list[tuple[bool, bool]] = []
    watch(bench, seen)
    schedule_presses(bench, dice)
    for _ in range(2):
        plan_misfortune(bench, dice)
        live(bench)
    assert [lit for lit, _ in seen] == [kept for _, kept in seen]
    assert len(seen) > 100
    assert any(kept for _, kept in seen)
