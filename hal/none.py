"""Ports of parts that a camera does not have, for every back-end: absence is said, not guessed.

Refuses to pretend: a microphone that is not there raises when it is asked for, a receiver has no fix, and a camera on the mains tells a
full cell that nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable

from hal.errors import HalUnavailable
from hal.interfaces import AudioFormat, AudioSink, Fix, Microphone, Orientation, Positioning, Power, PowerState

_FULL_MILLIVOLTS = 4200


class NoMicrophone(Microphone):
    """``reason`` is the remedy that whoever wants sound is given."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def format(self) -> AudioFormat:
        raise HalUnavailable(self._reason)

    def start(self, sink: AudioSink) -> None:
        raise HalUnavailable(self._reason)

    def stop(self) -> None:
        """There is nothing to stop."""


class NoReceiver(Positioning):
    def fix(self) -> Fix | None:
        return None


class NoAccelerometer(Orientation):
    def up_g(self) -> float | None:
        return None


class Mains(Power):
    """No cell to measure: as if full and charging."""

    def state(self) -> PowerState:
        return PowerState(100, _FULL_MILLIVOLTS, charging=True)

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        """Nothing ever changes."""
