"""What the machine asks the daemon to do. Imperatives, carried out in the order given.

Every effect can be repeated without harm, except ``StartRecording``, ``SplitRecording``, ``AddMark``, ``Annotate`` and ``Write``,
which the machine gives once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from firmware.machine.choices import About
from firmware.machine.indicators import Signal
from firmware.machine.states import Cause, TimerName
from firmware.timebase import Timestamp


@dataclass(frozen=True, slots=True)
class StartCamera:
    """Start the camera, or stop and start it again when it runs (a retry after a fault)."""


@dataclass(frozen=True, slots=True)
class StopCamera:
    """Stop the camera."""


@dataclass(frozen=True, slots=True)
class ClearPreEvent:
    """Forget what the pre-event buffer holds (BWC-POL-11)."""

    reason: str


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Keep the pre-event GOPs and everything from now on. ``at``: the press, or the end of what prevented it."""

    cause: Cause
    at: Timestamp
    pre_event_short: bool
    """The buffer had not run for the policy's time before ``at`` (BWC-POL-09)."""


@dataclass(frozen=True, slots=True)
class SplitRecording:
    """End the recording at the next GOP and begin the next one with that GOP: no picture lost (BWC-POL-06)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Close the recording. Pictures captured up to ``at`` are kept; later ones need not be."""

    cause: Cause
    at: Timestamp


@dataclass(frozen=True, slots=True)
class AddMark:
    """Mark the instant of the press in the recording (BWC-POL-18). The recorder writes the ledger entry."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class Mute:
    """Capture no sound from ``at`` on (BWC-POL-17)."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class Unmute:
    """Capture sound again. ``cause``: ``button``, or ``policy`` when the policy's time for a mute is over."""

    at: Timestamp
    cause: str = "button"


@dataclass(frozen=True, slots=True)
class Annotate:
    """Seal and write what the wearer answered, or did not, about the recording that is open or ended last (BWC-POL-04, -31).

    ``code`` is of the policy's list, or ``NOT_GIVEN``. ``critical``: flag the recording in plain as well (BWC-POL-21).
    ``hold``: with it begins a hold, in the same write.
    """

    about: About
    code: str
    at: Timestamp
    critical: bool = False
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Append a ledger entry of ``kind`` that happened at ``at``."""

    kind: str
    at: Timestamp
    fields: Mapping[str, int | str | bool | tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetBitrate:
    """Ask the camera for so many bits per second, now and at every start from now on."""

    bitrate_bps: int


@dataclass(frozen=True, slots=True)
class Show:
    """Set both lamps; play the cue if there is one."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send ``Elapsed(timer)`` at or after ``boottime_ns``; replaces an earlier timer of that name."""

    timer: TimerName
    boottime_ns: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    timer: TimerName


@dataclass(frozen=True, slots=True)
class RequestSync:
    """Tell the dock-sync process that the vault is ready for it."""

    at: Timestamp


@dataclass(frozen=True, slots=True)
class Release:
    """Remove a receipted recording from the camera, as the retention plan says (BWC-POL-43)."""

    recording: str
    at: Timestamp


@dataclass(frozen=True, slots=True)
class Halt:
    """Everything is written: close the ports and end the loop."""

    reason: str
    at: Timestamp


Effect = (
    StartCamera
    | SetBitrate
    | StopCamera
    | ClearPreEvent
    | StartRecording
    | SplitRecording
    | StopRecording
    | AddMark
    | Mute
    | Unmute
    | Annotate
    | Write
    | Show
    | SetTimer
    | CancelTimer
    | RequestSync
    | Release
    | Halt
)
