"""A camera that is given back: its order is over before a leaf says so, whatever fails in between (BWC-POL-30)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from camerabench import Bench

from firmware.board import RETURNED, RETURNING, Board
from firmware.dock.protocol import SignedOrder
from firmware.errors import UnavailableError
from firmware.evidence.findings import Verdict
from hal.errors import PowerCut
from hal.sim.card import CardFault
from hal.sim.timeline import SECOND
from tests.unit.test_deliveries import begin_of, dock, faults, leave_order, order, record


def returning(make_bench: Callable[..., Bench]) -> Bench:
    """Assigned, under a policy that clears it at a dock, and worn."""
    bench = make_bench(pre_event=1, changes={"clear_at_dock = false": "clear_at_dock = true"})
    leave_order(bench, order(bench, at=1))
    dock(bench)
    return bench


def unassigned(bench: Bench) -> int:
    """Leaves of a return since the camera was assigned; provisioning's officer was the first to give it back."""
    kinds = bench.kinds()
    return kinds[kinds.index("assign") :].count("unassign")


class FailingBoard(Board):
    """The key directory takes no change of these names, as where its file system went read-only."""

    refused: tuple[str, ...] = ()

    def _rename(self, old: str, new: str) -> None:
        if new in self.refused:
            raise UnavailableError(f"beside the keys: {new}: Read-only file system")
        super()._rename(old, new)


@pytest.mark.parametrize(("refused", "in_force", "told"), [(RETURNING, True, 0), (RETURNED, False, 1)])
def test_a_key_directory_that_cannot_be_written_ends_in_a_fault(
    make_bench: Callable[..., Bench], refused: str, in_force: bool, told: int
) -> None:
    """BWC-POL-30, BWC-POL-47: the recorder lives on; the ledger says unassigned where the order is not in force, and nowhere else. Once
    the directory takes it, the next visit makes it good."""
    bench = returning(make_bench)
    now = bench.world.now_ns / SECOND
    bench.world.dock(bench.at(now + 2))
    bench.world.undock(bench.at(now + 7))
    with bench.life() as daemon:
        failing = FailingBoard(bench.config.key_directory)
        failing.refused = (refused,)
        bench.world.horizon_ns = bench.at(now + 1)
        daemon.run()
        daemon._custodian._evidence.deliveries._board = failing
        bench.world.horizon_ns = bench.at(now + 9)
        daemon.run()
    assert bench.ended_in_order
    (said,) = faults(bench, "order")
    assert "Read-only file system" in said
    assert unassigned(bench) == told
    kept = Board(bench.config.key_directory).order()
    assert kept is not None
    assert kept[1] is in_force
    assert (begin_of(bench, record(bench))["order"] is not None) is in_force
    dock(bench)
    assert begin_of(bench, record(bench))["order"] is None
    assert unassigned(bench) == told + 1
    assert len(faults(bench, "order")) == 1
    dock(bench)
    assert unassigned(bench) == told + 1
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_return_that_power_kept_from_its_leaf_is_told_at_the_next_visit(make_bench: Callable[..., Bench]) -> None:
    """BWC-POL-30: the order is over before the leaf says so, so that no leaf says what is not; what is owed is written once."""
    bench = returning(make_bench)
    Board(bench.config.key_directory).return_order()
    assert begin_of(bench, record(bench))["order"] is None
    assert unassigned(bench) == 0
    dock(bench)
    dock(bench)
    assert unassigned(bench) == 1
    assert faults(bench, "order") == []


def test_an_order_from_before_a_return_is_not_taken_again_in_the_middle_of_it(make_bench: Callable[..., Bench]) -> None:
    """BWC-POL-30."""
    bench = returning(make_bench)
    kept = Board(bench.config.key_directory).order()
    assert kept is not None
    Board(bench.config.key_directory).return_order()
    assert Board(bench.config.key_directory).order() == (kept[0], False)
    leave_order(bench, SignedOrder.from_bytes(kept[0]))
    dock(bench)
    assert begin_of(bench, record(bench))["order"] is None


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("fault", [CardFault.IO_ERROR, CardFault.POWER_CUT])
def test_a_card_that_fails_in_a_return_has_its_leaf_later(make_bench: Callable[..., Bench], fault: CardFault, number: int) -> None:
    """BWC-POL-28, BWC-POL-30: at each step of a visit; no leaf says that an order is over that is in force."""
    bench = returning(make_bench)
    now = bench.world.now_ns / SECOND
    bench.world.dock(bench.at(now + 6))
    bench.world.at(bench.at(now + 5.9), lambda: bench.world.card.fail_at(number, fault))
    with suppress(PowerCut):
        bench.run(now + 16)
    kept = Board(bench.config.key_directory).order()
    assert kept is not None
    told = [one.kind for one in bench.entries(after_cut=True)].count("unassign") - 1  # provisioning's officer gave it back first
    assert not (kept[1] and told)
    bench.run(bench.world.now_ns / SECOND + 6)
    bench.world.undock(bench.world.now_ns + SECOND)
    made = record(bench)
    assert (begin_of(bench, made)["order"] is None) is (unassigned(bench) > 0)
    dock(bench)
    assert unassigned(bench) in (1, 2)
    assert faults(bench, "order") == []
