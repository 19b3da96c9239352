"""The sound track of a file as a microphone's samples.

Responsible for mono samples at one rate for any stretch of boot time. Refuses to know who listens. What is heard at an
instant depends on that instant alone, as ``footage`` has it for the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import av
import numpy as np
from numpy.typing import NDArray

from hal.footage import frame_offset_s, open_container, seek

SAMPLE_RATE = 48_000
_NS = 1_000_000_000
Samples = NDArray[np.float32]


class SoundSource(ABC):
    """``listen_from`` comes before the first :meth:`take`, and again after every pause."""

    @abstractmethod
    def listen_from(self, at_ns: int) -> None: ...

    @abstractmethod
    def take(self, count: int) -> Samples:
        """The next ``count`` samples, -1 to 1."""

    @abstractmethod
    def close(self) -> None: ...


class FileSound(SoundSource):
    """The first sound track of a file, looped at the file's length so that it stays with the picture."""

    def __init__(self, path: str) -> None:
        self._path = path
        with open_container(path, "audio") as container:
            self._length = round((container.duration or 0) * SAMPLE_RATE / 1e6)
        self.listen_from(0)

    def listen_from(self, at_ns: int) -> None:
        place = at_ns * SAMPLE_RATE // _NS
        self._parts = self._endless(place % self._length if self._length else 0)
        self._rest: Samples = np.zeros(0, np.float32)

    def take(self, count: int) -> Samples:
        while len(self._rest) < count:
            self._rest = np.concatenate((self._rest, next(self._parts)))
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken

    def close(self) -> None:
        self._parts = iter(())

    def _endless(self, place: int) -> Iterator[Samples]:
        """Rounds of exactly the file's length: a longer track is cut, a shorter one filled with silence."""
        while True:
            began = place
            for part in self._decode(place):
                fitting = part[: self._length - place] if self._length else part
                place += len(fitting)
                yield fitting
                if place == self._length:
                    break
            # A track that gives nothing at all still lasts a second: the loop must move on.
            missing = self._length - place if self._length else SAMPLE_RATE * (place == began)
            while missing > 0:
                yield np.zeros(min(missing, SAMPLE_RATE), np.float32)
                missing -= SAMPLE_RATE
            place = 0

    def _decode(self, place: int) -> Iterator[Samples]:
        """Samples from ``place`` of the file on; ends at the end, and at damage."""
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        with open_container(self._path, "audio") as container:
            seek(container, place * _NS // SAMPLE_RATE)
            skip: int | None = None
            try:
                for frame in container.decode(audio=0):
                    if skip is None:
                        skip = place - round(frame_offset_s(container, frame) * SAMPLE_RATE)
                    for part in resampler.resample(frame):
                        samples = np.asarray(part.to_ndarray(), np.float32).reshape(-1)
                        yield samples[max(0, skip) :]
                        skip -= len(samples)
            except av.FFmpegError:
                return
