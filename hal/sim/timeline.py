"""One virtual time line: a clock that moves only when somebody runs the next event.

Responsible for the order of events and for the passage of time, virtual or real. Refuses to know what happens in an
event.

Invariants: time never goes back; events run in the order of their instants, first come first among equals; an event
runs at most once, and never after it was cancelled. With ``realtime`` the same events run at the same instants of the
line, but the line waits for the real clock, and other threads may schedule and :meth:`wake`.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from hal.interfaces import Timer

MS = 1_000_000
SECOND = 1_000_000_000


class Event(Timer):
    """A pending event of a time line."""

    __slots__ = ("at_ns", "callback")

    def __init__(self, at_ns: int, callback: Callable[[], None]) -> None:
        self.at_ns = at_ns
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class TimeLine:
    """Instants are nanoseconds since the line began. ``horizon_ns`` bounds :meth:`step`; ``None`` is no bound."""

    def __init__(self, realtime: bool = False) -> None:
        self.horizon_ns: int | None = None
        self.realtime = realtime
        self._now_ns = 0
        self._began_ns = time.monotonic_ns()
        self._heap: list[tuple[int, int, Event]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._woken = False

    @property
    def now_ns(self) -> int:
        if self.realtime:
            return max(self._now_ns, time.monotonic_ns() - self._began_ns)
        return self._now_ns

    @property
    def event_ns(self) -> int:
        """The instant of the event that runs: on a real-time line that is late, the one that it was scheduled for."""
        return self._now_ns

    def at(self, at_ns: int, callback: Callable[[], None]) -> Event:
        """Run ``callback`` at ``at_ns``; an instant that has passed means now, after what is already due."""
        event = Event(max(at_ns, self._now_ns), callback)
        with self._changed:
            heapq.heappush(self._heap, (event.at_ns, next(self._numbers), event))
            self._notify()
        return event

    def after(self, delay_ns: int, callback: Callable[[], None]) -> Event:
        return self.at(self.now_ns + delay_ns, callback)

    def wake(self) -> None:
        """Make a waiting :meth:`step` return early. Safe from any thread and from a signal handler."""
        with self._changed:
            self._notify()

    def step(self) -> bool:
        """Run the next event, moving time to it.

        ``False`` when none lies within the horizon; time then stands at the horizon. ``True`` also when a real-time line
        was woken: something else may have changed. What an event raises (a power cut) comes out of here.
        """
        target_ns = self._target()
        if self.realtime and not self._wait_until(target_ns):
            return True
        if target_ns is None:
            return False
        self._now_ns = max(self._now_ns, target_ns)
        event = self._take(target_ns)
        if event is None:
            return self._pending(target_ns)
        if event.callback is not None:
            event.callback()
        return True

    def run_until(self, at_ns: int) -> None:
        """Run every event up to and including ``at_ns`` and leave time there. Nobody reads the inbox meanwhile."""
        before, self.horizon_ns = self.horizon_ns, at_ns
        try:
            while self.step():
                pass
        finally:
            self.horizon_ns = before

    def pass_time(self, length_ns: int) -> None:
        """On a virtual line: so long went by while something outside (another process) kept the event that is running. What became
        due meanwhile runs late, as it would have."""
        if length_ns < 0 or self.realtime:
            raise ValueError(f"expected a length of time on a virtual line, got {length_ns!r} ns")
        self._now_ns += length_ns

    def _notify(self) -> None:
        self._woken = True
        self._changed.notify_all()

    def _target(self) -> int | None:
        """The instant of the next event, or the horizon when that is nearer."""
        with self._changed:
            while self._heap and self._heap[0][2].callback is None:
                heapq.heappop(self._heap)
            first = self._heap[0][0] if self._heap else None
        if self.horizon_ns is None:
            return first
        return self.horizon_ns if first is None else min(first, self.horizon_ns)

    def _take(self, due_ns: int) -> Event | None:
        with self._changed:
            if self._heap and self._heap[0][0] <= due_ns:
                return heapq.heappop(self._heap)[2]
            return None

    def _pending(self, due_ns: int) -> bool:
        return self.horizon_ns is None or due_ns < self.horizon_ns

    def _wait_until(self, target_ns: int | None) -> bool:
        """Wait for the real clock; ``False`` when woken before."""
        with self._changed:
            while not self._woken:
                left_ns = None if target_ns is None else target_ns - (time.monotonic_ns() - self._began_ns)
                if left_ns is not None and left_ns <= 0:
                    return True
                self._changed.wait(None if left_ns is None else left_ns / SECOND)
            # Cleared only here: a wake that came before this wait must end it, or an item put meanwhile would sit there.
            self._woken = False
            return False
