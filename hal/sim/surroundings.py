"""What surrounds the simulated camera and outlives its power: contacts, battery, faults, and what could be seen of it.

Responsible for plain state that a scenario sets and a device reads, and for what a bystander's notebook would hold.
Refuses to know time: instants are arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from hal.interfaces import ButtonName, ClockTrust, Colour, Cue, Lamp, LampName, PowerState
from hal.sim.timeline import SECOND

T = TypeVar("T")
_HOUR = 3600 * SECOND


class Signal(Generic[T]):
    """A wire from the surroundings to the devices of the life that is on now; cut when power goes."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[T], None]] = []

    def connect(self, listener: Callable[[T], None]) -> None:
        self._listeners.append(listener)

    def disconnect_all(self) -> None:
        self._listeners.clear()

    def emit(self, value: T) -> None:
        for listener in tuple(self._listeners):
            listener(value)


@dataclass(slots=True)
class Faults:
    """What a scenario does to a camera or a microphone. Instants are of the world's time line."""

    stalled_until_ns: int = 0
    drop_next: int = 0
    reason: str = ""
    """A pending error: reported at the next picture or frame, then cleared; delivery ends until the next start."""
    failing_starts: int = 0
    starting_ns: int = 0
    """From a start to the first picture: a sensor takes its time."""
    encoder_stalled: bool = False
    """The encoder gives nothing back while the sensor goes on, until another encoder is started."""

    def stall_until(self, at_ns: int) -> None:
        """Deliver nothing before ``at_ns``; pictures of that time are lost, as with a stuck encoder."""
        self.stalled_until_ns = at_ns

    def drop(self, count: int) -> None:
        """Lose the next ``count`` pictures or frames without a word."""
        self.drop_next += count

    def fail(self, reason: str, failing_starts: int = 0) -> None:
        """Report ``reason`` and stop delivering; the next ``failing_starts`` calls of ``start`` raise ``DeviceFault``."""
        self.reason = reason
        self.failing_starts = failing_starts

    def swallows(self, at_ns: int) -> bool:
        """Whether the picture or frame of this instant is lost; counts one drop."""
        if at_ns < self.stalled_until_ns:
            return True
        if self.drop_next > 0:
            self.drop_next -= 1
            return True
        return False


@dataclass(slots=True)
class Delay:
    """How long a device lets its caller wait. What is planned before a life begins makes that life's worker one that can hang."""

    each_ns: int = 0
    """Every call takes this long."""
    hangs_from_ns: int | None = None
    hangs_until_ns: int | None = None
    """Calls from the first instant on do not return before the second; ``None``: never."""

    @property
    def planned(self) -> bool:
        return self.each_ns > 0 or self.hangs_from_ns is not None

    def hang(self, from_ns: int, until_ns: int | None = None) -> None:
        """Do not answer from ``from_ns`` to ``until_ns`` of the world."""
        self.hangs_from_ns, self.hangs_until_ns = from_ns, until_ns

    def until(self, now_ns: int) -> int | None:
        """When a call that is made now is answered; ``None``: never."""
        if self.hangs_from_ns is not None and now_ns >= self.hangs_from_ns:
            if self.hangs_until_ns is None:
                return None
            if now_ns < self.hangs_until_ns:
                return self.hangs_until_ns
        return now_ns + self.each_ns


@dataclass(slots=True)
class WallClock:
    """The camera's idea of wall time. With a battery behind the RTC it survives a power cut, without one it does not."""

    has_rtc: bool = True
    error_ns: int = 0
    """Camera wall time minus true time."""
    trust: ClockTrust = ClockTrust.RTC
    uncertainty_ns: int = 0

    def power_on(self, true_wall_ns: int) -> None:
        self.trust, self.uncertainty_ns = (ClockTrust.RTC, 0) if self.has_rtc else (ClockTrust.UNSET, 0)
        if not self.has_rtc:
            self.error_ns = -true_wall_ns


@dataclass(slots=True)
class Battery:
    """A cell that falls linearly while the camera is on and rises linearly while it charges."""

    level: float = 100.0
    since_ns: int = 0
    life_ns: int = 14 * _HOUR
    charge_ns: int = 4 * _HOUR
    celsius: int = 25
    charging: bool = False
    powered: bool = False

    def settle(self, now_ns: int, *, level: float | None = None, charging: bool | None = None, powered: bool | None = None) -> None:
        """Account for the time since the last change, then change what is given."""
        self.level = self.level_at(now_ns) if level is None else min(100.0, max(0.0, level))
        self.since_ns = now_ns
        self.charging = self.charging if charging is None else charging
        self.powered = self.powered if powered is None else powered

    def level_at(self, now_ns: int) -> float:
        return min(100.0, max(0.0, self.level + self._slope() * (now_ns - self.since_ns)))

    def state(self, now_ns: int) -> PowerState:
        # Rounded up, so that 0 is a dead cell and nothing else.
        percent = math.ceil(self.level_at(now_ns) - 1e-6)
        return PowerState(percent, 3300 + 9 * percent, self.charging, self.celsius)

    def next_change_ns(self, now_ns: int) -> int | None:
        """When the whole percent changes next; ``None`` when it does not."""
        slope, percent = self._slope(), self.state(now_ns).percent
        target = float(percent - 1) if slope < 0 else percent + 0.001
        if slope == 0 or not 0 <= target <= 100:
            return None
        return max(now_ns + 1, self.since_ns + math.ceil((target - self.level) / slope))

    def _slope(self) -> float:
        if self.charging:
            return 100 / self.charge_ns
        return -100 / self.life_ns if self.powered else 0.0


@dataclass(frozen=True, slots=True)
class LampChange:
    at_ns: int
    name: LampName
    lamp: Lamp


@dataclass(frozen=True, slots=True)
class CuePlayed:
    at_ns: int
    cue: Cue


@dataclass(slots=True)
class Bystander:
    """What somebody beside the wearer saw and heard, and what the service manager was told; instants of the world."""

    lamps: list[LampChange] = field(default_factory=list)
    cues: list[CuePlayed] = field(default_factory=list)
    feeds: list[int] = field(default_factory=list)
    notices: list[tuple[int, str]] = field(default_factory=list)
    broken_lamps: set[LampName] = field(default_factory=set)

    def colour(self, name: LampName) -> Colour:
        """The colour a lamp was last told to show."""
        return next((each.lamp.colour for each in reversed(self.lamps) if each.name is name), Colour.OFF)


def released() -> dict[ButtonName, bool]:
    return dict.fromkeys(ButtonName, False)
