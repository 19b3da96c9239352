"""The typed policy: every rule that an agency may set, its bounds, and the requirement it comes from.

Responsible for names, types, bounds and plain descriptions. Refuses to know TOML, files and signatures (``load``,
``minisign``). Invariant: a :class:`Policy` that exists has passed :func:`firmware.policy.load.parse_policy` or was
made of the defaults here, which a test holds inside the same bounds.

Each field carries metadata: ``requirement`` (BWC-POL-nn), ``text`` (what it means to the people who sign it) and, where
they apply, ``low`` and ``high`` (inclusive) or ``allowed``. Only rules that the firmware obeys are here; a rule nobody
enforces would be a promise nobody keeps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from firmware.policy.lists import CATEGORIES, MUTE_REASONS, STOP_REASONS, Choices

FORMAT = "oathcam-policy/1"


class MuteMode(Enum):
    """What the function button does to the sound of a running recording (BWC-POL-17)."""

    OFF = "off"
    """Nothing: sound cannot be muted."""
    HOLD = "hold"
    """Muted while the button is held."""
    TOGGLE = "toggle"
    """Muted by one hold, unmuted by the next."""


def _rule(
    default: Any,
    requirement: str,
    text: str,
    *,
    low: int | None = None,
    high: int | None = None,
    allowed: Collection[object] | None = None,
) -> Any:
    metadata = {"requirement": requirement, "text": text, "low": low, "high": high, "allowed": allowed}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class PreEvent:
    """What is kept from before the press. It lives in RAM only until then (BWC-POL-11)."""

    seconds: int = _rule(30, "BWC-POL-08", "seconds of picture kept from before the press", low=0, high=120)
    audio: bool = _rule(False, "BWC-POL-10", "whether sound is kept from before the press")
    max_bytes: int = _rule(33_554_432, "BWC-POL-08", "memory bound of the buffer in bytes", low=1_048_576, high=536_870_912)


@dataclass(frozen=True, slots=True)
class Activation:
    """The record button's gestures."""

    double_press_ms: int = _rule(600, "BWC-POL-01", "longest time between the two press-downs that start a recording", low=200, high=1500)
    hold_to_stop_ms: int = _rule(3000, "BWC-POL-02", "how long the button is held to stop a recording", low=2000, high=10_000)
    bounce_ms: int = _rule(25, "BWC-POL-02", "a press-down this soon after a release continues the press before it", low=0, high=50)
    function_hold_ms: int = _rule(800, "BWC-POL-17", "how long the function button is held to mute; shorter is a tap", low=300, high=1500)
    confirm_stop: bool = _rule(False, "BWC-POL-02", "whether the hold must be confirmed by one press within five seconds")


@dataclass(frozen=True, slots=True)
class Video:
    """What the camera is asked to deliver."""

    width: int = _rule(1280, "BWC-POL-25", "picture width in pixels", low=320, high=3840)
    height: int = _rule(720, "BWC-POL-25", "picture height in pixels", low=240, high=2160)
    fps: int = _rule(30, "BWC-POL-25", "pictures per second", low=5, high=60)
    bitrate_bps: int = _rule(4_000_000, "BWC-POL-25", "video bit rate in bits per second", low=250_000, high=25_000_000)
    gop_seconds: int = _rule(1, "BWC-POL-28", "seconds per closed GOP: what a power cut may cost at most", low=1, high=1)
    stamp: bool = _rule(False, "BWC-POL-26", "whether the time is burnt into the picture; it is in the stream in any case")


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound of recordings."""

    enabled: bool = _rule(True, "BWC-POL-10", "whether recordings have sound at all")


@dataclass(frozen=True, slots=True)
class Indicators:
    """What wearer and bystanders are shown."""

    reminder_seconds: int = _rule(120, "BWC-POL-14", "seconds between reminders while recording", low=10, high=600)
    stealth: bool = _rule(False, "BWC-POL-15", "whether holding both buttons turns lamps and sounds off; vibrations stay")
    stealth_max_seconds: int = _rule(900, "BWC-POL-15", "after this stealth ends by itself", low=60, high=14_400)


@dataclass(frozen=True, slots=True)
class Mute:
    """Whether the wearer may mute the sound of a recording."""

    mode: MuteMode = _rule(MuteMode.OFF, "BWC-POL-17", "off, hold or toggle")  # noqa: RUF009  a field, made as everywhere here
    auto_unmute_seconds: int = _rule(0, "BWC-POL-17", "after this a mute ends by itself; 0: it does not", low=0, high=3600)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Whether the wearer may put the camera to sleep (no pre-event buffer). Every sleep is a gap in the ledger."""

    allowed: bool = _rule(False, "BWC-POL-16", "whether holding the function button puts the camera to sleep")
    reminder_seconds: int = _rule(900, "BWC-POL-16", "seconds between reminders while asleep", low=30, high=900)


