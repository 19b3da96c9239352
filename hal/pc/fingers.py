"""Keys as fingers: bytes of a terminal to the edges of two buttons.

Responsible for how long a key presses, since a terminal tells when a key goes down and never when it comes up. Refuses to know
terminals, threads and clocks: instants are arguments.

    space        record button, pressed briefly        h  record button, held
    m, f         function button, pressed briefly      M, F  function button, held

A key that is held down repeats itself after half a second or so, and nothing tells a repetition from a second press but its pace:
what follows a key within :data:`REPEAT_NS` belongs to it and is ignored. So leaning on the space bar is one press, then another; it may
start a recording, and can never end one. Bytes that arrive together were typed ahead (by a script, through a pipe) and are pressed one
after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hal.interfaces import ButtonName

_MS = 1_000_000
TAP_NS = 80 * _MS
PAUSE_NS = 120 * _MS
"""Between two presses of one button: longer than any policy takes for a bounce, short enough for a double press."""
REPEAT_NS = 70 * _MS
"""Keyboards repeat every 25 to 40 ms; nobody presses twice as fast."""
AHEAD_NS = 4_000 * _MS
"""Presses that would begin later than this are not made: nobody wants yesterday's keys."""

_RECORD, _FUNCTION = ButtonName.RECORD, ButtonName.FUNCTION
KEYS: Mapping[str, tuple[ButtonName, bool]] = {
    " ": (_RECORD, False),
    "h": (_RECORD, True),
    "H": (_RECORD, True),
    "m": (_FUNCTION, False),
    "f": (_FUNCTION, False),
    "M": (_FUNCTION, True),
    "F": (_FUNCTION, True),
}
"""Key to (button, held)."""
LEGEND = "space: record button, twice to start    h: hold it, to stop    m: function button (M: held)    d: into the dock, and out"


@dataclass(frozen=True, slots=True)
class Edge:
    button: ButtonName
    pressed: bool
    at_ns: int


class Fingers:
    """Edges that are due, in order of their instants."""

    def __init__(self, hold_ns: int) -> None:
        self._hold_ns = hold_ns
        self._planned: list[Edge] = []
        self._free_ns = dict.fromkeys(ButtonName, 0)
        self._last = ("", 0)

    def type(self, keys: str, at_ns: int) -> None:
        """Keys that were read at one instant."""
        before, before_ns = self._last
        for key in keys:
            repeats = key == before and 0 < at_ns - before_ns < REPEAT_NS
            if key in KEYS and not repeats:
                self._press(*KEYS[key], at_ns)
            self._last = (key, at_ns)

    def due(self, now_ns: int) -> list[Edge]:
        """Take the edges whose instant has come."""
        found = [edge for edge in self._planned if edge.at_ns <= now_ns]
        self._planned = self._planned[len(found) :]
        return found

    def next_ns(self) -> int | None:
        """When the next edge is due."""
        return self._planned[0].at_ns if self._planned else None

    def _press(self, button: ButtonName, held: bool, at_ns: int) -> None:
        begin_ns = max(at_ns, self._free_ns[button])
        if begin_ns - at_ns > AHEAD_NS:
            return
        end_ns = begin_ns + (self._hold_ns if held else TAP_NS)
        self._free_ns[button] = end_ns + PAUSE_NS
        self._planned = sorted([*self._planned, Edge(button, True, begin_ns), Edge(button, False, end_ns)], key=lambda edge: edge.at_ns)
