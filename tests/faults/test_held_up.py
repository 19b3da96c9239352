"""What the card will not give, or let go of, for ever holds up nothing else: no recording, no other receipt, no release. A press waits for
none of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from camerabench import RECORDING, Bench, leave, receipt_for

from firmware import receipts
from firmware.errors import FormatError
from firmware.evidence.findings import Severity, Verdict
from firmware.media.fmp4 import Fragmenter
from firmware.media.gop import Gop
from firmware.receipts import ReceiptInbox
from firmware.storage import ledger_file, vault
from firmware.storage.ledger_file import LOG, SNAPSHOT
from firmware.storage.vault import ASIDE, Vault
from hal.errors import DeviceFault, PowerCut
from hal.interfaces import ButtonName
from hal.sim.card import Card, CardFault, Loss
from tests.cards import Passing

Make = Callable[..., Bench]
SECOND_ONE = "SIM-0001-000001-0002"


class OldPartBad(Passing):
    """A bad sector in the log's first bytes: a boot that begins behind them does not meet it."""

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        if name == LOG and start_bytes < 500:
            raise DeviceFault(f"volume failed at {name!r}: input/output error")
        return self.volume.read(name, start_bytes, fresh)


def now(bench: Bench) -> float:
    return bench.world.now_ns / 1e9


def record(bench: Bench, second: float) -> None:
    bench.world.double_press(bench.at(second))
    bench.world.press(ButtonName.RECORD, bench.at(second + 1), hold_ms=3300)


def shift(make_bench: Make, recordings: int = 2) -> Bench:
    """So many closed recordings; the camera is off."""
    bench = make_bench(pre_event=1)
    for number in range(recordings):
        record(bench, 2 + 8 * number)
    bench.run(2 + 8 * recordings)
    return bench


def visit_and_record(bench: Bench) -> str:
    """The dock, and a recording after it, whose name is returned."""
    before, second = set(bench.recordings()), now(bench)
    bench.world.dock(bench.at(second + 5))
    bench.world.undock(bench.at(second + 15))
    record(bench, second + 18)
    bench.run(second + 26)
    (made,) = set(bench.recordings()) - before
    assert bench.manifest(made).end.cause == "button"
    return made


def reasons(bench: Bench) -> list[str]:
    return [one.fields["reason"] for one in bench.entries() if one.kind == "fault"]


def is_good(bench: Bench) -> bool:
    report = bench.verify()
    return report.verdict is Verdict.AUTHENTIC and not [one for one in report.all_findings if one.severity is Severity.BAD]


