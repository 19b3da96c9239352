"""The microphone on a sound card: ALSA in, AAC out, on the pictures' clock.

Responsible for one thread from ``start`` to ``stop``, for frames whose instants are those of their samples, and for telling when the
card is lost. Refuses to know boards: which card and which of its formats is the opener's choice.

Invariants: between ``stop`` and ``start`` no device is open, so nothing is captured (BWC-POL-17); a stopped take delivers nothing,
however late its thread ends; what the card lost is a hole in the instants (``sound_clock``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import numpy as np

from hal.aac import FRAME_SAMPLES, AacEncoder
from hal.alsa_card import RATE, Capture, OffsetFilter, SoundCard, open_card
from hal.errors import DeviceFault, HalError
from hal.instants import reading_at
from hal.interfaces import AudioFormat, AudioFrame, AudioSink, Clock, Microphone
from hal.sound_clock import Block, Corrections, Samples, SoundLine

_NS = 1_000_000_000
_WAIT_S = 0.1
_SILENT_NS = 2 * _NS
"""A card that gives no samples for this long is lost, whatever it says."""
_STOP_S = 1.0


class AacTrack:
    """Blocks to (instant, access unit). A new encoder for each run: its units count from the run's first sample."""

    def __init__(self) -> None:
        self._encoder: AacEncoder | None = None
        self._began_ns = 0

    def encode(self, block: Block) -> list[tuple[int, bytes]]:
        units = self.finish() if block.first else []
        if self._encoder is None:
            self._encoder, self._began_ns = AacEncoder(RATE), block.at_ns
        return units + self._take(self._encoder, block.samples)

    def finish(self) -> list[tuple[int, bytes]]:
        """The unit that the encoder still holds: it comes out when another block goes in."""
        encoder, self._encoder = self._encoder, None
        return [] if encoder is None else self._take(encoder, np.zeros(FRAME_SAMPLES, np.float32))

    def _take(self, encoder: AacEncoder, samples: Samples) -> list[tuple[int, bytes]]:
        return [(self._began_ns + sample * _NS // RATE, data) for sample, data in encoder.encode(samples)]


class _Take:
    """From one start to its stop."""

    def __init__(self, clock: Clock, capture: Capture, sink: AudioSink, corrections: Corrections) -> None:
        self._clock = clock
        self._capture = capture
        self._sink = sink
        self._line = SoundLine(RATE, clock.now().boottime_ns, corrections)
        self._track = AacTrack()
        self._offset = OffsetFilter()
        self._heard_ns = clock.now().boottime_ns
        self.stopping = threading.Event()
        self.abandoned = False
        """The stop was not waited out: whatever this thread still does, nobody hears of it."""

    def run(self) -> str:
        """Until it is stopped, or the card is lost; then the reason."""
        try:
            while not self.stopping.is_set():
                self._step()
            self._deliver(self._track.finish())
        except DeviceFault as error:
            return str(error)
        finally:
            self._capture.close()
        return ""

    def _step(self) -> None:
        heard = self._capture.read()
        if heard.lost:
            self._line.lost()
        if not len(heard.samples):
            if self._clock.now().boottime_ns - self._heard_ns > _SILENT_NS:
                raise DeviceFault(f"the sound card has given no samples for {_SILENT_NS // _NS} s")
            self._capture.wait(_WAIT_S)
            return
        self._heard_ns = self._clock.now().boottime_ns
        self._line.put(self._offset.filter(heard.samples))
        next_ns = self._capture.next_ns()
        if next_ns is not None:
            self._line.observe(next_ns)
        for block in self._line.blocks():
            self._deliver(self._track.encode(block))

    def _deliver(self, units: list[tuple[int, bytes]]) -> None:
        for at_ns, data in units:
            if not self.abandoned:
                self._sink.audio(AudioFrame(data, reading_at(self._clock, at_ns)))


class AlsaMicrophone(Microphone):
    """A card that is opened by :meth:`start` and closed by :meth:`stop`. Start and stop are called from one thread."""

    def __init__(self, clock: Clock, card: SoundCard, open_capture: Callable[[SoundCard], Capture] = open_card) -> None:
        self._clock = clock
        self._card = card
        self._open = open_capture
        self._format = AudioFormat(RATE, 1, AacEncoder(RATE).config, FRAME_SAMPLES)
        self._take: _Take | None = None
        self._thread: threading.Thread | None = None
        self.corrections = Corrections()
        """Of all takes so far."""

    def format(self) -> AudioFormat:
        return self._format

    def start(self, sink: AudioSink) -> None:
        if self._take is not None:
            raise HalError("the microphone is running; stop it first")
        take = _Take(self._clock, self._open(self._card), sink, self.corrections)
        self._take = take
        self._thread = threading.Thread(target=self._run, args=(take, sink), name="microphone", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        take, self._take = self._take, None
        thread, self._thread = self._thread, None
        if take is not None:
            take.stopping.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STOP_S)
        if take is not None:
            take.abandoned = True

    def describe(self) -> Mapping[str, str]:
        """The card, and what was done to its samples so far."""
        return {"microphone": f"ALSA {self._card.device!r}, {self._card.bits} bit", "sound corrections": str(self.corrections)}

    def close(self) -> None:
        self.stop()

    def _run(self, take: _Take, sink: AudioSink) -> None:
        reason = take.run()
        if reason and not take.stopping.is_set():
            self._take = None  # before the sink hears of it, so that it may start again
            sink.microphone_fault(reason)
