"""What can be done to a simulated camera in a scenario: each action's name, its fields with their bounds, and what it means.

One table for the parser, the page, the document and who performs them. Pure data; refuses to know files and worlds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One value beside ``at`` and ``do``: one of ``choices``, a flag, or a number from ``low`` to ``high``. No ``default``: required."""

    text: str
    default: Any = None
    choices: tuple[str, ...] = ()
    flag: bool = False
    low: float = 0.0
    high: float = 0.0

    def problem(self, value: Any) -> str:
        """What was expected instead of ``value``; empty when it fits."""
        if self.choices:
            return "" if value in self.choices else "one of " + ", ".join(self.choices)
        if self.flag:
            return "" if type(value) is bool else "true or false"
        fits = type(value) in (int, float) and self.low <= value <= self.high
        return "" if fits else f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class Verb:
    """One action."""

    text: str
    fields: Mapping[str, Field] = field(default_factory=dict)


_BUTTON = Field("which button", "record", choices=("record", "function"))
_BOUNCE = Field("a worn contact that chatters", False, flag=True)

VERBS: Mapping[str, Verb] = {
    "press": Verb("a finger goes down on a button and stays there", {"button": _BUTTON}),
    "release": Verb("the finger comes up again", {"button": _BUTTON}),
    "tap": Verb("one short press", {"button": _BUTTON, "bounce": _BOUNCE}),
    "double_press": Verb("two short presses, 150 ms apart", {"button": _BUTTON, "bounce": _BOUNCE}),
    "hold": Verb("a long press", {"button": _BUTTON, "seconds": Field("how long", 3.5, low=0.1, high=60)}),
    "answer": Verb(
        "so many taps of the function button, 0.5 s apart: a list that was asked for is stepped through by each; "
        "one that was not is opened by the first. A pause then takes the choice",
        {"taps": Field("how many", low=1, high=13)},
    ),
    "cover_lens": Verb("a hand, or a strap, before the lens"),
    "uncover_lens": Verb("the lens is free again"),
    "turn_over": Verb("the camera hangs upside down by its strap"),
    "turn_back": Verb("it is worn upright again"),
    "pull_battery": Verb("the camera loses its power at this instant; what was not synced may be lost"),
    "insert_battery": Verb("the battery is put in again, or a camera that had switched itself off is switched on: another boot"),
    "dock": Verb("into the dock's bay; a station of the agency listens there"),
    "undock": Verb("out of the bay; a transfer that is under way is cut off"),
    "set_battery": Verb("charge of the cell", {"percent": Field("0 is a dead cell", low=0, high=100)}),
    "set_heat": Verb("temperature of the board", {"celsius": Field("degrees Celsius", low=-40, high=120)}),
    "set_clock": Verb(
        "something steps the camera's wall clock", {"error": Field("seconds that it is fast; negative: slow", low=-1e8, high=1e8)}
    ),
    "set_room": Verb("what is free on the card", {"megabytes": Field("10^6 bytes", low=0, high=1_000_000)}),
    "card": Verb(
        "the card",
        {"fault": Field("full: no room; error: every write fails; slow: 3 s an operation", choices=("none", "full", "error", "slow"))},
    ),
    "microphone": Verb(
        "the microphone", {"fault": Field("unplugged: its frames end and it does not start", choices=("none", "unplugged"))}
    ),
    "camera": Verb(
        "sensor and encoder",
        {
            "fault": Field(
                "fails: reports an error and does not start; stalls: no pictures, no word; encoder: the encoder alone hangs",
                choices=("none", "fails", "stalls", "encoder"),
            )
        },
    ),
    "lamp": Verb("the lamp that faces the people filmed", {"fault": Field("broken: it stays dark", choices=("none", "broken"))}),
    "shut_down": Verb("an orderly end of the recorder, as the service manager asks for it"),
}
