"""A serial port that may go away and come back, through pyserial.

Responsible for opening it for this process alone, for opening it again with growing pauses, and for turning what pyserial and the
kernel raise into "nothing came" and "not sent". Refuses to know what is said. One thread reads and writes; :meth:`close` may be
called from another once that thread has ended, or from it.

An unplugged adapter is ready to be read and has no bytes: pyserial makes that a ``SerialException``. A gadget's port whose cable is
out does the same at once and again after each opening, which is what the pauses are for.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from hal.errors import HalUnavailable

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
"""A bay's port appears when a camera is put in, and its hint is wanted within seconds; asking for an absent node costs one system call."""
GOOD_FOR_S = 2.0
"""A port that lasted so long was not lost in its opening: the pauses begin anew."""


class SerialLine:
    """8N1, no flow control. ``timeout_s`` bounds each wait. ``HalUnavailable`` when pyserial is missing; an absent port is waited for."""

    def __init__(self, device: Path, baud: int, timeout_s: float = 0.25) -> None:
        try:
            import serial
        except ImportError as error:
            raise HalUnavailable(f"serial port {str(device)!r} needs the library {error.name!r}; install pyserial") from error
        import termios

        self._serial = serial
        # termios.error is no OSError, and pyserial lets it through while it sets a port up.
        self._errors = (OSError, termios.error)
        self.device, self._baud, self._timeout_s = device, baud, timeout_s
        self._port: Any = None
        self._pause_s = FIRST_PAUSE_S
        self._opened_s = self._again_s = 0.0
        self._closing = threading.Event()
        self.trouble = ""
        """Why it is not open; empty while it is."""

    @property
    def is_open(self) -> bool:
        return self._port is not None

    def read(self, limit: int = 4096) -> bytes:
        """What has come, after waiting for the first byte; empty when nothing has, or the port is away."""
        if not self._ready():
            self._closing.wait(min(self._timeout_s, max(0.0, self._again_s - time.monotonic())))
            return b""
        try:
            first = self._port.read(1)
            return bytes(first + self._port.read(min(limit - 1, self._port.in_waiting))) if first else b""
        except self._errors as error:
            self._lost(error)
            return b""

    def write(self, data: bytes) -> bool:
        """Whether all of it went out. A port that takes nothing (a gadget without a host) stays open."""
        if not self._ready():
            return False
        try:
            return bool(self._port.write(data) == len(data))
        except self._serial.SerialTimeoutException:
            return False
        except self._errors as error:
            self._lost(error)
            return False

    def interrupt(self) -> None:
        """End a pause of :meth:`read` in another thread; a wait for bytes ends by its time-out."""
        self._closing.set()

    def close(self) -> None:
        self._closing.set()
        self._drop()

    def rest(self) -> None:
        """Close the port until it is used again."""
        self._drop()
        self.trouble = ""

    def _ready(self) -> bool:
        """Open, or opened now if it is time to try again."""
        if self._port is None and not self._closing.is_set() and time.monotonic() >= self._again_s:
            try:
                self._port = self._serial.Serial(
                    str(self.device), self._baud, timeout=self._timeout_s, write_timeout=self._timeout_s, exclusive=True
                )
                self._opened_s, self.trouble = time.monotonic(), ""
            except self._errors as error:
                self._lost(error)
        return self._port is not None

    def _lost(self, error: Exception) -> None:
        now = time.monotonic()
        lasted = self._port is not None and now - self._opened_s > GOOD_FOR_S
        self._pause_s = FIRST_PAUSE_S if lasted else min(LONGEST_PAUSE_S, 2 * self._pause_s)
        self._again_s = now + self._pause_s
        self.trouble = str(error)
        self._drop()

    def _drop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            try:
                port.close()
            except self._errors:
                return
