"""A policy in plain words: what a camera under it does, rule by rule, why, and what follows from a change.

Responsible for one sentence a rule. Where a rule has none of its own, its description in the model and its value stand for it, so that no
rule is passed over. Refuses to know files and terminals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, get_type_hints

from firmware.policy.model import MuteMode, Policy
from tools.requirements import Row

_RULE = re.compile(r"([a-z_]+) = .*?# BWC-POL-\d\d(?:, -\d\d)*: (.+)\Z")
_TABLE = re.compile(r"\[([a-z_]+)\]\Z")


Value = int | bool | str | dict[str, str]
"""As in TOML; a list of choices is a table of code and words."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy as it stands. ``value`` as in TOML; ``why``: the policy file's own remark, empty when it has none."""

    path: str
    value: Value
    sentence: str
    requirement: str
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """A rule that two policies have differently; ``before`` and ``after`` are what each makes the camera do."""

    path: str
    requirement: str
    old: Value
    new: Value
    before: str
    after: str


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:g} s"


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.0f} MB"


def _mute(mode: str) -> str:
    return {
        MuteMode.OFF.value: "The sound of a recording cannot be muted.",
        MuteMode.HOLD.value: "The sound of a recording is muted while the function button is held; pictures go on.",
        MuteMode.TOGGLE.value: "One hold of the function button mutes the sound of a recording, the next brings it back; pictures go on.",
    }[mode]


def _choices(what: str) -> Callable[[Mapping[str, str]], str]:
    return lambda value: f"{what}: {', '.join(f'{words} ({code})' for code, words in value.items())}."


def _either(yes: str, no: str) -> Callable[[Any], str]:
    return lambda value: yes if value else no


_SENTENCES: Mapping[str, Callable[[Any], str]] = {
    "format": lambda value: f"The policy is written in the format {value}.",
    "profile": lambda value: f"The policy is derived from the profile {value!r}.",
    "version": lambda value: f"It is version {value}; the camera takes only a higher one.",
    "agency": lambda value: f"It is the policy of: {value}.",
    "pre_event.seconds": lambda value: (
        f"The camera keeps the {value} s before a press in memory, and writes them when somebody presses."
        if value
        else "The camera keeps nothing from before a press."
    ),
    "pre_event.audio": _either("Sound from before the press is kept too.", "Sound from before the press is not kept."),
    "pre_event.max_bytes": lambda value: f"What it keeps from before a press takes at most {_megabytes(value)} of memory.",
    "activation.double_press_ms": lambda value: f"Two presses of the record button within {_seconds(value)} start a recording.",
    "activation.hold_to_stop_ms": lambda value: f"Holding the record button for {_seconds(value)} ends it; taps never do.",
    "activation.function_hold_ms": lambda value: f"The function button is held after {_seconds(value)}; shorter is a tap.",
    "activation.bounce_ms": lambda value: f"A contact that closes again within {value} ms of opening is one press.",
    "activation.confirm_stop": _either(
        "The hold must be confirmed by one press within 5 s, or the recording goes on.", "The hold is enough to end it."
    ),
    "video.width": lambda value: f"Pictures are {value} pixels wide.",
    "video.height": lambda value: f"Pictures are {value} pixels high.",
    "video.fps": lambda value: f"There are {value} pictures a second.",
    "video.bitrate_bps": lambda value: f"Pictures take {value / 1_000_000:g} Mbit a second, about {value * 3600 / 8e9:.1f} GB an hour.",
    "video.gop_seconds": lambda value: f"What is recorded is made durable every {value} s: a power cut costs at most that.",
    "video.stamp": _either(
        "The time is burnt into each picture, and it is in the stream.", "The time of each picture is in the stream, and not burnt into it."
    ),
    "audio.enabled": _either("Recordings have sound.", "Recordings have no sound at all."),
    "indicators.reminder_seconds": lambda value: f"While it records, the wearer is reminded of it every {value} s.",
    "indicators.stealth": _either(
        "Holding both buttons turns lamps and sounds off; vibrations stay, and the ledger says so.",
        "Lamps and cues cannot be switched off: the subject lamp is lit while it records.",
    ),
    "indicators.stealth_max_seconds": lambda value: f"Where that is allowed, it ends by itself after {value} s.",
    "mute.mode": _mute,
    "mute.auto_unmute_seconds": lambda value: f"A mute ends by itself after {value} s." if value else "A mute does not end by itself.",
    "sleep.allowed": _either(
        "Holding the function button puts the camera to sleep; it then keeps nothing from before a press.",
        "The wearer cannot put the camera to sleep.",
    ),
    "sleep.reminder_seconds": lambda value: f"A camera that may sleep reminds of it every {value} s.",
    "categories.ask_on_stop": _either(
        "When the wearer ends a recording, the camera asks for its category.",
        "The camera does not ask for a category; a tap of the function button while recording opens the list.",
    ),
    "categories.critical": lambda value: f"A recording of the category {value} is handed over first, and removed last.",
    "categories.critical_hold": _either(
        "After such a recording the camera takes no new one until it is put into a dock: a supervisor takes it.",
        "After such a recording the camera takes the next one like any other.",
    ),
    "categories.choices": _choices("The categories are"),
    "reasons.ask_on_stop": _either(
        "When the wearer ends a recording, the camera asks why; the recording is closed by then.",
        "The camera does not ask why a recording ended.",
    ),
    "reasons.ask_on_mute": _either(
        "When the wearer mutes, the camera asks why; the mute waits for nothing.", "The camera does not ask why it was muted."
    ),
    "reasons.stop": _choices("The reasons for a stop are"),
    "reasons.mute": _choices("The reasons for a mute are"),
    "answers.wait_seconds": lambda value: f"Who does not answer within {value} s has given no answer, and that is written.",
    "answers.pause_ms": lambda value: f"A pause of {_seconds(value)} takes a choice.",
    "recording.max_seconds": lambda value: f"After {value / 3600:g} h a recording goes on in the next one, without a lost picture.",
    "battery.warn_percent": lambda value: f"At {value} % of charge the wearer is warned.",
    "battery.critical_percent": lambda value: f"At {value} % the recording is closed in order, and the camera shuts down.",
    "battery.warn_minutes": lambda value: f"The wearer is warned when the cell has {value} recording minutes left.",
    "battery.full_minutes": lambda value: f"A full cell is taken to last for {value} recording minutes, until its drain is known.",
    "battery.shift_minutes": lambda value: (
        f"Taken out of a dock the camera says no-go when its cell will not last for {value} recording minutes."
        if value
        else "Taken out of a dock the camera asks for no number of recording minutes."
    ),
    "heat.limit_celsius": lambda value: f"From {value} degrees Celsius of the board on it encodes fewer bits.",
    "heat.bitrate_percent": lambda value: f"Hot, it encodes {value} % of the bits, and no picture less.",
    "storage.reserve_bytes": lambda value: f"{_megabytes(value)} of the card stay free to close a recording; a full card stops aloud.",
    "storage.warn_minutes_first": lambda value: f"The wearer is warned when {value} recording minutes are left on the card.",
    "storage.warn_minutes_last": lambda value: f"The wearer is warned again at {value} minutes.",
    "retention.grace_days": lambda value: (
        f"A recording stays on the camera for {value} days after a store has receipted it."
        if value
        else "A recording is removed from the camera as soon as a store has receipted it."
    ),
    "retention.critical_days": lambda value: f"A critical one stays for {value} days.",
    "identity.clear_at_dock": _either(
        "Back in a dock the camera is nobody's until it is assigned again.",
        "Who was assigned keeps the camera until a dock says otherwise.",
    ),
}