@dataclass(frozen=True, slots=True)
class Categories:
    """What a recording may be called. The camera decides nothing by a category but the order of upload."""

    ask_on_stop: bool = _rule(False, "BWC-POL-18", "whether the camera asks for the category when the wearer ends a recording")
    critical: str = _rule("CRITICAL", "BWC-POL-21", "the category whose recordings are uploaded first and kept longest")
    critical_hold: bool = _rule(False, "BWC-POL-21", "whether a camera takes no new recording after a critical one until it is in a dock")
    choices: Choices = _rule(CATEGORIES, "BWC-POL-18", "code = words, in the order in which a tap steps through them")  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a wearer stopped or muted. Asking blocks nothing; who does not answer has given NOT_GIVEN."""

    ask_on_stop: bool = _rule(False, "BWC-POL-04", "whether the camera asks why a recording was ended by the wearer")
    ask_on_mute: bool = _rule(False, "BWC-POL-04", "whether the camera asks why the sound was muted")
    stop: Choices = _rule(STOP_REASONS, "BWC-POL-20", "code = words, in the order in which a tap steps through them")  # noqa: RUF009
    mute: Choices = _rule(MUTE_REASONS, "BWC-POL-20", "code = words, in the order in which a tap steps through them")  # noqa: RUF009


@dataclass(frozen=True, slots=True)
class Answers:
    """How long a question waits."""

    wait_seconds: int = _rule(8, "BWC-POL-04", "a question that is not answered for so long is answered with NOT_GIVEN", low=4, high=30)
    pause_ms: int = _rule(2500, "BWC-POL-04", "a pause this long takes the choice; a hold takes it at once", low=1000, high=5000)


@dataclass(frozen=True, slots=True)
class Recording:
    """Length of one recording."""

    max_seconds: int = _rule(14_400, "BWC-POL-06", "after this the recording continues in a new one, no picture lost", low=60, high=43_200)


@dataclass(frozen=True, slots=True)
class Battery:
    """Levels in percent; ``critical_percent`` must be below ``warn_percent``."""

    warn_percent: int = _rule(15, "BWC-POL-48", "alarm at or below this charge", low=2, high=50)
    critical_percent: int = _rule(4, "BWC-POL-48", "close the recording and shut down at or below this charge", low=1, high=20)
    warn_minutes: int = _rule(20, "BWC-POL-48", "alarm at or below this many recording minutes left in the cell", low=5, high=120)
    full_minutes: int = _rule(600, "BWC-POL-48", "recording minutes of a full cell, assumed until its drain is known", low=30, high=6000)
    shift_minutes: int = _rule(480, "BWC-POL-46", "recording minutes that the cell must last for when undocked; 0: any", low=0, high=1440)


@dataclass(frozen=True, slots=True)
class Heat:
    """A board that gets hot, or has throttled itself, encodes less instead of losing pictures."""

    limit_celsius: int = _rule(75, "BWC-POL-48", "from this temperature of the board on the bit rate is lowered", low=50, high=95)
    bitrate_percent: int = _rule(60, "BWC-POL-48", "percent of video.bitrate_bps while the board is hot", low=20, high=100)


@dataclass(frozen=True, slots=True)
class Storage:
    """Room on the evidence volume; ``warn_minutes_last`` must be below ``warn_minutes_first``."""

    reserve_bytes: int = _rule(67_108_864, "BWC-POL-23", "kept free so that a recording can be closed", low=16_777_216, high=1_073_741_824)
    warn_minutes_first: int = _rule(60, "BWC-POL-23", "first warning at this many recording minutes left", low=2, high=600)
    warn_minutes_last: int = _rule(30, "BWC-POL-23", "second warning at this many recording minutes left", low=1, high=599)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long an offloaded recording stays on the camera after its receipt."""

    grace_days: int = _rule(0, "BWC-POL-43", "days that a receipted recording stays on the camera", low=0, high=30)
    critical_days: int = _rule(14, "BWC-POL-21", "the same for a critical one; not less than grace_days", low=0, high=90)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who wears the camera. It is assigned at a dock; an unassigned one records all the same, and says so."""

    clear_at_dock: bool = _rule(False, "BWC-POL-30", "whether a camera that comes back to a dock is nobody's until it is assigned again")


@dataclass(frozen=True, slots=True)
class Policy:
    """One agency's policy. ``version`` only ever grows for one camera (:func:`firmware.policy.minisign.accept`)."""

    format: str = _rule(FORMAT, "BWC-POL-03", "name and version of this format", allowed=(FORMAT,))
    profile: str = _rule("default", "BWC-POL-08", "the profile this policy is derived from")
    version: int = _rule(1, "BWC-POL-29", "number of this policy; a camera takes only a higher one", low=1, high=2_147_483_647)
    agency: str = _rule("unnamed agency", "BWC-POL-03", "the agency in plain words")
    pre_event: PreEvent = field(default_factory=PreEvent)
    activation: Activation = field(default_factory=Activation)
    video: Video = field(default_factory=Video)
    audio: Audio = field(default_factory=Audio)
    indicators: Indicators = field(default_factory=Indicators)
    mute: Mute = field(default_factory=Mute)
    sleep: Sleep = field(default_factory=Sleep)
    categories: Categories = field(default_factory=Categories)
    reasons: Reasons = field(default_factory=Reasons)
    answers: Answers = field(default_factory=Answers)
    recording: Recording = field(default_factory=Recording)
    battery: Battery = field(default_factory=Battery)
    heat: Heat = field(default_factory=Heat)
    storage: Storage = field(default_factory=Storage)
    retention: Retention = field(default_factory=Retention)
    identity: Identity = field(default_factory=Identity)
