"""Power cuts, planted files and full cards, on the real daemon: what was promised is there, what is lost is explained."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from camerabench import Bench, leave, receipt_for

from firmware.evidence.findings import Severity, Verdict
from firmware.machine.indicators import CUES, CueName
from firmware.machine.states import State
from hal.errors import PowerCut
from hal.interfaces import ButtonName, Colour, LampName
from hal.sim.card import CardFault, Loss
from tests.prepared import prepare
from tools.opening import read_notes

RECORD = ButtonName.RECORD


def promised(bench: Bench) -> dict[tuple[str, int], str]:
    """Every fragment that the ledger on the card promises, whatever became of it: (recording, seq) to sealed hash."""
    leaves = [one for one in bench.entries(after_cut=True) if one.kind == "fragment"]
    return {(one.fields["recording"], one.fields["seq"]): one.fields["sealed"] for one in leaves}


@pytest.mark.parametrize(
    ("cut", "loss"),
    [(3.05, Loss.RANDOM), (3.2, Loss.DROP_ALL), (3.6, Loss.KEEP_ALL), (4.01, Loss.RANDOM), (5.34, Loss.DROP_ALL), (6.99, Loss.RANDOM)],
)
def test_a_cut_loses_at_most_the_open_fragment(make_bench: Callable, cut: float, loss: Loss) -> None:
    """BWC-POL-28, BWC-POL-30: up to one second before the cut everything is there, signed, the officer's assignment too, and
    the next boot says what happened."""
    bench = make_bench(pre_event=2, seed=round(cut * 100))
    bench.world.card.loss = loss
    bench.world.double_press(bench.at(2.5))
    bench.world.cut_power(bench.at(cut))
    bench.run_into_cut()
    kept = promised(bench)
    bench.run(cut + 8)
    assert bench.entries()[0].kind == "boot"
    assert set(kept.items()) <= set(promised(bench).items())
    report = bench.verify()
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.recordings[0].findings if one.severity is Severity.BAD]
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.end.cause == "power-loss"
    assert manifest.notes is None
    assert read_notes(bench.source(), manifest, bench.key())["officer"] == "officer 4711"
    lost_us = (bench.at(cut) // 1000 + 4_000_000) - manifest.end.boottime_us
    assert 0 <= lost_us <= 1_034_000
    assert any("power-loss" in one.text for one in report.findings)


def test_a_cut_inside_every_write_of_an_activation(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-28: the card loses power in the middle of an operation of a short recording, a dozen of them."""
    prepare(monkeypatch)
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(3))
    bench.world.press(RECORD, bench.at(4), hold_ms=3300)
    bench.run(9)
    operations = bench.world.card.operations
    verdicts = []
    for number in range(3, operations, max(1, operations // 12)):
        one = make_bench(pre_event=2, seed=number)
        one.world.card.fail_at(number, CardFault.POWER_CUT)
        one.world.double_press(one.at(3))
        one.world.press(RECORD, one.at(4), hold_ms=3300)
        with pytest.raises(PowerCut):
            one.run(9)
        kept = promised(one) if (one.card / "ledger" / "log").exists() else {}
        one.run(one.world.now_ns / 1e9 + 8)
        assert set(kept.items()) <= set(promised(one).items())
        verdicts.append((number, one.verify()))
    bad = [(number, report.verdict) for number, report in verdicts if report.recordings and report.verdict is not Verdict.AUTHENTIC]
    assert bad == []


def test_a_cut_in_every_write_of_a_close(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-28: in every second of the last thirty operations. Before the manifest is durable it ends as a power loss; after, the close
    counts, and only its leaf is made up."""
    prepare(monkeypatch)

    def stopping(seed: int) -> Bench:
        bench = make_bench(pre_event=0, seed=seed)
        bench.world.double_press(bench.at(1))
        bench.world.press(RECORD, bench.at(2), hold_ms=3300)
        return bench

    whole = stopping(1)
    whole.run(8)
    causes = []
    for number in range(whole.world.card.operations - 30, whole.world.card.operations, 2):
        bench = stopping(number)
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(8)
        bench.run(bench.world.now_ns / 1e9 + 8)
        assert bench.verify().verdict is Verdict.AUTHENTIC, number
        assert bench.kinds().count("end") == 1
        causes += [bench.manifest(one).end.cause for one in bench.recordings()]
    assert set(causes) == {"power-loss", "button"}


def test_a_planted_fragment_is_set_aside_and_reported(make_bench: Callable) -> None:
    """BWC-POL-29, BWC-POL-40: a file that no leaf names is kept, sealed, and never adopted."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(3))
    bench.world.cut_power(bench.at(6.5))
    bench.run_into_cut()
    (recording,) = bench.recordings()
    folder = bench.card / "vault" / recording
    shutil.copy(folder / "000001.m4s.p7m", folder / "000099.m4s.p7m")
    bench.run(14)
    assert (bench.card / "unattested" / recording / "000099.m4s.p7m").exists()
    assert not (folder / "000099.m4s.p7m").exists()
    assert any(one.fields["name"].endswith("000099.m4s.p7m") for one in bench.entries() if one.kind == "unattested")
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_planted_ledger_tail_is_nobodys_word(make_bench: Callable) -> None:
    """BWC-POL-29, BWC-POL-40: leaves without the camera's signature are set aside with a leaf that says so."""
    bench = make_bench(pre_event=1)
    bench.run(3)
    log = bench.card / "ledger" / "log"
    planted = log.read_bytes().split(b"\n")[0].replace(b'"n":0', b'"n":%d' % len(bench.entries())) + b"\n"
    log.write_bytes(log.read_bytes() + planted)
    bench.run(8)
    (torn,) = [one for one in bench.entries() if one.kind == "torn"]
    assert torn.fields["bytes"] == len(planted)
    assert any((bench.card / "unattested").iterdir())
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_rewritten_ledger_is_kept_aside_and_the_camera_still_records(make_bench: Callable) -> None:
    """BWC-POL-29: a broken ledger never keeps an officer from recording; the old one is kept for whoever asks."""
    bench = make_bench(pre_event=1)
    bench.run(3)
    log = bench.card / "ledger" / "log"
    log.write_bytes(log.read_bytes().replace(b'"type":"ready"', b'"type":"sleep"'))
    bench.world.double_press(bench.at(10))
    bench.world.press(RECORD, bench.at(12), hold_ms=3300)
    bench.run(18)
    assert bench.kinds()[0] == "torn"
    assert len(bench.recordings()) == 1
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_lost_ledger_does_not_unmake_closed_recordings(make_bench: Callable) -> None:
    """BWC-POL-29: recordings whose manifest this camera signed stay in the vault; the new ledger says what happened."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.press(RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    (recording,) = bench.recordings()
    before = sorted(one.name for one in (bench.card / "vault" / recording).iterdir())
    log = bench.card / "ledger" / "log"
    log.write_bytes(log.read_bytes().replace(b'"type":"ready"', b'"type":"sleep"'))
    bench.run(14)
    assert sorted(one.name for one in (bench.card / "vault" / recording).iterdir()) == before
    assert bench.kinds()[0] == "torn"
    assert bench.verify().verdict is Verdict.NOT_AUTHENTIC


def test_a_card_full_of_traps_does_not_keep_the_camera_from_recording(make_bench: Callable, tmp_path) -> None:
    """BWC-POL-40: links, pipes, directories and strange names planted in the vault are left or set aside; the camera records."""
    bench = make_bench(pre_event=1)
    bench.run(2)
    for name in ("SIM-0001-000009-0001", "strange name \u202e.txt", "x" * 200):
        folder = bench.card / "vault" / name
        folder.mkdir()
        (folder / "directory").mkdir()
        (folder / "000000.m4s.p7m").symlink_to("/etc/passwd")
        os.mkfifo(folder / "pipe")
        (folder / "plain \n file").write_bytes(b"planted")
    (bench.card / "vault" / "loose-file").write_bytes(b"planted")
    bench.world.double_press(bench.at(10))
    bench.world.press(RECORD, bench.at(11), hold_ms=3300)
    bench.run(17)
    assert "SIM-0001-000002-0001" in bench.recordings()
    report = next(one for one in bench.verify().recordings if one.recording == "SIM-0001-000002-0001")
    assert report.verdict is Verdict.AUTHENTIC
    assert any(one.kind == "unattested" for one in bench.entries())


def test_a_cut_between_receipt_and_release_is_taken_up_again(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-43: after every cut of a dock visit the recording is either whole on the card or receipted; in the end it is gone."""
    prepare(monkeypatch)

    def docked_bench(seed: int) -> Bench:
        bench = make_bench(pre_event=1, seed=seed)
        bench.world.double_press(bench.at(2))
        bench.world.press(RECORD, bench.at(3), hold_ms=3300)
        bench.run(8)
        leave(bench, receipt_for(bench), bench.agency.directory / "dock")
        bench.world.dock(bench.at(14))
        return bench

    whole = docked_bench(1)
    before = whole.world.card.operations
    whole.run(20)
    for number in range(4, whole.world.card.operations - before, 4):
        bench = docked_bench(number)
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(20)
        if not any(one.kind == "receipt" for one in bench.entries(after_cut=True)):
            assert bench.verify().verdict is Verdict.AUTHENTIC, number
        now = bench.world.now_ns / 1e9
        bench.run(now + 12)
        assert bench.recordings() == [], number
        assert bench.kinds().count("receipt") == bench.kinds().count("release") == 1, number
        assert not any("refused" in one.fields["reason"] for one in bench.entries() if one.kind == "fault"), number


def test_a_boot_survives_a_write_error_anywhere(make_bench: Callable) -> None:
    """BWC-POL-28: one refused write during recovery changes nothing: the open recording is closed, once, as a power loss."""
    for number in range(1, 24, 3):
        bench = make_bench(pre_event=1, seed=number)
        bench.world.double_press(bench.at(2))
        bench.world.cut_power(bench.at(4.5))
        bench.run_into_cut()
        bench.world.card.fail_at(number, CardFault.IO_ERROR if number % 2 else CardFault.SHORT_WRITE)
        bench.run(14)
        (recording,) = bench.recordings()
        assert bench.manifest(recording).end.cause == "power-loss"
        assert [one.fields["previous"] for one in bench.entries() if one.kind == "boot"] == ["first", "power-loss"]
        assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_stays_dead_is_shown_and_felt(make_bench: Callable) -> None:
    """BWC-POL-01, -47: a card that is dead at power-on is shown and felt within two seconds; what was pressed for starts when it works."""
    bench = make_bench(pre_event=1)
    bench.world.card.fail_always(CardFault.IO_ERROR)
    bench.world.double_press(bench.at(5))
    bench.world.horizon_ns = bench.at(8)
    with bench.life() as daemon:
        daemon.run()
        assert daemon.model.state is State.FAULT
        felt = [each for each in bench.world.seen.cues if each.cue.pulses == CUES[CueName.FAULT].pulses]
        assert felt[0].at_ns <= bench.at(2)
        assert bench.world.seen.colour(LampName.STATUS) is Colour.RED
        bench.world.card.fail_always(None)
        bench.world.horizon_ns = bench.at(14)
        daemon.run()
        assert daemon.model.state is State.RECORDING
        daemon.ask_shutdown("end of test")
        daemon.run()
    (recording,) = bench.recordings()
    assert bench.manifest(recording).begin.cause == "button"
    told = [one for one in bench.entries() if one.kind in ("fault", "recovered")]
    assert [(one.kind, one.fields["port"]) for one in told] == [(kind, "storage") for kind in ("fault", "fault", "recovered")]
    assert "recording asked for" in told[1].fields["reason"]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_full_card_closes_the_recording_and_overwrites_nothing(make_bench: Callable) -> None:
    """BWC-POL-23: alarm, clean close, and every fragment that was promised is still there."""
    bench = make_bench(pre_event=1, changes={"reserve_bytes = 67108864": "reserve_bytes = 16777216"})
    bench.options["capacity_bytes"] = 16_777_216 + 700_000
    bench.world.double_press(bench.at(3))
    bench.run(60)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.end.cause == "storage-full"
    assert manifest.gaps == ()
    assert any(one.fields["reason"] == "full" for one in bench.entries() if one.kind == "fault")
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_has_room_and_takes_nothing_is_full_until_it_does(make_bench: Callable) -> None:
    """BWC-POL-23, -47: no room for names, or a quota: the card says one thing and does another. The recording is closed as soon as it can
    be, and the camera is not ready before."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(6), lambda: bench.world.card.fail_always(CardFault.FULL))
    bench.world.at(bench.at(16), lambda: bench.world.card.fail_always(None))
    bench.world.double_press(bench.at(20))
    states: list[State] = []
    for second in range(9, 16):
        bench.world.at(bench.at(second), lambda: states.append(bench.daemon.model.state))
    bench.run(26)
    assert set(states) == {State.FULL}
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert (first.end.cause, second.begin.cause) == ("storage-full", "button")
    assert [one.fields["port"] for one in bench.entries() if one.kind == "recovered"] == ["storage"]
    assert len(bench.world.seen.feeds) > 20
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_mute_is_told_by_the_boot_that_closes_the_recording(make_bench: Callable) -> None:
    """BWC-POL-17, BWC-POL-28: ended and open mutes stand in the manifest that a power cut prevented."""
    bench = make_bench(pre_event=1, changes={'mode = "off"': 'mode = "toggle"'})
    bench.world.double_press(bench.at(3))
    for second in (5, 7, 9):
        bench.world.press(ButtonName.FUNCTION, bench.at(second), hold_ms=1000)
    bench.world.cut_power(bench.at(12.5))
    bench.run_into_cut()
    bench.run(20)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.end.cause == "power-loss"
    kinds = [one for one in bench.entries() if one.kind in ("mute", "unmute")]
    at = [one.time.boottime_ns // 1000 for one in kinds]
    assert [(one.from_us, one.to_us) for one in manifest.mutes] == [(at[0], at[1]), (at[2], manifest.end.boottime_us)]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_what_a_full_card_left_of_a_group_is_not_in_the_recording(make_bench: Callable) -> None:
    """BWC-POL-23, W2: files of GOPs that were dropped are set aside at the close; before, they made the recording look planted."""
    counted = 0
    for operation in (26, 30, 32, 34, 36):
        bench = make_bench(pre_event=3)
        bench.world.at(bench.at(9), lambda number=operation, card=bench.world.card: card.fail_at(number, CardFault.FULL))
        bench.world.double_press(bench.at(9))
        bench.world.press(RECORD, bench.at(9.5), hold_ms=3300)
        bench.run(18)
        (recording,) = bench.recordings()
        assert bench.manifest(recording).end.cause == "storage-full"
        assert len(bench.manifest(recording).gaps) == 1
        assert bench.verify().verdict is Verdict.AUTHENTIC, operation
        counted += bench.kinds().count("unattested")
    assert counted > 0


def test_one_write_error_loses_nothing(make_bench: Callable) -> None:
    """BWC-POL-28: what the card refuses once waits in memory and is written the second time."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    for operation in (1, 9, 20):
        bench.world.at(bench.at(5.5), lambda number=operation: bench.world.card.fail_at(number, CardFault.IO_ERROR))
    bench.world.press(RECORD, bench.at(12), hold_ms=3300)
    bench.run(18)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.gaps == ()
    assert {one.duration_us for one in manifest.fragments[:-1]} == {1_000_000}
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_fails_for_seconds_is_felt_and_recording_goes_on(make_bench: Callable) -> None:
    """BWC-POL-47: alarm within 2 s, a fault and a recovery in the ledger, and a recording that continues when writes work."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(5.5), lambda: bench.world.card.fail_always(CardFault.IO_ERROR))
    bench.world.at(bench.at(10), lambda: bench.world.card.fail_always(None))
    bench.world.press(RECORD, bench.at(15), hold_ms=3300)
    bench.run(22)
    alarms = [one.at_ns for one in bench.world.seen.cues if one.cue.pulses == CUES[CueName.FAULT].pulses]
    assert alarms
    assert bench.at(5.5) < alarms[0] <= bench.at(7.6)
    kinds = bench.kinds()
    assert kinds.index("fault") < kinds.index("recovered")
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert (first.end.cause, second.begin.cause, second.end.cause) == ("fault", "recovery", "button")
    assert bench.verify().verdict is Verdict.AUTHENTIC
