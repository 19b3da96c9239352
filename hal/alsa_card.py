"""A sound card through ALSA: samples, and the instant of the next one.

Responsible for opening a capture device with exactly the format that was asked for, for its time stamps on boot time, and for saying
when samples were lost. Refuses to know codecs and who listens.

``alsaaudio`` is imported when a card is opened, so that a camera without one needs no library. It keeps the interpreter's lock while
it opens and closes a device: with a ``hw:`` or ``plughw:`` device that is a matter of milliseconds; a sound server that has hung
would hold the whole process, which is why a camera is configured with its card and not with ``default``.
"""

from __future__ import annotations

import errno
import select
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.errors import DeviceFault, HalUnavailable
from hal.instants import MonotonicStamps

RATE = 48_000
PERIOD, PERIODS = 1024, 32
"""Two thirds of a second of buffer: a loop that is late by half a second loses nothing."""
_NS = 1_000_000_000
REMEDY = "look for the card with `arecord -l` and name it in the settings, as plughw:CARD=name"


@dataclass(frozen=True, slots=True)
class SoundCard:
    """``bits``: 16 or 32, a 24 or 18 bit microphone left-aligned in 32. ``channel`` of ``channels``: where the one microphone is.
    ``gain`` multiplies; MEMS microphones on I2S are quiet."""

    device: str = "default"
    bits: int = 16
    channels: int = 1
    channel: int = 0
    gain: float = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One read: samples, -1 to 1, maybe none. ``lost``: some before them were overwritten (ALSA's overrun)."""

    samples: NDArray[np.float32]
    lost: bool = False


class Capture(ABC):
    """An open card that runs. One thread at a time; nothing blocks longer than asked for; ``DeviceFault`` when the card is lost."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Until there may be samples, or the time is up."""

    @abstractmethod
    def read(self) -> Heard: ...

    @abstractmethod
    def next_ns(self) -> int | None:
        """Boot time of the sample that the next read begins with; ``None`` when the card does not know."""

    @abstractmethod
    def close(self) -> None: ...


class AlsaCapture(Capture):
    """A capture PCM of pyalsaaudio, not blocking."""

    def __init__(self, pcm: Any, card: SoundCard) -> None:
        self._pcm = pcm
        self._card = card
        self._stamps = MonotonicStamps()
        self._buffer = int(pcm.info()["buffer_size"])
        self._poll = select.poll()
        for descriptor, events in pcm.polldescriptors():
            self._poll.register(descriptor, events)

    def wait(self, seconds: float) -> None:
        self._poll.poll(seconds * 1000)

    def read(self) -> Heard:
        try:
            count, data = self._pcm.read()
        except _error() as error:
            raise DeviceFault(f"sound card {self._card.device!r} is lost: {error}; {REMEDY}") from error
        return Heard(to_mono(data, self._card), lost=count == -errno.EPIPE)

    def next_ns(self) -> int | None:
        seconds, nanoseconds, waiting = self._pcm.htimestamp()
        if waiting >= self._buffer - 1:
            return None  # full to the brim: how much more there was the stamp does not say
        stamped = self._stamps.boottime_ns(seconds * _NS + nanoseconds)
        return None if stamped is None else stamped - waiting * _NS // RATE

    def close(self) -> None:
        self._pcm.close()


def to_mono(data: bytes, card: SoundCard) -> NDArray[np.float32]:
    """Interleaved little-endian samples of ``card`` as one channel, -1 to 1."""
    kind = np.dtype("<i4") if card.bits == 32 else np.dtype("<i2")
    chosen = np.frombuffer(data, kind)[card.channel :: card.channels]
    return np.asarray(np.clip(chosen.astype(np.float32) * np.float32(card.gain / 2 ** (card.bits - 1)), -1.0, 1.0), np.float32)


class OffsetFilter:
    """Takes out a constant offset: a high-pass far below hearing, as a mean that follows slowly.

    The SPH0645 adds some percent of full scale; uncorrected, a player clicks and the encoder spends bits on it.
    """

    _SECONDS = 0.5

    def __init__(self) -> None:
        self._mean: float | None = None

    def filter(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if not len(samples):
            return samples
        before = float(samples.mean()) if self._mean is None else self._mean
        share = -np.expm1(-len(samples) / (RATE * self._SECONDS))
        self._mean = before + float(share) * (float(samples.mean()) - before)
        # A straight line from the old mean to the new: a step between two reads would be heard.
        return samples - np.linspace(before, self._mean, len(samples), endpoint=False, dtype=np.float32)


def check_library() -> None:
    """``HalUnavailable`` when pyalsaaudio is absent."""
    try:
        import alsaaudio  # noqa: F401
    except ImportError as error:
        raise HalUnavailable(
            "a microphone on ALSA needs the library 'alsaaudio'; install pyalsaaudio, or set microphone = \"none\""
        ) from error


def check_format(found: Mapping[str, Any], card: SoundCard) -> None:
    """``found`` is pyalsaaudio's ``info``; at another rate every instant would be wrong. ``HalUnavailable`` names both."""
    wanted, got = (RATE, card.channels, card.bits), (found["rate"], found["channels"], found["physical_bits"])
    if got != wanted:
        said = [f"{rate} Hz, {channels} channel(s), {bits} bit" for rate, channels, bits in (wanted, got)]
        raise HalUnavailable(f"sound card {card.device!r}: expected {said[0]}, got {said[1]}; {REMEDY}")


def open_card(card: SoundCard) -> Capture:
    """Open and start. ``HalUnavailable`` when there is no such device, or it does not have the format."""
    check_library()
    import alsaaudio

    form = alsaaudio.PCM_FORMAT_S32_LE if card.bits == 32 else alsaaudio.PCM_FORMAT_S16_LE
    try:
        pcm = alsaaudio.PCM(
            type=alsaaudio.PCM_CAPTURE,
            mode=alsaaudio.PCM_NONBLOCK,
            device=card.device,
            rate=RATE,
            channels=card.channels,
            format=form,
            periodsize=PERIOD,
            periods=PERIODS,
        )
    except alsaaudio.ALSAAudioError as error:
        raise HalUnavailable(f"no sound from {card.device!r}: {error}; {REMEDY}") from error
    with ExitStack() as undo:
        undo.callback(pcm.close)
        check_format(pcm.info(), card)  # pyalsaaudio takes whatever the device gives instead of what was asked for
        try:
            pcm.set_tstamp_mode(alsaaudio.PCM_TSTAMP_ENABLE)
            pcm.set_tstamp_type(alsaaudio.PCM_TSTAMP_TYPE_MONOTONIC)
        except RuntimeError as error:
            raise HalUnavailable(f"sound card {card.device!r} has no time stamps: {error}; {REMEDY}") from error
        undo.pop_all()
    return AlsaCapture(pcm, card)


def _error() -> type[Exception]:
    import alsaaudio

    found: type[Exception] = alsaaudio.ALSAAudioError
    return found
