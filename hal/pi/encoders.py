"""picamera2's two H.264 encoders, set up as evidence wants them.

Responsible for closed GOPs of a fixed length with SPS and PPS at each, one slice a picture, no B-pictures, profile and level by
board, the floor of the bit rate, and a change of it while running. Refuses to choose by what is installed: the board says which.
Imported only when a camera is opened; picamera2's own alias ``H264Encoder`` is another class on another board and is not used.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from hal.errors import HalError
from hal.interfaces import VideoFormat
from hal.pi.board import Board, VideoEncoder
from hal.pi.pictures import Coded, PictureQueue

log = logging.getLogger("oathcam.camera")

_LEAST_BPS, _FLOOR_BPS = 100_000, 500_000
_FLOOR_PIXELS = 640 * 360
_SOFTWARE_THREADS = 2
_MACROBLOCK = 16


def floor_bps(width: int, height: int) -> int:
    """The least bit rate: below it the VideoCore's encoder has frozen on busy scenes (picamera2#1228, PR 1236)."""
    return max(_LEAST_BPS, min(_FLOOR_BPS, _FLOOR_BPS * width * height // _FLOOR_PIXELS))


def check_video(board: Board, video: VideoFormat) -> None:
    """``HalError`` for what this board's encoder can never deliver."""
    even = video.width % 2 == video.height % 2 == 0
    sized = 128 <= video.width <= board.max_width and 96 <= video.height <= board.max_height
    blocks = -(-video.width // _MACROBLOCK) * -(-video.height // _MACROBLOCK) * video.fps
    if not (even and sized and 1 <= video.fps <= 120 and video.gop_pictures >= 1 and video.bitrate_bps >= 1):
        raise HalError(f"{board.title} cannot deliver {video!r}; even sizes up to {board.max_width}x{board.max_height}")
    if blocks > board.max_macroblocks_per_second:
        raise HalError(f"{board.title} encodes at most {board.max_macroblocks_per_second} macroblocks/s, {video!r} has {blocks}")


def make_output(queue: PictureQueue) -> Any:
    """The only output of an encoder: it appends and signals. ``alive`` false makes it deaf, for an encoder that was replaced."""
    from picamera2.outputs import Output

    class QueueOutput(Output):  # type: ignore[misc]
        alive = True
        encoder: Any = None

        def outputframe(
            self, frame: Any, keyframe: bool = True, timestamp: int | None = None, packet: Any = None, audio: bool = False
        ) -> None:
            """Called on the encoder's thread. picamera2 counts from the encoder's first picture; the queue has the sensor's time."""
            first_us = self.encoder.firsttimestamp
            if self.alive and not audio and timestamp is not None and first_us is not None:
                queue.offer(Coded(bytes(frame), keyframe, first_us + timestamp))

    return QueueOutput()


def make_encoder(board: Board, video: VideoFormat, bitrate_bps: int) -> Any:
    """A new encoder object (one that failed to start is never started again: picamera2 believes that it runs).

    ``bitrate_bps`` is that of the moment. The level, and with it the sequence parameter set of a recording, is that of the format's own,
    also where heat has lowered the rate.
    """
    floor = floor_bps(video.width, video.height)
    full = replace(video, bitrate_bps=max(video.bitrate_bps, floor))
    rate = max(bitrate_bps, floor)
    if board.encoder is VideoEncoder.V4L2_M2M:
        return _hardware(board, full, rate)
    return _software(board, full, rate)


def change_bitrate(encoder: Any, video: VideoFormat, bitrate_bps: int) -> None:
    """Of a running encoder: at once in hardware, at the next IDR in software."""
    encoder.change_bitrate(max(bitrate_bps, floor_bps(video.width, video.height)))


def _hardware(board: Board, video: VideoFormat, rate: int) -> Any:
    import videodev2
    from picamera2.encoders import v4l2_encoder
    from picamera2.encoders.h264_encoder import H264Encoder

    class HardwareEncoder(H264Encoder):  # type: ignore[misc]
        def _start(self) -> None:
            """At the full rate, by which picamera2 chooses the level; then at that of the moment."""
            super()._start()
            if rate != video.bitrate_bps:
                self.change_bitrate(rate)

        def change_bitrate(self, bitrate_bps: int) -> None:
            """The codec's control may be set while it runs; picamera2 has no method for it, only the open device."""
            control = videodev2.v4l2_control()
            control.id, control.value = videodev2.V4L2_CID_MPEG_VIDEO_BITRATE, bitrate_bps
            v4l2_encoder.fcntl.ioctl(self.vd, videodev2.VIDIOC_S_CTRL, control)

    return HardwareEncoder(
        bitrate=video.bitrate_bps,
        repeat=True,
        iperiod=video.gop_pictures,
        framerate=video.fps,
        enable_sps_framerate=True,
        profile=board.profile,
    )


def _software(board: Board, video: VideoFormat, rate: int) -> Any:
    from picamera2.encoders.libav_h264_encoder import LibavH264Encoder

    from hal.x264 import level_of

    # The preset "ultrafast" makes constrained baseline of itself; any other profile is asked for by name, and made by "superfast".
    profile, preset = (None, "ultrafast") if board.profile == "baseline" else (board.profile, "superfast")

    class SoftwareEncoder(LibavH264Encoder):  # type: ignore[misc]
        """``force_key_frame`` is never called: with PyAV 14 and later it kills the camera's loop (picamera2 0.3.38)."""

        wanted_bps = rate
        pictures = 0

        def _start(self) -> None:
            super()._start()
            level = "" if self.bitrate == video.bitrate_bps else f":level={level_of(video, preset)}"
            self._stream.codec_context.options["x264-params"] = _x264(video.gop_pictures) + level
            self.pictures = 0

        def _encode(self, stream: Any, request: Any) -> None:
            if self.wanted_bps != self.bitrate and self.pictures % self.iperiod == 0:
                self._reopen()
            self.pictures += 1
            super()._encode(stream, request)

        def _reopen(self) -> None:
            """Another x264 at the end of a GOP: PyAV does not reconfigure a running one."""
            for packet in self._stream.encode():
                self.outputframe(bytes(packet), packet.is_keyframe, timestamp=packet.pts, packet=packet)
            self.drop_final_frames = True
            self._stop()
            self.bitrate = self.wanted_bps
            self._start()

        def change_bitrate(self, bitrate_bps: int) -> None:
            self.wanted_bps = bitrate_bps

    encoder = SoftwareEncoder(bitrate=rate, repeat=True, iperiod=video.gop_pictures, framerate=video.fps, profile=profile)
    encoder.threads = _SOFTWARE_THREADS
    encoder.drop_final_frames = True
    return encoder


def _x264(gop_pictures: int) -> str:
    wanted = {"keyint": gop_pictures, "min-keyint": gop_pictures, "scenecut": 0, "open-gop": 0, "bframes": 0}
    once = {"repeat-headers": 1, "annexb": 1, "sliced-threads": 0}
    return ":".join(f"{key}={value}" for key, value in {**wanted, **once}.items())
