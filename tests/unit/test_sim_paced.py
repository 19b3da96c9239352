"""A virtual line that waits for the wall clock, and a card that is slow on it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hal.interfaces import Hal, VideoFormat
from hal.sim.boot import boot
from hal.sim.paced import LATE_NS, PacedWorld
from hal.sim.timeline import MS, SECOND
from hal.sim.world import World

WALL_NS = 1_795_421_687_000_000_000


class Wall:
    """A wall clock that stands still until it is told."""

    def __init__(self) -> None:
        self.ns = 5 * SECOND

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def world(wall: Wall) -> PacedWorld:
    return PacedWorld(WALL_NS, wall=wall)


def begin(world: PacedWorld) -> None:
    first: list[int] = []
    world.at(0, lambda: first.append(0))
    run(world, first, 1)


def run(world: PacedWorld, ran: list[int], count: int) -> None:
    """Until so many have run; a step that was woken runs none."""
    while len(ran) < count:
        world.step()


def started(world: World, tmp_path: Path) -> Hal:
    return boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys"})


def test_an_event_waits_for_its_instant(world: PacedWorld, wall: Wall) -> None:
    ran: list[int] = []
    begin(world)  # the wall clock begins to count here
    world.at(30 * MS, lambda: ran.append(world.now_ns))
    wall.ns += 29 * MS
    waiter = threading.Thread(target=run, args=(world, ran, 1))
    waiter.start()
    world.wake()
    assert ran == []
    wall.ns += 1 * MS
    world.wake()
    waiter.join(10)
    assert ran == [30 * MS]


def test_what_was_set_up_before_the_first_event_took_no_time(world: PacedWorld, wall: Wall) -> None:
    wall.ns += 7 * SECOND
    assert world.outside_ns() == 0
    begin(world)
    assert world.slipped_ns == 0


def test_a_machine_that_is_too_slow_makes_time_slower(world: PacedWorld, wall: Wall) -> None:
    """Events keep their own instants; the line falls behind the wall clock, once."""
    ran: list[int] = []
    for second in range(3):
        world.at(second * SECOND, lambda: ran.append(world.now_ns))
    run(world, ran, 1)
    wall.ns += 4 * SECOND
    run(world, ran, 2)
    assert world.slipped_ns == 3 * SECOND - LATE_NS
    assert world.outside_ns() == SECOND + LATE_NS
    wall.ns += SECOND
    run(world, ran, 3)
    assert ran == [0, SECOND, 2 * SECOND]
    assert world.slipped_ns == 3 * SECOND - LATE_NS


def test_what_is_posted_happens_now_and_in_order(world: PacedWorld, wall: Wall) -> None:
    """Now, outside, is later than the newest event; what was due before runs before."""
    ran: list[tuple[str, int]] = []
    begin(world)
    wall.ns += 100 * MS
    world.post(lambda: ran.append(("posted", world.now_ns)))
    world.at(60 * MS, lambda: ran.append(("due", world.now_ns)))
    while len(ran) < 2:
        world.step()
    assert ran == [("due", 60 * MS), ("posted", 100 * MS)]
    late = world.post(lambda: None, 700 * MS)
    assert late.at_ns == 700 * MS


def test_what_the_sensor_sees_can_be_watched(tmp_path: Path) -> None:
    world = World(WALL_NS)
    seen: list[tuple[int, tuple[int, ...]]] = []
    world.viewfinder = lambda at_ns, planes: seen.append((at_ns, planes.shape))
    hal = started(world, tmp_path)
    hal.camera.start(VideoFormat(320, 240, 10, 250_000, 10), _Sink())
    world.run_until(SECOND)
    assert [at_ns for at_ns, _ in seen][:3] == [0, SECOND // 10, SECOND // 5]
    assert seen[0][1] == (360, 320)
    hal.close()


def test_a_sensor_takes_its_time(tmp_path: Path) -> None:
    """Starting until its first picture, and never a picture before."""
    world = World(WALL_NS)
    world.camera.starting_ns = 700 * MS
    hal = started(world, tmp_path)
    sink = _Sink()
    hal.camera.start(VideoFormat(320, 240, 10, 250_000, 10), sink)
    world.run_until(600 * MS)
    assert (hal.camera.progress().starting, sink.pictures) == (True, 0)
    world.run_until(950 * MS)
    assert not hal.camera.progress().starting
    assert sink.pictures > 0
    hal.close()


class _Sink:
    def __init__(self) -> None:
        self.pictures = 0

    def picture(self, picture: object) -> None:
        self.pictures += 1

    def camera_fault(self, reason: str) -> None:
        raise AssertionError(reason)


def test_a_card_may_become_slow_in_mid_life(tmp_path: Path) -> None:
    """Where the world says so: the loop goes on meanwhile, and another life is no quicker for it."""
    world = World(WALL_NS)
    world.anything_may_be_slow = True
    hal = started(world, tmp_path)
    worker, done, ticks = hal.make_worker("w", 4), [], []
    assert worker.submit(lambda: hal.volume.make_directory("a"))
    world.card.delay.each_ns = SECOND
    world.at(500 * MS, lambda: ticks.append(world.now_ns))
    worker.submit(lambda: (hal.volume.make_directory("b"), done.append(world.now_ns)))
    world.run_until(900 * MS)
    assert (ticks, done) == ([500 * MS], [])
    world.run_until(2 * SECOND)
    assert done == [SECOND]
    worker.close()
    hal.close()


def test_room_that_something_else_takes(tmp_path: Path) -> None:
    world = World(WALL_NS)
    hal = started(world, tmp_path)
    file = hal.volume.create("a")
    file.write(b"x" * 100)
    world.card.leave_room(50)
    assert hal.volume.free_bytes() == 50
    file.write(b"x" * 20)
    assert hal.volume.free_bytes() == 30
    world.card.limit_bytes = None
    assert hal.volume.free_bytes() > 10**9
    file.close()
    hal.close()
