"""Simulated devices that do not answer: the loop goes on, what hangs goes on when it may, and never after its life."""

from __future__ import annotations

import threading

import pytest

from hal.errors import DeviceFault, HalError, PowerCut
from hal.sim.strand import StrandWorker
from hal.sim.surroundings import Delay
from hal.sim.timeline import SECOND
from hal.sim.world import Life, World

WALL_NS = 1_830_000_000 * SECOND


@pytest.fixture
def world() -> World:
    world = World(WALL_NS)
    world.signer.hang(2 * SECOND, 5 * SECOND)
    return world


@pytest.fixture
def life(world: World) -> Life:
    return world.power_on()


def job(life: Life, done: list[tuple[str, int]], name: str) -> None:
    life.answer(life.world.signer)
    done.append((name, life.world.now_ns // SECOND))


def test_a_job_that_hangs_leaves_the_world_alone_and_keeps_its_place(world: World, life: Life) -> None:
    worker, done = StrandWorker(life, 8), []
    assert worker.submit(lambda: job(life, done, "before"))
    world.run_until(3 * SECOND)
    assert worker.submit(lambda: job(life, done, "hangs"))
    assert worker.submit(lambda: job(life, done, "behind it"))
    world.run_until(4 * SECOND)
    assert done == [("before", 0)]
    world.run_until(6 * SECOND)
    assert done == [("before", 0), ("hangs", 5), ("behind it", 5)]
    life.end()


def test_a_full_queue_refuses_and_a_closed_one_waits_for_what_hangs(world: World, life: Life) -> None:
    worker, done = StrandWorker(life, 1), []
    world.run_until(3 * SECOND)
    assert worker.submit(lambda: job(life, done, "hangs"))
    assert worker.submit(lambda: job(life, done, "waits"))
    assert not worker.submit(lambda: job(life, done, "one too many"))
    worker.close()
    assert done == [("hangs", 5), ("waits", 5)]
    assert not worker.submit(lambda: job(life, done, "late"))
    life.end()


@pytest.mark.parametrize("orderly", [True, False])
def test_nothing_goes_on_after_its_life(world: World, orderly: bool) -> None:
    world.signer.hang(0, None)
    life, before, done = world.power_on(), threading.active_count(), []
    worker = StrandWorker(life, 8)
    worker.submit(lambda: job(life, done, "hangs"))
    assert threading.active_count() == before + 1
    if orderly:
        life.end()
    else:
        with pytest.raises(PowerCut):
            world.lose_power()
    assert threading.active_count() == before
    assert done == []


@pytest.mark.parametrize("error", [HalError, PowerCut])
def test_what_a_job_raises_comes_out_where_it_was_let_run(world: World, life: Life, error: type[BaseException]) -> None:
    def fail() -> None:
        life.answer(world.signer)
        raise error("on purpose")

    worker = StrandWorker(life, 8)
    with pytest.raises(error):
        worker.submit(fail)
    world.run_until(3 * SECOND)
    worker.submit(fail)
    with pytest.raises(error):
        world.run_until(6 * SECOND)
    life.end()


def test_the_loop_itself_can_hang(world: World, life: Life) -> None:
    """The world goes on around it; a device that never answers is given up at the horizon."""
    seen: list[int] = []
    world.at(4 * SECOND, lambda: seen.append(4))
    world.run_until(3 * SECOND)
    life.answer(world.signer)
    assert (world.now_ns, seen) == (5 * SECOND, [4])
    world.horizon_ns = 9 * SECOND
    with pytest.raises(DeviceFault):
        life.answer(Delay(hangs_from_ns=0))
    life.end()


def test_a_slow_device_takes_its_time_in_every_call(world: World, life: Life) -> None:
    world.signer = Delay(each_ns=SECOND // 2)
    worker, done = StrandWorker(life, 8), []
    for name in "abcd":
        worker.submit(lambda name=name: job(life, done, name))
    world.run_until(9 * SECOND)
    assert done == [("a", 0), ("b", 1), ("c", 1), ("d", 2)]
    life.end()