def explain(policy: Policy, text: str, rows: Mapping[str, Row]) -> list[Rule]:
    """Every rule in the model's order. ``text``: the policy file, whose remarks say why an agency chose what it chose."""
    why = remarks(text)
    found = []
    for path, value, metadata in _leaves(policy, ""):
        requirement = metadata["requirement"]
        found.append(Rule(path, value, sentence(path, value, metadata), requirement, rows[requirement].source, why.get(path, "")))
    return found


def compare(old: Policy, new: Policy) -> list[Change]:
    """What differs, in the model's order."""
    found = []
    for (path, before, metadata), (_, after, _) in zip(_leaves(old, ""), _leaves(new, ""), strict=True):
        if before != after:
            words = (sentence(path, before, metadata), sentence(path, after, metadata))
            found.append(Change(path, metadata["requirement"], before, after, *words))
    return found


def sentence(path: str, value: Value, metadata: Mapping[str, Any]) -> str:
    """What the rule makes a camera do."""
    if path in _SENTENCES:
        return _SENTENCES[path](value)
    return f"{str(metadata['text'])[0].upper()}{metadata['text'][1:]}: {str(value).lower() if isinstance(value, bool) else value}."


def remarks(text: str) -> dict[str, str]:
    """Rule → what its line in the policy file says behind the requirement."""
    table, found = "", {}
    for line in text.splitlines():
        if match := _TABLE.match(line):
            table = f"{match[1]}."
        elif match := _RULE.match(line):
            found[table + match[1]] = match[2].strip()
    return found


def _leaves(part: Any, path: str) -> Iterator[tuple[str, Value, Mapping[str, Any]]]:
    hints = get_type_hints(type(part))
    for one in fields(part):
        value = getattr(part, one.name)
        if is_dataclass(hints[one.name]):
            yield from _leaves(value, f"{path}{one.name}.")
        else:
            yield path + one.name, _plain(value), one.metadata


def _plain(value: Any) -> Value:
    if isinstance(value, tuple):
        return {choice.code: choice.label for choice in value}
    found: Value = value.value if isinstance(value, Enum) else value
    return found
