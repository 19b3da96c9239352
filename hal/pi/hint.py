"""The camera's end of the dock's serial hint channel.

Responsible for saying HELLO and STATE while the dock contact is closed, and for keeping the bay's address where the dock-sync process
looks: one line in a volatile file beside the sync request. Refuses every other effect (BWC-POL-07); undocked, the port is closed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hal.hint import BadHint, Bay, Hello, LineReader, State, encode
from hal.loop import Loop
from hal.serial_line import SerialLine

HELLO_EVERY_S = 1.0
"""Until a bay answers."""


class HintChannel:
    """``hello`` is asked at each docking. One thread owns the port and the file."""

    def __init__(self, line: SerialLine, file: Path, hello: Callable[[], Hello], hello_every_s: float = HELLO_EVERY_S) -> None:
        self._line, self._file, self._hello, self._every_s = line, file, hello, hello_every_s
        self._changed = threading.Condition()
        self._docked = False
        self._visits = self._visit = 0
        self._state = ""
        self._said_state = ""
        self._next_hello_s = 0.0
        self._reader = LineReader()
        self._forget()
        self._loop = Loop("dock hint", self._step, self._wake)
        self._loop.start()

    def set_docked(self, docked: bool) -> None:
        """Called from any thread; returns at once."""
        with self._changed:
            self._visits += docked
            self._docked = docked
            self._state = "docked" if docked else ""
            self._changed.notify()

    def set_state(self, state: str) -> None:
        """What STATE says from now on, while docked."""
        with self._changed:
            self._state = state if self._docked else ""

    def close(self) -> None:
        self._loop.close()
        self._line.close()
        self._forget()

    def _wake(self) -> None:
        self._line.interrupt()
        with self._changed:
            self._changed.notify()

    def _step(self) -> None:
        with self._changed:
            docked, state, visit = self._docked, self._state, self._visits
        if not docked or visit != self._visit:  # another dock, perhaps: what the last one said is void
            self._visit = visit
            self._rest()
            return
        self._speak(state)
        for message in self._reader.feed(self._line.read(), time.monotonic()):
            if isinstance(message, Bay):
                self._keep(message)
                if self._next_hello_s != float("inf"):  # somebody listens now; what was said before may have been to nobody
                    self._next_hello_s, self._said_state = float("inf"), ""

    def _rest(self) -> None:
        """Nothing is read and nothing said until the contact closes."""
        self._line.rest()
        self._forget()
        self._reader, self._said_state, self._next_hello_s = LineReader(), "", 0.0
        with self._changed:
            if not self._docked and not self._loop.stopping.is_set():
                self._changed.wait()

    def _speak(self, state: str) -> None:
        """HELLO until a bay has answered, STATE when it is a new one; what did not go out is said again later."""
        now = time.monotonic()
        if now >= self._next_hello_s:
            with suppress(BadHint):  # an identity that does not fit a line stays unsaid
                self._line.write(encode(self._hello()))
            self._next_hello_s = now + self._every_s
        if state != self._said_state and self._line.write(encode(State(state))):
            self._said_state = state

    def _keep(self, bay: Bay) -> None:
        """Whole or not at all. A directory that takes no file makes a hint that is not there, and costs the hint alone."""
        temporary = self._file.with_name(self._file.name + ".new")
        with suppress(OSError):
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(bay))
            temporary.replace(self._file)

    def _forget(self) -> None:
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
