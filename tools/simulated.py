"""A simulated camera in somebody's hands: its agency, its lives, and the actions that are done to it.

A composition root: it opens ``hal.sim`` and boots ``firmware``. Responsible for what the service manager and a wearer do around the
daemon: start it, start it again, pull the battery, put it in the dock. Nothing here does the camera's work for it. The same class runs a
scenario as fast as it computes and a page's camera in real time; what tells them apart is the world that it is given.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from firmware.boot import boot as boot_firmware
from firmware.config import DeviceConfig, load_config
from firmware.daemon import EXIT_REBOOT, Daemon
from firmware.errors import OathcamError
from firmware.machine.choices import Question
from hal.errors import HalError, PowerCut
from hal.interfaces import ButtonName, Hal, KeyProtection, LampName
from hal.sim.boot import boot as boot_world
from hal.sim.card import CardFault
from hal.sim.timeline import MS, SECOND
from hal.sim.world import World
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, make_camera
from tools.scenario import Action
from tools.toml import toml

log = logging.getLogger("oathcam.sim")

SERIAL = "SIM-0001"
SENSOR_START_NS = 800 * MS
"""From a start of the camera to its first picture."""
SLOW_NS = 3 * SECOND
_STEP_NS = SECOND // 2
"""Between two taps that step through a list."""
"""One operation of a card that is slow."""
SMALL = {"video": {"width": 320, "height": 240, "bitrate_bps": 250_000}}
_FOR_EVER_NS = 2**62
_MANY_STARTS = 2**31


class Phase(Enum):
    """What stands around the recorder's own state."""

    OFF = "off"
    """No battery."""
    STARTING = "starting"
    """Power is on, and the recorder does not run yet."""
    ON = "on"
    RESTARTING = "restarting"
    """The recorder ended, and asked for another one."""
    DOWN = "down"
    """It switched itself off, in order."""


def provision_simulated(
    directory: Path, agency: Agency, profile: str, officer: str, policy: Mapping[str, Any], source: str = ""
) -> DeviceConfig:
    """One simulated camera of ``agency`` in ``directory``; ``policy`` overrides the profile's rules, table by table."""
    _, text = read_profile(profile)
    if policy:
        directory.mkdir(parents=True, exist_ok=True)
        profile = str(directory / "profile.toml")
        Path(profile).write_text(_overridden(text, policy), encoding="utf-8")
    order = CameraOrder(SERIAL, "simulated body camera", officer, profile, "sim", KeyProtection.SIMULATED)
    return load_config(make_camera(directory / "camera", agency, order, lambda: f"source = {toml(source)}\n" if source else ""))


