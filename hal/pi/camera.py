"""Sensor and H.264 encoder through picamera2.

Responsible for one configuration per boot (no raw stream, YUV 4:2:0, :data:`BUFFERS` buffers: their number times the picture's length is
how long the encoder may stall before the sensor loses one), for the loop that feeds the encoder, for the sensor's own times, and for
ending within seconds whatever hangs. Refuses to judge whether pictures come in time: :meth:`PiCamera.progress` tells, the firmware judges.

Threads: ``camera-loop`` runs picamera2's callbacks and, on boards without an encoder, x264; picamera2's poll thread gives coded
pictures of the hardware; ``camera-out`` hands them to the sink. The loop is ours: picamera2's own ends, without a word, at the first
exception of a callback (measured, 0.3.38). None of picamera2's file or ring outputs is used: a full card ends them in silence.
"""

from __future__ import annotations

import gc
import logging
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import Camera, CameraProgress, CameraSink, Clock, LumaPicture, Picture, VideoFormat
from hal.luma import Stamp, shrink
from hal.pi.board import SENSORS, Board
from hal.pi.camera_setup import check_granted
from hal.pi.encoders import change_bitrate, check_video, make_encoder, make_output
from hal.pi.guard import bounded, guarded
from hal.pi.pictures import ParameterSets, PictureQueue
from hal.pi.sensor_clock import SensorClock

log = logging.getLogger("oathcam.camera")

BUFFERS = 10
LOW_RESOLUTION = (320, 180)
_NS = 1_000_000_000
_STOP_S = 2.0
_LOOP_S = 1.0
_POLL_S = 0.2
STALE_NS = _NS
"""A stage without progress for this long when the camera is stopped: the device is opened anew next time."""
_SMALL_NS = _NS
"""How often the small picture is taken."""


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """``lens_position`` in dioptres, for lenses that focus; ``None``: as ``board.SENSORS`` says. Fixed, because a lens that hunts while an
    officer runs films blur. ``rotate`` 0 or 180. ``picture_format`` is libcamera's name; "YUV420" on a Pi. ``index`` as libcamera
    counts."""

    index: int = 0
    lens_position: float | None = None
    rotate: int = 0
    picture_format: str = "YUV420"
    low_resolution: bool = True


class PiCamera(Camera):
    """One camera of this process. Opened with the first :meth:`start`, closed by :meth:`close` or after a fault."""

    def __init__(self, board: Board, clock: Clock, options: CameraOptions | None = None) -> None:
        self._board = board
        self._clock = clock
        self._options = options or CameraOptions()
        self._device: Any = None
        self._configured: VideoFormat | None = None
        self._take: _Take | None = None
        self._described: dict[str, str] = {}

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        check_video(self._board, video)
        if self._take is not None:
            raise HalError("the camera is running; stop it first")
        try:
            device = self._opened(video)
            self._take = _Take(device, self._board, self._clock, video, sink, self._options)
            self._take.begin()
        except HalError:
            take, self._take = self._take, None
            if take is not None:
                take.end()
            self._discard()
            raise
        log.info("camera started: %s", ", ".join(f"{key} {value}" for key, value in self.describe().items()))

    def stop(self) -> None:
        take, self._take = self._take, None
        if take is not None and not take.end():
            self._discard()

    def restart_encoder(self) -> None:
        if self._take is not None:
            self._take.restart_encoder()

    def progress(self) -> CameraProgress:
        take = self._take
        return CameraProgress() if take is None else CameraProgress(False, take.sensor_ns, take.encoder_ns)

    def low_resolution(self) -> LumaPicture | None:
        return None if self._take is None else self._take.small

    def set_bitrate(self, bitrate_bps: int) -> None:
        if bitrate_bps < 1:
            raise HalError(f"expected a bit rate, got {bitrate_bps!r}")
        if self._take is not None:
            self._take.set_bitrate(bitrate_bps)

    def describe(self) -> Mapping[str, str]:
        encoding = {"encoder": self._board.encoder.value, "profile": self._board.profile}
        return {"sensor": "not opened yet", **self._described, **encoding, "board": self._board.title}

    def close(self) -> None:
        self.stop()
        self._discard()

    def _opened(self, video: VideoFormat) -> Any:
        if self._device is None:
            self._device = _open_device(self._options.index)
            self._described = {"sensor": str(guarded("camera", lambda: self._device.camera_properties).get("Model", "unnamed"))}
        wanted = replace(video, bitrate_bps=1, gop_pictures=1, stamp=False)
        if self._configured != wanted:
            # Once per boot in practice: contiguous memory does not survive many changes of mode (picamera2#887, #1102, #1358).
            guarded("camera configuration", lambda: _configure(self._device, video, self._options))
            guarded("camera configuration", lambda: check_granted(self._device, video))
            self._configured = wanted
        return self._device

    def _discard(self) -> None:
        """Close the device, as far as it lets itself be closed, and forget it."""
        device, self._device, self._configured = self._device, None, None
        if device is None:
            return
        if failure := bounded("camera close", device.close, _STOP_S):
            log.error("%s", failure)
        del device
        gc.collect()  # picamera2's objects hold each other, and descriptors: not until some later day


