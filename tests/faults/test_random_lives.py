"""Random shifts on a bad day: presses at any rhythm, power cut at any instant or inside any write, refused writes in between.

After every life the promises of the life before are still there; in the end the card verifies. Each seed is one shift.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from camerabench import Bench

from firmware.evidence.findings import Severity, Verdict
from hal.errors import PowerCut
from hal.interfaces import ButtonName
from hal.sim.card import CardFault, Loss

RECORD = ButtonName.RECORD
LIFE_S = 10


def schedule_presses(bench: Bench, dice: random.Random) -> None:
    """Three recordings, some marked, some never stopped by the wearer."""
    at = dice.uniform(0.2, 3)
    for _ in range(3):
        bench.world.double_press(bench.at(at))
        at += dice.uniform(0.5, 3)
        if dice.random() < 0.6:
            bench.world.press(RECORD, bench.at(at))
            at += dice.uniform(0.3, 2)
        if dice.random() < 0.7:
            bench.world.press(RECORD, bench.at(at), hold_ms=3300)
            at += 3.5 + dice.uniform(0.1, 3)


def plan_misfortune(bench: Bench, dice: random.Random) -> None:
    """A cut by the clock or by the write, and perhaps a write that fails."""
    now = bench.world.now_ns / 1e9
    if dice.random() < 0.5:
        bench.world.cut_power(bench.at(now + dice.uniform(0.1, 8)))
    else:
        bench.world.card.fail_at(dice.randint(1, 150), CardFault.POWER_CUT)
    if dice.random() < 0.3:
        bench.world.card.fail_at(dice.randint(1, 150), dice.choice([CardFault.IO_ERROR, CardFault.SHORT_WRITE]))


def live(bench: Bench) -> None:
    """One life; it may end by a cut, also one that was planned for an earlier life."""
    try:
        bench.run(bench.world.now_ns / 1e9 + LIFE_S)
    except PowerCut:
        bench.world.card.faults.clear()


def promised(bench: Bench) -> set[tuple[str, int, str]]:
    """Every fragment that a signed leaf on the card promises: recording, number, sealed hash."""
    if not (bench.card / "ledger" / "log").exists():
        return set()
    leaves = [one for one in bench.entries(after_cut=True) if one.kind == "fragment"]
    return {(one.fields["recording"], one.fields["seq"], one.fields["sealed"]) for one in leaves}


@pytest.mark.parametrize("seed", range(24))
def test_nothing_promised_is_lost(make_bench: Callable, seed: int) -> None:
    """BWC-POL-28, BWC-POL-29: whatever happens to power and card, what was promised stays, and the rest is explained."""
    dice = random.Random(seed)
    bench = make_bench(pre_event=dice.choice([0, 1, 3]), seed=seed)
    bench.world.card.loss = dice.choice(list(Loss))
    schedule_presses(bench, dice)
    kept: set[tuple[str, int, str]] = set()
    for _ in range(dice.randint(1, 3)):
        plan_misfortune(bench, dice)
        live(bench)
        assert kept <= promised(bench)
        kept = promised(bench)
    for _ in range(4):  # cuts that were planned by the clock may still come
        live(bench)
    assert kept <= promised(bench)
    report = bench.verify()
    found = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    assert [one.sentence() for one in found if one.severity is Severity.BAD] == []
    assert report.verdict is Verdict.AUTHENTIC
    assert [one.sentence() for recording in report.recordings for one in recording.findings if one.code == "time-unaccounted"] == []
