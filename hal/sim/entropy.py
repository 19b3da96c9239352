"""Random bytes that are the same in every run. They are not secret: simulated footage is sealed for show only."""

from __future__ import annotations

from hal.interfaces import Entropy
from hal.sim.world import Life


class SimEntropy(Entropy):
    """Seeded by the world's seed and the number of the life, so that two lives never draw the same key or nonce."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._dice = life.world.rng(f"entropy:{life.number}")

    def random_bytes(self, count: int) -> bytes:
        self._life.check()
        return self._dice.randbytes(count)
