"""A thread that does one step again and again until it is told to end.

Responsible for the life of a port's thread. Refuses to swallow what a step raises: that ends the thread and is told through
``threading.excepthook``; after a pause another thread goes on, because a port that went silent would look like a quiet world.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

PAUSE_S = 0.1


class Loop:
    """``step`` waits for something and does it; ``wake`` ends its wait when the loop is to end."""

    def __init__(self, name: str, step: Callable[[], None], wake: Callable[[], None] = lambda: None) -> None:
        self._name, self._step, self._wake = name, step, wake
        self.stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. Apart from the constructor, so that the step may use what its owner makes after the loop."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the step that is under way. Idempotent; from the loop's own thread it does not wait."""
        self.stopping.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                self._step()
        finally:
            if not self.stopping.wait(PAUSE_S):
                self.start()
