"""Lamps on the header: what they are told, what they really do.

Responsible for driving the subject lamp and the status lamp, for blinking, and for reading back (BWC-POL-13): the subject lamp by
its sense line, which is low while current flows through it; the status lamp, which only the wearer relies on, by its output lines.
Refuses to decide what a lamp means. Cues are played by :mod:`hal.pi.cues`.

A lamp that blinks is judged by its lit half: what was read back just before it last went dark, so that the dark half is no fault
and a lamp that broke is one within a period.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from hal.errors import DeviceFault
from hal.interfaces import Colour, Cue, Indicators, Lamp, LampName
from hal.loop import Loop
from hal.pi.board import Board, PinMap
from hal.pi.cues import CuePlayer
from hal.pi.gpio import Gpio

SETTLE_S = 0.02
"""Longest time between driving the lamp and the sense line's answer. Design: a shunt and a transistor need far less, a driver with a
soft start some milliseconds."""
_PARTS = {
    Colour.OFF: (False, False, False),
    Colour.GREEN: (False, True, False),
    Colour.AMBER: (True, True, False),
    Colour.RED: (True, False, False),
    Colour.BLUE: (False, False, True),
}
"""(red, green, blue) of a colour."""
_COLOURS = {parts: colour for colour, parts in _PARTS.items()}


class _SubjectLamp:
    """One red lamp and its sense line."""

    def __init__(self, gpio: Gpio, pins: PinMap) -> None:
        from gpiozero import DigitalOutputDevice, InputDevice

        with gpio.claiming("subject lamp", pins.subject_lamp):
            self._lamp = DigitalOutputDevice(pins.subject_lamp, pin_factory=gpio.factory)
        with gpio.claiming("subject lamp's sense line", pins.subject_sense):
            self._sense = InputDevice(pins.subject_sense, pull_up=True, pin_factory=gpio.factory)

    def drive(self, colour: Colour) -> None:
        self._lamp.value = colour is not Colour.OFF

    def sensed(self, expected: Colour) -> Colour:
        """Red while current flows, whatever the lamp was told; waits a moment for what is ``expected``."""
        end = time.monotonic() + SETTLE_S
        while True:
            found = Colour.RED if self._sense.is_active else Colour.OFF
            if (found is Colour.OFF) == (expected is Colour.OFF) or time.monotonic() > end:
                return found
            time.sleep(SETTLE_S / 10)

    def devices(self) -> list[Any]:
        return [self._lamp, self._sense]


class _StatusLamp:
    """Red, green and blue; amber is red with green."""

    def __init__(self, gpio: Gpio, pins: PinMap) -> None:
        from gpiozero import DigitalOutputDevice

        self._parts = []
        for pin in (pins.status_red, pins.status_green, pins.status_blue):
            with gpio.claiming("status lamp", pin):
                self._parts.append(DigitalOutputDevice(pin, pin_factory=gpio.factory))

    def drive(self, colour: Colour) -> None:
        for part, lit in zip(self._parts, _PARTS[colour], strict=True):
            part.value = lit

    def sensed(self, expected: Colour) -> Colour:
        """What the output lines are at; ``OFF`` for a mixture that is no colour of ours."""
        red, green, blue = (bool(part.value) for part in self._parts)
        return _COLOURS.get((red, green, blue), Colour.OFF)

    def devices(self) -> list[Any]:
        return list(self._parts)


class _Blinker:
    """One lamp's pattern. Called with the owner's lock held."""

    def __init__(self, output: _SubjectLamp | _StatusLamp) -> None:
        self.output = output
        self.lamp = Lamp()
        self.next_s: float | None = None
        """When it changes by itself, on CLOCK_MONOTONIC; ``None`` when steady."""
        self._lit = False
        self._last_seen = Colour.OFF

    def show(self, lamp: Lamp) -> None:
        self.output.drive(lamp.colour)
        # From here on, so that a lamp that could not be driven is driven when it is asked for again.
        self.lamp = lamp
        self._lit = lamp.colour is not Colour.OFF
        self._last_seen = Colour.OFF
        self.next_s = time.monotonic() + lamp.blink_ms / 1000 if self._lit and lamp.blink_ms else None

    def turn(self) -> None:
        """The next half period. Counted on from the last one, so that a late thread does not slow the pattern."""
        if self._lit:
            self._last_seen = self.output.sensed(self.lamp.colour)
        self._lit = not self._lit
        self.output.drive(self.lamp.colour if self._lit else Colour.OFF)
        half_s = self.lamp.blink_ms / 1000
        self.next_s = max((self.next_s or 0) + half_s, time.monotonic())

    def read_back(self) -> Colour:
        if self.next_s is not None and not self._lit:
            return self._last_seen
        return self.output.sensed(self.lamp.colour)


class PiIndicators(Indicators):
    """Everything is dark and silent once closed; the GPIO controller is closed after it."""

    def __init__(self, gpio: Gpio, board: Board) -> None:
        pins = board.build.pins
        self._gpio = gpio
        self._changed = threading.Condition()
        outputs: dict[LampName, _SubjectLamp | _StatusLamp] = {
            LampName.SUBJECT: _SubjectLamp(gpio, pins),
            LampName.STATUS: _StatusLamp(gpio, pins),
        }
        self._blinkers = {name: _Blinker(output) for name, output in outputs.items()}
        self._cues = CuePlayer(gpio, pins)
        self._loop = Loop("lamps", self._step, self._wake)
        self._loop.start()

    def set_lamp(self, name: LampName, lamp: Lamp) -> None:
        """Drive it now. The same lamp once more goes on as it is, in its rhythm. ``DeviceFault`` when the line cannot be driven."""
        blinker = self._blinkers[name]
        with self._changed:
            if lamp == blinker.lamp:
                return
            with self._gpio.translated(f"{name.value} lamp"):
                blinker.show(lamp)
            self._changed.notify()

    def play(self, cue: Cue) -> None:
        self._cues.play(cue)

    def read_back(self, name: LampName) -> Colour:
        with self._changed, self._gpio.translated(f"{name.value} lamp"):
            return self._blinkers[name].read_back()

    def close(self) -> None:
        self._loop.close()
        self._cues.close()
        with self._gpio.translated("lamps"):
            for blinker in self._blinkers.values():
                blinker.output.drive(Colour.OFF)
                for device in blinker.output.devices():
                    device.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _step(self) -> None:
        """Wait for the next half period of any lamp, then turn what is due. A line that fails shows when it is read back."""
        with self._changed:
            times = [each.next_s for each in self._blinkers.values() if each.next_s is not None]
            if not self._loop.stopping.is_set():
                self._changed.wait(max(0.0, min(times) - time.monotonic()) if times else None)
            for blinker in self._blinkers.values():
                if blinker.next_s is not None and blinker.next_s <= time.monotonic():
                    with suppress(DeviceFault), self._gpio.translated("lamps"):
                        blinker.turn()


def open_indicators(gpio: Gpio, board: Board) -> PiIndicators:
    """``HalUnavailable`` when a line cannot be claimed."""
    return PiIndicators(gpio, board)
