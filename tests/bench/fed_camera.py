"""A camera that is fed ready-made coded pictures, behind the product's queue; as a program, the product's capture process around it.

    python fed_camera.py DESCRIPTOR

What is left out is what stands before the encoder's output: sensor, picamera2, encoder. What stays is the way of a picture from there to
the recorder: queue, delivering thread, wire. A minute of pictures comes :data:`SPEED` times as fast as in life, one at a time, so that
each of them wakes who waits for it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Mapping

from hal.instants import reading_at
from hal.interfaces import Camera, CameraProgress, CameraSink, Clock, LumaPicture, Picture, VideoFormat
from hal.pi import capture_process
from hal.pi.board import Board
from hal.pi.camera import CameraOptions
from hal.pi.capture_wire import Wire
from hal.pi.pictures import Coded, ParameterSets, PictureQueue

FPS, SECONDS, SPEED = 30, 60, 10
BITRATE_BPS = 4_000_000
_IDR = 5
"""An IDR picture has as many bytes as so many others."""


class FedCamera(Camera):
    """Delivers one minute of pictures, then tells what processor time that took as the reason of a fault."""

    def __init__(self, board: Board, clock: Clock, options: CameraOptions | None = None) -> None:
        self._clock = clock
        self._queue = PictureQueue()
        self._progress = CameraProgress()
        self._small: LumaPicture | None = None

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        self._cpu_s = time.process_time()
        threading.Thread(target=self._feed, daemon=True).start()
        threading.Thread(target=self._deliver, args=(sink,), daemon=True).start()

    def _feed(self) -> None:
        each = BITRATE_BPS // 8 // (FPS - 1 + _IDR)
        idr, other = (b"\0\0\0\1\x67\0\0\0\1\x68\0\0\0\1\x65" + os.urandom(_IDR * each), b"\0\0\0\1\x41" + os.urandom(each))
        grey = bytes(320 * 180)
        due = time.monotonic()
        for number in range(FPS * SECONDS):
            now = self._clock.now()
            if number % FPS == 0:
                self._small = LumaPicture(320, 180, grey, now)
            self._progress = CameraProgress(False, now.boottime_ns, now.boottime_ns)
            self._queue.offer(Coded(idr if number % FPS == 0 else other, number % FPS == 0, now.boottime_ns // 1000))
            due += 1 / FPS / SPEED
            time.sleep(max(0.0, due - time.monotonic()))

    def _deliver(self, sink: CameraSink) -> None:
        """As ``hal.pi.camera``'s own thread does."""
        sets = ParameterSets()
        for _ in range(FPS * SECONDS):
            coded = self._queue.take()
            assert coded is not None
            data = sets.complete(coded.data) if coded.keyframe else coded.data
            sink.picture(Picture(data, coded.keyframe, reading_at(self._clock, coded.sensor_us * 1000)))
        sink.camera_fault(str(time.process_time() - self._cpu_s))

    def stop(self) -> None:
        """Nothing to stop: it ends by itself."""

    def restart_encoder(self) -> None:
        raise AssertionError("there is no encoder")

    def progress(self) -> CameraProgress:
        return self._progress

    def low_resolution(self) -> LumaPicture | None:
        return self._small

    def set_bitrate(self, bitrate_bps: int) -> None:
        raise AssertionError("there is no encoder")

    def describe(self) -> Mapping[str, str]:
        return {"sensor": "fed"}


def main() -> None:
    capture_process.PiCamera = FedCamera  # type: ignore[misc, assignment]
    capture_process._TELL_S /= SPEED
    capture_process.serve(Wire(socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
