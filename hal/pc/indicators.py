"""Lamps, tones and vibration in a terminal.

Responsible for one line that shows both lamps, what the daemon says of itself and the last cue in words; on anything but a terminal,
one plain line per change. Refuses to know what a colour means.

Invariant: a lamp reads back as lit only while the line that shows it was really written (BWC-POL-13).
"""

from __future__ import annotations

import threading

from hal.interfaces import Colour, Cue, Indicators, Lamp, LampName, Watchdog
from hal.pc.terminal import StatusLine

_LONG_MS = 300
_ANSI = {Colour.OFF: "90", Colour.GREEN: "32", Colour.AMBER: "33", Colour.RED: "1;31", Colour.BLUE: "34"}


def cue_words(cue: Cue) -> str:
    """What would be said, heard and felt: words, pitches in Hz, and pulses as the wearer counts them."""
    tones = " ".join(str(hertz) for hertz, _ in cue.tones if hertz)
    pulses = " ".join("long" if on_ms >= _LONG_MS else "short" for on_ms, _ in cue.pulses)
    said = f"said {cue.words!r}" if cue.words else ""
    return ", ".join(part for part in (said, f"heard {tones} Hz" if tones else "", f"felt {pulses}" if pulses else "") if part)


def lamp_words(lamp: Lamp) -> str:
    return lamp.colour.value + (" blinking" if lamp.blink_ms and lamp.colour is not Colour.OFF else "")


class TerminalIndicators(Indicators):
    """Called from the daemon's loop; the line may be redrawn from anywhere."""

    def __init__(self, line: StatusLine) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._lamps = dict.fromkeys(LampName, Lamp())
        self._lit = dict.fromkeys(LampName, Colour.OFF)
        self._state = ""
        self._cue = ""

    def set_lamp(self, name: LampName, lamp: Lamp) -> None:
        with self._lock:
            changed = lamp != self._lamps[name] or self._lit[name] is not lamp.colour
            self._lamps[name] = lamp
            if self._line.is_terminal:
                self._draw()
            elif changed:
                drawn = self._line.show(f"{name.value} lamp: {lamp_words(lamp)}")
                self._lit[name] = lamp.colour if drawn else Colour.OFF

    def play(self, cue: Cue) -> None:
        with self._lock:
            words = cue_words(cue)
            self._cue = words or self._cue
            if self._line.is_terminal:
                self._draw(bell=bool(cue.tones))
            elif words:
                self._line.show(f"cue: {words}")

    def read_back(self, name: LampName) -> Colour:
        return self._lit[name]

    def show_state(self, text: str) -> None:
        """What the daemon says of itself, once a second; in a log only what comes before the ';', and only when it changes."""
        with self._lock:
            before, self._state = self._state, text
            if self._line.is_terminal:
                self._draw()
            elif text.partition(";")[0] != before.partition(";")[0]:
                self._line.show(f"state: {text}")

    def _draw(self, bell: bool = False) -> None:
        lamps = [f"{name.value} \x1b[{_ANSI[lamp.colour]}m● {lamp_words(lamp)}\x1b[0m" for name, lamp in self._lamps.items()]
        drawn = self._line.show("  ".join([*lamps, *filter(None, (self._state, self._cue))]), bell)
        self._lit = {name: lamp.colour if drawn else Colour.OFF for name, lamp in self._lamps.items()}


class ShownWatchdog(Watchdog):
    """The service manager, and the line beside it."""

    def __init__(self, real: Watchdog, indicators: TerminalIndicators) -> None:
        self._real = real
        self._indicators = indicators

    def ready(self) -> None:
        self._real.ready()

    def feed(self) -> None:
        self._real.feed()

    def status(self, text: str) -> None:
        self._real.status(text)
        self._indicators.show_state(text)

    def stopping(self) -> None:
        self._real.stopping()
        self._indicators.show_state("stopping")
