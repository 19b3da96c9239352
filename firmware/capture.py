"""Camera and microphone → whole GOPs → pre-event buffer, or the recording.

Responsible for the pre-event rule (house law 1): the buffer holds whole GOPs in RAM only; at activation they are handed on at
once and live GOPs follow immediately, with no picture missing or doubled at the seam. Refuses to know why a recording starts
or where it goes.

Threads: :class:`Intake` is called from the devices' threads; :class:`Capture` from the loop only.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from firmware.custodian import Custodian
from firmware.errors import FormatError
from firmware.media.access_unit import parse_access_unit
from firmware.media.gop import AudioUnit, Gop, GopAssembler
from firmware.media.preevent import PreEventBuffer, Shortfall
from firmware.media.time_sei import insert_time
from firmware.metrics import Losses
from firmware.recorder import BeginOrder
from firmware.reports import DeviceTrouble
from firmware.shellclock import stamp
from firmware.timebase import Timestamp
from hal.interfaces import AudioFrame, Inbox, Picture

AUDIO_FRAME_NS = 64_000_000
"""The longest AAC unit there is here (1024 samples at 16 kHz): one that began this long before a mute may reach into it."""
_END_WAITS_NS = 500_000_000
"""Pictures come some time after they were taken: a recording that ended waits this long for its last ones."""
_HOLE_SPARE_NS = 10_000_000_000
"""How much longer than the buffer can be a hole in it is remembered: more than the longest GOP."""


@dataclass(frozen=True, slots=True)
class PicturesDropped:
    """The inbox was full: pictures that the camera delivered and the loop never saw, from ``first`` up to the IDR at ``until``."""

    first: Timestamp
    until: Timestamp
    count: int


@dataclass(frozen=True, slots=True)
class _Hole:
    """Pictures that are missing, the first of them after (or at) ``first``."""

    first: Timestamp
    duration_us: int
    pictures: int
    cause: str


class Intake:
    """The devices' sink: appends to the inbox and returns. When the inbox is full it drops up to the next IDR, counted.

    The pictures of the GOP that did arrive stay: they decode, and a law that threw them away would lose evidence.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._first_dropped: Picture | None = None
        self._dropped = 0
        self.delivered = 0
        """Pictures that came, dropped ones too."""
        self.heard_ns = 0
        """Boot time of the newest sound that came; 0 before the first."""

    def picture(self, picture: Picture) -> None:
        self.delivered += 1
        if self._first_dropped is not None:
            gap = PicturesDropped(stamp(self._first_dropped.captured), stamp(picture.captured), self._dropped)
            if not (picture.keyframe and self._inbox.put(gap, urgent=True)):
                self._dropped += 1
                return
            self._first_dropped, self._dropped = None, 0
        if not self._inbox.put(picture):
            self._first_dropped, self._dropped = picture, 1

    def camera_fault(self, reason: str) -> None:
        self._inbox.put(DeviceTrouble("camera", reason), urgent=True)

    def audio(self, frame: AudioFrame) -> None:
        self.heard_ns = frame.captured.boottime_ns
        self._inbox.put(frame)  # a lost audio frame shows as a step in the audio track's own times

    def microphone_fault(self, reason: str) -> None:
        self._inbox.put(DeviceTrouble("microphone", reason), urgent=True)


@dataclass(frozen=True, slots=True)
class _Ending:
    """A recording that was stopped ``at``; pictures from before may still be on their way."""

    at: Timestamp
    cause: str
    notes: dict[str, Any]


