"""What an unmodified picamera2 needs to drive libcamera's virtual camera, which is no Raspberry Pi's. Runs inside the sid root.

Three differences are bridged, all below picamera2: the virtual camera refuses the raw role that picamera2 asks for while it opens;
it writes the chroma of NV12 through a second plane, where picamera2 gives one; and it completes a request the moment it is queued,
so that without a clock there would be thousands of pictures a second. A tick of that clock without a waiting request is a picture
that a sensor would have lost.
"""

from __future__ import annotations

import collections
import sys
import threading
import time
import types
from typing import Any

import libcamera

FPS = 30.0


class FrameClock(threading.Thread):
    """Hands queued requests to the camera, one a tick; a starved process skips whole ticks and never bursts."""

    def __init__(self, queue: Any) -> None:
        super().__init__(name="frame-clock", daemon=True)
        self._queue = queue
        self._waiting: collections.deque[Any] = collections.deque()
        self._ended = threading.Event()
        self.lost = self.sent = 0

    def put(self, request: Any) -> None:
        self._waiting.append(request)

    def run(self) -> None:
        tick = time.monotonic()
        while not self._ended.is_set():
            tick += 1 / FPS
            late = time.monotonic() - tick
            if late > 0:
                skipped = int(late * FPS) + 1
                self.lost += skipped
                tick += skipped / FPS
            self._ended.wait(max(0.0, tick - time.monotonic()))
            if self._ended.is_set():
                return
            if self._waiting:
                self._queue(self._waiting.popleft())
                self.sent += 1
            else:
                self.lost += 1

    def end(self) -> None:
        self._ended.set()
        self.join(2)
        self._waiting.clear()


clocks: dict[str, FrameClock] = {}
"""The running clock of each camera, or the last one."""


class _Names:
    """Has every name."""

    def __getattr__(self, name: str) -> str:
        return name


def install() -> None:
    """Before picamera2 is imported. ``pykms`` is a module of names only: there is no display."""
    camera, buffer = libcamera.Camera, libcamera.FrameBuffer
    generate, queue, start, stop = camera.generate_configuration, camera.queue_request, camera.start, camera.stop

    def generate_configuration(self: Any, roles: list[Any]) -> Any:
        video, raw = libcamera.StreamRole.VideoRecording, libcamera.StreamRole.Raw
        return generate(self, [video if role == raw else role for role in roles])

    def two_planes(planes: list[Any]) -> Any:
        if len(planes) == 1:
            luma, chroma = planes[0], buffer.Plane()
            whole = luma.length
            luma.length = whole * 2 // 3
            chroma.fd, chroma.offset, chroma.length = luma.fd, luma.length, whole - luma.length
            planes = [luma, chroma]
        return buffer(planes)

    def start_camera(self: Any, *controls: Any, **named: Any) -> Any:
        clock = clocks[self.id] = FrameClock(lambda request: queue(self, request))
        result = start(self, *controls, **named)
        clock.start()
        return result

    def stop_camera(self: Any) -> Any:
        if self.id in clocks:
            clocks[self.id].end()
        return stop(self)

    two_planes.Plane = buffer.Plane  # type: ignore[attr-defined]
    camera.generate_configuration, libcamera.FrameBuffer = generate_configuration, two_planes
    camera.start, camera.stop = start_camera, stop_camera
    camera.queue_request = lambda self, request: clocks[self.id].put(request)
    display = types.ModuleType("pykms")
    display.__getattr__ = lambda name: _Names()  # type: ignore[method-assign,assignment]
    sys.modules["pykms"] = display
