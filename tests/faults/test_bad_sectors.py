"""A sector that cannot be read any more costs what lay in it, and holds up nothing else: no new recording, no other receipt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from camerabench import RECORDING, Bench, leave, receipt_for

from firmware.evidence.findings import Verdict
from hal.interfaces import ButtonName

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
