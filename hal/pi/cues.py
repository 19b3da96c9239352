"""Sounder and vibration motor: one cue at a time, on a thread of its own.

Responsible for the rhythm of a cue and for silence afterwards. Refuses to know what a cue means. A new cue replaces the running one;
a line that fails makes a cue that is not heard, never an error in whoever asked for it: the lamps say what counts.

The tone is lgpio's software PWM, right to some ten microseconds: a beep for a wearer, not music.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from hal.errors import DeviceFault
from hal.interfaces import Cue
from hal.loop import Loop
from hal.pi.board import PinMap
from hal.pi.gpio import Gpio

HIGHEST_HZ = 10_000
"""What lgpio's PWM takes."""


def score(cue: Cue) -> list[tuple[int, int | None, bool | None]]:
    """(ms from the start, tone in Hz from then on, motor from then on), in order; ``None`` leaves as it is. Ends in silence."""
    moments: dict[int, tuple[int | None, bool | None]] = {}
    at = 0
    for frequency, duration_ms in cue.tones:
        moments[at] = (min(frequency, HIGHEST_HZ), None)
        at += duration_ms
    if cue.tones:
        moments[at] = (0, None)
    at = 0
    for on_ms, off_ms in cue.pulses:
        moments[at] = (moments.get(at, (None, None))[0], True)
        moments[at + on_ms] = (moments.get(at + on_ms, (None, None))[0], False)
        at += on_ms + off_ms
    return [(when, *what) for when, what in sorted(moments.items())]


class CuePlayer:
    """Claims both lines; silent until :meth:`play`."""

    def __init__(self, gpio: Gpio, pins: PinMap) -> None:
        from gpiozero import DigitalOutputDevice, PWMOutputDevice

        self._gpio = gpio
        with gpio.claiming("sounder", pins.sounder):
            self._sounder: Any = PWMOutputDevice(pins.sounder, frequency=1000, pin_factory=gpio.factory)
            # No frequency, no PWM: else lgpio would count pulses of no length all day.
            self._sounder.frequency = None
        with gpio.claiming("vibration motor", pins.vibration):
            self._motor: Any = DigitalOutputDevice(pins.vibration, pin_factory=gpio.factory)
        self._changed = threading.Condition()
        self._wanted: Cue | None = None
        self._loop = Loop("cues", self._step, self._wake)
        self._loop.start()

    def play(self, cue: Cue) -> None:
        """Start it in place of the one that is running, and return."""
        with self._changed:
            self._wanted = cue
            self._changed.notify()

    def close(self) -> None:
        self._loop.close()
        self._be_silent()
        with self._gpio.translated("sounder and motor"):
            self._sounder.close()
            self._motor.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _step(self) -> None:
        with self._changed:
            while self._wanted is None and not self._loop.stopping.is_set():
                self._changed.wait()
            cue, self._wanted = self._wanted, None
        if cue is None:
            return
        begin = time.monotonic()
        self._be_silent()
        for at_ms, frequency, moving in score(cue):
            if not self._wait_until(begin + at_ms / 1000):
                break
            self._set(frequency, moving)
        else:
            return
        self._be_silent()

    def _wait_until(self, instant: float) -> bool:
        """``False`` when the cue is to end here: there is another, or the player closes."""
        with self._changed:
            while self._wanted is None and not self._loop.stopping.is_set():
                left = instant - time.monotonic()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False

    def _set(self, frequency: int | None, moving: bool | None) -> None:
        with suppress(DeviceFault), self._gpio.translated("sounder and motor"):
            if frequency:
                self._sounder.frequency = frequency
                self._sounder.value = 0.5
            elif frequency == 0:
                self._sounder.frequency = None
                self._sounder.value = 0
            if moving is not None:
                self._motor.value = moving

    def _be_silent(self) -> None:
        self._set(0, False)
