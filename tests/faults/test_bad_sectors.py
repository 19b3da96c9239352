"""A sector that cannot be read any more costs what lay in it, and holds up nothing else: no new recording, no other receipt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from camerabench import RECORDING, Bench, leave, receipt_for

from firmware.boot import LOG_PATIENCE_NS
from firmware.evidence.findings import Verdict
from firmware.machine.indicators import CUES, CueName
from firmware.storage.vault import ASIDE
from hal.interfaces import ButtonName

PATIENCE_S = LOG_PATIENCE_NS // 1_000_000_000
SECOND_ONE, THIRD_ONE = "SIM-0001-000001-0002", "SIM-0001-000002-0001"


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """Two recordings, receipted both; the camera is off."""
    one = make_bench(pre_event=1)
    for second in (2, 10):
        one.world.double_press(one.at(second))
        one.world.press(ButtonName.RECORD, one.at(second + 1), hold_ms=3300)
    one.run(18)
    for recording in (RECORDING, SECOND_ONE):
        leave(one, receipt_for(one, recording=recording), one.agency.directory / "dock")
    return one


def visit_and_record(bench: Bench) -> None:
    """A visit to the dock, and a recording after it."""
    now = bench.world.now_ns / 1e9
    bench.world.dock(bench.at(now + 5))
    bench.world.undock(bench.at(now + 15))
    bench.world.double_press(bench.at(now + 18))
    bench.world.press(ButtonName.RECORD, bench.at(now + 20), hold_ms=3300)
    bench.run(now + 28)


def told(bench: Bench) -> list[str]:
    return [one.fields["reason"] for one in bench.entries() if one.kind == "fault"]


def felt(bench: Bench, name: CueName) -> list[float]:
    """Seconds at which the wearer felt it."""
    return [one.at_ns / 1e9 for one in bench.world.seen.cues if one.cue.pulses == CUES[name].pulses]


@pytest.mark.parametrize(
    "spoilt",
    [
        f"sync/receipts/{RECORDING}.json",
        f"sync/receipts/{RECORDING}.json.p7s",
        f"vault/{RECORDING}/000001.m4s.p7m",
        f"vault/{RECORDING}/manifest.json",
    ],
)
def test_a_receipt_that_cannot_be_checked_holds_up_nothing(bench: Bench, spoilt: str) -> None:
    """BWC-POL-23, BWC-POL-42: the other recording is released, this one stays and is told, the next one is recorded."""
    bench.world.card.spoilt.add(spoilt)
    visit_and_record(bench)
    assert sorted(bench.recordings()) == [RECORDING, THIRD_ONE]
    assert bench.manifest(THIRD_ONE).end.cause == "button"
    assert [one for one in told(bench) if f"receipt of {RECORDING} cannot be checked" in one] != []
    assert felt(bench, CueName.PARTIAL_FAULT) != []
    bench.world.card.spoilt.clear()
    visit_and_record(bench)
    assert RECORDING not in bench.recordings(), "with the sector back, the same receipt is taken at the next start"
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("spoilt", ["sync/policy/policy.toml", "sync/order/order.json"])
def test_a_delivery_that_cannot_be_read_holds_up_nothing(bench: Bench, spoilt: str) -> None:
    """BWC-POL-29, BWC-POL-30: what is in force stays, the fault is told once, and both receipts are taken."""
    for name in (spoilt, f"{spoilt}.minisig") if "policy" in spoilt else (spoilt,):
        path = bench.card / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"what lay here")
    bench.world.card.spoilt.add(spoilt)
    visit_and_record(bench)
    assert bench.recordings() == [THIRD_ONE]
    assert len([one for one in told(bench) if spoilt in one]) == 1


@pytest.mark.parametrize("snapshot", [False, True])
def test_a_ledger_that_cannot_be_read_is_kept_aside_and_the_camera_records(bench: Bench, snapshot: bool) -> None:
    """BWC-POL-29: nothing is overwritten, the first leaves of the new ledger say what happened, and the camera records."""
    log = bench.card / "ledger" / "log"
    if not snapshot:
        (log.parent / "snapshot").unlink()
    before = log.read_bytes()
    bench.world.card.spoilt.add("ledger/log")
    now = bench.world.now_ns / 1e9
    bench.world.double_press(bench.at(now + 4 + PATIENCE_S + 5))
    bench.world.press(ButtonName.RECORD, bench.at(now + 4 + PATIENCE_S + 8), hold_ms=3300)
    bench.run(now + 4 + PATIENCE_S + 16)
    (made,) = set(bench.recordings()) - {RECORDING, SECOND_ONE}
    assert bench.manifest(made).end.cause == "button"
    (kept,) = (bench.card / ASIDE).glob("ledger-unreadable-*")
    assert kept.read_bytes() == before
    assert [one for one in told(bench) if "the ledger cannot be read" in one and kept.name in one] != []
    assert bench.kinds()[0] == "boot"
    bench.run(bench.world.now_ns / 1e9 + 8)
    assert bench.kinds().count("boot") == 2, "the next boot reads the new one"


def test_what_is_pressed_for_while_the_ledger_cannot_be_read_starts_when_a_new_one_is_open(bench: Bench) -> None:
    """BWC-POL-01, BWC-POL-47: felt within two seconds of power-on, and not lost."""
    bench.world.card.spoilt.add("ledger/log")
    now = bench.world.now_ns / 1e9
    bench.world.double_press(bench.at(now + PATIENCE_S / 2))
    bench.world.press(ButtonName.RECORD, bench.at(now + PATIENCE_S + 12), hold_ms=3300)
    bench.run(now + PATIENCE_S + 22)
    assert now < felt(bench, CueName.FAULT)[0] <= now + 4 + 2
    (made,) = set(bench.recordings()) - {RECORDING, SECOND_ONE}
    manifest = bench.manifest(made)
    assert (manifest.begin.cause, manifest.end.cause) == ("button", "button")
    (fault,) = [one for one in bench.entries() if one.kind == "fault" and "the ledger cannot be read" in one.fields["reason"]]
    assert fault.fields["port"] == "storage"


def test_a_card_that_sulks_for_some_seconds_keeps_its_ledger(bench: Bench) -> None:
    bench.world.card.spoilt.add("ledger/log")
    now = bench.world.now_ns / 1e9
    bench.world.at(bench.at(now + 4 + PATIENCE_S / 2), bench.world.card.spoilt.clear)
    bench.run(now + 30)
    assert bench.kinds().count("boot") == 2
    assert list((bench.card / ASIDE).glob("ledger-*")) == []
    assert bench.verify().verdict is Verdict.AUTHENTIC
