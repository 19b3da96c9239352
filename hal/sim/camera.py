"""Sensor and encoder of the simulated camera, driven by the world's time line.

Responsible for exposing picture i at start + i/fps exactly (the sensor's grid; jitter only when asked for), for real
H.264, and for the faults that a scenario orders. Refuses to know who records.

A picture that is lost (a drop, a stall) is lost before the encoder, as on a real sensor: what is delivered decodes. The
encoder is one picture behind, so the picture after is drawn before its instant; nothing is delivered before its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from hal.canvas import Canvas, Plane
from hal.errors import DeviceFault, HalError
from hal.footage import PictureSource
from hal.interfaces import Camera, CameraProgress, CameraSink, LumaPicture, Picture, VideoFormat
from hal.luma import Stamp, shrink
from hal.sim.sight import Sight, seen, turned
from hal.sim.timeline import MS, SECOND, Event
from hal.sim.world import Life
from hal.x264 import Encoded, H264Encoder, check_bitrate, check_video

_LATE_NS = 500 * MS
"""A real-time line that is later than this loses pictures, as a real sensor would."""


class _Take:
    """From one start to its stop."""

    def __init__(self, life: Life, source: PictureSource, video: VideoFormat, jitter_ns: int) -> None:
        self._life = life
        self._source = source
        self._video = video
        self._bitrate_bps = video.bitrate_bps
        self._jitter_ns = jitter_ns
        self._began_ns = life.world.now_ns + life.world.camera.starting_ns
        self._before: Plane | None = None
        self._encoder: H264Encoder | None = None
        self._next = 0
        self._pending: set[int] = set()
        self._ready: dict[int, Encoded] = {}
        self._stamp = Stamp(video.height) if video.stamp else None
        self.sensor_ns = self.encoder_ns = 0
        self.small: LumaPicture | None = None
        source.aim(Canvas(video.width, video.height), self._began_ns)

    @property
    def starting(self) -> bool:
        return self._life.world.now_ns < self._began_ns

    def instant(self, number: int) -> int:
        """When picture ``number`` is exposed, world time."""
        jitter_ns = 0
        if self._jitter_ns:
            jitter_ns = self._life.world.rng(f"jitter:{number}").randint(0, self._jitter_ns)
        return self._began_ns + number * SECOND // self._video.fps + jitter_ns

    def picture(self, number: int) -> Encoded | None:
        """Picture ``number`` encoded, or ``None`` when it was lost."""
        while self._next <= number or number in self._pending:
            if self._next > number + self._video.fps:
                # Nothing will push this one out: a stall. A stuck encoder is restarted, so the next picture is an IDR.
                self._flush()
            else:
                self._expose()
        return self._ready.pop(number, None)

    def restart_encoder(self) -> None:
        """The next picture is taken by another encoder, so it is an IDR."""
        self._flush()

    def set_bitrate(self, bitrate_bps: int) -> None:
        """From the next IDR on, by another encoder: PyAV does not reconfigure a running x264 (measured)."""
        self._bitrate_bps = bitrate_bps

    def _expose(self) -> None:
        number, self._next = self._next, self._next + 1
        at_ns = self.instant(number)
        world = self._life.world
        if world.camera.swallows(at_ns) or (world.realtime and world.now_ns - at_ns > _LATE_NS):
            return
        captured = self._life.reading(at_ns)
        planes = self._source.look(at_ns, captured.wall_ns, number)
        if world.sight is not Sight.CLEAR:
            planes = seen(world.sight, planes, self._video.height, self._before)
            self._before = planes if world.sight is Sight.FROZEN and self._before is not None else planes.copy()
        else:
            self._before = None
        if world.upside_down:
            planes = turned(planes, self._video.height)
        luma = planes[: self._video.height]
        if self._stamp is not None:
            self._stamp.burn(luma, captured)
        if number % self._video.fps == 0:
            self.small = shrink(luma, captured)
        if world.viewfinder is not None:
            world.viewfinder(at_ns, planes)
        self.sensor_ns = captured.boottime_ns
        if self._encoder is not None and self._encoder.at_gop_end and self._encoder.bitrate_bps != self._bitrate_bps:
            self._flush()
        if self._encoder is None:
            self._encoder = H264Encoder(self._video, bitrate_bps=self._bitrate_bps)
        self._pending.add(number)
        self._take(self._encoder.encode(planes, number))

    def _flush(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            self._take(encoder.flush())

    def _take(self, encoded: list[Encoded]) -> None:
        for each in encoded:
            self._ready[each.number] = each
            self._pending.discard(each.number)


class SimCamera(Camera):
    def __init__(self, life: Life, source: PictureSource, jitter_ns: int = 0) -> None:
        self._life = life
        self._source = source
        self._jitter_ns = jitter_ns
        self._take: _Take | None = None
        self._next: Event | None = None

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        self._life.check()
        if self._take is not None:
            raise HalError("the camera is running; stop it first")
        faults = self._life.world.camera
        if faults.failing_starts:
            faults.failing_starts -= 1
            raise DeviceFault("simulated camera: does not start")
        check_video(video)
        faults.encoder_stalled = False
        self._take = _Take(self._life, self._source, video, self._jitter_ns)
        self._schedule(self._take, 0, sink)

    def stop(self) -> None:
        self._take = None
        if self._next is not None:
            self._next.cancel()

    def set_bitrate(self, bitrate_bps: int) -> None:
        self._life.check()
        check_bitrate(bitrate_bps)
        if self._take is not None:
            self._take.set_bitrate(bitrate_bps)

    def restart_encoder(self) -> None:
        self._life.check()
        self._life.world.camera.encoder_stalled = False
        if self._take is not None:
            self._take.restart_encoder()

    def progress(self) -> CameraProgress:
        take = self._take
        return CameraProgress() if take is None else CameraProgress(take.starting, take.sensor_ns, take.encoder_ns)

    def low_resolution(self) -> LumaPicture | None:
        return None if self._take is None else self._take.small

    def describe(self) -> Mapping[str, str]:
        return {"sensor": f"simulated: {self._source.describe()}", "encoder": "libx264", "profile": "High"}

    def close(self) -> None:
        self.stop()
        self._source.close()

    def _schedule(self, take: _Take, number: int, sink: CameraSink) -> None:
        self._next = self._life.at(take.instant(number), lambda: self._deliver(take, number, sink))

    def _deliver(self, take: _Take, number: int, sink: CameraSink) -> None:
        faults = self._life.world.camera
        if faults.reason:
            self.stop()
            reason, faults.reason = faults.reason, ""
            sink.camera_fault(reason)
            return
        try:
            encoded = take.picture(number)
        except DeviceFault as error:
            self.stop()
            sink.camera_fault(str(error))
            return
        self._schedule(take, number + 1, sink)
        if encoded is not None and not faults.encoder_stalled:
            captured = self._life.reading(take.instant(number))
            take.encoder_ns = captured.boottime_ns
            sink.picture(Picture(encoded.data, encoded.keyframe, captured))
