"""Receiving: one file per content, appended at explicit offsets, kept under its hash once the disk gave that hash back.

Responsible for D1 and D2 and for "a newer request ends the older one on the same upload". Refuses to know TLS and HTTP: the
bytes come from a function. Called from one thread per connection.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware.dock.upload import UploadState
from hal.files import sync_directory
from tools.dock import files

MAX_ATTEMPTS = 3
"""How often a content may arrive with the wrong hash before the station keeps what it got and asks no more (BWC-POL-44)."""


@dataclass(eq=False, slots=True)
class _Holder:
    cancel: Callable[[], None]
    released: threading.Event


class UploadGate:
    """At most one request per upload. The newest wins: after a cut the camera need not wait for the old connection to time out."""

    def __init__(self, patience_s: float = 10.0) -> None:
        self._lock = threading.Lock()
        self._holders: dict[Path, _Holder] = {}
        self._patience_s = patience_s

    @contextmanager
    def hold(self, key: Path, cancel: Callable[[], None]) -> Iterator[None]:
        """Enter alone; ``cancel`` is called from another thread when a newer request arrives. TimeoutError if the old one will not go."""
        mine = _Holder(cancel, threading.Event())
        while True:
            with self._lock:
                older = self._holders.get(key)
                if older is None:
                    self._holders[key] = mine
                    break
            older.cancel()
            if not older.released.wait(self._patience_s):
                raise TimeoutError(f"the older request on {key.name} does not end")
        try:
            yield
        finally:
            with self._lock:
                del self._holders[key]
            mine.released.set()


class Incoming:
    """The files of one camera on their way in: ``<sha256>.part``, ``<sha256>`` when verified, ``<sha256>.bad`` when given up."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def part(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.part"

    def whole(self, sha256: str) -> Path:
        return self._directory / sha256

    def bad(self, sha256: str) -> Path:
        return self._directory / f"{sha256}.bad"

    def state(self, sha256: str, length: int) -> UploadState:
        """How far an upload is, by the file's own size (D1). A part longer than it may be is nobody's and is dropped."""
        base = os.path.join(self._directory, sha256)
        if os.path.exists(base) or os.path.exists(base + ".bad"):
            return UploadState(length, length, complete=True)
        try:
            size = _synced_size(base + ".part")
        except FileNotFoundError:
            size = 0
        if size > length:
            self.part(sha256).unlink()
            size = 0
        return UploadState(size, length, complete=False)

    def append(self, sha256: str, state: UploadState, size: int, readinto: Callable[[memoryview], int]) -> int:
        """Write up to ``size`` bytes at the state's offset and sync; returns how many came. Errors of ``readinto`` pass through,
        after what had come was synced."""
        part = self.part(sha256)
        created = state.offset == 0
        if created:
            files.make_directory(self._directory)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            return _receive(handle, state.offset, size, readinto)
        finally:
            os.fsync(handle)
            os.close(handle)
            if created:
                sync_directory(self._directory)

    def verify(self, sha256: str) -> bool:
        """Read a fully received part back; keep it under its hash if it has that hash (D2)."""
        part = self.part(sha256)
        if files.sha256_of(part) != sha256:
            return False
        part.rename(self.whole(sha256))
        sync_directory(self._directory)
        return True

    def reject(self, sha256: str, *, finally_: bool) -> None:
        """Drop a part with the wrong hash so that it can be sent again, or, ``finally_``, keep it as what it is."""
        if finally_:
            self.part(sha256).rename(self.bad(sha256))
        else:
            self.part(sha256).unlink()
        sync_directory(self._directory)

    def sweep(self, wanted: frozenset[str]) -> None:
        """Remove what no offer asks for any more: parts of an offer that was replaced."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if path.name.partition(".")[0] not in wanted:
                    path.unlink(missing_ok=True)

    def forget(self, sha256: str) -> None:
        """Remove the names of a content that now lies elsewhere."""
        for path in (self.whole(sha256), self.part(sha256), self.bad(sha256)):
            path.unlink(missing_ok=True)


def _synced_size(path: str) -> int:
    """Size of a file whose bytes are on the disk when this returns (D1): after a crash they may not have been."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(handle)
        return os.fstat(handle).st_size
    finally:
        os.close(handle)


def _receive(handle: int, offset: int, size: int, readinto: Callable[[memoryview], int]) -> int:
    buffer = files.thread_buffer()
    done = 0
    while done < size:
        count = readinto(buffer[: min(len(buffer), size - done)])
        if count == 0:
            break
        files.write_at(handle, buffer[:count], offset + done)
        done += count
    return done
