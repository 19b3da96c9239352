"""An accelerometer on somebody walking: upright with a step's sway, or hanging by its strap."""

from __future__ import annotations

from hal.interfaces import Orientation
from hal.sim.timeline import SECOND
from hal.sim.world import Life

_SWAY_G = 0.15


class SimOrientation(Orientation):
    def __init__(self, life: Life) -> None:
        self._life = life

    def up_g(self) -> float | None:
        world = self._life.world
        sway = world.rng(f"sway:{world.now_ns // SECOND}").gauss(0, _SWAY_G)
        return (-1.0 if world.upside_down else 1.0) + sway
