"""AAC-LC behind PyAV, set up as every microphone's encoder is.

Responsible for raw access units (no ADTS header), their AudioSpecificConfig, and the number of the first sample that each
stands for. Refuses to know time and devices.

Invariant: the encoder's first unit holds only its priming, the 1024 samples before the first that was put in. Nobody ever
heard those, so it is not given out: unit ``n`` begins at sample ``1024 n``, and no unit is older than the start.
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from hal.errors import HalUnavailable

FRAME_SAMPLES = 1024
_BITRATE_BPS = 64_000
"""Of one channel at 48 kHz: speech and street without audible loss."""


class AacEncoder:
    """One mono track from its first sample on."""

    def __init__(self, sample_rate: int, bitrate_bps: int = _BITRATE_BPS) -> None:
        try:
            codec = av.CodecContext.create("aac", "w")
        except av.codec.codec.UnknownCodecError as error:
            raise HalUnavailable("this PyAV has no AAC encoder; install the PyAV wheel or a distribution's python3-av") from error
        assert isinstance(codec, AudioCodecContext)
        codec.sample_rate, codec.layout, codec.format = sample_rate, "mono", "fltp"
        codec.bit_rate, codec.time_base = bitrate_bps, Fraction(1, sample_rate)
        codec.open()
        self._codec = codec
        self._rate = sample_rate
        self._taken = 0

    @property
    def config(self) -> bytes:
        """AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""
        return bytes(self._codec.extradata or b"")

    def encode(self, block: NDArray[np.float32]) -> list[tuple[int, bytes]]:
        """Put in :data:`FRAME_SAMPLES` samples, -1 to 1; take out (number of its first sample, access unit)."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[np.newaxis, :]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._taken, Fraction(1, self._rate)
        self._taken += FRAME_SAMPLES
        return [(packet.pts, bytes(packet)) for packet in self._codec.encode(frame) if packet.pts is not None and packet.pts >= 0]
