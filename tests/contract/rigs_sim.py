"""The simulator under contract: every port of it in a rig."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rigs import CameraRig, ClockRig, HandsRig, MicrophoneRig

from hal.interfaces import ButtonName, Entropy, Hal, Inbox, KeyStore, Volume, Watchdog, Worker
from hal.sim.boot import boot
from hal.sim.timeline import SECOND
from hal.sim.world import World

START_WALL_NS = 1_795_421_687_000_000_000


def sim_world() -> World:
    return World(START_WALL_NS, seed=7)


def sim_hal(tmp_path: Path, world: World) -> Hal:
    return boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys"})


@contextmanager
def _sim(tmp_path: Path) -> Iterator[tuple[World, Hal]]:
    world = sim_world()
    hal = sim_hal(tmp_path, world)
    yield world, hal
    hal.close()


@contextmanager
def sim_volume(tmp_path: Path) -> Iterator[tuple[Volume, Path]]:
    with _sim(tmp_path) as (_, hal):
        yield hal.volume, tmp_path / "card"


@contextmanager
def sim_media(tmp_path: Path) -> Iterator[tuple[Hal, Callable[[float], None]]]:
    with _sim(tmp_path) as (world, hal):

        def pass_time(seconds: float) -> None:
            world.horizon_ns = world.now_ns + round(seconds * SECOND)
            while hal.inbox.get() is not None:
                pass

        yield hal, pass_time


@contextmanager
def sim_camera(tmp_path: Path) -> Iterator[CameraRig]:
    with sim_media(tmp_path) as (hal, pass_time):
        yield CameraRig(hal.camera, hal.clock.now, pass_time, clock_tolerance_ns=0)


@contextmanager
def sim_microphone(tmp_path: Path) -> Iterator[MicrophoneRig]:
    with sim_media(tmp_path) as (hal, pass_time):
        yield MicrophoneRig(hal.microphone, hal.clock.now, pass_time)


@contextmanager
def sim_clock(tmp_path: Path) -> Iterator[ClockRig]:
    with _sim(tmp_path) as (world, hal):

        def wait(event: threading.Event) -> None:
            world.run_until(world.now_ns + 60 * SECOND)
            assert event.is_set()

        yield ClockRig(hal.clock, wait)


@contextmanager
def sim_inbox(tmp_path: Path, limit: int) -> Iterator[Inbox]:
    world = sim_world()
    hal = boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys", "inbox_limit": limit})
    yield hal.inbox
    hal.close()


@contextmanager
def sim_worker(tmp_path: Path, depth: int) -> Iterator[Worker]:
    with _sim(tmp_path) as (_, hal):
        yield hal.make_worker("test", depth)


@contextmanager
def sim_keys(tmp_path: Path) -> Iterator[Callable[[], KeyStore]]:
    world = sim_world()

    def reopen() -> KeyStore:
        if world.life is not None:
            world.life.end()
        return sim_hal(tmp_path, world).key_store

    yield reopen
    assert world.life is not None
    world.life.end()


@contextmanager
def sim_entropy(tmp_path: Path) -> Iterator[Entropy]:
    with _sim(tmp_path) as (_, hal):
        yield hal.entropy


@contextmanager
def sim_hands(tmp_path: Path) -> Iterator[HandsRig]:
    with _sim(tmp_path) as (world, hal):

        def press(button: ButtonName, hold_ms: int) -> None:
            world.run_until(world.press(button, hold_ms=hold_ms, bounce=True) + SECOND)

        yield HandsRig(
            hal.buttons,
            hal.indicators,
            hal.power,
            hal.positioning,
            hal.orientation,
            hal.dock_link,
            press,
            lambda docked: world.dock() if docked else world.undock(),
            lambda percent: world.set_power(percent),
            lambda name: world.break_lamp(name),
        )


@contextmanager
def sim_watchdog(tmp_path: Path, address: str) -> Iterator[Watchdog]:
    before = os.environ.get("NOTIFY_SOCKET")
    os.environ["NOTIFY_SOCKET"] = address
    try:
        with _sim(tmp_path) as (_, hal):
            yield hal.watchdog
    finally:
        del os.environ["NOTIFY_SOCKET"]
        if before is not None:
            os.environ["NOTIFY_SOCKET"] = before
