"""What the page says: a leaf in one plain sentence, what a state asks of the wearer, a cue's name. Pure.

Every kind of leaf has its words; a test holds that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from firmware.custody.entries import Entry
from firmware.machine.choices import About, Question
from firmware.machine.indicators import CUES, Counted, count
from firmware.machine.states import State
from firmware.policy.lists import MAX_CHOICES
from firmware.policy.model import MuteMode, Policy
from hal.interfaces import Cue

_F = Mapping[str, Any]
_PREVIOUS = {
    "first": "for the first time",
    "clean": "after an orderly end",
    "power-loss": "after it had lost its power",
    "crash": "after its recorder had stopped without a word",
}
_BEGUN = {"button": "the wearer pressed twice", "recovery": "a fault is over", "max-length": "the one before reached its longest length"}
_ENDED = {
    "button": "the wearer held the button",
    "power-loss": "power was lost; closed at this boot",
    "max-length": "longest length, the next one follows",
    "low-battery": "the battery is nearly empty",
    "storage-full": "no room",
    "fault": "something failed",
    "shutdown": "the recorder was ended",
    "crash": "the recorder had stopped; closed at this boot",
}
_GAPS = {
    "off": "it had no power",
    "boot": "it was starting",
    "sleep": "it was asleep",
    "full": "the card was full",
    "hold": "it was held after a critical recording",
    "fault": "something that it needs had failed",
}
_CUES = {
    "start": "recording",
    "start-short": "recording, with less than the full time from before",
    "stop": "stopped",
    "confirm": "press once to confirm",
    "mark": "mark set",
    "mute": "muted",
    "unmute": "sound on",
    "full": "no room",
    "held": "held after a critical recording",
    "partial-fault": "something failed, the rest goes on",
    "low-battery": "battery low",
    "critical-battery": "battery nearly empty",
    "low-storage": "room is running out",
    "clock-unset": "the clock is not set",
    "sleep": "asleep",
    "docked": "in the dock",
    "safe-to-remove": "all transferred",
}
_SEEN = {
    "covered": "The lens is covered",
    "dark": "The lens sees next to nothing: it is dark",
    "frozen": "The sensor gives one picture again and again",
    "blurred": "The lens is smeared, or out of focus",
    "upside-down": "The camera hangs upside down",
    "clear": "The lens sees again",
}
_COUNTED = {(cue.tones, cue.pulses): f"choice {place + 1}" for place in range(MAX_CHOICES) for cue in [count(Counted(place, ""))]}
_ASKED = {
    About.CATEGORY: "Which category was it?",
    About.STOP_REASON: "Why was it ended?",
    About.MUTE_REASON: "Why was it muted?",
}
_ABOUT = {"category": "a category", "stop-reason": "why it was ended", "mute-reason": "why it was muted"}
_STEPS = {"encoder": "another encoder", "reopen": "opening the device anew", "restart": "another recorder", "reboot": "another boot"}


def _seconds(microseconds: int | None) -> str:
    return "an unknown time" if microseconds is None else f"{microseconds / 1e6:.1f} s"


def _boot(f: _F) -> str:
    off = "" if f["previous"] == "first" else f", {_seconds(f['down_us'])} without a recorder"
    return f"Boot number {f['counter']}, {_PREVIOUS[f['previous']]}{off}"


def _fragment(f: _F) -> str:
    return f"Second {f['seq']} of the recording is durable: {f['pictures']} pictures, hashed and sealed"


def _drop(f: _F) -> str:
    return f"{f['pictures']} pictures were seen and not kept ({f['cause']}), {_seconds(f['duration_us'])}"


def _torn(f: _F) -> str:
    return f"{f['bytes']} bytes at the ledger's end had no good signature: set aside"


def _clock(f: _F) -> str:
    by = f"{f['offset_us'] / 1e6:+.3f} s"
    told = {
        "set": f"The clock is set by {by}",
        "kept": f"The clock is off by {by}, and stays",
        "noticed": f"Something stepped the clock by {by}",
    }
    return f"{told[f['action']]} ({f['source']}; trust {f['new_trust']})"


def _escalation(f: _F) -> str:
    return f"To bring the {f['port']} back: {_STEPS[f['step']]} ({f['reason']})"


_WORDS: Mapping[str, Callable[[_F], str]] = {
    "boot": _boot,
    "ready": lambda f: "Ready: a press records at once, and keeps what came before it",
    "sleep": lambda f: "Asleep, by the wearer's wish: no pictures",
    "wake": lambda f: "Awake again",
    "begin": lambda f: f"A recording begins: {_BEGUN.get(f['cause'], f['cause'])}",
    "init": lambda f: "The recording's head is durable",
    "fragment": _fragment,
    "mark": lambda f: "The wearer set a mark",
    "mute": lambda f: "Sound muted",
    "unmute": lambda f: "Sound on again",
    "paper": lambda f: f"Carried by the ledger until it is a file: {f['name']}",
    "annotation": lambda f: f"What the wearer answered, sealed: {_ABOUT[f['about']]}",
    "critical": lambda f: "The wearer flagged the recording as critical",
    "picture": lambda f: _SEEN[f["finding"]],
    "selftest": lambda f: "Self-test: go" if f["go"] else f"Self-test: no go ({', '.join(f['failed'])})",
    "hold": lambda f: "No new recording before the dock" if f["entered"] else "A press records again",
    "stealth": lambda f: "Lamps and sounds off, by the wearer" if f["entered"] else "Lamps and sounds on again",
    "assign": lambda f: "Assigned to an officer by the dock; who that is stands sealed in each recording",
    "unassign": lambda f: "Nobody's camera: " + ("an order says so" if f["cause"] == "order" else "it came back to its dock"),
    "drop": _drop,
    "end": lambda f: f"The recording ended: {_ENDED.get(f['cause'], f['cause'])}",
    "unattested": lambda f: f"A file without a leaf was found and set aside: {f['name']}",
    "torn": _torn,
    "fault": lambda f: f"Fault of the {f['port']}: {f['reason']}",
    "recovered": lambda f: f"The {f['port']} works again",
    "escalation": _escalation,
    "gap": lambda f: f"A gap of {_seconds(f['duration_us'])}: {_GAPS.get(f['cause'], f['cause'])}",
    "clock": _clock,
    "power": lambda f: f"Power: {f['event']}, {f['percent']} %",
    "policy": lambda f: f"Policy {f['profile']} version {f['version']} was taken from the dock",
    "dock": lambda f: "In the dock",
    "undock": lambda f: "Out of the dock",
    "offload": lambda f: f"A dock took the ledger up to leaf {f['size']}",
    "receipt": lambda f: f"The store {f['store']} has signed that it holds the recording",
    "release": lambda f: "The recording was removed from the camera, against that receipt",
    "shutdown": lambda f: f"Orderly end: {f['reason']}",
}


def leaf_words(entry: Entry) -> str:
    """One sentence without a full stop. A kind that is newer than this page is told by its name."""
    words = _WORDS.get(entry.kind)
    return words(entry.fields) if words is not None else entry.kind


def cue_name(cue: Cue) -> str:
    """What the cue means; empty for one that the grammar does not know."""
    played = (cue.tones, cue.pulses)
    name = next((name.value for name, known in CUES.items() if (known.tones, known.pulses) == played), "")
    return _CUES.get(name, name) or _COUNTED.get(played, "")


def question_words(question: Question | None) -> dict[str, Any] | None:
    """What the camera asks the wearer now, with the list that the wearer knows by heart; ``None`` while it asks nothing."""
    if question is None or not question.asked:
        return None
    title = "Which category is it?" if question.by_wearer else _ASKED[question.about]
    return {"title": title, "choices": [choice.label for choice in question.choices], "place": question.place}


def hint(state: str, policy: Policy) -> str:
    """What somebody who holds the camera can do now."""
    activation = policy.activation
    hold = f"hold it for {activation.hold_to_stop_ms / 1000:g} s"
    hints = {
        "off": "The camera has no power.",
        State.BOOTING.value: "Starting. A double press now is remembered.",
        State.READY.value: "Press the record button twice, quickly. The recording starts with "
        f"what was seen in the {policy.pre_event.seconds} s before.",
        State.RECORDING.value: f"One press sets a mark. To stop, {hold}."
        + (" Then press once to confirm." if activation.confirm_stop else ""),
        State.SLEEPING.value: "Asleep: no pictures. Holding the function button wakes it; a double press records at once.",
        State.DOCKED.value: "In the dock: recordings go to the store. Green means that all is transferred and charged.",
        State.FAULT.value: "Something that a recording needs does not work. A double press is remembered until it does.",
        State.FULL.value: "No room left. Nothing is overwritten; put it in the dock.",
        State.HELD.value: "Held after a critical recording: it takes no new one until it is in the dock.",
        State.HALTED.value: "Shutting down.",
    }
    text = hints[state]
    mute = {
        MuteMode.TOGGLE: " Holding the function button mutes and unmutes.",
        MuteMode.HOLD: " The function button mutes while it is held.",
    }
    if state == State.RECORDING.value:
        text += mute.get(policy.mute.mode, "")
        if policy.categories.choices:
            text += " A tap of the function button opens the categories."
    if state in (State.READY.value, State.RECORDING.value) and policy.indicators.stealth:
        text += " Holding both buttons turns lamps and tones off."
    if state == State.READY.value and policy.sleep.allowed:
        text += " Holding the function button puts it to sleep."
    return text
