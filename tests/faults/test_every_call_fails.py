"""Every operation of a shift that changes the card fails once, falls short, finds no room or is answered three seconds late: nothing that
was promised is lost, a press never is, and the shift ends as if nothing had been, or says what it lacks.

Below the sweep, troubles that last: a card that stalls again and again, one that becomes read-only. On the simulated card, so in virtual
time; ``test_every_syscall.py`` does the like with the calls of the real volume. ``make test`` lets each operation meet one kind of trouble;
``make torture`` (``OATHCAM_TORTURE``) all four.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise, product

import pytest
from camerabench import Bench, leave_receipt, picture_times

from firmware.custody.entries import Entry
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Severity, Verdict
from firmware.machine.indicators import CUES, CueName
from hal.interfaces import ButtonName
from hal.sim.card import CardFault
from tests.prepared import prepare

TORTURE = bool(os.environ.get("OATHCAM_TORTURE"))
RECORD = ButtonName.RECORD
FAULTS = (CardFault.IO_ERROR, CardFault.FULL, CardFault.SHORT_WRITE, CardFault.STALL)
PARTS = 8
END_S = 20.0
STALL_NS = 3_000_000_000
FELT_S = 2.0
"""BWC-POL-47."""

Make = Callable[..., Bench]


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def shift(make_bench: Make, seed: int = 1) -> Bench:
    """Two recordings, a mark in each; the first is receipted in the dock and released."""
    bench = make_bench(pre_event=1, seed=seed)
    for start in (1.5, 7.5):
        bench.world.double_press(bench.at(start))
        bench.world.press(RECORD, bench.at(start + 0.5))
        bench.world.press(RECORD, bench.at(start + 1.5), hold_ms=3300)
    bench.world.at(bench.at(13.5), lambda: leave_receipt(bench))
    bench.world.dock(bench.at(14))
    return bench


def undisturbed(make_bench: Make) -> tuple[int, tuple[Entry, ...]]:
    """How many operations change the card, and what the ledger then says."""
    bench = shift(make_bench)
    bench.run(END_S)
    return bench.world.card.operations, bench.entries()


def fail_once(make_bench: Make, step: int, fault: CardFault, reference: Sequence[Entry]) -> None:
    bench = shift(make_bench, step)
    bench.world.card.stall_ns = STALL_NS if fault is CardFault.STALL else 0
    bench.world.card.fail_at(step, fault)
    try:
        bench.run(END_S)
        assert not bench.world.card.faults, "met by nothing"
        check_card(bench)
        check_shift(bench.entries(), reference, fault)
        bench.run(bench.world.now_ns / 1e9 + 8)
        check_card(bench)
        assert [one.fields["previous"] for one in bench.entries() if one.kind == "boot"] == ["first", "clean"]
    except Exception as error:
        error.add_note(f"operation {step} met {fault.value}")
        raise


def check_card(bench: Bench) -> None:
    report = bench.verify()
    assert [one.sentence() for one in report.all_findings if one.severity is Severity.BAD or one.code == "time-unaccounted"] == []
    assert report.verdict is Verdict.AUTHENTIC
    for recording in bench.recordings():
        assert list(unexplained(bench.manifest(recording))) == []


def check_shift(entries: Sequence[Entry], reference: Sequence[Entry], fault: CardFault) -> None:
    """What the undisturbed shift's ledger says, this one's says. A card that is full for a moment may cost fragments and end a recording,
    and keeps the camera from looking for a second: fault, drop, end and gap leaves say so."""
    kinds, wanted = (Counter(one.kind for one in each) for each in (entries, reference))
    causes = Counter(one.fields["cause"] for one in entries if one.kind in ("end", "drop"))
    missing = wanted - kinds
    if fault is CardFault.FULL and [one.fields["reason"] for one in entries if one.kind == "fault"] == ["full"]:
        missing = Counter({kind: count for kind, count in missing.items() if kind not in ("fragment", "init", "mark")})
        causes.pop("storage-full", None)
        assert kinds["begin"] == kinds["end"] == 2
    assert missing == Counter()
    assert causes.keys() == {"button"}


@pytest.mark.timeout(7200 if TORTURE else 300)
@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_operation_fails_once_nothing_is_lost(make_bench: Make, part: int) -> None:
    """BWC-POL-23, BWC-POL-28."""
    operations, reference = undisturbed(make_bench)
    steps = range(1 + part, operations + 1, PARTS)
    faults = product(steps, FAULTS) if TORTURE else [(step, FAULTS[(step // PARTS + part) % len(FAULTS)]) for step in steps]
    for step, fault in faults:
        fail_once(make_bench, step, fault, reference)


def test_the_last_operation_is_the_last(make_bench: Make) -> None:
    """What "every operation" means: a fault planned for the one after it is never met."""
    operations, _ = undisturbed(make_bench)
    bench = shift(make_bench)
    bench.world.card.fail_at(operations + 1, CardFault.IO_ERROR)
    bench.run(END_S)
    assert bench.world.card.faults
    assert operations > 100


def alarms(bench: Bench, name: CueName) -> list[float]:
    """Seconds at which the wearer felt it."""
    cue = CUES[name]
    return [one.at_ns / 1e9 for one in bench.world.seen.cues if (one.cue.tones, one.cue.pulses) == (cue.tones, cue.pulses)]


def recording_on(bench: Bench, until: float, end: float, card_fault: CardFault, times: Sequence[float]) -> None:
    """Press at 3 s, stop at ``until``; the first operation after each of ``times`` meets the fault."""
    bench.world.card.stall_ns = bench.world.card.stall_ns or STALL_NS
    bench.world.double_press(bench.at(3))
    for second in times:
        bench.world.at(bench.at(second), lambda: bench.world.card.fail_at(1, card_fault))
    bench.world.press(RECORD, bench.at(until), hold_ms=3300)
    bench.run(end)


def test_a_card_that_stalls_again_and_again_costs_no_picture(make_bench: Make) -> None:
    """BWC-POL-47: three seconds out of ten, for a whole recording, as cards do that tidy their blocks: pictures wait in memory, the wearer
    is told each time."""
    bench = make_bench(pre_event=2)
    stalls = [second + 0.5 for second in range(8, 60, 10)]
    recording_on(bench, 66, 74, CardFault.STALL, stalls)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert (manifest.gaps, manifest.end.cause) == ((), "button")
    times = picture_times(bench, recording)
    assert max(later - earlier for earlier, later in pairwise(times)) < 0.04
    assert times[-1] - times[0] > 66
    told = [one for one in bench.entries() if one.kind in ("fault", "recovered")]
    assert [(one.kind, one.fields["port"]) for one in told] == [("fault", "card"), ("recovered", "card")] * len(stalls)
    assert len(alarms(bench, CueName.PARTIAL_FAULT)) == len(stalls)
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_does_not_answer_is_felt_within_two_seconds(make_bench: Make) -> None:
    """BWC-POL-47: and the service's status shows for how long, the promise's lag with it."""
    bench = make_bench(pre_event=2)
    bench.world.card.stall_ns = 6_000_000_000
    recording_on(bench, 16, 24, CardFault.STALL, [7.01])
    stalled_s = next(one.at_ns for one in bench.world.seen.cues if one.at_ns > bench.at(7)) / 1e9
    (felt,) = alarms(bench, CueName.PARTIAL_FAULT)
    assert felt == stalled_s
    assert 7 < felt < 7.01 + 1 + FELT_S  # the next operation came within the second
    ages = [float(age) for _, text in bench.world.seen.notices for age in re.findall(r"card ([0-9.]+) s", text)]
    assert max(ages) > 4
    fragments = [one for one in bench.entries() if one.kind == "fragment"]
    lag_us = [one.time.boottime_ns // 1000 - one.fields["start_us"] - one.fields["duration_us"] for one in fragments]
    assert max(lag_us) > 3_000_000
    assert bench.manifest(bench.recordings()[0]).gaps == ()


def test_a_card_that_stalls_for_longer_than_memory_lasts_drops_whole_gops_by_name(make_bench: Make) -> None:
    """House law 4: the writer is behind, the ledger says from when to when, and the rest of the recording is there."""
    bench = make_bench(pre_event=2, changes={"max_bytes = 33554432": "max_bytes = 1048576"})
    bench.world.card.stall_ns = 60_000_000_000
    recording_on(bench, 90, 98, CardFault.STALL, [7.5])
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert {gap.cause for gap in manifest.gaps} == {"writer-behind"}
    assert {gap.pictures_lost % manifest.fragments[-2].pictures for gap in manifest.gaps} == {0}
    assert 7.5 < alarms(bench, CueName.PARTIAL_FAULT)[0] < 7.5 + 1 + FELT_S
    assert list(unexplained(manifest)) == []
    assert manifest.end.cause == "button"
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("operation", [1, 5, 9])
def test_a_card_that_stalls_at_boot_delays_it_and_no_press_is_lost(make_bench: Make, operation: int) -> None:
    """BWC-POL-01: what was pressed meanwhile is owed."""
    bench = make_bench(pre_event=2)
    bench.world.card.stall_ns = STALL_NS
    bench.world.card.fail_at(operation, CardFault.STALL)
    bench.world.double_press(bench.at(1))
    bench.world.press(RECORD, bench.at(8), hold_ms=3300)
    bench.run(16)
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.cause == "button"
    check_card(bench)


def test_a_power_cut_while_the_card_stalls_breaks_no_promise(make_bench: Make) -> None:
    """BWC-POL-28: what waited in memory is lost, as it was not promised; camera and verifier say that power was."""
    bench = make_bench(pre_event=2)
    bench.world.card.stall_ns = STALL_NS
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(7.5), lambda: bench.world.card.fail_at(1, CardFault.STALL))
    bench.world.cut_power(bench.at(9.5))
    bench.run_into_cut()
    kept = [one for one in bench.entries(after_cut=True) if one.kind == "fragment"]
    bench.run(20)
    assert [one for one in bench.entries() if one.kind == "fragment"] == kept
    assert bench.manifest(bench.recordings()[0]).end.cause == "power-loss"
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_shutdown_waits_for_a_card_that_stalls(make_bench: Make) -> None:
    """BWC-POL-28: everything that waits is written before the end."""
    bench = make_bench(pre_event=2)
    bench.world.card.stall_ns = STALL_NS
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(7.5), lambda: bench.world.card.fail_at(1, CardFault.STALL))
    bench.run(9)
    assert bench.world.now_ns > bench.at(10)
    assert bench.kinds()[-1] == "shutdown"
    assert bench.manifest(bench.recordings()[0]).gaps == ()
    assert bench.verify().verdict is Verdict.AUTHENTIC


def read_only_from(bench: Bench, second: float, until: float | None = None) -> None:
    """Every operation fails, as on a file system that its errors made read-only."""
    bench.world.at(bench.at(second), lambda: bench.world.card.fail_always(CardFault.IO_ERROR))
    if until is not None:
        bench.world.at(bench.at(until), lambda: bench.world.card.fail_always(None))


def test_a_card_that_becomes_read_only_and_comes_back_has_what_memory_held(make_bench: Make) -> None:
    """BWC-POL-06, BWC-POL-47: felt within 2 s; what was recorded before the fault waits in memory and is written; the recording goes on by
    itself, with the seconds before the card came back; the ledger says from when to when there was none."""
    bench = make_bench(pre_event=5)
    bench.world.double_press(bench.at(3))
    read_only_from(bench, 8.5, 40)
    bench.world.press(RECORD, bench.at(50), hold_ms=3300)
    bench.run(58)
    felt = alarms(bench, CueName.FAULT)
    assert 8.5 < felt[0] <= 8.5 + 1 + FELT_S
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert (first.end.cause, second.begin.cause, second.end.cause) == ("fault", "recovery", "button")
    assert first.gaps == second.gaps == ()
    assert [*unexplained(first), *unexplained(second)] == []
    assert second.pre_event.actual_ms > 4000
    told = [(one.kind, one.fields["port"]) for one in bench.entries() if one.kind in ("fault", "recovered")]
    assert told == [("fault", "storage"), ("recovered", "storage")]
    (gap,) = [one for one in bench.entries() if one.kind == "gap" and one.fields["cause"] == "fault"]
    assert gap.fields["duration_us"] > 25_000_000
    check_card(bench)


def test_a_card_that_stays_read_only_is_told_by_the_next_boot(make_bench: Make) -> None:
    """BWC-POL-28: felt within 2 s; what was promised before is there, and the next run closes the recording and says why its end was
    not in order."""
    bench = make_bench(pre_event=5)
    bench.world.double_press(bench.at(3))
    read_only_from(bench, 8.5)
    bench.run(30)
    assert 8.5 < alarms(bench, CueName.FAULT)[0] <= 8.5 + 1 + FELT_S
    kept = [one for one in bench.entries(after_cut=True) if one.kind == "fragment"]
    bench.world.card.fail_always(None)
    bench.run(40)
    assert [one for one in bench.entries() if one.kind == "fragment"] == kept
    boots = [one for one in bench.entries() if one.kind == "boot"]
    assert boots[1].fields["previous"] in ("crash", "power-loss")
    told = [one.fields["reason"] for one in bench.entries() if one.kind == "fault" and one.fields["port"] == "storage"]
    assert told == ["the run before could not write this: the card took nothing more until the end"]
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.cause in ("fault", "power-loss")
    check_card(bench)
