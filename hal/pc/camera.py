"""The laptop's camera: a feed, libx264, two threads.

Responsible for pictures whose instants are their exposures', for an encoder that may be too slow, and for the end of a take, asked for
or not. Refuses to know where pictures come from.

One thread exposes, one encodes; between them ten pictures wait at most. An exposure that finds no room is lost before the encoder, as
on a real sensor: it is missing from the instants, and everything that is delivered decodes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping

import av

from hal.canvas import Canvas
from hal.errors import DeviceFault, HalError
from hal.instants import reading_at
from hal.interfaces import Camera, CameraProgress, CameraSink, Clock, ClockReading, LumaPicture, Picture, VideoFormat
from hal.luma import Stamp, shrink
from hal.pc.feed import SECOND, Exposure, Feed
from hal.x264 import Encoded, H264Encoder, check_bitrate, check_video

_WAITING = 10
"""As many as the Pi's camera has buffers. What the recorder allows an encoder to be behind (200 ms) must not cost a picture, and a busy
laptop keeps a thread from its core for as long."""
_STOP_S = 3.0


class _Encoding:
    """The encoder's side of one take: its thread's state, and the few words that others may say to it."""

    def __init__(self, feed: Feed, video: VideoFormat, sink: CameraSink) -> None:
        self._feed = feed
        self._video = video
        self._bitrate_bps = video.bitrate_bps
        self._sink = sink
        self._canvas = Canvas(video.width, video.height)
        self._stamp = Stamp(video.height) if video.stamp else None
        self._encoder: H264Encoder | None = None
        self._pending: dict[int, ClockReading] = {}
        self._number = 0
        self._restart = threading.Event()
        self._waiting: deque[tuple[Exposure, ClockReading]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self.encoder_ns = 0
        self.small: LumaPicture | None = None
        self.abandoned = False
        """The stop was not waited out: nothing is delivered any more."""
        self.trouble = ""

    def put(self, exposure: Exposure, captured: ClockReading) -> None:
        """Never blocks; drops the exposure when the encoder is :data:`_WAITING` pictures behind."""
        with self._changed:
            if len(self._waiting) < _WAITING:
                self._waiting.append((exposure, captured))
                self._changed.notify()

    def end(self) -> None:
        """Encode what waits, then end."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def restart(self) -> None:
        self._restart.set()

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next IDR on, by another encoder: PyAV does not reconfigure a running x264."""
        self._bitrate_bps = bitrate_bps

    def run(self) -> None:
        """The thread's body."""
        try:
            while (item := self._next()) is not None:
                self._develop(*item)
            self._flush()
        except (HalError, av.FFmpegError) as error:
            self.trouble = str(error)

    def _next(self) -> tuple[Exposure, ClockReading] | None:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None

    def _develop(self, exposure: Exposure, captured: ClockReading) -> None:
        planes = self._feed.show(exposure, self._canvas)
        luma = planes[: self._video.height]
        if self._stamp is not None:
            self._stamp.burn(luma, captured)
        if self.small is None or captured.boottime_ns - self.small.captured.boottime_ns >= SECOND:
            self.small = shrink(luma, captured)
        encoder = self._encoder
        if self._restart.is_set() or (encoder and encoder.at_gop_end and encoder.bitrate_bps != self._bitrate_bps):
            self._restart.clear()
            self._flush()
        if self._encoder is None:
            # One thread: a picture comes out when it went in, and a core takes 1080p at 30 twice over.
            self._encoder = H264Encoder(self._video, threads=1, bitrate_bps=self._bitrate_bps)
        self._pending[self._number] = captured
        self._deliver(self._encoder.encode(planes, self._number))
        self._number += 1

    def _flush(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            self._deliver(encoder.flush())

    def _deliver(self, encoded: list[Encoded]) -> None:
        for each in encoded:
            captured = self._pending.pop(each.number)
            if not self.abandoned:
                self.encoder_ns = captured.boottime_ns
                self._sink.picture(Picture(each.data, each.keyframe, captured))


class _Take:
    """From one start to its stop: the sensor's side."""

    def __init__(self, feed: Feed, clock: Clock, video: VideoFormat, sink: CameraSink) -> None:
        self._feed = feed
        self._clock = clock
        self._video = video
        self.encoding = _Encoding(feed, video, sink)
        self.sensor_ns = 0
        self.stopping = threading.Event()

    def run(self) -> str:
        """Until it is stopped, or the feed is lost; then the reason."""
        encoder = threading.Thread(target=self.encoding.run, name="camera-encoder", daemon=True)
        try:
            self._feed.open(self._video)
            encoder.start()
            while not self.stopping.is_set() and encoder.is_alive():
                self._step()
        except (HalError, av.FFmpegError) as error:
            return str(error)
        finally:
            self.encoding.end()
            if encoder.ident is not None:
                encoder.join(_STOP_S)
            if not encoder.is_alive():  # else it may be looking through the feed at this moment
                self._feed.close()
        return self.encoding.trouble or ("" if self.stopping.is_set() else "the encoder's thread ended")

    def _step(self) -> None:
        exposure = self._feed.expose()
        if exposure is None or exposure.boottime_ns <= self.sensor_ns:
            return
        self.encoding.put(exposure, reading_at(self._clock, exposure.boottime_ns))
        self.sensor_ns = exposure.boottime_ns


class PcCamera(Camera):
    """Start and stop are called from one thread. ``feed`` is opened anew by every start."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._take: _Take | None = None
        self._thread: threading.Thread | None = None

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        if self._take is not None:
            raise HalError("the camera is running; stop it first")
        if self._thread is not None and self._thread.is_alive():
            raise DeviceFault("the camera's last take has not ended yet: its source hangs; start the recorder again")
        check_video(video)
        self._take = _Take(self._feed, self._clock, video, sink)
        self._thread = threading.Thread(target=self._run, args=(self._take, sink), name="camera-sensor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        take, self._take = self._take, None
        if take is not None:
            take.stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_STOP_S)
        if take is not None:
            take.encoding.abandoned = True

    def set_bitrate(self, bitrate_bps: int) -> None:
        check_bitrate(bitrate_bps)
        if (take := self._take) is not None:
            take.encoding.set_bitrate(bitrate_bps)

    def restart_encoder(self) -> None:
        if (take := self._take) is not None:
            take.encoding.restart()

    def progress(self) -> CameraProgress:
        take = self._take
        if take is None:
            return CameraProgress()
        encoder_ns = take.encoding.encoder_ns  # before the sensor's: an encoder is never ahead of it
        return CameraProgress(take.sensor_ns == 0, take.sensor_ns, encoder_ns)

    def low_resolution(self) -> LumaPicture | None:
        return None if self._take is None else self._take.encoding.small

    def describe(self) -> Mapping[str, str]:
        return {"sensor": self._feed.describe(), "encoder": "libx264", "profile": "High"}

    def close(self) -> None:
        self.stop()

    def _run(self, take: _Take, sink: CameraSink) -> None:
        reason = take.run()
        if reason and not take.stopping.is_set():
            if self._take is take:
                self._take = None  # before the sink hears of it, so that it may start again
            sink.camera_fault(reason)
