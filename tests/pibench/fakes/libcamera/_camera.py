"""FAKE libcamera, for tests: the sensor, its thread, and the manager that hands completed requests out."""

from __future__ import annotations

import collections
import os
import threading
import time
from typing import Any

import bench
import fake_video11
import numpy as np

from libcamera._shapes import (
    CONTROLS,
    MODES,
    CameraConfiguration,
    ControlId,
    ControlInfo,
    ControlType,
    FrameMetadata,
    Rectangle,
    Request,
    Size,
    StreamConfiguration,
    StreamRole,
    controls,
)

hand = bench.hand


class Camera:
    """One sensor. A tick for which no request is queued, or that the bench swallows, is a picture lost."""

    def __init__(self, manager: CameraManager, name: str) -> None:
        self._manager, self.id = manager, name
        self._acquired = self._running = False
        self._queue: collections.deque[Request] = collections.deque()
        self._thread: threading.Thread | None = None
        self._duration_us, self._sequence, self._requests = 33_333, 0, 0
        self._waits = bench.Waits()
        self._configuration: CameraConfiguration | None = None
        self.properties = {
            ControlId(key, ControlType.Integer32): value
            for key, value in {
                "Model": "imx708_wide",
                "Location": 2,
                "Rotation": 180,
                "PixelArraySize": Size(4608, 2592),
                "UnitCellSize": Size(1400, 1400),
                "ColorFilterArrangement": 0,
                "PixelArrayActiveAreas": [Rectangle(16, 24, 4608, 2592)],
            }.items()
        }

    @property
    def controls(self) -> dict[Any, ControlInfo]:
        found = {getattr(controls, name): ControlInfo(*row[1:]) for name, row in CONTROLS.items()}
        sensor = None if self._configuration is None else self._configuration.sensor_config
        if sensor is not None:
            rate = next((mode[2] for mode in MODES if Size(*mode[1]) == sensor.output_size), 56.03)
            least_us = max(int(1e6 / rate), hand.least_duration_us)
            found[controls.FrameDurationLimits] = ControlInfo(least_us, 220_535_845, 33_333)
        return found

    def generate_configuration(self, roles: list[Any]) -> CameraConfiguration:
        return CameraConfiguration([StreamConfiguration(role == StreamRole.Raw) for role in roles])

    def acquire(self) -> None:
        if self._acquired:
            raise RuntimeError("Failed to acquire camera: Device or resource busy")
        self._acquired = True

    def release(self) -> None:
        self._acquired = False

    def configure(self, configuration: CameraConfiguration) -> int:
        self._configuration = configuration
        self._requests = 0
        for each in configuration:
            each.stream.configuration = each
        return 0

    def create_request(self, cookie: int) -> Request:
        self._requests += 1
        return Request(cookie)

    def start(self, wanted: dict[Any, Any]) -> None:
        if hand.fail_start:
            raise RuntimeError(hand.fail_start)
        self._apply(wanted)
        for stream in self._configuration or ():
            if hand.film is not None and not stream.raw:
                hand.film.load(stream.size.width, stream.size.height)
        self._running, self._sequence = True, 0
        self._thread = threading.Thread(target=self._sense, daemon=True, name="fake-sensor")
        self._thread.start()

    def queue_request(self, request: Request) -> None:
        self._queue.append(request)

    def stop(self) -> None:
        self._running = False
        if self._thread is not None:
            self._thread.join()
        while self._queue:
            request = self._queue.popleft()
            request.status = Request.Status.Cancelled
            self._manager.done(request)

    def _apply(self, wanted: dict[Any, Any]) -> None:
        for control, value in wanted.items():
            hand.controls[control.name] = value
            if control.name == "FrameDurationLimits":
                self._duration_us = max(int(value[0]), self.controls[control].min)

    def _sense(self) -> None:
        """Exposures on an exact grid. This thread may come late: memory that is queued is filled without a processor all the same."""
        boot_ns, due = time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.monotonic()
        even = due
        while self._running:
            due += self._duration_us / 1e6
            boot_ns += self._duration_us * 1000
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            if early < -self._duration_us / 1e6:
                even = max(even, due - 2 * early)  # now, and as long again
            self._waits.look()
            if self._running:
                self._sequence += 1
                self._expose(boot_ns, due < even)

    def _whose(self, late: bool) -> str:
        if late:
            return bench.Loss.SENSOR
        if fake_video11.behind():
            return bench.Loss.CODEC
        starved = self._waits.recent_s() > self._requests * self._duration_us / 1e6
        return bench.Loss.STARVED if starved else bench.Loss.PRODUCT

    def _expose(self, at_ns: int, late: bool) -> None:
        if hand.swallows_picture():
            hand.lose(at_ns, bench.Loss.HAND)
            return
        if not self._queue:
            hand.lose(at_ns, self._whose(late))
            return
        request = self._queue.popleft()
        self._apply(request.wanted)
        error = hand.takes_error()
        for stream, buffer in request.buffers.items():
            _paint(stream.configuration, buffer, self._sequence)
            buffer.metadata.sequence, buffer.metadata.timestamp = self._sequence, at_ns
            buffer.metadata.status = FrameMetadata.Status.Error if error else FrameMetadata.Status.Success
        request.metadata = {controls.SensorTimestamp: at_ns, controls.FrameDuration: self._duration_us, controls.SensorTemperature: 41.0}
        if hand.takes_timestamp():
            del request.metadata[controls.SensorTimestamp]
        request.status = Request.Status.Complete
        hand.delivered += 1
        self._manager.done(request)


