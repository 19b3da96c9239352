"""The serial port of the dock's cable, camera's end and dock's end through pyserial; the cable pulled and plugged again."""

from __future__ import annotations

import time
from pathlib import Path

import guest
import serial

BAUD = 115_200


def both() -> tuple[serial.Serial, serial.Serial]:
    """(camera's end, dock's end)."""
    ends = [Path("/dev/ttyGS0"), Path("/dev/ttyACM0")]
    guest.wait("both ends", lambda: all(end.exists() for end in ends))
    camera, dock = (serial.Serial(str(end), BAUD, timeout=2, exclusive=True) for end in ends)
    return camera, dock


def exchange(camera: serial.Serial, dock: serial.Serial) -> list[str]:
    camera.write(b"hello from the camera\n")
    heard = [dock.readline().decode().strip()]
    dock.write(b"hello from the dock\n")
    return [*heard, camera.readline().decode().strip()]


def run() -> None:
    cable = guest.Cable()
    cable.plug()
    camera, dock = both()
    first = exchange(camera, dock)
    began = time.monotonic()
    cable.pull()
    try:
        dock.read(1)
        pulled = "silence"
    except (serial.SerialException, OSError) as error:
        pulled = type(error).__name__
    noticed_s = time.monotonic() - began
    dock.close()
    camera.close()
    guest.wait("the dock's end is gone", lambda: not Path("/dev/ttyACM0").exists())
    cable.plug()
    camera, dock = both()
    guest.report(first=first, second=exchange(camera, dock), pulled=pulled, noticed_s=noticed_s)
