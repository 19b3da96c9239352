"""Looking again and again, on the clock's timer thread: for what no laptop tells of itself.

Refuses to know what is looked at. Ends when closed, or when the clock was closed: then the camera is going down.
"""

from __future__ import annotations

from collections.abc import Callable

from hal.errors import HalError
from hal.interfaces import Clock, Timer


class Looking:
    """Calls ``look`` every ``period_ns`` from now on."""

    def __init__(self, clock: Clock, look: Callable[[], None], period_ns: int) -> None:
        self._clock, self._look, self._period_ns = clock, look, period_ns
        self._timer: Timer | None = None
        self._later()

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _later(self) -> None:
        try:
            self._timer = self._clock.call_at(self._clock.now().boottime_ns + self._period_ns, self._again)
        except HalError:
            self._timer = None

    def _again(self) -> None:
        self._look()
        if self._timer is not None:
            self._later()
