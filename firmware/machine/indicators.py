"""The indicator grammar: what a state looks, sounds and feels like.

Responsible for one lamp pattern per situation and one cue per occurrence, all distinct (BWC-POL-14). Refuses to know
ports and time. The value types have the names and fields of ``hal.interfaces`` so that the daemon maps them by name;
pure code does not import ``hal``.

Two lamps: *subject* faces the people filmed and is red, steady, exactly while pictures are being kept (BWC-POL-13);
*status* faces the wearer. Vibrations are counted by feel: start 2 short, stop 1 long, mark 1 short, alarms 3 and more; a choice is
counted as its place in the list, one long pulse for each five. In stealth (BWC-POL-15) both lamps are dark and nothing is heard; all
is felt as before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from firmware.machine.states import Battery, State


class Colour(Enum):
    OFF = "off"
    GREEN = "green"
    AMBER = "amber"
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Lamp:
    """``blink_ms`` is the half period; 0 is steady."""

    colour: Colour = Colour.OFF
    blink_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cue:
    """Tones as (Hz, 0 = silence; ms), vibration as (on ms, off ms), words for a port that can say or show them."""

    tones: tuple[tuple[int, int], ...] = ()
    pulses: tuple[tuple[int, int], ...] = ()
    words: str = ""


class CueName(Enum):
    """In order of urgency: when one step calls for several, the first of this list is played."""

    FAULT = "fault"
    FULL = "full"
    CRITICAL_BATTERY = "critical-battery"
    STOP = "stop"
    HELD = "held"
    START = "start"
    START_SHORT = "start-short"
    CONFIRM = "confirm"
    MARK = "mark"
    MUTE = "mute"
    UNMUTE = "unmute"
    STEALTH = "stealth"
    STEALTH_OVER = "stealth-over"
    ANSWERED = "answered"
    NOT_ANSWERED = "not-answered"
    PARTIAL_FAULT = "partial-fault"
    LOW_BATTERY = "low-battery"
    LOW_STORAGE = "low-storage"
    LENS = "lens"
    NO_GO = "no-go"
    CLOCK_UNSET = "clock-unset"
    ASK_CATEGORY = "ask-category"
    ASK_REASON = "ask-reason"
    REMINDER = "reminder"
    SLEEP = "sleep"
    GO = "go"
    READY = "ready"
    DOCKED = "docked"
    SAFE_TO_REMOVE = "safe-to-remove"


CUES: dict[CueName, Cue] = {
    CueName.FAULT: Cue(((440, 150), (220, 150)) * 3, ((400, 100),) * 3),
    CueName.FULL: Cue(((330, 400), (0, 100)) * 3, ((400, 100),) * 4),
    CueName.CRITICAL_BATTERY: Cue(((660, 120), (440, 120), (220, 400)), ((150, 75),) * 6),
    CueName.STOP: Cue(((660, 800),), ((800, 0),)),
    CueName.HELD: Cue(((220, 300), (440, 150)) * 3, ((400, 100),) * 5),
    CueName.START: Cue(((880, 120), (0, 80), (880, 120)), ((120, 80), (120, 0))),
    CueName.START_SHORT: Cue(((880, 120), (0, 80), (880, 120), (0, 80), (440, 120)), ((120, 80), (120, 0))),
    CueName.CONFIRM: Cue(((660, 80), (0, 80), (660, 80), (0, 80), (660, 80)), ((60, 60), (60, 60), (60, 0))),
    CueName.MARK: Cue(((1320, 80),), ((120, 0),)),
    CueName.MUTE: Cue(((880, 80), (440, 80)), ((60, 60), (200, 0))),
    CueName.UNMUTE: Cue(((440, 80), (880, 80)), ((200, 60), (60, 0))),
    CueName.STEALTH: Cue(((330, 80), (0, 40), (330, 80)), ((500, 200), (500, 0))),
    CueName.STEALTH_OVER: Cue(((550, 80), (0, 40), (550, 80)), ((500, 200), (500, 200), (60, 0))),
    CueName.ANSWERED: Cue(((990, 60), (1320, 120)), ((60, 60), (60, 60), (300, 0))),
    CueName.NOT_ANSWERED: Cue(((990, 60), (660, 120)), ((60, 60), (300, 60), (60, 0))),
    CueName.PARTIAL_FAULT: Cue(((440, 150), (220, 150)), ((400, 100), (60, 0))),
    CueName.LOW_BATTERY: Cue(((660, 120), (440, 120)), ((150, 75),) * 4),
    CueName.LOW_STORAGE: Cue(((330, 200), (0, 100), (330, 200)), ((150, 75),) * 5),
    CueName.LENS: Cue(((1000, 60), (500, 200)), ((60, 60), (60, 200), (300, 0))),
    CueName.NO_GO: Cue(((660, 150), (330, 150), (330, 150)), ((400, 100), (60, 60), (60, 0))),
    CueName.CLOCK_UNSET: Cue(((990, 60), (0, 60)) * 4, ((60, 200), (60, 200), (60, 0))),
    CueName.ASK_CATEGORY: Cue(((990, 60), (0, 40), (1320, 60)), ((60, 60), (200, 60), (60, 60), (200, 0)), "category?"),
    CueName.ASK_REASON: Cue(((990, 60), (0, 40), (1320, 60), (0, 40), (1320, 60)), ((60, 60), (200, 60), (60, 60), (60, 0)), "reason?"),
    CueName.REMINDER: Cue(((880, 60),), ((300, 0),)),
    CueName.SLEEP: Cue(((440, 200), (330, 200)), ((300, 100), (100, 0))),
    CueName.GO: Cue(((660, 80), (880, 80), (990, 120)), ((60, 60), (60, 0))),
    CueName.READY: Cue(((660, 80), (880, 80)), ((60, 0),)),
    CueName.DOCKED: Cue(((550, 100),), ()),
    CueName.SAFE_TO_REMOVE: Cue(((660, 100), (880, 100), (1320, 100)), ()),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """A choice, told by its place in the list (from 0) and in words."""

    place: int
    words: str


FIVE_MS, ONE_MS, PAUSE_MS = 400, 100, 150


def count(choice: Counted) -> Cue:
    """As many short pulses as the choice's number, one long one for each five; a tone with every pulse."""
    fives, ones = divmod(choice.place + 1, 5)
    lengths = [FIVE_MS] * fives + [ONE_MS] * ones
    tones = tuple(tone for length in lengths for tone in ((1100, length), (0, PAUSE_MS)))[:-1]
    pulses = tuple((length, PAUSE_MS) for length in lengths[:-1])
    return Cue(tones, (*pulses, (lengths[-1], 0)), choice.words)


