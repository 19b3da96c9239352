"""The ports of picture and sound. Part of :mod:`hal.interfaces`, which names them all.

Responsible for what a camera and a microphone deliver, and what may be asked of them. Refuses to know any file format above an
access unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hal.ports_time import ClockReading


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What the camera is asked to deliver. ``gop_pictures`` is the distance of IDR pictures."""

    width: int = 1280
    height: int = 720
    fps: int = 30
    bitrate_bps: int = 4_000_000
    gop_pictures: int = 30
    stamp: bool = False
    """Burn the UTC time of each second into the picture. Off by default: time is in the stream (MISB ST 0604) already."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One H.264 access unit in decoding order, Annex B, as the encoder made it.

    Every IDR picture carries SPS and PPS in the same access unit. No B-pictures: decoding order is display order.
    ``captured`` is the instant of exposure, not of encoding.
    """

    data: bytes
    keyframe: bool
    captured: ClockReading


class CameraSink(Protocol):
    """Where a camera delivers. Called from any thread; never blocks, never raises."""

    def picture(self, picture: Picture) -> None: ...

    def camera_fault(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CameraProgress:
    """How far each stage has come since the last start: what a supervisor goes by, never "the thread is alive".

    Boot times in ns, 0 before the first. ``starting``: the device has not yet said that it runs (a start may take seconds).
    """

    starting: bool = False
    sensor_ns: int = 0
    """Exposure of the newest picture that left the sensor, kept or not."""
    encoder_ns: int = 0
    """Exposure of the newest picture that left the encoder."""


@dataclass(frozen=True, slots=True)
class LumaPicture:
    """A small grey picture, ``height`` rows of ``width`` bytes, video range: for judging the lens, never evidence."""

    width: int
    height: int
    data: bytes
    captured: ClockReading


class Camera(ABC):
    """Sensor and H.264 encoder as one device. A start that fails late is told to the sink."""

    @abstractmethod
    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        """Start delivering; may return before the device runs. The first picture is an IDR. After a fault it opens the device
        anew. Raises ``HalError`` for what it can never deliver, ``DeviceFault`` or ``HalUnavailable``."""

    @abstractmethod
    def stop(self) -> None:
        """Stop delivering; after it returns the sink is not called again. Idempotent; returns within seconds whatever the device does."""

    @abstractmethod
    def restart_encoder(self) -> None:
        """Replace the encoder while the sensor goes on; the next picture is an IDR. Returns at once. For an encoder that stalled."""

    @abstractmethod
    def progress(self) -> CameraProgress: ...

    @abstractmethod
    def low_resolution(self) -> LumaPicture | None:
        """The newest small picture, at most 2 s old while pictures come; ``None`` before the first."""

    @abstractmethod
    def set_bitrate(self, bitrate_bps: int) -> None:
        """Change the bitrate while running (heat, BWC-POL-48), from the next IDR on at the latest."""

    @abstractmethod
    def describe(self) -> Mapping[str, str]:
        """Sensor, encoder and profile, for the journal and the boot leaf."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """AAC-LC as delivered. ``codec_config`` is the AudioSpecificConfig (ISO/IEC 14496-3)."""

    sample_rate: int
    channels: int
    codec_config: bytes
    frame_samples: int = 1024


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """One raw AAC access unit (no ADTS header); ``captured`` is the instant of its first sample."""

    data: bytes
    captured: ClockReading


class AudioSink(Protocol):
    """Where a microphone delivers. Called from any thread; never blocks, never raises."""

    def audio(self, frame: AudioFrame) -> None: ...

    def microphone_fault(self, reason: str) -> None: ...


class Microphone(ABC):
    """Microphone and AAC encoder as one device. Between ``stop`` and ``start`` nothing is captured (BWC-POL-17)."""

    @abstractmethod
    def format(self) -> AudioFormat: ...

    @abstractmethod
    def start(self, sink: AudioSink) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...
