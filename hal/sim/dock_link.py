"""The bay's contact, and the wire to the dock-sync process, which the composition root stands in for."""

from __future__ import annotations

from collections.abc import Callable

from hal.interfaces import DockLink, DockSense
from hal.sim.world import Life


class SimDockLink(DockLink):
    def __init__(self, life: Life) -> None:
        self._life = life
        self._subscribers: list[Callable[[DockSense], None]] = []
        life.world.dock_changed.connect(self._changed)

    def docked(self) -> bool:
        return self._life.world.docked

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        self._subscribers.append(callback)

    def request_sync(self) -> None:
        """Note the request and call ``world.on_sync_request`` as the next event of this instant: this returns at once."""
        self._life.check()
        world = self._life.world
        world.sync_requests.append(world.now_ns)
        if world.on_sync_request is not None:
            self._life.at(world.now_ns, world.on_sync_request)

    def _changed(self, docked: bool) -> None:
        sense = DockSense(docked, self._life.reading())
        for each in self._subscribers:
            each(sense)
