"""What the Pi's back-end costs beside sensor and encoder: the process boundary, the small picture, the burnt-in time.

Processor time only, each beside a peer in the same run: the boundary against the same pictures in one process, the small picture and the
stamp against the plainest way that OpenCV has for the same.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from firmware.lens import measure
from firmware.machine.picture_health import LensState, judge
from hal.interfaces import Camera, ClockReading, ClockTrust, LumaPicture, Picture, VideoFormat
from hal.luma import Stamp, shrink
from hal.pi.board import BOARDS
from hal.pi.process_camera import ProcessCamera
from hal.pi.spawn import CaptureProcess
from hal.posix import PosixClock
from tests.bench.fed_camera import FPS, SECONDS, FedCamera

BOARD = BOARDS["zero2w"]
EPOCH_NS = 1_790_000_000 * 10**9


class Counter:
    """The recorder's end: counts."""

    def __init__(self) -> None:
        self.pictures = 0
        self.there_s = 0.0
        self.ended = threading.Event()

    def picture(self, picture: Picture) -> None:
        self.pictures += 1

    def camera_fault(self, reason: str) -> None:
        self.there_s = float(reason)
        self.ended.set()


def in_one_process() -> float:
    """CPU seconds for a minute of pictures, queue and threads included."""
    clock = PosixClock()
    counter = _fed(FedCamera(BOARD, clock))
    clock.close()
    return counter.there_s


def through_the_wire() -> tuple[float, float]:
    """The same by way of a capture process: CPU seconds there and in this process."""
    clock = PosixClock()
    ours, theirs = socket.socketpair()
    command = [sys.executable, str(Path(__file__).with_name("fed_camera.py")), str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
    theirs.close()
    camera = ProcessCamera(BOARD, clock, None, CaptureProcess(process, ours))
    before = time.process_time()
    counter = _fed(camera)
    here_s = time.process_time() - before
    camera.close()
    clock.close()
    return counter.there_s, here_s


def _fed(camera: Camera) -> Counter:
    counter = Counter()
    camera.start(VideoFormat(1280, 720, FPS, 4_000_000, FPS), counter)
    if not counter.ended.wait(SECONDS) or counter.pictures != FPS * SECONDS:
        sys.exit(f"bench: {counter.pictures} of {FPS * SECONDS} pictures came")
    return counter


def luma_ms() -> dict[str, tuple[float, float]]:
    """CPU milliseconds per 720p picture, ours and OpenCV's: the small picture, and the stamp, drawn anew at each full second."""
    import cv2

    dice = np.random.default_rng(3)
    luma = dice.integers(0, 255, (720, 1280), np.uint8)
    stamp = Stamp(720)

    def reading(number: int) -> ClockReading:
        return ClockReading(number * 10**9 // FPS, EPOCH_NS + number * 10**9 // FPS, ClockTrust.SYNCED)

    def put_text(_number: int) -> None:
        cv2.putText(luma, "2026-09-21 12:00:00 UTC", (8, 700), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (235,), 2, cv2.LINE_AA)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    found = {
        "shrink": (
            _each_ms(lambda n: shrink(luma, reading(n))),
            _each_ms(lambda _: cv2.resize(luma, (320, 180), interpolation=cv2.INTER_AREA)),
        ),
        "stamp": (_each_ms(lambda n: stamp.burn(luma, reading(n))), _each_ms(put_text)),
    }
    cv2.setNumThreads(threads)
    return found


def picture_health_ms() -> tuple[float, float]:
    """CPU of one look at a small picture: (ours, the Laplacian's variance of the picture as it is, as recipes for blur have it)."""
    import cv2

    dice = np.random.default_rng(1)
    small = [
        LumaPicture(320, 180, dice.integers(0, 255, 320 * 180, np.uint8).tobytes(), ClockReading(n + 1, 0, ClockTrust.RTC))
        for n in range(2)
    ]
    judged = [LensState()]

    def ours(number: int) -> None:
        judged[0], _ = judge(judged[0], measure(small[number % 2], small[1 - number % 2]), number)

    def recipe(number: int) -> None:
        cv2.Laplacian(np.frombuffer(small[number % 2].data, np.uint8).reshape(180, 320), cv2.CV_64F).var()

    return _each_ms(ours), _each_ms(recipe)


def _each_ms(work: Callable[[int], object], times: int = 10 * FPS) -> float:
    work(0)
    before = time.process_time()
    for number in range(times):
        work(number)
    return (time.process_time() - before) * 1000 / times
