"""What the simulated microphone hears: the file's sound track, or a street that is made of noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hal.audio_file import SAMPLE_RATE, FileSound, Samples, SoundSource
from hal.errors import HalUnavailable

_NS = 1_000_000_000
_NOISE_S = 10


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


def open_sound(source: str | None, seed: int) -> SoundSource:
    """The file's sound where it has one, else the street's."""
    if source is None or source.startswith("/dev/"):
        return StreetNoise(seed)
    try:
        return FileSound(source)
    except HalUnavailable:
        return StreetNoise(seed)
