"""The battery is pulled at every step of a shift that changes the card, and at instants between: the bound holds each time.

The bound: nothing that was promised is lost, ever; of what was recorded after the press at most one fragment (1 s); and every loss is
explained. The card keeps, drops or tears whatever was not synced, by the seed. ``make test`` takes each step once and some instants;
``make torture`` (``OATHCAM_TORTURE``) each step with every kind of loss under several seeds, and ten thousand instants.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from itertools import product

import pytest
from camerabench import RECORDING, Bench, leave_receipt

from firmware.errors import OathcamError
from firmware.evidence.findings import Severity, Verdict
from firmware.storage.ledger_file import Draft, Ledger
from hal.errors import HalError, PowerCut
from hal.interfaces import ButtonName
from hal.sim.card import CardFault, Loss
from hal.sim.volume import SimVolume
from tests.prepared import prepare

TORTURE = bool(os.environ.get("OATHCAM_TORTURE"))
PARTS = 20
"""Tests that share the steps and instants, so that several processes do."""
INSTANTS = 10_000 if TORTURE else 300
SEEDS = range(5 if TORTURE else 1)
LOSSES = list(Loss) if TORTURE else [Loss.RANDOM]
END_S = 20.0
FRAGMENT_US = 1_000_000
PICTURE_US = 34_000
START_UP_US = 4_000_000
"""Boot time at the world's beginning."""

Make = Callable[..., Bench]


PROMISES: list[tuple[str, dict[str, object]]] = []
"""What the ledger took as durable before the cut, whatever the card then holds: kind and fields of each leaf."""


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)
    append = Ledger.append

    def told(ledger: Ledger, drafts: Sequence[Draft]) -> tuple[int, ...]:
        numbers = append(ledger, drafts)
        PROMISES.extend((draft.kind, dict(draft.fields)) for draft in drafts)
        return numbers

    monkeypatch.setattr(Ledger, "append", told)


def shift(make_bench: Make, seed: int, loss: Loss) -> Bench:
    """Two recordings, a mark in each, one receipted in the dock and released."""
    PROMISES.clear()
    bench = make_bench(pre_event=1, seed=seed)
    bench.world.card.loss = loss
    bench.world.double_press(bench.at(1.5))
    bench.world.press(ButtonName.RECORD, bench.at(2.0))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.world.double_press(bench.at(7.5))
    bench.world.press(ButtonName.RECORD, bench.at(8.0))
    bench.world.press(ButtonName.RECORD, bench.at(9), hold_ms=3300)
    bench.world.at(bench.at(13.5), lambda: leave_receipt(bench))
    bench.world.dock(bench.at(14))
    return bench


def check_bound(bench: Bench) -> None:
    """The power is off. Boot, recover, verify."""
    cut_us = bench.world.now_ns // 1000 + START_UP_US
    kept = list(PROMISES)
    bench.world.card.faults.clear()
    bench.run(bench.world.now_ns / 1e9 + 8)
    assert [(one.kind, one.fields) for one in bench.entries()][: len(kept)] == kept, "promised, and gone"
    report = bench.verify()
    found = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    assert [one.sentence() for one in found if one.severity is Severity.BAD or one.code == "time-unaccounted"] == []
    assert report.verdict is Verdict.AUTHENTIC or not bench.entries()
    for recording in bench.recordings():
        manifest = bench.manifest(recording)
        if manifest.end.cause == "power-loss" and manifest.begin.boot == 1:
            lost_us = cut_us - max(manifest.end.boottime_us, manifest.begin.boottime_us)
            assert lost_us <= FRAGMENT_US + PICTURE_US, "more than a fragment is lost"


def cut_at_step(make_bench: Make, step: int, seed: int, loss: Loss) -> str:
    """Pull the battery in the step; what it was."""
    bench = shift(make_bench, seed, loss)
    bench.world.card.fail_at(step, CardFault.POWER_CUT)
    with pytest.raises(PowerCut):
        bench.run(END_S)
    what = bench.world.card.last
    try:
        check_bound(bench)
    except Exception as error:
        error.add_note(f"cut in step {step}, {what!r}, seed {seed}, {loss.value}")
        raise
    return what


def cut_at_instant(make_bench: Make, number: int) -> None:
    dice = random.Random(number)
    second, loss = dice.uniform(0.05, END_S - 0.5), dice.choice(list(Loss))
    bench = shift(make_bench, number, loss)
    bench.world.cut_power(bench.at(second))
    bench.run_into_cut()
    try:
        check_bound(bench)
    except Exception as error:
        error.add_note(f"cut after {second:.3f} s, seed {number}, {loss.value}")
        raise


def steps_of(make_bench: Make) -> int:
    """How many operations of an undisturbed shift change the card."""
    bench = shift(make_bench, 0, Loss.RANDOM)
    bench.run(END_S)
    assert bench.manifest("SIM-0001-000001-0002").end.cause == "button"
    assert RECORDING not in bench.recordings(), "receipted, and not released"
    return bench.world.card.operations


@pytest.mark.timeout(20_000 if TORTURE else 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_cut_in_every_step(make_bench: Make, part: int) -> None:
    """BWC-POL-28."""
    steps = range(1 + part, steps_of(make_bench) + 1, PARTS)
    kinds = {cut_at_step(make_bench, step, 100 * seed + step, loss).split()[0] for step, seed, loss in product(steps, SEEDS, LOSSES)}
    assert len(kinds) > 2, kinds


@pytest.mark.timeout(20_000 if TORTURE else 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_cut_at_any_instant(make_bench: Make, part: int) -> None:
    """BWC-POL-28."""
    for number in range(part, INSTANTS, PARTS):
        cut_at_instant(make_bench, number)


@pytest.mark.parametrize("forgotten", ["sync", "sync_directory"])
def test_a_writer_that_forgets_a_sync_is_caught(make_bench: Make, monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    """The same check finds a firmware that only believes that its bytes, or its names, are durable."""
    monkeypatch.setattr(SimVolume, forgotten, lambda self, *arguments: None)
    caught = 0
    for number in range(12):
        try:
            cut_at_instant(make_bench, number)
        except (AssertionError, HalError, OathcamError):
            caught += 1
    assert caught > 6


def test_there_are_as_many_steps_as_that(make_bench: Make) -> None:
    """What "every step" means: with the instants, more than five hundred cuts."""
    assert steps_of(make_bench) + INSTANTS > 500
