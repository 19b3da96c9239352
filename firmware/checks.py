"""What the recorder asks of itself beside its work: does the lens see, how long will it last, is it fit for the shift.

Responsible for when each is asked, and for the one place where the daemon asks. Refuses to judge and to act: what is found goes through
the inbox to the machine, as events. Called from the loop only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from firmware.capture import Intake
from firmware.custodian import Custodian
from firmware.devices import Devices
from firmware.lens import LensWatch
from firmware.machine import events as ev
from firmware.machine.forecast import Cell, battery_minutes, follow, heat_minutes, is_measured
from firmware.machine.machine import Model
from firmware.machine.states import State
from firmware.selftest import SelfTesting
from firmware.status import Ahead
from firmware.timebase import Timestamp
from hal.interfaces import Hal, PowerState

log = logging.getLogger("oathcamd")


class Checks:
    """Of one run. ``post`` puts an item into the inbox."""

    def __init__(
        self,
        hal: Hal,
        public_key: ec.EllipticCurvePublicKey,
        devices: Devices,
        custodian: Custodian,
        intake: Intake,
        post: Callable[[object], None],
    ) -> None:
        self._post = post
        self._intake = intake
        self._selftest = SelfTesting(hal, public_key, devices, custodian)
        self._lens = LensWatch(hal.camera, hal.orientation, hal.make_worker("lens", 1), post, devices.now())
        self._cell = Cell()
        self._ahead = Ahead()
        self._told: int | None = None

    def tick(self, model: Model, power: PowerState | None, now: Timestamp) -> Ahead:
        """Once a second: what is left, for the status."""
        if model.camera_on and model.state in (State.READY, State.RECORDING):
            self._lens.look(now)
        if power is not None:
            self._ahead = self._forecast(model, power, now)
        return self._ahead

    def _forecast(self, model: Model, power: PowerState, now: Timestamp) -> Ahead:
        rules = model.policy
        self._cell = follow(self._cell, now.boottime_ns, power.percent, power.celsius, power.charging, model.state.value)
        cell = battery_minutes(self._cell, power.percent, now.boottime_ns, rules.battery)
        minutes = None if power.charging else cell
        if minutes != self._told:  # the machine judges this number alone, and has judged it
            self._told = minutes
            self._post(ev.BatteryForecast(now, minutes))
        return Ahead(minutes, is_measured(self._cell), heat_minutes(self._cell, power.celsius, rules.heat.limit_celsius), cell)

    def docked(self, docked: bool, now: Timestamp) -> None:
        """The dock's contact changed; the machine hears of it next."""
        self._selftest.end()
        if not docked:
            self._selftest.begin(now)

    def look(self, model: Model, now: Timestamp) -> None:
        """Four times a second."""
        result = self._selftest.look(model, self._ahead, self._intake.heard_ns, now)
        if result is not None:
            log.info("self-test: %s", f"no-go: {', '.join(result.failed)}" if result.failed else "go")
            self._post(result)

    def close(self) -> None:
        self._lens.close()
