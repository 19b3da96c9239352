"""The hand on the FAKE header of another process: contacts through a datagram socket, outputs in a log. Test code.

``OATHCAM_HEADER`` names the socket; ``OATHCAM_HEADER.log`` beside it gets a line for every change of an output: CLOCK_BOOTTIME in ns, GPIO,
level or duty. ``OATHCAM_HEADER_BOARD`` says whose controller and wiring they are; without it those of the Zero 2 W.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import lgpio

from hal.pi.board import BOARDS

BOARD = BOARDS[os.environ.get("OATHCAM_HEADER_BOARD", "zero2w")]


def serve(path: Path) -> None:
    """A header after power on, with a hand on it."""
    lgpio.reset({0: BOARD.chip_label})
    lgpio.circuits.append(_lamp)
    log = path.with_name(path.name + ".log").open("a", buffering=1)
    lgpio.watchers.append(lambda gpio, value: log.write(f"{time.clock_gettime_ns(time.CLOCK_BOOTTIME)} {gpio} {value}\n"))
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))

    def run() -> None:
        while True:
            order = json.loads(receiver.recv(4096))
            lgpio.wire(order["gpio"], 0 if order["closed"] else None)

    threading.Thread(target=run, daemon=True, name="header").start()


def _lamp(gpio: int, level: int) -> None:
    """Current through the subject lamp pulls the sense line down."""
    if gpio == BOARD.build.pins.subject_lamp:
        lgpio.wire(BOARD.build.pins.subject_sense, 0 if level else None)
