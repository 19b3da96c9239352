"""A volume that tells for how long it has not answered.

Everything passes through unchanged; ``watch`` has the numbers (``firmware.callwatch``).
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware.callwatch import CallWatch
from hal.interfaces import Clock, Volume, VolumeFile


class WatchedVolume(Volume):
    def __init__(self, volume: Volume, clock: Clock) -> None:
        self._volume = volume
        self.watch = CallWatch(clock)

    def waiting_ns(self, now_ns: int) -> int:
        """As :meth:`CallWatch.waiting_ns`."""
        return self.watch.waiting_ns(now_ns)

    def create(self, name: str) -> VolumeFile:
        with self.watch.timed():
            return _WatchedFile(self._volume.create(name), self.watch)

    def append(self, name: str) -> VolumeFile:
        with self.watch.timed():
            return _WatchedFile(self._volume.append(name), self.watch)

    def truncate(self, name: str, length_bytes: int) -> None:
        with self.watch.timed():
            self._volume.truncate(name, length_bytes)

    def rename(self, old: str, new: str) -> None:
        with self.watch.timed():
            self._volume.rename(old, new)

    def remove(self, name: str) -> None:
        with self.watch.timed():
            self._volume.remove(name)

    def make_directory(self, name: str) -> None:
        with self.watch.timed():
            self._volume.make_directory(name)

    def sync_directory(self, name: str) -> None:
        with self.watch.timed():
            self._volume.sync_directory(name)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        with self.watch.timed():
            self._volume.sync_group([file.file for file in files if isinstance(file, _WatchedFile)], directories)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        with self.watch.timed():
            return self._volume.read(name, start_bytes, fresh)

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        with self.watch.timed():
            return self._volume.list(name)

    def free_bytes(self) -> int:
        """Not timed: the loop asks too, and would overwrite what the writer waits for."""
        return self._volume.free_bytes()


class _WatchedFile(VolumeFile):
    def __init__(self, file: VolumeFile, watch: CallWatch) -> None:
        self.file = file
        self._watch = watch

    def write(self, data: bytes) -> None:
        with self._watch.timed():
            self.file.write(data)

    def sync(self) -> None:
        with self._watch.timed():
            self.file.sync()

    def close(self) -> None:
        self.file.close()
