"""Which camera is driven: picamera2 as the firmware means to use it (a sink of its own, no raw stream).

A small camera of this file, not ``hal.pi``'s; the virtual sensor gives NV12.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from hal.interfaces import Camera, CameraSink, ClockReading, ClockTrust, Picture, VideoFormat


class PlainCamera(Camera):
    """Opens picamera2 once; a new encoder object for every start."""

    def __init__(self) -> None:
        from picamera2 import Picamera2

        self._device = Picamera2()
        self._encoder: Any = None

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        from picamera2.encoders import LibavH264Encoder
        from picamera2.outputs import Output

        base_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

        class Sink(Output):  # type: ignore[misc]
            def outputframe(self, frame: bytes, keyframe: bool = True, timestamp: int = 0, packet: Any = None, audio: bool = False) -> None:
                at_ns = base_ns + timestamp * 1000
                reading = ClockReading(at_ns, time.time_ns(), ClockTrust.RTC)
                sink.picture(Picture(bytes(frame), keyframe, reading))

        main = {"size": (video.width, video.height), "format": "NV12"}
        self._device.configure(self._device.create_video_configuration(main=main, raw=None, buffer_count=8))
        encoder = LibavH264Encoder(bitrate=video.bitrate_bps, iperiod=video.gop_pictures, framerate=video.fps)
        self._device.start_encoder(encoder, Sink())
        self._device.start()
        self._encoder = encoder

    def stop(self) -> None:
        if self._encoder is not None:
            self._device.stop()
            self._device.stop_encoder()
            self._encoder = None

    def set_bitrate(self, bitrate_bps: int) -> None:
        return None

    def describe(self) -> Mapping[str, str]:
        return {name: str(value) for name, value in self._device.camera_properties.items()}

    def close(self) -> None:
        self.stop()
        self._device.close()


def open_camera() -> tuple[Camera, Callable[[], None]]:
    """(camera, how to close it)."""
    camera = PlainCamera()
    return camera, camera.close
