"""The fuel gauge of the simulated cell."""

from __future__ import annotations

from collections.abc import Callable

from hal.interfaces import Power, PowerState
from hal.sim.timeline import Event
from hal.sim.world import Life


class SimPower(Power):
    def __init__(self, life: Life) -> None:
        self._life = life
        self._subscribers: list[Callable[[PowerState], None]] = []
        self._next: Event | None = None
        self._told = self.state()
        life.world.power_changed.connect(lambda _: self._update())
        self._schedule()

    def state(self) -> PowerState:
        self._life.check()
        return self._life.world.battery.state(self._life.world.now_ns)

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        self._subscribers.append(callback)

    def _update(self) -> None:
        state, told = self.state(), self._told
        if (state.percent, state.charging) != (told.percent, told.charging) or abs(state.celsius - told.celsius) >= 2:
            self._told = state
            for each in self._subscribers:
                each(state)
        if state.percent == 0:
            self._life.world.lose_power()
        self._schedule()

    def _schedule(self) -> None:
        if self._next is not None:
            self._next.cancel()
        at_ns = self._life.world.battery.next_change_ns(self._life.world.now_ns)
        self._next = None if at_ns is None else self._life.at(at_ns, self._update)
