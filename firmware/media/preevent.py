"""The pre-event buffer: what was seen before the press (BWC-POL-08, -09, -11, -12).

Responsible for keeping whole GOPs in memory, bounded by time and by bytes, and for saying why there are fewer than
configured. Refuses to know files: nothing here can reach a disk, and nothing kept outlives :meth:`PreEventBuffer.clear`.

Invariants: what is kept begins with an IDR picture and is contiguous in order of arrival; it holds the GOP that straddles
the limit, so that the length is never shorter than configured once enough was seen, and longer by less than one GOP; it
never holds more than ``limit_bytes``. GOPs are handed over at once: the buffer is not a delay line.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from firmware.media.gop import Gop
from firmware.timebase import Timestamp


class Shortfall(Enum):
    """Why the buffer holds less than configured (BWC-POL-09)."""

    NONE = "none"
    JUST_STARTED = "just-started"
    """Not enough was seen since the camera, or the buffer, started."""
    MEMORY = "memory"
    """GOPs were dropped for the bound in bytes."""
    INTERRUPTED = "interrupted"
    """There is a hole inside: the camera was restarted, or GOPs were lost."""


class PreEventBuffer:
    """Not thread-safe: one loop owns it. ``limit_ns == 0`` keeps nothing."""

    def __init__(self, limit_ns: int, limit_bytes: int) -> None:
        if limit_ns < 0 or limit_bytes < 0:
            raise ValueError(f"expected limits of at least 0, got {limit_ns!r} ns and {limit_bytes!r} bytes")
        self._limit_ns = limit_ns
        self._limit_bytes = limit_bytes
        self._gops: deque[Gop] = deque()
        self._size_bytes = 0
        self._cut_by_memory = False

    @property
    def limit_ns(self) -> int:
        return self._limit_ns

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes

    @property
    def size_bytes(self) -> int:
        """NAL units and audio held; never above the limit."""
        return self._size_bytes

    @property
    def span_ns(self) -> int:
        """Boot time from the first picture held to the end of the newest GOP, holes included; 0 when empty."""
        return self._gops[-1].last_ns - self._gops[0].start.boottime_ns if self._gops else 0

    @property
    def has_hole(self) -> bool:
        """Whether two neighbours held do not join: the first was closed by anything but the picture leading the second."""
        before: Gop | None = None
        for gop in self._gops:
            if before is not None and (before.end is None or before.end != gop.start):
                return True
            before = gop
        return False

    @property
    def shortfall(self) -> Shortfall:
        """Why what :meth:`take` would hand over is less than configured; read before taking."""
        return self._shortfall(self.span_ns)

    def shortfall_at(self, at: Timestamp) -> Shortfall:
        """The same for a press at ``at``, with the open GOP that follows what is held counted in."""
        return self._shortfall(at.boottime_ns - self._gops[0].start.boottime_ns if self._gops else 0)

    def _shortfall(self, length_ns: int) -> Shortfall:
        if self._limit_ns == 0:
            return Shortfall.NONE
        if self.has_hole:
            return Shortfall.INTERRUPTED
        if length_ns >= self._limit_ns:
            return Shortfall.NONE
        return Shortfall.MEMORY if self._cut_by_memory else Shortfall.JUST_STARTED

    def push(self, gop: Gop) -> None:
        """Keep ``gop``, drop what is too old or too much.

        A GOP that continues one which is no longer held cannot be decoded and is not kept.
        """
        if self._limit_ns == 0 or (gop.continues and not self._gops):
            return
        self._gops.append(gop)
        self._size_bytes += gop.size_bytes
        self._drop_older_than(gop.last_ns - self._limit_ns)
        while self._size_bytes > self._limit_bytes:
            self._cut_by_memory = True
            self._drop_head()

    def take(self, at: Timestamp | None = None) -> tuple[Gop, ...]:
        """Hand over everything and be empty.

        With ``at`` (the press), GOPs that ended before ``at`` less the limit are dropped first: those kept are then the
        configured length and less than one GOP more, counted from the press.
        """
        if at is not None:
            self._drop_older_than(at.boottime_ns - self._limit_ns)
        taken = tuple(self._gops)
        self.clear()
        return taken

    def clear(self) -> None:
        """Forget everything (sleep, privacy, rollover)."""
        self._gops.clear()
        self._size_bytes = 0
        self._cut_by_memory = False

    def _drop_older_than(self, boottime_ns: int) -> None:
        while (lead := self._second_lead()) is not None and lead.start.boottime_ns <= boottime_ns:
            self._drop_head()

    def _second_lead(self) -> Gop | None:
        """The next GOP behind the head that can be decoded by itself."""
        heads = iter(self._gops)
        next(heads, None)
        return next((gop for gop in heads if not gop.continues), None)

    def _drop_head(self) -> None:
        """Drop the oldest GOP and the ones that continue it."""
        self._size_bytes -= self._gops.popleft().size_bytes
        while self._gops and self._gops[0].continues:
            self._size_bytes -= self._gops.popleft().size_bytes
