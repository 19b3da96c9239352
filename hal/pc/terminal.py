"""The terminal as a device: keys without Enter, a status line, and its settings as they were when all is over.

Responsible for raw bytes in and whole lines out. Refuses to know buttons and lamps.

Invariant: the terminal's settings are restored however the process ends. An orderly end does it itself; beside it waits a shell that
does it when this process is gone, killed or crashed (a pipe tells it, which the kernel closes for the dead).
"""

from __future__ import annotations

import os
import subprocess
import termios
import threading
import tty
from typing import TextIO

from hal.errors import HalUnavailable

STDIN = "-"
_KEYS = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
"""For writing too: a FIFO that nobody else has open for writing would be at its end."""
_CLEAR = "\r\x1b[2K"
_WRAP_OFF, _WRAP_ON = "\x1b[?7l", "\x1b[?7h"
"""A line that is too long for the terminal is cut by it: two lines could not be written over."""


class KeyInput:
    """Bytes of a keyboard, FIFO or pipe. ``stdin`` as ``-``."""

    def __init__(self, name: str) -> None:
        self._owned = name != STDIN
        try:
            self.descriptor = os.open(name, _KEYS) if self._owned else 0
            os.fstat(self.descriptor)
        except OSError as error:
            raise HalUnavailable(
                f"no keyboard at {name!r}: {error.strerror}; give a terminal or a FIFO, or - for standard input"
            ) from error
        self._saved: list[object] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        if os.isatty(self.descriptor):
            self._guard = _guard(os.ttyname(self.descriptor))
            self._saved = termios.tcgetattr(self.descriptor)
            tty.setcbreak(self.descriptor, termios.TCSANOW)  # keys without Enter and without echo; Ctrl-C stays what it is

    def read(self) -> str:
        """What is waiting. ``EOFError`` when nothing will come any more."""
        try:
            data = os.read(self.descriptor, 4096)
        except BlockingIOError:
            return ""
        except OSError as error:  # a terminal that was closed
            raise EOFError from error
        if not data:
            raise EOFError
        return data.decode("latin-1")

    def close(self) -> None:
        saved, self._saved = self._saved, None
        if saved is not None:
            try:
                termios.tcsetattr(self.descriptor, termios.TCSANOW, saved)  # type: ignore[arg-type]  # as tcgetattr gave it
            except termios.error:
                pass  # the terminal is gone, and its settings with it
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.communicate()
        if self._owned and self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _guard(terminal: str) -> subprocess.Popen[bytes] | None:
    """A shell that waits for this process to end, then gives ``terminal`` its settings back; none where there is no ``stty``.

    A session of its own: what the terminal sends to everybody (Ctrl-C, a hang-up) must not end it first.
    """
    try:
        settings = subprocess.run(["stty", "-F", terminal, "-g"], capture_output=True, text=True, check=True).stdout.strip()
        script = 'cat >/dev/null; stty -F "$1" "$2"'
        return subprocess.Popen(["/bin/sh", "-c", script, "sh", terminal, settings], stdin=subprocess.PIPE, start_new_session=True)
    except (OSError, subprocess.CalledProcessError):
        return None


class StatusLine:
    """One line that is written over again on a terminal; plain lines, one a change, anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.is_terminal = stream.isatty()
        self._shown = ""

    def show(self, text: str, bell: bool = False) -> bool:
        """Draw; whether it could be drawn."""
        with self._lock:
            text = text.replace("\n", " ")
            if text == self._shown and not bell:
                return True
            self._shown = text
            drawn = f"{_CLEAR}{_WRAP_OFF}{text}{_WRAP_ON}" + "\a" * bell
            return self._write(drawn if self.is_terminal else text + "\n")

    def close(self) -> None:
        with self._lock:
            if self.is_terminal and self._shown:
                self._write("\n")

    def _write(self, text: str) -> bool:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # a closed terminal, a closed stream
            return False
        return True
