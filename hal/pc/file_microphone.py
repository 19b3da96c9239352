"""What a microphone beside a replayed film hears: the film's sound, in real time.

Responsible for AAC frames on an exact grid, each delivered when its last sample would have been heard. Refuses to know the picture;
both depend on boot time alone, so they stay together.
"""

from __future__ import annotations

import threading

from hal.aac import FRAME_SAMPLES, AacEncoder
from hal.audio_file import SAMPLE_RATE, FileSound
from hal.errors import HalError
from hal.instants import reading_at
from hal.interfaces import AudioFormat, AudioFrame, AudioSink, Clock, Microphone

_NS = 1_000_000_000
_STOP_S = 1.0


class FileMicrophone(Microphone):
    """``HalUnavailable`` when the file has no sound."""

    def __init__(self, path: str, clock: Clock) -> None:
        FileSound(path).close()
        self._path = path
        self._clock = clock
        self._format = AudioFormat(SAMPLE_RATE, 1, AacEncoder(SAMPLE_RATE).config, FRAME_SAMPLES)
        self._stopping: threading.Event | None = None
        self._thread: threading.Thread | None = None

    def format(self) -> AudioFormat:
        return self._format

    def start(self, sink: AudioSink) -> None:
        if self._stopping is not None:
            raise HalError("the microphone is running; stop it first")
        self._stopping = threading.Event()
        began_ns = self._clock.now().boottime_ns
        self._thread = threading.Thread(target=self._run, args=(began_ns, self._stopping, sink), name="microphone", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        stopping, self._stopping = self._stopping, None
        if stopping is not None and self._thread is not None:
            stopping.set()
            self._thread.join(_STOP_S)

    def close(self) -> None:
        self.stop()

    def _run(self, began_ns: int, stopping: threading.Event, sink: AudioSink) -> None:
        try:
            sound, encoder = FileSound(self._path), AacEncoder(SAMPLE_RATE)
            sound.listen_from(began_ns)
        except HalError as error:
            sink.microphone_fault(str(error))
            return
        blocks = 0
        while True:
            blocks += 1
            full_ns = began_ns + blocks * FRAME_SAMPLES * _NS // SAMPLE_RATE
            if stopping.wait(max(0.0, (full_ns - self._clock.now().boottime_ns) / _NS)):
                break
            for sample, data in encoder.encode(sound.take(FRAME_SAMPLES)):
                if not stopping.is_set():
                    sink.audio(AudioFrame(data, reading_at(self._clock, began_ns + sample * _NS // SAMPLE_RATE)))
        sound.close()
