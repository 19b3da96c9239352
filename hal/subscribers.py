"""Who wants to hear of a port's events.

Responsible for order, and for what happened before anybody listened: it waits for the first subscriber. Refuses to know what is told.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
BACKLOG = 64
"""A boot lasts seconds, and a hand makes a few edges a second."""


class Subscribers(Generic[T]):
    """Called from any thread; a subscriber is called from the thread that tells, and must not block."""

    def __init__(self, backlog: int = BACKLOG) -> None:
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[T], None]] = []
        self._waiting: deque[T] = deque(maxlen=backlog)

    def subscribe(self, callback: Callable[[T], None]) -> None:
        """The first subscriber is told at once, in order, what has happened so far."""
        with self._lock:
            self._callbacks.append(callback)
            while self._waiting:
                callback(self._waiting.popleft())

    def tell(self, item: T) -> None:
        with self._lock:
            if not self._callbacks:
                self._waiting.append(item)
            for each in self._callbacks:
                each(item)
