"""A press waits for one flush: its leaf's batch carries the papers that it names, and they are files only after it (W1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from camerabench import Bench

from firmware import recorder
from firmware.evidence.findings import Verdict
from firmware.storage.ledger_file import LOG
from hal.errors import PowerCut
from hal.interfaces import ButtonName
from hal.sim.card import Card, CardFault, Loss
from tests.prepared import prepare
from tools.opening import read_notes

Make = Callable[..., Bench]
PAPERS = ("assignment.json.p7m", "begin.json", "begin.json.p7s")
PRESS_S = 3


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def pressed(make_bench: Make, seed: int = 1) -> Bench:
    bench = make_bench(pre_event=1, seed=seed)
    bench.world.double_press(bench.at(PRESS_S))
    return bench


def operations(make_bench: Make) -> list[tuple[int, str]]:
    """Number and words of every call of the card from the press on."""
    seen: list[tuple[int, str]] = []
    bench, count = pressed(make_bench), Card.count

    def told(card: Card, what: str) -> CardFault | None:
        if bench.world.now_ns >= bench.at(PRESS_S):
            seen.append((card.operations + 1, what))
        return count(card, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Card, "count", told)
        bench.run(PRESS_S + 2)
    return seen


def window(calls: list[tuple[int, str]]) -> list[int]:
    """The calls after the sync of the begin leaf, up to that of the leaves behind it: the papers' and the first fragments'."""
    syncs = [number for number, what in calls if what == f"sync {LOG}"]
    return [number for number, _ in calls if syncs[0] < number <= syncs[1]]


def is_whole(bench: Bench) -> bool:
    """One recording, closed, with all its papers, which a recipient can read."""
    (name,) = bench.recordings()
    manifest = bench.manifest(name)
    assert {*PAPERS, "manifest.json"} <= {path.name for path in (bench.card / "vault" / name).iterdir()}
    assert read_notes(bench.source(), manifest, bench.key())["officer"] == "officer 4711"
    assert [entry.fields["cause"] for entry in bench.entries() if entry.kind == "begin"] == ["button"]
    return bench.verify().verdict is Verdict.AUTHENTIC


def test_nothing_but_the_leaf_is_between_a_press_and_its_durable_begin(make_bench: Make) -> None:
    """BWC-POL-01: a card's flush is what a press waits for."""
    calls = [what for _, what in operations(make_bench)]
    first = calls.index(f"sync {LOG}")
    assert set(calls[: first + 1]) == {f"write {LOG}", f"sync {LOG}"}
    assert any(what.startswith("create vault/") for what in calls[first:])


@pytest.mark.parametrize("loss", list(Loss))
def test_power_may_go_between_the_leaf_and_its_papers(make_bench: Make, loss: Loss) -> None:
    """BWC-POL-28, W1: in every call from the leaf to the first fragment's the card keeps nothing, something or all of the papers. What is
    begun stays begun, under its officer; the card is not called changed before a boot has looked at it, and no boot finds fault."""
    numbers = window(operations(make_bench))
    assert len(numbers) > 8
    for number in numbers:
        bench = pressed(make_bench, seed=number)
        bench.world.card.loss = loss
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(PRESS_S + 2)
        assert bench.verify().verdict is not Verdict.NOT_AUTHENTIC, number
        bench.run(bench.world.now_ns / 1e9 + 6)
        assert is_whole(bench), number
        assert "fault" not in bench.kinds(), number


def test_power_goes_while_the_next_boot_writes_the_papers(make_bench: Make) -> None:
    """BWC-POL-28: a boot that writes them can be cut like any other."""
    first = window(operations(make_bench))[0]
    cut = 0
    for later in range(1, 60, 2):
        bench = pressed(make_bench, seed=later)
        bench.world.card.loss = Loss.RANDOM
        bench.world.card.fail_at(first, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(PRESS_S + 2)
        bench.world.card.fail_at(later, CardFault.POWER_CUT)
        try:
            bench.run(bench.world.now_ns / 1e9 + 6)
        except PowerCut:
            cut += 1
        bench.world.card.faults.clear()
        bench.run(bench.world.now_ns / 1e9 + 6)
        assert is_whole(bench), later
    assert cut > 10


@pytest.mark.parametrize("fault", [CardFault.IO_ERROR, CardFault.FULL])
def test_papers_that_the_card_refuses_are_written_at_the_next_try(make_bench: Make, fault: CardFault) -> None:
    """BWC-POL-01, W1: the begin leaf stands; no leaf names another file of the recording before they do."""
    for number in window(operations(make_bench)):
        bench = pressed(make_bench, seed=number)
        bench.world.press(ButtonName.RECORD, bench.at(PRESS_S + 6), hold_ms=3300)
        bench.world.card.fail_at(number, fault)
        bench.run(PRESS_S + 14)
        assert bench.verify().verdict is Verdict.AUTHENTIC, number
        name = bench.recordings()[0]
        assert bench.manifest(name).begin.cause == "button"
        assert {*PAPERS} <= {path.name for path in (bench.card / "vault" / name).iterdir()}


def test_papers_too_long_for_a_leaf_are_files_before_it(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """W1, BWC-POL-28: a camera with many recipients whose keys are long."""
    monkeypatch.setattr(recorder, "MAX_PAPER_BYTES", 500)
    calls = operations(make_bench)
    syncs = [index for index, (_, what) in enumerate(calls) if what == f"sync {LOG}"]
    created = [what.rpartition("/")[2] for _, what in calls[: syncs[0]] if what.startswith("create vault/")]
    assert created == list(PAPERS)
    for number, _ in calls[: syncs[0] + 1]:
        bench = pressed(make_bench, seed=number)
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(PRESS_S + 2)
        bench.run(bench.world.now_ns / 1e9 + 6)
        assert "paper" not in bench.kinds()
        assert bench.verify().verdict is Verdict.AUTHENTIC or not bench.recordings(), number


def test_a_later_boot_has_written_the_papers_or_somebody_removed_them(make_bench: Make) -> None:
    """BWC-POL-29: that the ledger carries them excuses nothing once a boot has closed the recording."""
    number = window(operations(make_bench))[0]
    bench = pressed(make_bench)
    bench.world.card.fail_at(number, CardFault.POWER_CUT)
    with pytest.raises(PowerCut):
        bench.run(PRESS_S + 2)
    bench.run(bench.world.now_ns / 1e9 + 6)
    (name,) = bench.recordings()
    for path in (bench.card / "vault" / name).iterdir():
        path.unlink()
    assert bench.verify().verdict is Verdict.NOT_AUTHENTIC
