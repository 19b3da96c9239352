"""Pictures and sound that were coded beforehand for the simulated camera: a shift costs what the firmware does with it, and little else.

For suites that live through thousands of shifts. Camera, microphone, their instants and faults are the simulator's own; only drawing and
encoding are replaced, by one GOP of real H.264 and one unit of real AAC that come again and again.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import hal.sim.boot
import hal.sim.camera
import hal.sim.microphone
from hal.aac import FRAME_SAMPLES, AacEncoder
from hal.audio_file import Samples, SoundSource
from hal.canvas import Canvas, Plane
from hal.footage import PictureSource
from hal.interfaces import VideoFormat
from hal.x264 import Encoded, H264Encoder


class Grey(PictureSource):
    """Nothing to see; by turns two pictures of noise, so that the lens passes for one that sees."""

    def __init__(self) -> None:
        self._planes = [np.full((3, 2), 128, np.uint8)] * 2

    def aim(self, canvas: Canvas, at_ns: int) -> None:
        noise = np.random.default_rng(7)
        self._planes = [noise.integers(0, 255, canvas.planes.shape, np.uint8) for _ in range(2)]

    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        return self._planes[at_ns // 1_000_000_000 % 2]

    def describe(self) -> str:
        return "prepared"

    def close(self) -> None:
        pass


@cache
def coded_gop(video: VideoFormat, bitrate_bps: int) -> tuple[Encoded, ...]:
    """One GOP of noise in that format."""
    noise = np.random.default_rng(7)
    encoder = H264Encoder(video, threads=1, bitrate_bps=bitrate_bps)
    planes = (video.height * 3 // 2, video.width)
    found = [one for number in range(video.gop_pictures) for one in encoder.encode(noise.integers(0, 255, planes, np.uint8), number)]
    return (*found, *encoder.flush())


class PreparedEncoder:
    """As ``hal.x264.H264Encoder``, without a delay."""

    def __init__(self, video: VideoFormat, threads: int = 1, bitrate_bps: int | None = None) -> None:
        self.bitrate_bps = video.bitrate_bps if bitrate_bps is None else bitrate_bps
        self._gop = coded_gop(video, self.bitrate_bps)
        self._pictures = 0

    @property
    def at_gop_end(self) -> bool:
        return self._pictures % len(self._gop) == 0

    def encode(self, picture: Plane, number: int) -> list[Encoded]:
        one = self._gop[self._pictures % len(self._gop)]
        self._pictures += 1
        return [Encoded(number, one.data, one.keyframe)]

    def flush(self) -> list[Encoded]:
        return []


class Silence(SoundSource):
    """Nothing to hear."""

    def listen_from(self, at_ns: int) -> None:
        pass

    def take(self, count: int) -> Samples:
        return np.zeros(count, np.float32)

    def close(self) -> None:
        pass


@cache
def coded_sound(sample_rate: int) -> tuple[bytes, bytes]:
    """AudioSpecificConfig and a unit of silence."""
    encoder = AacEncoder(sample_rate)
    units = [unit for _ in range(4) for _, unit in encoder.encode(np.zeros(FRAME_SAMPLES, np.float32))]
    return encoder.config, units[-1]


class PreparedSound:
    """As ``hal.aac.AacEncoder``, without a delay."""

    def __init__(self, sample_rate: int) -> None:
        self.config, self._unit = coded_sound(sample_rate)
        self._taken = 0

    def encode(self, block: Samples) -> list[tuple[int, bytes]]:
        self._taken += FRAME_SAMPLES
        return [(self._taken - FRAME_SAMPLES, self._unit)]


def prepare(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, every simulated camera delivers them."""
    patch.setattr(hal.sim.microphone, "AacEncoder", PreparedSound)
    patch.setattr(hal.sim.boot, "open_sound", lambda source, seed: Silence())
    patch.setattr(hal.sim.camera, "H264Encoder", PreparedEncoder)
    patch.setattr(hal.sim.boot, "_open_source", lambda source, seed: Grey())
