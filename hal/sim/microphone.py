"""Microphone and AAC encoder of the simulated camera.

Responsible for real AAC-LC access units and for the instant of their first sample, the encoder's priming accounted for.
Refuses to know who listens. Between ``stop`` and ``start`` no sample is taken from the source (BWC-POL-17).
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from hal.errors import DeviceFault, HalError
from hal.interfaces import AudioFormat, AudioFrame, AudioSink, Microphone
from hal.sim.sound import SAMPLE_RATE, SoundSource
from hal.sim.timeline import SECOND, Event
from hal.sim.world import Life

_FRAME = 1024
_BITRATE_BPS = 64_000


def _new_encoder() -> AudioCodecContext:
    codec = av.CodecContext.create("aac", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = SAMPLE_RATE, "mono", "fltp"
    codec.bit_rate, codec.time_base = _BITRATE_BPS, Fraction(1, SAMPLE_RATE)
    codec.open()
    return codec


class _Take:
    """From one start to its stop."""

    def __init__(self, life: Life, source: SoundSource, sink: AudioSink) -> None:
        self.began_ns = life.world.now_ns
        self.sink = sink
        self._source = source
        self._encoder = _new_encoder()
        self._blocks = 0
        source.listen_from(self.began_ns)

    @property
    def next_ns(self) -> int:
        """When the block that is filled now is full, world time."""
        return self.instant((self._blocks + 1) * _FRAME)

    def instant(self, sample: int) -> int:
        return self.began_ns + sample * SECOND // SAMPLE_RATE

    def block(self) -> list[tuple[int, bytes]]:
        """Take one block of samples; (number of the first sample, access unit) of what the encoder gives back.

        The encoder's first unit holds only its priming (the 1024 samples before the first that was heard): nobody ever
        heard those, so it is not delivered, and no unit is older than the start.
        """
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(self._source.take(_FRAME)[np.newaxis, :]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = SAMPLE_RATE, self._blocks * _FRAME
        frame.time_base = Fraction(1, SAMPLE_RATE)
        self._blocks += 1
        return [(packet.pts, bytes(packet)) for packet in self._encoder.encode(frame) if packet.pts is not None and packet.pts >= 0]


class SimMicrophone(Microphone):
    def __init__(self, life: Life, source: SoundSource) -> None:
        self._life = life
        self._source = source
        self._take: _Take | None = None
        self._next: Event | None = None
        self._format = AudioFormat(SAMPLE_RATE, 1, bytes(_new_encoder().extradata or b""), _FRAME)

    def format(self) -> AudioFormat:
        return self._format

    def start(self, sink: AudioSink) -> None:
        self._life.check()
        if self._take is not None:
            raise HalError("the microphone is running; stop it first")
        faults = self._life.world.microphone
        if faults.failing_starts:
            faults.failing_starts -= 1
            raise DeviceFault("simulated microphone: does not start")
        self._take = _Take(self._life, self._source, sink)
        self._schedule(self._take)

    def stop(self) -> None:
        self._take = None
        if self._next is not None:
            self._next.cancel()

    def close(self) -> None:
        self.stop()
        self._source.close()

    def _schedule(self, take: _Take) -> None:
        self._next = self._life.at(take.next_ns, lambda: self._deliver(take))

    def _deliver(self, take: _Take) -> None:
        faults = self._life.world.microphone
        if faults.reason:
            self.stop()
            reason, faults.reason = faults.reason, ""
            take.sink.microphone_fault(reason)
            return
        units = take.block()
        self._schedule(take)
        for sample, data in units:
            at_ns = take.instant(sample)
            if not faults.swallows(at_ns):
                take.sink.audio(AudioFrame(data, self._life.reading(at_ns)))