def _overridden(text: str, policy: Mapping[str, Any]) -> str:
    table = tomllib.loads(text)
    for section, rules in policy.items():
        table[section] = {**table.get(section, {}), **rules}
    lines = [f"{name} = {toml(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for section, rules in table.items():
        if isinstance(rules, dict):
            lines += [f"[{section}]", *(f"{name} = {toml(value)}" for name, value in rules.items())]
    return "\n".join(lines) + "\n"


class SimulatedCamera:
    """Everything but ``phase`` and ``state`` belongs to the thread that calls :meth:`run`."""

    def __init__(
        self, world: World, config: DeviceConfig, on_sync: Callable[[], None], on_undock: Callable[[], None] = lambda: None
    ) -> None:
        self.world = world
        self.config = config
        self.phase = Phase.STARTING
        self.daemon: Daemon | None = None
        self.ended = False
        self._switched_on = True
        self._battery_in = True
        self._on_undock = on_undock
        world.camera.starting_ns = SENSOR_START_NS
        world.anything_may_be_slow = True
        world.on_sync_request = on_sync

    @property
    def state(self) -> str:
        """The recorder's state, or ``off`` when none runs."""
        daemon = self.daemon
        return daemon.model.state.value if daemon is not None else "off"

    @property
    def question(self) -> Question | None:
        """What the recorder asks the wearer now."""
        daemon = self.daemon
        return daemon.model.question if daemon is not None else None

    @property
    def battery_in(self) -> bool:
        return self._battery_in

    def run(self) -> None:
        """One life after another, until the world's horizon or :meth:`end`; then the recorder is ended in order."""
        while not self.ended:
            if self._battery_in and self._switched_on:
                self._live()
            elif not self.world.step():
                return

    def end(self) -> None:
        """Let :meth:`run` come to its end. From another thread it is to be posted on the world."""
        self.ended = True
        if self.daemon is not None:
            self.daemon.ask_shutdown("end")

    def perform(self, action: Action) -> None:
        """Do it now. In the world's thread; raises ``PowerCut`` when it takes the power from a camera that is on."""
        _PERFORM[action.do](self, action.fields)

    def _live(self) -> None:
        self.phase = Phase.RESTARTING if self.world.stays_up else Phase.STARTING
        hal: Hal | None = None
        try:
            hal = self._power_on()
            if hal is not None:
                self.daemon = boot_firmware(hal, self.config)
                self.phase = Phase.ON
                self._run_daemon(self.daemon)
        except PowerCut:
            self.world.stays_up = False
            self.phase = Phase.OFF if not self._battery_in else Phase.DOWN
            self._switched_on = self._battery_in = self._battery_in and self.world.battery.state(self.world.now_ns).percent > 0
        except (HalError, OathcamError) as error:
            log.error("the recorder ended: %s", error)
            self._again(reboots=False)
        finally:
            self.daemon = None
            if hal is not None:
                hal.close()

    def _power_on(self) -> Hal | None:
        options = {key: value for key, value in self.config.hal_options.items() if key != "script"}
        if self.world.battery.state(self.world.now_ns).percent == 0:
            self._switched_on, self.phase = False, Phase.DOWN
            return None
        hal = boot_world(self.world, {**options, "volume": self.config.state_directory, "keys": self.config.key_directory})
        if not self._battery_in:  # pulled while the board was starting
            self.world.lose_power()
        return hal

    def _run_daemon(self, daemon: Daemon) -> None:
        daemon.run()
        if self._at_horizon():
            daemon.ask_shutdown("end of the scenario")
            self.world.horizon_ns = None
            daemon.run()
            self.ended = True
        daemon.close()
        if daemon.exit_code:
            log.info("the recorder asks for another one (exit code %d)", daemon.exit_code)
            self._again(reboots=daemon.exit_code == EXIT_REBOOT)
        else:
            self._switched_on, self.phase = False, Phase.DOWN
            self.world.stays_up = False

    def _at_horizon(self) -> bool:
        return self.world.horizon_ns is not None and self.world.now_ns >= self.world.horizon_ns

    def _again(self, reboots: bool) -> None:
        """Another process on the same board, or after exit code 75 another boot; the world keeps the service manager's pause."""
        self.world.stays_up = not reboots

    # --- what is done to it

    def _pull_battery(self) -> None:
        self._battery_in, self.phase = False, Phase.OFF
        self.world.stays_up = False
        self.world.lose_power()

    def _insert_battery(self) -> None:
        self._battery_in = self._switched_on = True

    def _set_dock(self, docked: bool) -> None:
        if docked:
            self.world.dock()
        else:
            self.world.undock()
            self._on_undock()

    def _button(self, do: str, fields: Mapping[str, Any]) -> None:
        world, button = self.world, ButtonName(fields["button"])
        match do:
            case "press" | "release":
                world.set_contact(button, do == "press")
            case "tap":
                world.press(button, bounce=fields["bounce"])
            case "double_press":
                world.double_press(button=button, bounce=fields["bounce"])
            case "hold":
                world.press(button, hold_ms=round(fields["seconds"] * 1000))

    def _answer(self, taps: int) -> None:
        for number in range(taps):
            self.world.press(ButtonName.FUNCTION, self.world.now_ns + number * _STEP_NS)

    def _set_card(self, fault: str) -> None:
        card = self.world.card
        card.delay.each_ns = SLOW_NS if fault == "slow" else 0
        card.fail_always(CardFault.IO_ERROR if fault == "error" else None)
        if fault == "full":
            card.leave_room(0)
        elif fault == "none":
            card.limit_bytes = None

    def _set_microphone(self, fault: str) -> None:
        if fault == "unplugged":
            self.world.microphone.fail("unplugged", _MANY_STARTS)
        else:
            self.world.microphone.fail("", 0)

    def _set_camera(self, fault: str) -> None:
        faults = self.world.camera
        faults.fail("sensor does not answer" if fault == "fails" else "", _MANY_STARTS if fault == "fails" else 0)
        faults.stall_until(_FOR_EVER_NS if fault == "stalls" else 0)
        faults.encoder_stalled = fault == "encoder"

    def _set_lamp(self, fault: str) -> None:
        if fault == "broken":
            self.world.break_lamp(LampName.SUBJECT)
        else:
            self.world.seen.broken_lamps.discard(LampName.SUBJECT)

    def _shut_down(self) -> None:
        if self.daemon is not None:
            self.daemon.ask_shutdown("service manager")


_Performed = Callable[[SimulatedCamera, Mapping[str, Any]], None]


def _pressing(do: str) -> _Performed:
    return lambda camera, fields: camera._button(do, fields)


def _set_clock(camera: SimulatedCamera, fields: Mapping[str, Any]) -> None:
    camera.world.step_wall(round(fields["error"] * SECOND) - camera.world.wall.error_ns)


_PERFORM: Mapping[str, _Performed] = {
    **{do: _pressing(do) for do in ("press", "release", "tap", "double_press", "hold")},
    "answer": lambda camera, fields: camera._answer(round(fields["taps"])),
    "cover_lens": lambda camera, _: camera.world.cover_lens(),
    "uncover_lens": lambda camera, _: camera.world.cover_lens(covered=False),
    "turn_over": lambda camera, _: camera.world.turn_over(),
    "turn_back": lambda camera, _: camera.world.turn_over(upside_down=False),
    "pull_battery": lambda camera, _: camera._pull_battery(),
    "insert_battery": lambda camera, _: camera._insert_battery(),
    "dock": lambda camera, _: camera._set_dock(True),
    "undock": lambda camera, _: camera._set_dock(False),
    "set_battery": lambda camera, fields: camera.world.set_power(fields["percent"]),
    "set_heat": lambda camera, fields: camera.world.set_power(celsius=round(fields["celsius"])),
    "set_clock": _set_clock,
    "set_room": lambda camera, fields: camera.world.card.leave_room(round(fields["megabytes"] * 1e6)),
    "card": lambda camera, fields: camera._set_card(fields["fault"]),
    "microphone": lambda camera, fields: camera._set_microphone(fields["fault"]),
    "camera": lambda camera, fields: camera._set_camera(fields["fault"]),
    "lamp": lambda camera, fields: camera._set_lamp(fields["fault"]),
    "shut_down": lambda camera, _: camera._shut_down(),
}


def schedule(camera: SimulatedCamera, actions: tuple[Action, ...], late_ns: Callable[[], int]) -> None:
    """Put every action on the world's line. ``late_ns``: by how much everything that is to come happens later, as known by then."""

    def arrive(action: Action) -> None:
        due_ns = round(action.at * SECOND) + late_ns()
        if camera.world.now_ns < due_ns:
            camera.world.at(due_ns, partial(arrive, action))
        else:
            camera.perform(action)

    for action in actions:
        camera.world.at(round(action.at * SECOND), partial(arrive, action))
