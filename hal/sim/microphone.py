"""Microphone and AAC encoder of the simulated camera.

Responsible for real AAC-LC access units and for the instant of their first sample, the encoder's priming accounted for.
Refuses to know who listens. Between ``stop`` and ``start`` no sample is taken from the source (BWC-POL-17).
"""

from __future__ import annotations

from hal.aac import FRAME_SAMPLES, AacEncoder
from hal.audio_file import SAMPLE_RATE, SoundSource
from hal.errors import DeviceFault, HalError
from hal.interfaces import AudioFormat, AudioFrame, AudioSink, Microphone
from hal.sim.timeline import SECOND, Event
from hal.sim.world import Life


class _Take:
    """From one start to its stop."""

    def __init__(self, life: Life, source: SoundSource, sink: AudioSink) -> None:
        self.began_ns = life.world.now_ns
        self.sink = sink
        self._source = source
        self._encoder = AacEncoder(SAMPLE_RATE)
        self._blocks = 0
        source.listen_from(self.began_ns)

    @property
    def next_ns(self) -> int:
        """When the block that is filled now is full, world time."""
        return self.instant((self._blocks + 1) * FRAME_SAMPLES)

    def instant(self, sample: int) -> int:
        return self.began_ns + sample * SECOND // SAMPLE_RATE

    def block(self) -> list[tuple[int, bytes]]:
        """Take one block of samples; (number of the first sample, access unit) of what the encoder gives back."""
        self._blocks += 1
        return self._encoder.encode(self._source.take(FRAME_SAMPLES))


class SimMicrophone(Microphone):
    def __init__(self, life: Life, source: SoundSource) -> None:
        self._life = life
        self._source = source
        self._take: _Take | None = None
        self._next: Event | None = None
        self._format = AudioFormat(SAMPLE_RATE, 1, AacEncoder(SAMPLE_RATE).config, FRAME_SAMPLES)

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
