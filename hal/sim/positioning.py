"""A receiver on somebody walking: a seeded path around a start, or no reception at all."""

from __future__ import annotations

import math

from hal.interfaces import Fix, Positioning
from hal.sim.timeline import SECOND
from hal.sim.world import Life

_METRES_PER_DEGREE = 111_320.0
_RADIUS_M = 60.0
_LAP_NS = 300 * SECOND


class SimPositioning(Positioning):
    """Walks round a block once in five minutes, with an error of some metres; one fix a second."""

    def __init__(self, life: Life, start: tuple[float, float] | None) -> None:
        self._life = life
        self._start = start

    def fix(self) -> Fix | None:
        if self._start is None:
            return None
        second = self._life.world.now_ns // SECOND
        latitude, longitude = self._start
        angle = 2 * math.pi * (second * SECOND % _LAP_NS) / _LAP_NS
        dice = self._life.world.rng(f"fix:{second}")
        north = _RADIUS_M * math.sin(angle) + dice.gauss(0, 2)
        east = _RADIUS_M * math.cos(angle) + dice.gauss(0, 2)
        return Fix(
            latitude + north / _METRES_PER_DEGREE,
            longitude + east / (_METRES_PER_DEGREE * math.cos(math.radians(latitude))),
            4.0,
            self._life.reading(max(second * SECOND, self._life.power_on_ns)),
        )
