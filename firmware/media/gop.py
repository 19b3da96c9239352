"""Groups of pictures: the unit of buffering, signing, sealing and promising.

Responsible for cutting the stream of pictures at IDR pictures, for putting audio beside the pictures it was captured
with, and for refusing time that does not advance. Refuses to know what a GOP is used for.

Invariants: a GOP is closed by the arrival of the next IDR, so that its last picture's duration is known. Pictures before
the first IDR are refused. Boot times of pictures, and of audio units, strictly increase.

A camera that stops sending IDR pictures must neither eat memory nor end the recording. A GOP that lasts over 5 s (the
partial GOP rule of ONVIF Media Signing), or reaches the limits below, is therefore closed in front of a P picture: it is
``partial``, and the GOP made from what follows *continues* it (its first picture is no IDR).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware.errors import FormatError
from firmware.media.access_unit import AccessUnit
from firmware.media.nal import LAYER, PPS, SPS
from firmware.timebase import Timestamp

PARTIAL_AFTER_NS = 5_000_000_000
MAX_GOP_BYTES = 32 * 1024 * 1024
MAX_GOP_PICTURES = 1024
MAX_AUDIO_UNITS = 4096
MAX_AUDIO_UNIT_BYTES = 8192
"""An AAC access unit has at most 768 bytes a channel (ISO/IEC 14496-3)."""


@dataclass(frozen=True, slots=True)
class AudioUnit:
    """One raw AAC access unit (1024 samples a channel); ``time`` is the instant of its first sample."""

    data: bytes
    time: Timestamp


@dataclass(frozen=True, slots=True)
class Gop:
    """``end`` is the time of the picture that leads what follows, ``None`` where the stream ended or was interrupted.

    ``size_bytes`` counts NAL units and audio. ``partial``: closed before the next IDR arrived.
    """

    units: tuple[AccessUnit, ...]
    audio: tuple[AudioUnit, ...]
    end: Timestamp | None
    size_bytes: int
    partial: bool = False

    @property
    def start(self) -> Timestamp:
        """Time of the leading picture."""
        return self.units[0].time

    @property
    def continues(self) -> bool:
        """Whether the leading picture is no IDR: decodable only behind the partial GOP before it."""
        return not self.units[0].keyframe

    @property
    def sps(self) -> bytes:
        """The sequence parameter set of the leading IDR; empty when the GOP continues another."""
        return _first_of_type(self.units[0], SPS)

    @property
    def pps(self) -> bytes:
        """The picture parameter set of the leading IDR; empty when the GOP continues another."""
        return _first_of_type(self.units[0], PPS)

    @property
    def pictures(self) -> int:
        """How many."""
        return len(self.units)

    @property
    def last_ns(self) -> int:
        """Boot time of the end where it is known, else of the last picture."""
        return (self.end or self.units[-1].time).boottime_ns

    def without_audio(self) -> Gop:
        """The same pictures alone (BWC-POL-10)."""
        return replace(self, audio=(), size_bytes=self.size_bytes - sum(len(unit.data) for unit in self.audio))


def _first_of_type(unit: AccessUnit, kind: int) -> bytes:
    return next((nal for nal in unit.nals if nal[0] & 0x1F == kind), b"")


class GopAssembler:
    """Pictures and audio in, closed GOPs out. Not thread-safe: one loop owns it."""

    def __init__(self) -> None:
        self._units: list[AccessUnit] = []
        self._audio: list[AudioUnit] = []
        self._size_bytes = 0
        self._last_picture_ns = -1
        self._last_audio_ns = -1

    @property
    def open_since(self) -> Timestamp | None:
        """Time of the leading picture of the open GOP, ``None`` when no GOP is open."""
        return self._units[0].time if self._units else None

    def push(self, unit: AccessUnit) -> Gop | None:
        """Take the next picture; the GOP it closes, if it closes one.

        FormatError, and nothing taken, for a picture that is no IDR while no GOP is open, or one whose boot time does
        not increase.
        """
        if not self._units and not unit.keyframe:
            raise FormatError(LAYER, "expected an IDR picture first, got another")
        now_ns = unit.time.boottime_ns
        if now_ns <= self._last_picture_ns:
            raise FormatError(LAYER, f"expected a picture after boot time {self._last_picture_ns!r} ns, got {now_ns!r} ns")
        size = unit.size_bytes
        closed: Gop | None = None
        if self._units and (unit.keyframe or self._is_full(now_ns, size)):
            closed = self._close(unit.time, partial=not unit.keyframe)
        self._units.append(unit)
        self._size_bytes += size
        self._last_picture_ns = now_ns
        return closed

    def push_audio(self, unit: AudioUnit) -> None:
        """Put audio beside the open GOP; dropped while none is open, as there is no picture to go with it.

        FormatError, and nothing taken, when its boot time does not increase or it exceeds a limit.
        """
        if unit.time.boottime_ns <= self._last_audio_ns:
            raise FormatError("aac", f"expected audio after boot time {self._last_audio_ns!r} ns, got {unit.time.boottime_ns!r} ns")
        if not 0 < len(unit.data) <= MAX_AUDIO_UNIT_BYTES:
            raise FormatError("aac", f"expected 1 to {MAX_AUDIO_UNIT_BYTES} bytes, got {len(unit.data)!r}")
        if len(self._audio) >= MAX_AUDIO_UNITS:
            raise FormatError("aac", f"expected at most {MAX_AUDIO_UNITS} units a GOP, got more")
        self._last_audio_ns = unit.time.boottime_ns
        if self._units:
            self._audio.append(unit)

    def flush(self) -> Gop | None:
        """Close what is open: the stream ends, or is interrupted, here. The next picture must be an IDR."""
        return self._close(None, partial=False) if self._units else None

    def snapshot(self) -> Gop | None:
        """What is open, as a GOP that ends here; it stays open (a recording stops, the camera goes on)."""
        return self._cut(None, partial=False) if self._units else None

    def discard_audio(self, since_ns: int = -1) -> None:
        """Forget the audio of the open GOP (start of a recording, BWC-POL-10), or that from ``since_ns`` on (mute, BWC-POL-17)."""
        self._audio = [sound for sound in self._audio if sound.time.boottime_ns < since_ns]

    def _is_full(self, now_ns: int, size_bytes: int) -> bool:
        return (
            now_ns - self._units[0].time.boottime_ns > PARTIAL_AFTER_NS
            or len(self._units) >= MAX_GOP_PICTURES
            or self._size_bytes + size_bytes > MAX_GOP_BYTES
        )

    def _close(self, end: Timestamp | None, *, partial: bool) -> Gop:
        gop = self._cut(end, partial=partial)
        self._units.clear()
        del self._audio[: len(gop.audio)]
        self._size_bytes = 0
        return gop

    def _cut(self, end: Timestamp | None, *, partial: bool) -> Gop:
        # Audio of the same instants as the pictures; what was captured after ``end`` goes with the next GOP.
        audio = tuple(sound for sound in self._audio if end is None or sound.time.boottime_ns < end.boottime_ns)
        return Gop(tuple(self._units), audio, end, self._size_bytes + sum(len(sound.data) for sound in audio), partial)
