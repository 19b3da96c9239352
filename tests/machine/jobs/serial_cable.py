"""The hint channel over the dock's cable, camera's class and dock's class, real gadget and real host driver; pulled and plugged again."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import guest

from hal.hint import BAUD, HINT_FILE, Bay, Hello, decode
from hal.pi.hint import HintChannel
from hal.serial_line import SerialLine
from tools.dock.hint import HintResponder

FILE = Path("/run") / HINT_FILE


def kept() -> dict[str, object]:
    """What dock sync would read."""
    guest.wait("the bay's address", FILE.exists)
    return asdict(decode(FILE.read_bytes()))


def run() -> None:
    cable = guest.Cable()
    cable.plug()
    said: list[str] = []
    camera = HintChannel(SerialLine(cable.CAMERA_SERIAL, BAUD), FILE, lambda: Hello(guest.SERIAL, "0.1.0", 7), hello_every_s=0.5)
    dock = HintResponder(SerialLine(cable.DOCK_SERIAL, BAUD), Bay("dock-1", 3, cable.DOCK_ADDRESS, 7443), said.append)
    camera.set_docked(True)
    first = kept()
    guest.wait("the camera's state", lambda: any("docked" in line for line in said))
    heard = list(said)
    said.clear()
    began = time.monotonic()
    cable.pull()
    noticed = guest.wait("the dock sees the pulled cable", lambda: next((line for line in said if str(cable.DOCK_SERIAL) in line), ""))
    noticed_s = time.monotonic() - began
    camera.set_docked(False)
    guest.wait("the hint is forgotten", lambda: not FILE.exists())
    cable.plug()
    camera.set_docked(True)
    second = kept()
    camera.close()
    dock.close()
    classes = Path("/proc/devices").read_text().split()
    guest.report(classes=classes, first=first, second=second, heard=heard, noticed=noticed, noticed_s=noticed_s, left=FILE.exists())