def _open_device(index: int) -> Any:
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise HalUnavailable(f"camera: {error.msg}; install python3-picamera2 from the board's distribution") from None
    found = guarded("camera", Picamera2.global_camera_info)
    if len(found) <= index:
        raise HalUnavailable(f"no camera {index}, {len(found)} found; check the ribbon at both ends and dtoverlay in config.txt")
    return guarded("camera", lambda: Picamera2(index))


def _configure(device: Any, video: VideoFormat, options: CameraOptions) -> None:
    import libcamera

    duration_us = round(1_000_000 / video.fps)
    turned = options.rotate == 180
    controls: dict[str, Any] = {"FrameDurationLimits": (duration_us, duration_us)}
    sensor = SENSORS.get(str(device.camera_properties.get("Model", "")))
    lens = options.lens_position if sensor is None or options.lens_position is not None else sensor.lens_position
    if lens is not None and "AfMode" in device.camera_controls and "LensPosition" in device.camera_controls:
        controls |= {"AfMode": libcamera.controls.AfModeEnum.Manual, "LensPosition": lens}
    whole = sensor is not None and video.fps <= sensor.whole_fps
    mode = {"output_size": (sensor.whole_width, sensor.whole_height), "bit_depth": sensor.bit_depth} if sensor and whole else {}
    small = {"size": LOW_RESOLUTION, "format": options.picture_format} if options.low_resolution else None
    configuration = device.create_video_configuration(
        main={"size": (video.width, video.height), "format": options.picture_format},
        lores=small,
        raw=None,
        sensor=mode,
        buffer_count=BUFFERS,
        transform=libcamera.Transform(hflip=turned, vflip=turned),
        controls=controls,
        display=None,
    )
    device.configure(configuration)


