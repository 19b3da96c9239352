"""What the recorder asks of itself beside its work: does the lens see, how long will it last, is it fit for the shift.

Responsible for when each is asked, and for the one place where the daemon asks. Refuses to judge and to act: what is found goes through
the inbox to the machine, as events. Called from the loop only.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware.lens import LensWatch
from firmware.machine import events as ev
from firmware.machine.forecast import Cell, battery_minutes, follow, heat_minutes, is_measured
from firmware.machine.machine import Model
from firmware.machine.states import State
from firmware.status import Ahead
from firmware.timebase import Timestamp
from hal.interfaces import Hal, PowerState


class Checks:
    """Of one run. ``post`` puts an item into the inbox."""

    def __init__(self, hal: Hal, post: Callable[[object], None], now: Timestamp) -> None:
        self._post = post
        self._lens = LensWatch(hal.camera, hal.make_worker("lens", 1), post, now)
        self._cell = Cell()
        self._told: int | None = None

    def tick(self, model: Model, power: PowerState | None, now: Timestamp) -> Ahead:
        """Once a second: what is left, for the status."""
        if model.camera_on and model.state in (State.READY, State.RECORDING):
            self._lens.look(now)
        if power is None:
            return Ahead()
        load = model.state.value
        self._cell = follow(self._cell, now.boottime_ns, power.percent, power.celsius, power.charging, load)
        rules = model.policy
        minutes = None if power.charging else battery_minutes(self._cell, power.percent, now.boottime_ns, rules.battery)
        if minutes != self._told:  # the machine judges this number alone, and has judged it
            self._told = minutes
            self._post(ev.BatteryForecast(now, minutes))
        return Ahead(minutes, is_measured(self._cell), heat_minutes(self._cell, power.celsius, rules.heat.limit_celsius))

    def close(self) -> None:
        self._lens.close()
