"""A world whose virtual time line is paced by the wall clock: what a person plays with, and what a replay repeats exactly.

Responsible for waiting until an event is due, and for what other threads want done. Invariants: every event runs at its own instant of
the line and never before the wall clock got there, so the same events at the same instants give the same evidence, paced or not; on a
machine that is too slow time itself gets slower, and no picture is lost for it (``World(realtime=True)`` loses them, as a sensor would).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hal.sim.timeline import MS, SECOND, Event
from hal.sim.world import World

LATE_NS = 200 * MS
"""An event that runs later than this by the wall clock makes the line fall behind it, for good."""


class PacedWorld(World):
    """One thread steps it; :meth:`post` may be called from any."""

    def __init__(self, start_wall_ns: int, seed: int = 0, wall: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(start_wall_ns, seed)
        self._wall_ns = wall
        self._zero_ns = wall()
        self._begun = False
        self.slipped_ns = 0
        """How far the line has fallen behind the wall clock in all."""

    def outside_ns(self) -> int:
        """The instant of the line that it is now, outside: between two events, or while one runs late."""
        return max(self._now_ns, self._wall_ns() - self._zero_ns) if self._begun else self._now_ns

    def post(self, callback: Callable[[], None], not_before_ns: int = 0) -> Event:
        """Let ``callback`` happen now, as seen from outside, or at ``not_before_ns``. Safe from any thread."""
        return self.at(max(self.outside_ns(), not_before_ns), callback)

    def step(self) -> bool:
        if not self._begun:  # what was set up before the first event took no time here
            self._begun, self._zero_ns = True, self._wall_ns() - self._now_ns
        target_ns = self._target()
        if not self._await(target_ns):
            return True
        if target_ns is not None:
            late_ns = self._wall_ns() - self._zero_ns - target_ns
            if late_ns > LATE_NS:
                self._zero_ns += late_ns - LATE_NS
                self.slipped_ns += late_ns - LATE_NS
        return super().step()

    def _await(self, target_ns: int | None) -> bool:
        """``False`` when woken before: something else may have been scheduled, or the line is to end."""
        with self._changed:
            while not self._woken:
                left_ns = None if target_ns is None else target_ns - (self._wall_ns() - self._zero_ns)
                if left_ns is not None and left_ns <= 0:
                    return True
                self._changed.wait(None if left_ns is None else left_ns / SECOND)
            self._woken = False
            return False