def _paint(configuration: StreamConfiguration, buffer: Any, number: int) -> None:
    """A gradient with a bright block that moves, or what the bench's film shows; the same scene in every stream."""
    if configuration.raw:
        return
    width, height, stride = configuration.size.width, configuration.size.height, configuration.stride
    flat = np.frombuffer(buffer.map, np.uint8)
    luma = flat[: stride * height].reshape(height, stride)
    if hand.film is not None:
        hand.film.paint(luma[:, :width], flat[stride * height :].reshape(height, stride // 2), number)
        return
    if not getattr(buffer, "painted", False):
        luma[:] = np.linspace(60, 160, stride).astype(np.uint8)[None, :] // 2 + np.linspace(30, 80, height).astype(np.uint8)[:, None]
        flat[stride * height :] = 128
        buffer.painted = True
    side, top = height // 6, height // 2
    left = number * 8 % max(1, width - side)
    luma[top : top + side, :] = 60
    luma[top : top + side, left : left + side] = 220
    luma[top + side : top + 2 * side, :width] = _noise(width, side, number)


_FIELDS: dict[tuple[int, int], np.ndarray] = {}


def _noise(width: int, height: int, number: int) -> np.ndarray:
    """Something that costs bits, without costing this machine much: one field of noise, shifted."""
    field = _FIELDS.get((width, height))
    if field is None:
        dice = np.random.default_rng(7)
        field = _FIELDS[width, height] = dice.integers(60, 140, (height, 2 * width), np.uint8)
    left = number * 37 % width
    return field[:, left : left + width]


class CameraManager:
    _only: CameraManager | None = None

    def __init__(self) -> None:
        fake_video11.install()
        self.version = "v0.0.0+fake"
        self._ready: collections.deque[Request] = collections.deque()
        self._lock = threading.Lock()
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._camera = Camera(self, "/base/soc/i2c0mux/i2c@1/imx708@1a")

    @property
    def cameras(self) -> list[Camera]:
        return [] if hand.absent else [self._camera]

    @classmethod
    def singleton(cls) -> CameraManager:
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def get(self, name: str) -> Camera:
        return next(camera for camera in self.cameras if camera.id == name)

    find = get

    def done(self, request: Request) -> None:
        with self._lock:
            self._ready.append(request)
        os.eventfd_write(self.event_fd, 1)

    def get_ready_requests(self) -> list[Request]:
        try:
            os.eventfd_read(self.event_fd)
        except BlockingIOError:
            pass
        with self._lock:
            ready = list(self._ready)
            self._ready.clear()
        return ready


class FrameBufferAllocator:
    def __init__(self, _camera: Camera) -> None:
        raise RuntimeError("this fake has no allocator of its own")