@dataclass(frozen=True, slots=True)
class Signal:
    """What both lamps show from now on, and the cue that goes with the change."""

    subject: Lamp
    status: Lamp
    cue: Cue | None = None


@dataclass(frozen=True, slots=True)
class View:
    """The conditions that the lamps depend on beside the state."""

    partial_fault: bool = False
    """Something that recording can do without has failed, or the self-test at undocking has."""
    battery: Battery = Battery.OK
    low_storage: bool = False
    clock_unset: bool = False
    muted: bool = False
    offloaded: bool = False
    charged: bool = False
    asking: bool = False
    """A question waits for an answer."""
    stealth: bool = False
    up_to_date: bool = True
    """Firmware and policy are the newest that the dock has."""


def lamps(state: State, view: View) -> tuple[Lamp, Lamp]:
    """(subject, status) for a state under its conditions."""
    if view.stealth:
        return Lamp(), Lamp()
    subject = Lamp(Colour.RED) if state is State.RECORDING else Lamp()
    return subject, _status(state, view)


def _status(state: State, view: View) -> Lamp:
    match state:
        case State.BOOTING:
            return Lamp(Colour.AMBER)
        case State.FAULT:
            return Lamp(Colour.RED, 125)
        case State.FULL:
            return Lamp(Colour.RED, 250)
        case State.HELD:
            return Lamp(Colour.RED, 500)
        case State.SLEEPING:
            return Lamp(Colour.BLUE, 2000)
        case State.HALTED:
            return Lamp()
        case State.DOCKED:
            return _docked(view)
        case State.READY | State.RECORDING:
            return _warning(view) or (Lamp(Colour.GREEN, 125) if view.asking else _working(state, view))


def _docked(view: View) -> Lamp:
    """Green only when charged, everything transferred and nothing newer to be installed (BWC-POL-45)."""
    if not view.offloaded:
        return Lamp(Colour.AMBER, 1000)
    if not view.up_to_date:
        return Lamp(Colour.BLUE, 1000)
    return Lamp(Colour.GREEN) if view.charged else Lamp(Colour.BLUE)


def _warning(view: View) -> Lamp | None:
    """The most urgent warning of a camera that works."""
    if view.battery is Battery.CRITICAL:
        return Lamp(Colour.AMBER, 100)
    if view.partial_fault:
        return Lamp(Colour.RED, 1000)
    if view.battery is Battery.LOW:
        return Lamp(Colour.AMBER, 250)
    if view.low_storage:
        return Lamp(Colour.AMBER, 500)
    if view.clock_unset:
        return Lamp(Colour.BLUE, 250)
    return None


def _working(state: State, view: View) -> Lamp:
    if state is State.READY:
        return Lamp(Colour.GREEN, 1000)
    return Lamp(Colour.BLUE, 500) if view.muted else Lamp(Colour.RED)


def choose_cue(names: tuple[CueName, ...]) -> Cue | None:
    """The most urgent of ``names``; the port plays one cue at a time."""
    order = list(CueName)
    return CUES[min(names, key=order.index)] if names else None


def felt_only(cue: Cue | None) -> Cue | None:
    """What of a cue is left in stealth (BWC-POL-15)."""
    return replace(cue, tones=(), words="") if cue is not None and cue.pulses else None
