"""The bay's contact, and the wire to the dock-sync process, which the composition root stands in for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hal.interfaces import DockLink, DockSense
from hal.posix import request_by_file
from hal.sim.world import Life


class SimDockLink(DockLink):
    def __init__(self, life: Life, request_file: Path | None = None) -> None:
        self._life = life
        self._request_file = request_file
        self._subscribers: list[Callable[[DockSense], None]] = []
        life.world.dock_changed.connect(self._changed)

    def docked(self) -> bool:
        return self._life.world.docked

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        self._subscribers.append(callback)

    def request_sync(self) -> None:
        """Note the request, make the file that systemd's path unit waits for (when there is one), and call
        ``world.on_sync_request`` as the next event of this instant: this returns at once."""
        self._life.check()
        if self._request_file is not None:
            request_by_file(self._request_file)
        world = self._life.world
        world.sync_requests.append(world.now_ns)
        if world.on_sync_request is not None:
            self._life.at(world.now_ns, world.on_sync_request)

    def _changed(self, docked: bool) -> None:
        sense = DockSense(docked, self._life.reading())
        for each in self._subscribers:
            each(sense)
