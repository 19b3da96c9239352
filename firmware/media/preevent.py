"""The pre-event buffer: what was seen before the press (BWC-POL-08, -09, -11, -12).

Responsible for keeping whole GOPs in memory, bounded by time and by bytes, and for saying why there are fewer than
configured. Refuses to know files: nothing here can reach a disk, and nothing kept outlives :meth:`PreEventBuffer.clear`.

Invariants: what is kept begins with an IDR picture and is contiguous in order of arrival; it holds the GOP that straddles
the limit, so that the length is never shorter than configured once enough was seen, and longer by less than one GOP; what
ended before the limit is not handed over, however long nothing came after it; it never holds more than ``limit_bytes``. GOPs
are handed over at once: the buffer is not a delay line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum
from itertools import pairwise

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
    """There is a hole inside or in front: the camera failed or was restarted, or GOPs were lost."""


class PreEventBuffer:
    """Not thread-safe: one loop owns it. ``limit_ns == 0`` keeps nothing."""

    def __init__(self, limit_ns: int, limit_bytes: int) -> None:
        if limit_ns < 0 or limit_bytes < 0:
            raise ValueError(f"expected limits of at least 0, got {limit_ns!r} ns and {limit_bytes!r} bytes")
        self._limit_ns = limit_ns
        self._limit_bytes = limit_bytes
        self._gops: deque[Gop] = deque()
        self._size_bytes = 0
        self._cut = Shortfall.JUST_STARTED

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
        return _has_hole(self._gops)

    @property
    def shortfall(self) -> Shortfall:
        """Why what :meth:`take` would hand over is less than configured; read before taking."""
        return self._shortfall(self.span_ns, self.has_hole)

    def shortfall_at(self, at: Timestamp, open_since: Timestamp | None) -> Shortfall:
        """The same for a press at ``at``: of what :meth:`take` would hand over then, and the GOP that is open since ``open_since``."""
        kept = list(self._gops)[self._stale(at.boottime_ns - self._limit_ns) :]
        broken = bool(self._gops) and self._gops[-1].end is None  # what follows, if anything does, does not join
        begun = kept[0].start if kept else open_since
        length_ns = at.since(begun) if begun is not None else 0
        missing = broken and (bool(kept) or length_ns < self._limit_ns)
        return self._shortfall(length_ns, missing or _has_hole(kept))

    def _shortfall(self, length_ns: int, has_hole: bool) -> Shortfall:
        if self._limit_ns == 0:
            return Shortfall.NONE
        if has_hole:
            return Shortfall.INTERRUPTED
        return Shortfall.NONE if length_ns >= self._limit_ns else self._cut

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
            self._cut = Shortfall.MEMORY
            self._drop_head()

    def take(self, at: Timestamp | None = None) -> tuple[Gop, ...]:
        """Hand over everything and be empty.

        With ``at`` (the press), GOPs that ended by ``at`` less the limit are dropped first: those kept are then the configured
        length and less than one GOP more, counted from the press.
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
        self._cut = Shortfall.JUST_STARTED

    def _drop_older_than(self, boottime_ns: int) -> None:
        for _ in range(self._stale(boottime_ns)):
            dropped = self._gops.popleft()
            self._size_bytes -= dropped.size_bytes
            if self._gops and dropped.end != self._gops[0].start:
                self._cut = Shortfall.INTERRUPTED

    def _stale(self, boottime_ns: int) -> int:
        """How many of the oldest ended by then: whole runs of an IDR and what continues it, not one that the open GOP continues."""
        count = 0
        for index, gop in enumerate(self._gops, 1):
            if gop.last_ns > boottime_ns:
                break
            if not gop.partial:
                count = index
        return count

    def _drop_head(self) -> None:
        """Drop the oldest GOP and the ones that continue it."""
        self._size_bytes -= self._gops.popleft().size_bytes
        while self._gops and self._gops[0].continues:
            self._size_bytes -= self._gops.popleft().size_bytes


def _has_hole(gops: Iterable[Gop]) -> bool:
    return any(before.end is None or before.end != after.start for before, after in pairwise(gops))
