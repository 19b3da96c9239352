"""What can happen to a camera. Past participles; each carries ``at``, the instant it happened, not of its handling.

Two kinds. *Raw* events come from the daemon. *Gestures* are made of button edges by ``gestures.py`` inside
:func:`firmware.machine.machine.step`; the daemon sends edges and timers only, but the table speaks of gestures.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.machine.picture_health import Finding
from firmware.machine.states import Button, Port, Previous, TimerName
from firmware.machine.supervision import Step
from firmware.timebase import Timestamp


@dataclass(frozen=True, slots=True)
class Booted:
    """Recovery and self-check are done; what they found was told by events before this one.

    ``down_ns``: undocked nanoseconds between the last instant the run before was known to be alive and the start of
    this one; 0 if the camera was docked then, ``None`` if nobody can say (a clock was not set).
    """

    at: Timestamp
    previous: Previous
    down_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ButtonChanged:
    """A debounced edge. Edges of one button come in the order of their instants."""

    at: Timestamp
    button: Button
    pressed: bool


@dataclass(frozen=True, slots=True)
class Elapsed:
    """A timer's instant has come. A late or stale one does no harm: the model keeps the deadlines itself."""

    at: Timestamp
    timer: TimerName


@dataclass(frozen=True, slots=True)
class Pressed:
    """Gesture: the record button went down at ``at`` and came up again before it was a hold."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class DoublePressed:
    """Gesture: a second press-down, at ``at``, within the window after the first, at ``first_at``."""

    at: Timestamp
    first_at: Timestamp


@dataclass(frozen=True, slots=True)
class Held:
    """Gesture: the record button has been down from ``pressed_at`` until ``at``, the policy's time."""

    at: Timestamp
    pressed_at: Timestamp


@dataclass(frozen=True, slots=True)
class FunctionTapped:
    """Gesture: the function button went down at ``at`` and came up again before it was a hold (BWC-POL-04, -18)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class FunctionHeld:
    """Gesture: the function button has been down until ``at``, for the policy's ``function_hold_ms`` at least (BWC-POL-17)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class FunctionReleased:
    """Gesture: the function button came up after a hold (BWC-POL-17)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class SleepRequested:
    """Gesture: the function button was held for as long as a stop takes. Asks for sleep, or, asleep, for its end (BWC-POL-16)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class StealthRequested:
    """Gesture: both buttons, pressed together, were held for as long as a stop takes. Asks for stealth, or for its end (BWC-POL-15)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class Faulted:
    """A port failed. Sent again while it stays failed (a retry that failed) it changes nothing."""

    at: Timestamp
    port: Port
    reason: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """A port that had failed works again. For the camera: a picture arrived after the fault."""

    at: Timestamp
    port: Port


@dataclass(frozen=True, slots=True)
class Escalated:
    """The supervisor tries something to bring a port back (``supervision.py``). The last two steps end this run."""

    at: Timestamp
    port: Port
    step: Step
    reason: str


@dataclass(frozen=True, slots=True)
class StorageFilled:
    """No room for another fragment above the policy's reserve."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class StorageFreed:
    """Room again: receipted recordings were released."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class StorageMeasured:
    """Recording minutes left (``health.minutes_left``)."""

    at: Timestamp
    minutes: int


@dataclass(frozen=True, slots=True)
class Docked:
    at: Timestamp


@dataclass(frozen=True, slots=True)
class Undocked:
    at: Timestamp


@dataclass(frozen=True, slots=True)
class PowerChanged:
    """``percent`` 0-100; ``celsius`` of the board; ``throttled``: the board has slowed itself down."""

    at: Timestamp
    percent: int
    charging: bool = False
    celsius: int = 25
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class ClockSet:
    """The wall clock became trustworthy (``at.trust`` says how)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class ReceiptVerified:
    """The dock's signed receipt for ``recording`` was checked and is durable in the ledger (BWC-POL-23)."""

    at: Timestamp
    recording: str


@dataclass(frozen=True, slots=True)
class OffloadCompleted:
    """Every closed recording in the vault has a verified receipt."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """The service manager, or the power switch, asks for an orderly end."""

    at: Timestamp
    reason: str


@dataclass(frozen=True, slots=True)
class PictureJudged:
    """What the lens sees has changed its kind; ``at``: the exposure of the picture that settled it."""

    at: Timestamp
    finding: Finding


@dataclass(frozen=True, slots=True)
class BatteryForecast:
    """Recording minutes left in the cell (``forecast.battery_minutes``); ``None`` while it charges, or nobody can say."""

    at: Timestamp
    minutes: int | None


@dataclass(frozen=True, slots=True)
class SelfTested:
    """The self-test at undocking is decided; ``failed`` names the parts, none for a go (``selftest.py``)."""

    at: Timestamp
    failed: tuple[str, ...]
    duration_ns: int


@dataclass(frozen=True, slots=True)
class UpdateChecked:
    """Whether the policy in force is the newest that the dock has for this camera (BWC-POL-45)."""

    at: Timestamp
    up_to_date: bool


@dataclass(frozen=True, slots=True)
class HoldFound:
    """The ledger was opened, and says that the run before had not ended a hold (BWC-POL-21)."""

    at: Timestamp


TableEvent = (
    Booted
    | Elapsed
    | Pressed
    | DoublePressed
    | Held
    | FunctionTapped
    | FunctionHeld
    | FunctionReleased
    | SleepRequested
    | StealthRequested
    | Faulted
    | Recovered
    | Escalated
    | StorageFilled
    | StorageFreed
    | StorageMeasured
    | Docked
    | Undocked
    | PowerChanged
    | ClockSet
    | ReceiptVerified
    | OffloadCompleted
    | ShutdownRequested
    | PictureJudged
    | BatteryForecast
    | SelfTested
    | UpdateChecked
    | HoldFound
)
"""What the table has a row for, in every state."""

Event = TableEvent | ButtonChanged
"""What :func:`firmware.machine.machine.step` takes."""
