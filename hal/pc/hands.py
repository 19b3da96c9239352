"""Buttons and dock contact on the keyboard.

Responsible for one thread that reads keys and lets each edge happen at its instant. Refuses to know what a press is for.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from hal.instants import reading_at
from hal.interfaces import ButtonEdge, ButtonName, Buttons, Clock, DockLink, DockSense
from hal.pc.fingers import Fingers
from hal.pc.looking import Looking
from hal.pc.terminal import KeyInput
from hal.posix import request_by_file

_NS = 1_000_000_000
DOCK_KEY = "d"
_LOOK_NS = _NS // 2
"""How often the dock file is looked for."""


class KeyboardDock(DockLink):
    """Docked while the key has said so, or while a file is there. Nothing is sensed: it stands for the contact of a bay."""

    def __init__(self, clock: Clock, request_file: Path | None, dock_file: Path | None = None) -> None:
        self._clock = clock
        self._request_file = request_file
        self._dock_file = dock_file
        self._by_key = False
        self._lock = threading.Lock()
        self._told = self._is_docked()
        self._subscribers: list[Callable[[DockSense], None]] = []
        self._looking = Looking(clock, self.look, _LOOK_NS) if dock_file is not None else None

    def docked(self) -> bool:
        return self._told

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        self._subscribers.append(callback)

    def request_sync(self) -> None:
        if self._request_file is not None:
            request_by_file(self._request_file)

    def toggle(self) -> None:
        """The dock key."""
        self._by_key = not self._by_key
        self.look()

    def look(self) -> None:
        """Tell a change of the contact."""
        with self._lock:
            docked = self._is_docked()
            if docked is self._told:
                return
            self._told = docked
        sense = DockSense(docked, self._clock.now())
        for each in self._subscribers:
            each(sense)

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()

    def _is_docked(self) -> bool:
        return self._by_key or (self._dock_file is not None and self._dock_file.exists())


class KeyboardButtons(Buttons):
    """``dock`` hears the dock key. An edge's instant is that of the read, or of the end of the press before it."""

    def __init__(self, keys: KeyInput, clock: Clock, hold_ms: int, dock: Callable[[], None]) -> None:
        self._keys = keys
        self._clock = clock
        self._dock = dock
        self._fingers = Fingers(hold_ms * 1_000_000)
        self._pressed = dict.fromkeys(ButtonName, False)
        self._subscribers: list[Callable[[ButtonEdge], None]] = []
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="keyboard", daemon=True)
        self._thread.start()

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        self._subscribers.append(callback)

    def is_pressed(self, button: ButtonName) -> bool:
        return self._pressed[button]

    def close(self) -> None:
        if self._wake_write >= 0:
            os.close(self._wake_write)
            self._wake_write = -1
            self._thread.join()
            os.close(self._wake_read)
            self._keys.close()

    def _run(self) -> None:
        watched = [self._keys.descriptor, self._wake_read]
        while True:
            due_ns = self._fingers.next_ns()
            wait_s = None if due_ns is None else max(0.0, (due_ns - self._clock.now().boottime_ns) / _NS)
            ready, _, _ = select.select(watched, [], [], wait_s)
            if self._wake_read in ready:
                return
            if ready and not self._type():
                watched = [self._wake_read]  # no more keys; those that were typed still happen
            for edge in self._fingers.due(self._clock.now().boottime_ns):
                self._pressed[edge.button] = edge.pressed
                told = ButtonEdge(edge.button, edge.pressed, reading_at(self._clock, edge.at_ns))
                for each in self._subscribers:
                    each(told)

    def _type(self) -> bool:
        try:
            keys = self._keys.read()
        except EOFError:
            return False
        at_ns = self._clock.now().boottime_ns
        self._fingers.type(keys, at_ns)
        for _ in range(keys.count(DOCK_KEY) % 2):
            self._dock()
        return True
