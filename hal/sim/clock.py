"""The camera's clocks, read from the world's time line."""

from __future__ import annotations

from collections.abc import Callable

from hal.interfaces import Clock, ClockReading, ClockTrust, Timer
from hal.sim.world import Life


class SimClock(Clock):
    def __init__(self, life: Life) -> None:
        self._life = life

    def now(self) -> ClockReading:
        self._life.check()
        return self._life.reading()

    def call_at(self, boottime_ns: int, callback: Callable[[], None]) -> Timer:
        self._life.check()
        return self._life.at(self._life.world_ns(boottime_ns), callback)

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        self._life.check()
        world = self._life.world
        world.wall.error_ns = wall_ns - world.true_wall_ns()
        world.wall.trust, world.wall.uncertainty_ns = trust, uncertainty_ns
        return ""

    def boot_id(self) -> str:
        self._life.check()
        return f"powered-{self._life.power_on_ns}"
