"""The camera as the recorder sees it: a process that may hang, crash or be killed without taking the recorder along.

Responsible for starting the capture process, for handing on what it sends, and for ending it, by force after :data:`STOP_S`. After a
fault the next start is another process: descriptors and contiguous memory of the old one are free then, which no other way
guarantees. Refuses to know picamera2.

Threads: one reader per process calls the sink; all methods are called from the firmware's loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict

from hal.errors import DeviceFault, HalError
from hal.instants import reading_at
from hal.interfaces import Camera, CameraProgress, CameraSink, Clock, LumaPicture, Picture, VideoFormat
from hal.pi.board import Board
from hal.pi.camera import STALE_NS, CameraOptions
from hal.pi.capture_wire import SIZES, Kind, Message, Wire, told
from hal.pi.encoders import check_video
from hal.pi.spawn import CaptureProcess, spawn_capture

log = logging.getLogger("oathcam.camera")

STOP_S = 2.5
_REAP_S = 1.0


class _Child:
    """One capture process and the thread that reads it."""

    def __init__(self, board: Board, options: CameraOptions, owner: ProcessCamera, spawned: CaptureProcess | None) -> None:
        self._capture = spawned or spawn_capture()
        self.process = self._capture.process
        self.wire = Wire(self._capture.socket)
        self.stopped = threading.Event()
        self._reader = threading.Thread(target=owner._read, args=(self,), name="capture", daemon=True)
        self._reader.start()
        with suppress(DeviceFault):  # dead already: the reader has seen it, and the start will say so
            self.wire.send(told(Kind.ORDER, board=board.name, options=asdict(options)))

    def order(self, do: str, **facts: object) -> None:
        self.wire.send(told(Kind.ORDER, do=do, **facts))

    def end(self) -> None:
        self._capture.end()
        if threading.current_thread() is not self._reader:
            self._reader.join(_REAP_S)


class ProcessCamera(Camera):
    """Starts its process at once, so that its imports run beside the recorder's own start."""

    def __init__(self, board: Board, clock: Clock, options: CameraOptions | None = None, spawned: CaptureProcess | None = None) -> None:
        self._board, self._clock = board, clock
        self._options = options or CameraOptions()
        self._lock = threading.Lock()
        self._sink: CameraSink | None = None
        self._progress = CameraProgress()
        self._small: LumaPicture | None = None
        self._faulted = False
        self._began_ns = 0
        self._described: dict[str, str] = {"sensor": "not opened yet", "encoder": board.encoder.value, "profile": board.profile}
        self._child: _Child | None = _Child(board, self._options, self, spawned)

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        check_video(self._board, video)
        with self._lock:
            if self._sink is not None:
                raise HalError("the camera is running; stop it first")
        if self._child is not None and self._child.process.poll() is not None:
            self._abandon()
        if self._child is None:
            self._child = _Child(self._board, self._options, self, None)
        with self._lock:
            self._sink, self._faulted = sink, False
            self._progress, self._small = CameraProgress(starting=True), None
            self._began_ns = self._clock.now().boottime_ns
        try:
            self._child.order("start", video=asdict(video))
        except DeviceFault:
            self._abandon()
            raise

    def stop(self) -> None:
        with self._lock:
            running, self._sink = self._sink is not None, None
            progress, self._progress = self._progress, CameraProgress()
        child = self._child
        if child is None or not running:
            return
        child.stopped.clear()
        newest_ns = max(self._began_ns, min(progress.sensor_ns, progress.encoder_ns))
        try:
            if not self._faulted and self._clock.now().boottime_ns - newest_ns < STALE_NS:
                child.order("stop")
                if child.stopped.wait(STOP_S):
                    return
                log.error("capture process: no answer to a stop within %g s", STOP_S)
        except DeviceFault as error:
            log.error("%s", error)
        self._abandon()

    def restart_encoder(self) -> None:
        if self._child is not None and self._sink is not None:
            self._child.order("restart-encoder")

    def progress(self) -> CameraProgress:
        return self._progress

    def low_resolution(self) -> LumaPicture | None:
        return self._small

    def set_bitrate(self, bitrate_bps: int) -> None:
        if bitrate_bps < 1:
            raise HalError(f"expected a bit rate, got {bitrate_bps!r}")
        if self._child is not None and self._sink is not None:
            self._child.order("bitrate", bitrate_bps=bitrate_bps)

    def describe(self) -> Mapping[str, str]:
        return self._described

    def close(self) -> None:
        self.stop()
        self._abandon()

    def _abandon(self) -> None:
        child, self._child = self._child, None
        with self._lock:
            self._sink, self._progress = None, CameraProgress()
        if child is not None:
            child.end()

    def _read(self, child: _Child) -> None:
        """The reader's thread: until the process closes its end, or talks nonsense."""
        reason = ""
        try:
            while (message := child.wire.receive()) is not None:
                self._take(child, message)
        except (DeviceFault, TypeError, ValueError, KeyError) as error:
            reason = f"capture process: {error}"
        self._fault(child, reason or "the capture process ended")

    def _take(self, child: _Child, message: Message) -> None:
        match message.kind:
            case Kind.PICTURE:
                captured = reading_at(self._clock, message.at_ns)
                picture = Picture(message.data, message.keyframe, captured)
                with self._lock:
                    if self._is_on(child):
                        self._progress = CameraProgress(False, max(self._progress.sensor_ns, message.at_ns), message.at_ns)
                        self._sink.picture(picture)  # type: ignore[union-attr]  # _is_on: there is one
            case Kind.PROGRESS:
                facts = message.facts()
                self._told(child, int(facts["sensor_ns"]), int(facts["encoder_ns"]), started=False)
            case Kind.LUMA:
                width, height = SIZES.unpack_from(message.data)
                pixels = message.data[SIZES.size :]
                if len(pixels) == width * height:
                    self._small = LumaPicture(width, height, pixels, reading_at(self._clock, message.at_ns))
            case Kind.STARTED:
                self._described = {key: str(value) for key, value in message.facts().items()}
                self._told(child, self._progress.sensor_ns, self._progress.encoder_ns, started=True)
            case Kind.STOPPED:
                child.stopped.set()
            case Kind.REFUSED | Kind.FAULT:
                self._fault(child, str(message.facts().get("reason", "no reason given")))
            case Kind.ORDER:
                raise DeviceFault("the capture process gives orders")

    def _is_on(self, child: _Child) -> bool:
        return self._sink is not None and not self._faulted and child is self._child

    def _told(self, child: _Child, sensor_ns: int, encoder_ns: int, *, started: bool) -> None:
        with self._lock:
            if self._is_on(child):
                starting = self._progress.starting and not started and sensor_ns == 0
                newest = self._progress
                self._progress = CameraProgress(starting, max(sensor_ns, newest.sensor_ns), max(encoder_ns, newest.encoder_ns))

    def _fault(self, child: _Child, reason: str) -> None:
        with self._lock:
            if self._is_on(child):
                self._faulted = True
                self._sink.camera_fault(reason)  # type: ignore[union-attr]  # _is_on: there is one
