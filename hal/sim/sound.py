"""What the simulated microphone hears: the file's sound track, or a street that is made of noise.

Responsible for mono samples at one rate for any stretch of world time. Refuses to know who listens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from hal.errors import HalUnavailable
from hal.sim.source import frame_offset_s, open_container, seek

SAMPLE_RATE = 48_000
_NS = 1_000_000_000
_NOISE_S = 10
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


class StreetNoise(SoundSource):
    """Traffic rumble that swells, and two quiet tones (440 and 660 Hz) in turn, a second each: an ear finds its place."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._place = 0

    def listen_from(self, at_ns: int) -> None:
        self._place = at_ns * SAMPLE_RATE // _NS

    def take(self, count: int) -> Samples:
        loop = _street_noise(self._seed)
        place, self._place = self._place % len(loop), self._place + count
        return np.take(loop, np.arange(place, place + count), mode="wrap")

    def close(self) -> None:
        return


@lru_cache(maxsize=2)
def _street_noise(seed: int) -> Samples:
    """One round of it, made when somebody first listens."""
    count = SAMPLE_RATE * _NOISE_S
    white = np.random.default_rng(seed).standard_normal(count)
    spectrum = np.fft.rfft(white) / (1 + np.fft.rfftfreq(count, 1 / SAMPLE_RATE) / 120)
    rumble = np.fft.irfft(spectrum, count)
    seconds = np.arange(count) / SAMPLE_RATE
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * seconds / _NOISE_S)
    tone = np.sin(2 * np.pi * np.where(seconds % 2 < 1, 440, 660) * seconds)
    return np.asarray(rumble / np.abs(rumble).max() * swell * 0.35 + tone * 0.05, np.float32)


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


def open_sound(source: str | None, seed: int) -> SoundSource:
    """The file's sound where it has one, else the street's."""
    if source is None or source.startswith("/dev/"):
        return StreetNoise(seed)
    try:
        return FileSound(source)
    except HalUnavailable:
        return StreetNoise(seed)
