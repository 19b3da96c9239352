"""Contacts to ground, debounced here, with the kernel's own time of the first touch.

Responsible for lines that close to ground: pull-up, active low, one report per change. Refuses to know what a contact means.

lgpio can debounce, but in its own thread, and it then stamps a change with the *last* change of the chatter plus the quiet time
(joan2937/lg, lgPthAlerts.c): when the contact was first touched is lost. So the raw edges are taken through gpiozero's pin, each
with the kernel's time of its interrupt, and debounced by :class:`hal.debounce.Debouncer`. ``InputDevice`` and not ``Button``,
whose thread for holds would wake ten times a second: the machine times holds.

Threads: lgpio's thread, which dies of any exception in a callback, only puts an item into a queue; reports come from one thread
of this object, in order.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from hal.debounce import Debouncer
from hal.errors import DeviceFault
from hal.loop import Loop
from hal.pi.gpio import Gpio

K = TypeVar("K")
_NS = 1_000_000_000


class _Line(Generic[K]):
    """One line. gpiozero keeps only a weak reference to :meth:`edge`, so the line must be kept."""

    def __init__(self, name: K, device: Any, put: Callable[[tuple[K, int, bool]], None]) -> None:
        self._name, self._put = name, put
        self.device = device
        self.debouncer: Debouncer

    def edge(self, ticks: float, state: int) -> None:
        """Called by lgpio's thread; ``ticks`` are seconds of CLOCK_MONOTONIC, the kernel's stamp of the interrupt."""
        self._put((self._name, round(ticks * _NS), not state))


class Contacts(Generic[K]):
    """``report(name, closed, monotonic_ns)`` is called from one thread, for every change that was quiet for ``quiet_ms``."""

    def __init__(self, gpio: Gpio, pins: Mapping[K, int], quiet_ms: int, report: Callable[[K, bool, int], None], what: str) -> None:
        self._gpio, self._report = gpio, report
        self._edges: queue.SimpleQueue[tuple[K, int, bool] | None] = queue.SimpleQueue()
        self._lines: dict[K, _Line[K]] = {}
        for name, pin in pins.items():
            with gpio.claiming(what, pin):
                self._lines[name] = self._claim(name, pin, quiet_ms * 1_000_000)
        self._loop = Loop(what, self._step, lambda: self._edges.put(None))
        self._loop.start()

    def _claim(self, name: K, pin: int, quiet_ns: int) -> _Line[K]:
        from gpiozero import InputDevice

        device = InputDevice(pin, pull_up=True, pin_factory=self._gpio.factory)
        line = _Line(name, device, self._edges.put)
        device.pin.bounce = None
        device.pin.edges = "both"
        device.pin.when_changed = line.edge
        # Read once edges are watched: what changed before is the level, what changes later is an edge.
        line.debouncer = Debouncer(bool(device.is_active), quiet_ns)
        return line

    def closed(self, name: K) -> bool:
        """The level as last reported, or as found when it was opened."""
        return self._lines[name].debouncer.level

    def close(self) -> None:
        self._loop.close()
        with self._gpio.translated("contacts"):
            for line in self._lines.values():
                line.device.close()

    def _step(self) -> None:
        """Take every edge that has come, then settle what has been quiet since."""
        due = [each for line in self._lines.values() if (each := line.debouncer.due_ns) is not None]
        wait_s = max(0, min(due) - time.monotonic_ns()) / _NS if due else None
        with suppress(queue.Empty):
            while (edge := self._edges.get(timeout=wait_s)) is not None:
                name, at_ns, closed = edge
                self._lines[name].debouncer.changed(at_ns, closed)
                wait_s = 0
        now_ns = time.monotonic_ns()
        for name, line in self._lines.items():
            self._settle(name, line.debouncer, line.device, now_ns)

    def _settle(self, name: K, debouncer: Debouncer, device: Any, now_ns: int) -> None:
        due_ns = debouncer.due_ns
        if due_ns is None or due_ns > now_ns:
            return
        found: bool | None = None
        with suppress(DeviceFault), self._gpio.translated("contacts"):
            found = bool(device.is_active)
        first_ns = debouncer.settle(now_ns, found)
        if first_ns is not None:
            self._report(name, debouncer.level, first_ns)