def test_an_old_part_of_the_log_that_cannot_be_read_holds_up_no_recording(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-21, BWC-POL-43: whether a receipted one is critical cannot be read. It stays, and that is told."""
    bench = shift(make_bench)
    monkeypatch.setattr(ledger_file, "PEEK_BYTES", 4000)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    bench.change = lambda hal: replace(hal, volume=OldPartBad(hal.volume))
    visit_and_record(bench)
    assert RECORDING in bench.recordings()
    assert len([one for one in reasons(bench) if one.startswith(f"release of {RECORDING} was given up")]) == 1
    bench.change = lambda hal: hal
    bench.run(now(bench) + 4)
    visit_and_record(bench)
    assert RECORDING not in bench.recordings(), "with the sector back"
    assert is_good(bench)


def test_nor_does_what_lies_aside_and_cannot_be_looked_up_there(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = shift(make_bench)
    monkeypatch.setattr(ledger_file, "PEEK_BYTES", 4000)
    aside = bench.card / ASIDE / RECORDING
    aside.mkdir()
    (aside / "000009.m4s.p7m").write_bytes(b"of an earlier cut")
    bench.change = lambda hal: replace(hal, volume=OldPartBad(hal.volume))
    visit_and_record(bench)
    assert len([one for one in reasons(bench) if "what lies aside" in one]) == 1


def test_a_snapshot_that_cannot_be_read_costs_nothing(make_bench: Make) -> None:
    """BWC-POL-28: all of the log is read instead; it stays where it is, and what was promised is closed."""
    bench = shift(make_bench)
    bench.world.double_press(bench.at(now(bench) + 3))
    bench.world.cut_power(bench.at(now(bench) + 12))
    bench.run_into_cut()
    bench.world.card.spoilt.add(SNAPSHOT)
    bench.run(now(bench) + 20)
    assert list((bench.card / ASIDE).iterdir()) == []
    assert bench.manifest("SIM-0001-000002-0001").end.cause == "power-loss"
    assert is_good(bench)


def test_a_log_that_can_be_read_is_never_moved_aside(make_bench: Make) -> None:
    """BWC-POL-29: the card refuses all writes for longer than a log that cannot be read is waited for."""
    bench = shift(make_bench)
    second = now(bench)
    with (bench.card / LOG).open("ab") as log:
        log.write(b"torn")
    bench.world.card.fail_always(CardFault.IO_ERROR)
    bench.world.at(bench.at(second + 30), lambda: bench.world.card.fail_always(None))
    bench.run(second + 40)
    assert [one.name for one in (bench.card / ASIDE).iterdir() if "unreadable" in one.name] == []
    assert bench.kinds().count("boot") == 2
    assert is_good(bench)


def test_certificates_that_cannot_be_read_are_written_anew(make_bench: Make) -> None:
    bench = shift(make_bench)
    bench.world.card.spoilt.add("ledger/device.pem")
    visit_and_record(bench)
    bench.world.card.spoilt.clear()
    assert is_good(bench)


@pytest.mark.parametrize("spoilt", [RECORDING, SECOND_ONE])
def test_a_recording_that_cannot_be_listed_keeps_others_from_nothing(make_bench: Make, spoilt: str) -> None:
    """BWC-POL-23: the newest one is looked at by the boot, the other in the dock."""
    bench = shift(make_bench)
    other = {RECORDING: SECOND_ONE, SECOND_ONE: RECORDING}[spoilt]
    leave(bench, receipt_for(bench, recording=other), bench.agency.directory / "dock")
    bench.world.card.spoilt.add(f"vault/{spoilt}")
    visit_and_record(bench)
    assert other not in bench.recordings(), "receipted and released"
    assert [one for one in reasons(bench) if spoilt in one] != []
    bench.world.card.spoilt.clear()
    bench.run(now(bench) + 10)
    assert is_good(bench)


def test_an_open_recording_whose_directory_takes_nothing_is_told_and_closed_by_a_later_boot(make_bench: Make) -> None:
    """BWC-POL-28."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.cut_power(bench.at(8))
    bench.run_into_cut()
    bench.world.card.spoilt.add(f"vault/{RECORDING}")
    visit_and_record(bench)
    assert [one for one in reasons(bench) if RECORDING in one] != []
    bench.world.card.spoilt.clear()
    bench.run(now(bench) + 10)
    assert bench.manifest(RECORDING).end.cause in ("power-loss", "fault")
    assert is_good(bench)


def test_a_directory_planted_in_a_recording_does_not_keep_it_here(make_bench: Make) -> None:
    """BWC-POL-43."""
    bench = shift(make_bench, 1)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    (bench.card / "vault" / RECORDING / "x").mkdir()
    (bench.card / "vault" / RECORDING / "x" / "y").write_bytes(b"z")
    visit_and_record(bench)
    assert RECORDING not in bench.recordings()
    assert (bench.card / ASIDE / RECORDING / "x" / "y").read_bytes() == b"z"
    assert len([one for one in reasons(bench) if "a directory in" in one]) == 1
    assert is_good(bench)


@pytest.mark.parametrize("name", ["sync", "sync/receipts", "sync/receipts/refused"])
def test_a_file_in_the_place_of_the_spool_is_moved_aside(make_bench: Make, name: str) -> None:
    """BWC-POL-38: the dock-sync process may write there, and is not to keep the recorder from its ledger."""
    bench = shift(make_bench, 1)
    (bench.card / name).rename(bench.card / "elsewhere")
    (bench.card / name).write_bytes(b"planted")
    visit_and_record(bench)
    assert (bench.card / ASIDE / name.replace("/", "-")).read_bytes() == b"planted"


def test_a_power_cut_between_a_refused_leaf_and_its_next_try_breaks_no_promise(make_bench: Make) -> None:
    """BWC-POL-28, W1: the leaf that the card refused may be there after all. What it names is not written anew before it is gone."""

    def arranged(seed: int) -> Bench:
        bench = make_bench(pre_event=1, seed=seed)
        bench.world.card.loss = Loss.KEEP_ALL
        bench.world.double_press(bench.at(2))
        bench.world.press(ButtonName.RECORD, bench.at(8), hold_ms=3300)
        return bench

    seen: list[tuple[int, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        count = Card.count

        def told(card: Card, what: str) -> CardFault | None:
            seen.append((card.operations + 1, what))
            return count(card, what)

        patch.setattr(Card, "count", told)
        arranged(1).run(16)
    syncs = [number for number, what in seen if what == f"sync {LOG}"]
    cut = 0
    for refused, later in ((refused, later) for refused in syncs[2::4] for later in (1, 2, 4, 7)):
        bench = arranged(refused * 10 + later)
        bench.world.card.fail_at(refused, CardFault.IO_ERROR)
        bench.world.card.fail_at(refused + later, CardFault.POWER_CUT)
        try:
            bench.run(16)
        except PowerCut:
            cut += 1
            bench.world.card.faults.clear()
            bench.run(now(bench) + 6)
            assert is_good(bench), (refused, later)
    assert cut > 8


def test_what_is_asked_for_while_a_receipt_is_checked_comes_before_its_end(make_bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-01: a recording of hours is gigabytes to be read; a press among them waits for a part of it, and the writer's heart beats."""
    bench = shift(make_bench, 1)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    monkeypatch.setattr(receipts, "READ_BYTES", 1)
    monkeypatch.setattr(vault, "RELEASE_FILES", 2)
    check, beats = ReceiptInbox.check, []

    def asked(inbox: ReceiptInbox, recording: str, card: Vault) -> tuple[bytes, bytes, str] | None:
        assert bench.daemon is not None
        custodian = bench.daemon._custodian
        if not beats:
            custodian.submit_entry("fault", bench.daemon._devices.now(), {"port": "dock", "reason": "meanwhile"})
        beats.append(custodian.operations_tried)
        return check(inbox, recording, card)

    monkeypatch.setattr(ReceiptInbox, "check", asked)
    bench.world.dock(bench.at(now(bench) + 5))
    bench.run(now(bench) + 15)
    leaves = bench.entries()
    meanwhile = next(one.n for one in leaves if one.fields.get("reason") == "meanwhile")
    receipted, released = (next(one.n for one in leaves if one.kind == kind) for kind in ("receipt", "release"))
    assert meanwhile < receipted < released
    assert len(beats) > 5
    assert beats == sorted(set(beats))
    assert bench.recordings() == []
    assert is_good(bench)


def test_a_last_gop_that_makes_no_film_costs_itself_and_neither_the_end_nor_the_writer(
    make_bench: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """House law 4: the recording ends without it, by name, and the next one is recorded."""
    bench = make_bench(pre_event=1)
    fragment = Fragmenter.fragment

    def refusing(fragmenter: Fragmenter, seq: int, gop: Gop) -> bytes:
        if bench.at(6.02) < bench.world.now_ns < bench.at(6.9):
            raise FormatError("fmp4", "expected the parameter sets of the recording's first picture, got others")
        return fragment(fragmenter, seq, gop)

    monkeypatch.setattr(Fragmenter, "fragment", refusing)
    record(bench, 2)
    record(bench, 12)
    bench.run(20)
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert {gap.cause for gap in first.gaps} == {"camera-format"}
    assert second.end.cause == "button"
    assert is_good(bench)


def test_nothing_piles_up_in_a_dock_while_the_card_takes_nothing(make_bench: Make) -> None:
    bench = shift(make_bench, 1)
    second = now(bench)
    bench.world.dock(bench.at(second + 5))
    bench.world.at(bench.at(second + 8), lambda: bench.world.card.fail_always(CardFault.IO_ERROR))
    bench.world.set_power(celsius=90, at_ns=bench.at(second + 10))  # which is to be written
    waiting: list[int] = []

    def look() -> None:
        assert bench.daemon is not None
        waiting.append(bench.daemon._custodian.operations_waiting)

    for later in (60, 160):
        bench.world.at(bench.at(second + later), look)
    bench.run(second + 170)
    assert waiting[0] == waiting[1] > 0
