"""The loop's two primitives on the time line: waiting is what makes time pass, and background work is done at once.

Invariant: an item that was put is got before time moves on, so one event is handled at the instant it happened.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hal.interfaces import Inbox, Worker
from hal.sim.world import Life


class SimInbox(Inbox):
    """``get`` runs the world's events until one of them puts something; ``None`` at the horizon, when nothing can happen
    any more, or when closed. ``PowerCut`` comes out of ``get``."""

    def __init__(self, life: Life, limit: int = 256) -> None:
        self._life = life
        self._limit = limit
        self._items: deque[object] = deque()
        self._closed = False

    def put(self, item: object, *, urgent: bool = False) -> bool:
        if self._closed or not self._life.on or len(self._items) >= self._limit * (2 if urgent else 1):
            return False
        self._items.append(item)
        self._life.world.wake()
        return True

    def get(self) -> object | None:
        self._life.check()
        while not self._items:
            if self._closed or not self._life.world.step():
                return None
        return self._items.popleft()

    def depth(self) -> tuple[int, int]:
        return len(self._items), self._limit

    def close(self) -> None:
        self._closed = True
        self._life.world.wake()


class InPlaceWorker(Worker):
    """Runs each job inside ``submit``: the order of a queue without its delay, and the same result every time."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._closed = False

    def submit(self, job: Callable[[], None]) -> bool:
        self._life.check()
        if self._closed:
            return False
        job()
        return True

    def close(self) -> None:
        self._closed = True
