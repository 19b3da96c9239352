"""Real H.264 in process: libx264 behind PyAV, set up as the camera's encoder would be.

Responsible for closed GOPs of a fixed length, no B-pictures, SPS and PPS at every IDR, one slice a picture, Annex B, and
an average rate that is kept within a tenth or so. Refuses to know time: pictures carry a number.

Invariants: the same pictures make the same bytes (so no VBV: with threads x264 then looks at how far the other picture
happens to be; measured). The sequence parameter set is the same at every bit rate: x264 chooses the level by the rate, so one
that is lowered while a recording goes on is made at the level of the full rate. Two x264 threads work on two pictures, so an
access unit comes out when the next picture went in; one thread gives it back at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
from av.video.codeccontext import VideoCodecContext

from hal.canvas import Plane
from hal.errors import HalError, HalUnavailable
from hal.interfaces import VideoFormat

_PRESET = "superfast"
"""Measured on two cores at 720p: 290 pictures/s, High profile; ultrafast 400, but Baseline and visibly blocky."""


LEAST_BPS = 10_000
_SPS_START = b"\0\0\1\x67"


def check_video(video: VideoFormat) -> None:
    """``HalError`` for what this encoder is never asked to make."""
    sized = 128 <= video.width <= 4096 and 96 <= video.height <= 2304 and video.width % 2 == video.height % 2 == 0
    if not (sized and 1 <= video.fps <= 120 and video.gop_pictures >= 1):
        raise HalError(f"the camera cannot deliver {video!r}")
    check_bitrate(video.bitrate_bps)


def check_bitrate(bitrate_bps: int) -> None:
    if bitrate_bps < LEAST_BPS:
        raise HalError(f"the camera cannot deliver {bitrate_bps!r} bit/s")


@dataclass(frozen=True, slots=True)
class Encoded:
    number: int
    data: bytes
    keyframe: bool


class H264Encoder:
    """One coded sequence; its first picture is an IDR. ``bitrate_bps`` is that of the moment, the format's own unless it is given."""

    def __init__(self, video: VideoFormat, threads: int = 2, bitrate_bps: int | None = None) -> None:
        self.bitrate_bps = video.bitrate_bps if bitrate_bps is None else bitrate_bps
        codec = _codec(video.width, video.height, video.fps, self.bitrate_bps)
        parameters = _parameters(video.gop_pictures, threads)
        if self.bitrate_bps != video.bitrate_bps:
            parameters += f":level={level_of(video, _PRESET)}"
        codec.options = {"preset": _PRESET, "tune": "zerolatency", "x264-params": parameters}
        self._codec = codec
        self._gop_pictures = video.gop_pictures
        self._pictures = 0

    @property
    def at_gop_end(self) -> bool:
        """Whether the next picture would be an IDR: the place where another encoder may take over."""
        return self._pictures % self._gop_pictures == 0

    def encode(self, picture: Plane, number: int) -> list[Encoded]:
        """Put in one picture (planes of 4:2:0); take out what is ready. Numbers rise."""
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts = number
        self._pictures += 1
        return _taken(self._codec.encode(frame))

    def flush(self) -> list[Encoded]:
        """Take out what is left; nothing can be put in afterwards."""
        return _taken(self._codec.encode(None))


def level_of(video: VideoFormat, preset: str) -> int:
    """``level_idc`` that libx264 chooses at the format's own bit rate; asked of an encoder that encodes nothing, once."""
    return _level_of(video.width, video.height, video.fps, video.bitrate_bps, preset)


@cache
def _level_of(width: int, height: int, fps: int, bitrate_bps: int, preset: str) -> int:
    codec = _codec(width, height, fps, bitrate_bps)
    codec.options = {"preset": preset, "tune": "zerolatency", "flags": "+global_header", "x264-params": "threads=1"}
    codec.open()
    headers = bytes(codec.extradata or b"")
    return headers[headers.index(_SPS_START) + len(_SPS_START) + 2]  # behind profile_idc and the constraint flags


def _codec(width: int, height: int, fps: int, bitrate_bps: int) -> VideoCodecContext:
    try:
        codec = av.CodecContext.create("libx264", "w")
    except av.codec.codec.UnknownCodecError as error:
        raise HalUnavailable("this PyAV has no libx264; install the PyAV wheel or a distribution's python3-av") from error
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, fps), Fraction(fps)
    codec.bit_rate = bitrate_bps
    return codec


def _parameters(gop_pictures: int, threads: int) -> str:
    wanted = {
        "keyint": gop_pictures,
        "min-keyint": gop_pictures,
        "scenecut": 0,
        "open-gop": 0,
        "bframes": 0,
        "repeat-headers": 1,
        "annexb": 1,
        "threads": threads,
        "sliced-threads": 0,
        "ratetol": 0.1,
        "rc-lookahead": 0,
        "sync-lookahead": 0,
    }
    return ":".join(f"{key}={value}" for key, value in wanted.items())


def _taken(packets: list[av.Packet[av.VideoStream]]) -> list[Encoded]:
    return [Encoded(packet.pts or 0, bytes(packet), packet.is_keyframe) for packet in packets]
