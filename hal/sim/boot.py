"""One life of the simulated camera: every port opened on a world."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from hal.directory_volume import make_root
from hal.footage import DeviceSource, FileSource, PictureSource
from hal.interfaces import Hal, HalConfig
from hal.posix import PosixClock, SdNotifyWatchdog
from hal.sim.buttons import SimButtons
from hal.sim.camera import SimCamera
from hal.sim.clock import SimClock
from hal.sim.config import SimConfig, parse_config
from hal.sim.dock_link import SimDockLink
from hal.sim.entropy import SimEntropy
from hal.sim.inbox import InPlaceWorker, SimInbox
from hal.sim.indicators import SimIndicators
from hal.sim.key_store import SimKeyStore
from hal.sim.microphone import SimMicrophone
from hal.sim.orientation import SimOrientation
from hal.sim.positioning import SimPositioning
from hal.sim.power import SimPower
from hal.sim.scene import DrawnStreet
from hal.sim.script import play
from hal.sim.sound import open_sound
from hal.sim.strand import StrandWorker
from hal.sim.volume import SimVolume
from hal.sim.watchdog import SimWatchdog
from hal.sim.world import Life, World


def open_hal(config: HalConfig) -> Hal:
    """A world of its own, in real time unless the settings say otherwise, and its first boot."""
    settings = parse_config(config)
    world = World(settings.epoch_wall_ns or _host_wall_ns(), settings.seed, settings.realtime)
    play(world, settings.script)
    return boot(world, config)


def boot(world: World, config: Mapping[str, Any]) -> Hal:
    """Begin a life: boot time is ``START_UP_NS`` now. Raises ``HalError`` while another life of this world is on."""
    settings = parse_config(config)
    source = _open_source(settings.source, world.seed)
    with ExitStack() as on_failure:
        on_failure.callback(source.close)
        life = world.power_on()
        on_failure.callback(life.end)
        hal = _open_ports(world, life, settings, source)
        on_failure.pop_all()
    return hal


def _open_ports(world: World, life: Life, settings: SimConfig, source: PictureSource) -> Hal:
    volume = SimVolume(make_root(settings.volume), life, settings.capacity_bytes, settings.host_sync)
    camera = SimCamera(life, source, settings.jitter_ns)
    microphone = SimMicrophone(life, open_sound(settings.source, world.seed))
    real_watchdog = SdNotifyWatchdog(os.environ)
    life.before_power_loss += [camera.close, microphone.close, real_watchdog.close]
    return Hal(
        backend="sim",
        clock=SimClock(life),
        inbox=SimInbox(life, settings.inbox_limit),
        camera=camera,
        microphone=microphone,
        buttons=SimButtons(life),
        indicators=SimIndicators(life),
        key_store=SimKeyStore(settings.keys, life),
        entropy=SimEntropy(life),
        volume=volume,
        power=SimPower(life),
        positioning=SimPositioning(life, settings.start),
        orientation=SimOrientation(life),
        dock_link=SimDockLink(life, settings.sync_request),
        watchdog=SimWatchdog(life, real_watchdog),
        make_worker=lambda name, depth: StrandWorker(life, depth) if life.slow else InPlaceWorker(life),
        describe={"backend": "simulator", "life": str(life.number), **camera.describe()},
        closers=(camera.close, microphone.close, volume.close, life.end, real_watchdog.close),
    )


def _open_source(source: str | None, seed: int) -> PictureSource:
    if source is None:
        return DrawnStreet(seed)
    return DeviceSource(source) if source.startswith("/dev/") else FileSource(source)


def _host_wall_ns() -> int:
    """The real-time simulator starts at the host's wall time."""
    return PosixClock().now().wall_ns
