"""A volume that tells for how long it has not answered.

Responsible for one number: the boot time at which the call that is running now began. Refuses to know what is called and to decide
what is late. Everything passes through unchanged; the calls are the writer's, the question is the loop's (another thread).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hal.interfaces import Clock, Volume, VolumeFile


class WatchedVolume(Volume):
    def __init__(self, volume: Volume, clock: Clock) -> None:
        self._volume = volume
        self._clock = clock
        self._since_ns: int | None = None

    def waiting_ns(self, now_ns: int) -> int:
        """Nanoseconds since the call that is running now began; 0 when none is."""
        since = self._since_ns
        return 0 if since is None else max(0, now_ns - since)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._since_ns = self._clock.now().boottime_ns
        try:
            yield
        finally:
            self._since_ns = None

    def create(self, name: str) -> VolumeFile:
        with self._timed():
            return _WatchedFile(self._volume.create(name), self._timed)

    def append(self, name: str) -> VolumeFile:
        with self._timed():
            return _WatchedFile(self._volume.append(name), self._timed)

    def truncate(self, name: str, length_bytes: int) -> None:
        with self._timed():
            self._volume.truncate(name, length_bytes)

    def rename(self, old: str, new: str) -> None:
        with self._timed():
            self._volume.rename(old, new)

    def remove(self, name: str) -> None:
        with self._timed():
            self._volume.remove(name)

    def make_directory(self, name: str) -> None:
        with self._timed():
            self._volume.make_directory(name)

    def sync_directory(self, name: str) -> None:
        with self._timed():
            self._volume.sync_directory(name)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        with self._timed():
            self._volume.sync_group([file.file for file in files if isinstance(file, _WatchedFile)], directories)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        with self._timed():
            return self._volume.read(name, start_bytes, fresh)

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        with self._timed():
            return self._volume.list(name)

    def free_bytes(self) -> int:
        """Not timed: the loop asks too, and would overwrite what the writer waits for."""
        return self._volume.free_bytes()


class _WatchedFile(VolumeFile):
    def __init__(self, file: VolumeFile, timed: Callable[[], object]) -> None:
        self.file = file
        self._timed = timed

    def write(self, data: bytes) -> None:
        with self._timed():  # type: ignore[attr-defined]
            self.file.write(data)

    def sync(self) -> None:
        with self._timed():  # type: ignore[attr-defined]
            self.file.sync()

    def close(self) -> None:
        self.file.close()