class _Take:
    """From one start to its stop."""

    def __init__(self, device: Any, board: Board, clock: Clock, video: VideoFormat, sink: CameraSink, options: CameraOptions) -> None:
        self._device, self._board, self._video, self._sink = device, board, video, sink
        self._bitrate_bps = video.bitrate_bps
        self._times = SensorClock(clock)
        self._queue = PictureQueue()
        self._loop = CameraLoop(device, self._failed)
        self._out = threading.Thread(target=self._deliver, name="camera-out", daemon=True)
        self._stamp = Stamp(video.height) if video.stamp else None
        self._small_from = "lores" if options.low_resolution else "main"
        self._encoder: Any = None
        self._changing = threading.Lock()
        self._ended = self._faulted = False
        self.began_ns = clock.now().boottime_ns
        self.sensor_ns = self.encoder_ns = 0
        self.small: LumaPicture | None = None

    def begin(self) -> None:
        """Encoder first, so that the first picture of the sensor is the first IDR."""
        self._device.pre_callback = self._observe
        self._out.start()
        self._start_encoder()
        guarded("camera start", lambda: self._device.start(show_preview=None))
        self._loop.start()

    def end(self) -> bool:
        """Stop everything; ``True`` when all of it stopped and had been working: then the device may be used again."""
        with self._changing:
            self._ended = True
            encoder, self._encoder = self._encoder, None
        self._queue.close()
        self._out.join(_LOOP_S)
        now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        stale = now_ns - max(self.began_ns, min(self.sensor_ns, self.encoder_ns)) > STALE_NS
        failures = [
            "" if self._loop.stop(_LOOP_S) else "camera loop: does not end",
            "" if encoder is None else bounded("encoder stop", lambda: self._device.stop_encoder(encoder), _STOP_S),
            bounded("camera stop", self._device.stop, _STOP_S),
        ]
        self._device.pre_callback = None
        for failure in filter(None, failures):
            log.error("%s", failure)
        return not (any(failures) or stale or self._faulted)

    def restart_encoder(self) -> None:
        threading.Thread(target=self._replace_encoder, name="encoder-restart", daemon=True).start()

    def set_bitrate(self, bitrate_bps: int) -> None:
        with self._changing:
            if self._encoder is not None:
                guarded("bit rate", lambda: change_bitrate(self._encoder, self._video, bitrate_bps))
                self._bitrate_bps = bitrate_bps

    def _start_encoder(self) -> None:
        encoder, output = guarded("encoder", lambda: make_encoder(self._board, self._video, self._bitrate_bps)), make_output(self._queue)
        output.encoder = encoder
        guarded("encoder start", lambda: self._device.start_encoder(encoder, output))
        self._encoder = encoder

    def _replace_encoder(self) -> None:
        """Deafen and stop the old one, or leave it where it hangs, and start another: seen to work on a stalled codec (picamera2#1392)."""
        with self._changing:
            if self._ended or self._encoder is None:
                return
            old, self._encoder = self._encoder, None
            old.output.alive = False
            failure = bounded("encoder stop", lambda: self._device.stop_encoder(old), _STOP_S)
            if failure:
                log.error("%s", failure)
                bounded("encoder removal", lambda: self._forget(old), _STOP_S)
            try:
                self._start_encoder()
            except HalError as error:
                self._failed(str(error))

    def _forget(self, encoder: Any) -> None:
        with self._device.lock:
            self._device.encoders.discard(encoder)

    def _observe(self, request: Any) -> None:
        """picamera2's pre-callback, on the camera's loop: what is done here delays the picture."""
        captured = self._times.reading(request.get_metadata()["SensorTimestamp"])
        if captured.boottime_ns - (self.small.captured.boottime_ns if self.small else 0) >= _SMALL_NS:
            self.small = self._with_luma(request, self._small_from, lambda luma: shrink(luma, captured))
        stamp = self._stamp
        if stamp is not None:
            self._with_luma(request, "main", lambda luma: stamp.burn(luma, captured))
        self.sensor_ns = captured.boottime_ns

    def _with_luma(self, request: Any, name: str, use: Callable[[Any], Any]) -> Any:
        from picamera2 import MappedArray

        width, height = request.config[name]["size"]
        stride = request.config[name]["stride"]
        with MappedArray(request, name, reshape=False, write=name == "main") as mapped:
            return use(np.asarray(mapped.array)[: stride * height].reshape(height, stride)[:, :width])

    def _deliver(self) -> None:
        sets = ParameterSets()
        while (coded := self._queue.take()) is not None:
            captured = self._times.reading(coded.sensor_us * 1000)
            data = sets.complete(coded.data) if coded.keyframe else coded.data
            self.encoder_ns = captured.boottime_ns
            self._sink.picture(Picture(data, coded.keyframe, captured))

    def _failed(self, reason: str) -> None:
        """Told once; nothing is delivered after it until the next start."""
        if not (self._faulted or self._ended):
            self._faulted = True
            self._queue.close()
            self._sink.camera_fault(reason)


class CameraLoop:
    """Runs ``process_requests`` whenever picamera2 has some, until stopped or until it raises."""

    def __init__(self, device: Any, failed: Callable[[str], None]) -> None:
        self._device, self._failed = device, failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera-loop", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Whether it ended in time (or was never started)."""
        self._stopping.set()
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def render_request(self, _request: Any) -> None:
        """picamera2 asks its loop to show a picture; nobody looks here."""

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._device.notifyme_r, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if not selector.select(_POLL_S):
                    continue
                try:
                    guarded("camera loop", self._turn)
                except DeviceFault as error:
                    self._failed(str(error))
                    return

    def _turn(self) -> None:
        self._device.notifymeread.read()
        self._device.process_requests(self)