class Capture:
    """Assembles GOPs and decides, GOP by GOP, whether they wait in RAM or become evidence."""

    def __init__(self, custodian: Custodian, pre_event_ms: int, pre_event_bytes: int, frame_ns: int, losses: Losses) -> None:
        self._custodian = custodian
        self._losses = losses
        self._assembler = GopAssembler()
        self._buffer = PreEventBuffer(pre_event_ms * 1_000_000, pre_event_bytes)
        self._frame_ns = frame_ns
        self._recording = False
        self._follows = False
        self._last: Timestamp | None = None
        """Capture time of the newest picture accepted."""
        self._reached: Timestamp | None = None
        """Up to where pictures and holes account for the time: the last picture, the end of a hole that was told, or an activation that
        nothing is known from before."""
        self._waiting_for_idr = True
        self._silent_from_ns: int | None = None
        self._refused: tuple[Timestamp, int] | None = None
        self._holes: deque[_Hole] = deque()
        self._remember_ns = 2 * pre_event_ms * 1_000_000 + _HOLE_SPARE_NS
        self._split: tuple[BeginOrder, Timestamp, dict[str, Any]] | None = None
        self._ending: _Ending | None = None

    @property
    def pre_event_ms(self) -> int:
        """Milliseconds of pictures that an activation would find now."""
        return self._buffer.span_ns // 1_000_000

    @property
    def buffer(self) -> PreEventBuffer:
        """To look at."""
        return self._buffer

    def picture(self, picture: Picture) -> None:
        """Take one picture. A picture that does not parse costs its GOP's rest and is counted (hostile camera)."""
        time = stamp(picture.captured)
        if self._ending is not None and time.since(self._ending.at) > 0:
            self.finish()
        if self._waiting_for_idr and not picture.keyframe:
            self._refuse(time)
            return
        try:
            unit = insert_time(parse_access_unit(picture.data, picture.keyframe, time))
            gop = self._assembler.push(unit)
        except FormatError:
            self._refuse(time)
            return
        self._settle_refused(time)
        self._note_gap(time)
        self._waiting_for_idr = False
        self._last = self._reached = time
        if gop is not None:
            self._route(gop)

    def audio(self, frame: AudioFrame) -> None:
        """Take one audio frame. One that does not fit (its time repeats, it is too large) is left out: the audio track's own
        times show the hole, and pictures go on."""
        time = stamp(frame.captured)
        if self._silent_from_ns is not None and time.boottime_ns >= self._silent_from_ns:
            return
        with suppress(FormatError):
            self._assembler.push_audio(AudioUnit(frame.data, time))

    def mute(self, at: Timestamp, muted: bool) -> None:
        """No sound from ``at`` on, also none that waits in the inbox: the hold that mutes is known for one a moment after it became one."""
        self._silent_from_ns = at.boottime_ns - AUDIO_FRAME_NS if muted else None
        if self._silent_from_ns is not None:
            self._assembler.discard_audio(self._silent_from_ns)

    def dropped(self, gap: PicturesDropped) -> None:
        """Pictures lost before they reached the loop (full inbox)."""
        self.interrupt()
        self._settle_refused(gap.first)
        self._note_gap(gap.first)  # what the sensor had left out before
        self._lost(gap.first, gap.until, gap.count, "queue-full")

    def interrupt(self) -> None:
        """The stream is broken here (a fault, pictures lost): the open GOP ends, the next picture must be an IDR."""
        self.finish()
        self._waiting_for_idr = True
        gop = self._assembler.flush()
        if gop is not None:
            self._route(gop)

    def start(self, order: BeginOrder, keep_audio: bool) -> None:
        """Begin a recording: what the buffer holds goes first, the GOP that is open now follows as it closes."""
        self.finish()
        if not keep_audio:
            self._assembler.discard_audio()
        self._custodian.submit_begin(order)
        gops = self._buffer.take(order.at)
        begun = gops[0].start if gops else self._assembler.open_since
        unseen_ns = begun.since(order.at) if begun is not None else 0
        if self._is_hole(unseen_ns):  # an activation that was owed until the camera came back
            self._count(_Hole(order.at, unseen_ns // 1000, self._missing(order.at, unseen_ns), "camera"))
        holes = deque(hole for hole in self._holes if begun is not None and hole.first.boottime_ns >= begun.boottime_ns)
        for gop in gops:
            while holes and holes[0].first.boottime_ns < gop.last_ns:
                self._tell(holes.popleft())
            self._hand_over(gop)
        for hole in holes:
            self._tell(hole)
        if begun is None and self._reached is None:
            self._reached = order.at
        self._recording = True
        self._custodian.kick()

    def split(self, order: BeginOrder, at: Timestamp, notes: dict[str, Any]) -> None:
        """Go on in a new recording with the next GOP: the open one still belongs to the old (BWC-POL-06)."""
        self._split = (order, at, notes)

    @property
    def is_splitting(self) -> bool:
        """The next recording was ordered, and waits for a GOP to begin with; a stop takes that back."""
        return self._split is not None

    def stop(self, at: Timestamp, cause: str, notes: dict[str, Any]) -> None:
        """End the recording at ``at``, once its last pictures are here: when a later one comes, or when none came for too long
        (:meth:`look`). What ends the pictures for good (a camera that is stopped, another recording) calls :meth:`finish`."""
        self._ending = _Ending(at, cause, notes)
        self._split = None
        self._follows = True
        if self._last is not None and self._last.since(at) >= 0:
            self.finish()

    def look(self, now: Timestamp) -> None:
        """Now and then."""
        if self._ending is not None and now.since(self._ending.at) > _END_WAITS_NS:
            self.finish()

    def finish(self) -> None:
        """Close the recording that was stopped, if one waits: the pictures of the open GOP up to its end. The GOP itself goes on, into
        the buffer.

        A hold is known for one a moment after it became one. The picture that leads the open GOP is kept even if it came in
        that moment: it carries the signature of the GOP before it.
        """
        ending, self._ending = self._ending, None
        if ending is None:
            return
        self._settle_refused(ending.at)
        self._note_gap(ending.at)
        self._recording = False
        final = self._assembler.snapshot()
        self._assembler.discard_audio()
        self._custodian.submit_end(None if final is None else _up_to(final, ending.at), ending.at, ending.cause, ending.notes)
        self._custodian.kick()

    def shortfall(self, at: Timestamp) -> str:
        """Why an activation at ``at`` finds less than configured (BWC-POL-09); empty when it does not."""
        cause = self._buffer.shortfall_at(at, self._assembler.open_since)
        if cause is Shortfall.NONE:
            return ""
        return "follows-recording" if cause is Shortfall.JUST_STARTED and self._follows else cause.value

    def clear(self) -> None:
        """Forget everything that was not activated (sleep, privacy; BWC-POL-11)."""
        self.finish()
        self._buffer.clear()
        self._holes.clear()
        self._follows = False
        self._assembler = GopAssembler()
        self._waiting_for_idr = True
        self._last = self._reached = self._refused = None

    def _route(self, gop: Gop) -> None:
        if not self._recording:
            self._buffer.push(gop)
            return
        if self._split is not None and not gop.partial:  # a new recording begins with an IDR
            order, at, notes = self._split
            self._custodian.submit_end(gop, at, "max-length", notes)
            self._custodian.submit_begin(order)
            self._split = None
        else:
            self._hand_over(gop)
        self._custodian.kick()

    def _hand_over(self, gop: Gop) -> None:
        if not self._custodian.submit_gop(gop):
            end = gop.end or gop.units[-1].time
            self._losses.add("writer-behind", len(gop.units), 1)
            self._custodian.submit_drop(gop.start, end.since(gop.start) // 1000, len(gop.units), "writer-behind")

    def _note_gap(self, time: Timestamp) -> None:
        """Count pictures that are missing before ``time``: the sensor's own times show a step of more than one and a half pictures, or
        a recording ends so long after the last one."""
        before = self._reached
        if before is not None and self._is_hole(step := time.since(before)):
            self._lost(before, time, self._missing(before, step), "camera")

    def _is_hole(self, length_ns: int) -> bool:
        return length_ns > self._frame_ns * 3 // 2

    def _missing(self, before: Timestamp, length_ns: int) -> int:
        """How many: ``before`` is the last picture, or an instant without one (a hole's end, an activation); ``length_ns`` leads to the
        next one."""
        return round(length_ns / self._frame_ns) - (1 if before is self._last else 0)

    def _lost(self, first: Timestamp, until: Timestamp, pictures: int, cause: str) -> None:
        """Told of the recording that is open, and remembered: what waits in the buffer may still become evidence, and is then to
        say what it lacks (house law 4)."""
        hole = _Hole(first, max(0, until.since(first)) // 1000, pictures, cause)
        self._reached = until
        if self._recording:
            self._count(hole)
        else:
            self._losses.add(hole.cause, hole.pictures)
        self._holes.append(hole)
        while hole.first.since(self._holes[0].first) > self._remember_ns:
            self._holes.popleft()

    def _count(self, hole: _Hole) -> None:
        """Told for the first time."""
        self._losses.add(hole.cause, hole.pictures)
        self._tell(hole)

    def _tell(self, hole: _Hole) -> None:
        self._custodian.submit_drop(hole.first, hole.duration_us, hole.pictures, hole.cause)

    def _refuse(self, time: Timestamp) -> None:
        self.interrupt()
        if self._refused is not None:
            self._refused = (self._refused[0], self._refused[1] + 1)
        elif self._reached is not None:
            self._note_gap(time)
            self._refused, self._reached = (time, 1), time

    def _settle_refused(self, time: Timestamp) -> None:
        if self._refused is None or time.since(self._refused[0]) < 0:
            return
        first, count = self._refused
        self._refused = None
        self._lost(first, time, count, "camera-format")


def _up_to(gop: Gop, at: Timestamp) -> Gop:
    """The leading picture and every other, and the sound, up to an instant."""
    units = (gop.units[0], *(unit for unit in gop.units[1:] if unit.time.boottime_ns <= at.boottime_ns))
    audio = tuple(sound for sound in gop.audio if sound.time.boottime_ns <= at.boottime_ns)
    size_bytes = sum(unit.size_bytes for unit in units) + sum(len(sound.data) for sound in audio)
    return Gop(units, audio, None, size_bytes)
