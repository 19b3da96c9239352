"""What the laptop's camera looks at, as the camera drives it: exposures with their instants, then pictures of them.

Responsible for the port between camera and picture source, and for a file that is replayed on an exact grid. Refuses to know H.264.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from av.video.frame import VideoFrame

from hal.canvas import Canvas, Plane
from hal.errors import HalUnavailable
from hal.footage import FileSource
from hal.interfaces import Clock, VideoFormat

SECOND = 1_000_000_000
_CATCHING_UP = 3
"""How often the film is wound to now before it is shown: each time takes a fraction of the time before, as long as a film can be played."""
_LATE_NS = SECOND // 2
"""A grid that is later than this goes on from now: the machine slept or was stopped, and nobody exposed those pictures."""
PATIENCE_S = 0.2
"""How long one :meth:`Feed.expose` waits at most: what a stop may take."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """``frame`` is ``None`` where the source shows any instant on demand."""

    boottime_ns: int
    frame: VideoFrame | None = None


class Feed(ABC):
    """Opened and closed by the camera's sensor thread, once a take."""

    @abstractmethod
    def open(self, video: VideoFormat) -> None:
        """Begin to look, and return when the next exposure can be shown at once: what it takes to get there is no loss of pictures.
        ``HalUnavailable`` when there is nothing to look with."""

    @abstractmethod
    def expose(self) -> Exposure | None:
        """The next exposure, or ``None`` when none came within :data:`PATIENCE_S`. ``DeviceFault`` when the source is lost."""

    @abstractmethod
    def show(self, exposure: Exposure, canvas: Canvas) -> Plane:
        """The picture of an exposure, fitted into ``canvas``; from the encoder's thread, in order."""

    @abstractmethod
    def describe(self) -> str: ...

    @abstractmethod
    def close(self) -> None: ...


class FileFeed(Feed):
    """A video file in real time, looped. Picture i is of the first exposure's instant + i / fps exactly; what a file shows at an instant
    depends on that instant alone, so its sound, replayed by :class:`hal.pc.file_microphone.FileMicrophone`, stays with it."""

    def __init__(self, path: str, clock: Clock) -> None:
        if not Path(path).is_file():
            raise HalUnavailable(f"no video file at {path!r}; give one that ffprobe reads")
        self._path = path
        self._clock = clock
        self._source: FileSource | None = None
        self._fps = self._next = self._began_ns = 0

    def open(self, video: VideoFormat) -> None:
        """A film is decoded from a key frame on, which may lie many seconds back."""
        self._source = FileSource(self._path)
        self._source.aim(Canvas(video.width, video.height), self._clock.now().boottime_ns)
        for _ in range(_CATCHING_UP):
            self._source.look(self._clock.now().boottime_ns, 0, 0)
        self._fps, self._next = video.fps, 0

    def expose(self) -> Exposure | None:
        now_ns = self._clock.now().boottime_ns
        if self._next == 0:
            self._began_ns = now_ns
        at_ns = self._instant(self._next)
        if now_ns - at_ns > _LATE_NS:
            self._next = (now_ns - self._began_ns) * self._fps // SECOND + 1
            at_ns = self._instant(self._next)
        wait_s = (at_ns - now_ns) / SECOND
        if wait_s > PATIENCE_S:
            time.sleep(PATIENCE_S)
            return None
        if wait_s > 0:
            time.sleep(wait_s)
        self._next += 1
        return Exposure(at_ns)

    def show(self, exposure: Exposure, canvas: Canvas) -> Plane:
        assert self._source is not None
        return self._source.look(exposure.boottime_ns, 0, 0)

    def describe(self) -> str:
        return f"replay of {Path(self._path).name!r}"

    def close(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def _instant(self, number: int) -> int:
        return self._began_ns + number * SECOND // self._fps
