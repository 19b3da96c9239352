"""One officer's shift on the simulated camera: the real daemon in a scripted world, with a power cut and a visit to the dock.

A composition root: it opens ``hal.sim`` and boots ``firmware``; nothing here does the camera's work for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware.boot import boot as boot_firmware
from firmware.config import DeviceConfig
from firmware.daemon import Daemon
from firmware.errors import UnavailableError
from hal.errors import PowerCut
from hal.interfaces import ButtonName
from hal.sim.boot import boot as boot_world
from hal.sim.timeline import SECOND
from hal.sim.world import World
from tools.dock.cutter import Cutter


@dataclass(frozen=True, slots=True)
class Script:
    """Instants in seconds from power-on. The second recording is cut by a pulled battery."""

    first_press: float = 42.0
    mark: float = 55.0
    stop: float = 74.0
    second_press: float = 112.0
    second_mark: float = 121.0
    battery_out: float = 136.4
    battery_in: float = 148.0
    docked: float = 166.0
    end: float = 180.0


@dataclass(slots=True)
class ShiftResult:
    """What the run saw from outside."""

    syncs: list[dict[str, Any]] = field(default_factory=list)
    """What each run of the dock-sync process reported: the offload, then the ledger with its receipts."""
    sync_log: str = ""
    cuts: int = 0
    lives: int = 0
    capture_s: float = 0.0
    offload_s: float = 0.0


Note = Callable[[float, str], None]
"""Called with (seconds of the shift done, what is going on)."""


def run_shift(config: DeviceConfig, dock: tuple[str, int], script: Script, cut_after: Sequence[int], note: Note) -> ShiftResult:
    """Two lives of the camera, one power cut, one offload through a cable that breaks once."""
    # The world runs faster than time: it begins so long ago that its clock and the dock's agree when it docks, within seconds.
    world = World(time.time_ns() - round(script.docked * SECOND), seed=20260101)
    result = ShiftResult()
    _schedule(world, script, note)
    began = time.monotonic()
    with Cutter(dock, cut_after) as cable:

        def offload() -> None:
            """The dock is a real one: while it works, time goes by for the camera too."""
            note(script.docked, "offloading to the dock")
            offloaded_s = result.offload_s
            run_sync(config.path, cable.address, result)
            took_ns = round((result.offload_s - offloaded_s) * SECOND)
            world.pass_time(took_ns)
            if world.horizon_ns is not None:
                world.horizon_ns += took_ns

        world.on_sync_request = offload
        try:
            with camera(world, config) as daemon:
                daemon.run()
            raise UnavailableError("the script's power cut did not happen")
        except PowerCut:
            note(script.battery_out, "battery pulled in mid-recording")
        world.run_until(round(script.battery_in * SECOND))
        world.horizon_ns = round(script.end * SECOND)
        with camera(world, config) as daemon:
            daemon.run()
            daemon.ask_shutdown("end of shift")
            world.horizon_ns = None
            daemon.run()
        result.cuts = cable.cuts
    result.lives = world.lives
    result.capture_s = time.monotonic() - began - result.offload_s
    return result


@contextmanager
def camera(world: World, config: DeviceConfig) -> Iterator[Daemon]:
    """One life: the HAL on this world, the firmware's own boot, a clean end unless the power goes."""
    options = {key: value for key, value in config.hal_options.items() if key != "script"}
    hal = boot_world(world, {**options, "volume": config.state_directory, "keys": config.key_directory})
    try:
        daemon = boot_firmware(hal, config)
        yield daemon
        daemon.close()
    finally:
        hal.close()


def _schedule(world: World, script: Script, note: Note) -> None:
    def at(seconds: float) -> int:
        return round(seconds * SECOND)

    world.double_press(at(script.first_press))
    world.press(ButtonName.RECORD, at(script.mark))
    world.press(ButtonName.RECORD, at(script.stop), hold_ms=3400)
    world.double_press(at(script.second_press))
    world.press(ButtonName.RECORD, at(script.second_mark))
    world.cut_power(at(script.battery_out))
    world.dock(at(script.docked))
    for second in range(1, int(script.end)):
        world.at(at(second), lambda done=second: note(done, _phase(script, done)))  # type: ignore[misc]


def _phase(script: Script, second: float) -> str:
    phases = [
        (script.first_press, "on patrol, pre-event buffer in memory"),
        (script.stop + 3, "recording 1"),
        (script.second_press, "on patrol"),
        (script.battery_out, "recording 2"),
        (script.docked, "booted again, recording 2 closed"),
    ]
    return next((text for until, text in phases if second < until), "docked")


def run_sync(config: Path, address: tuple[str, int], result: ShiftResult) -> None:
    """Start the dock-sync process, as systemd does on the recorder's request, and wait for it."""
    began = time.monotonic()
    command = [sys.executable, "-P", "-m", "firmware", "sync", "--config", str(config)]
    command += ["--dock-host", address[0], "--dock-port", str(address[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    result.offload_s += time.monotonic() - began
    result.sync_log += done.stderr
    if not done.stdout.strip():
        raise UnavailableError(f"the dock-sync process failed: {done.stderr.strip()[-500:]}")
    result.syncs.append(json.loads(done.stdout.strip().splitlines()[-1]))


@contextmanager
def dock_station(identity: Path, store: Path, log: Path) -> Iterator[tuple[str, int]]:
    """``oathcam dock`` as a process of its own on loopback; yields its address."""
    port_file = store.parent / "dock.port"
    port_file.unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "tools.cli", "dock", str(identity), "--store", str(store)]
    command += ["--port", "0", "--port-file", str(port_file)]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            yield _wait_for_port(process, port_file, log)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_for_port(process: subprocess.Popen[bytes], port_file: Path, log: Path) -> tuple[str, int]:
    deadline = time.monotonic() + 60
    while not port_file.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise UnavailableError(f"the dock station did not start: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.05)
    host, _, port = port_file.read_text(encoding="ascii").strip().rpartition(":")
    return host, int(port)
