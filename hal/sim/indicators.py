"""Lamps, sounder and motor as a notebook: what was shown, when, and what the lamp's driver answers."""

from __future__ import annotations

from hal.interfaces import Colour, Cue, Indicators, Lamp, LampName
from hal.sim.surroundings import CuePlayed, LampChange
from hal.sim.world import Life


class SimIndicators(Indicators):
    def __init__(self, life: Life) -> None:
        self._life = life
        life.before_power_loss.append(self._dark)

    def set_lamp(self, name: LampName, lamp: Lamp) -> None:
        self._life.check()
        self._life.world.seen.lamps.append(LampChange(self._life.world.now_ns, name, lamp))

    def play(self, cue: Cue) -> None:
        self._life.check()
        self._life.world.seen.cues.append(CuePlayed(self._life.world.now_ns, cue))

    def read_back(self, name: LampName) -> Colour:
        seen = self._life.world.seen
        return Colour.OFF if name in seen.broken_lamps else seen.colour(name)

    def _dark(self) -> None:
        """Without power no lamp is lit."""
        for name in LampName:
            if self._life.world.seen.colour(name) is not Colour.OFF:
                self.set_lamp(name, Lamp())
