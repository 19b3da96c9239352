"""Volumes around another one, for tests that look at what is asked of a card."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from hal.interfaces import Volume, VolumeFile


@dataclass
class Passing(Volume):
    """Every call goes to ``volume``, and through :meth:`asked` before that."""

    volume: Volume

    def asked(self, call: str, name: str) -> None:
        """For who wants to know."""

    def create(self, name: str) -> VolumeFile:
        self.asked("create", name)
        return self.volume.create(name)

    def append(self, name: str) -> VolumeFile:
        self.asked("append", name)
        return self.volume.append(name)

    def truncate(self, name: str, length_bytes: int) -> None:
        self.asked("truncate", name)
        self.volume.truncate(name, length_bytes)

    def rename(self, old: str, new: str) -> None:
        self.asked("rename", new)
        self.volume.rename(old, new)

    def remove(self, name: str) -> None:
        self.asked("remove", name)
        self.volume.remove(name)

    def make_directory(self, name: str) -> None:
        self.asked("make_directory", name)
        self.volume.make_directory(name)

    def sync_directory(self, name: str) -> None:
        self.asked("sync", name)
        self.volume.sync_directory(name)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        self.asked("sync", ",".join(directories))
        self.volume.sync_group(files, directories)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        self.asked("read", name)
        return self.volume.read(name, start_bytes, fresh)

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        self.asked("list", name)
        return self.volume.list(name)

    def free_bytes(self) -> int:
        return self.volume.free_bytes()


READ_BYTES_S, CALL_NS, ENTRY_NS, FLUSH_NS = 20_000_000, 1_000_000, 50_000, 30_000_000
"""A slow card, as an estimate: bytes read a second; nanoseconds of a call, of a directory's entry and of a flush."""


@dataclass
class Slow(Passing):
    """Counts the time that a slow card would take. ``more``: entries of directories that are listed and do not exist."""

    more: dict[str, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    spent_ns: int = 0
    read_bytes: dict[str, int] = field(default_factory=dict)

    def asked(self, call: str, name: str) -> None:
        self.spent_ns += FLUSH_NS if call in ("sync", "truncate") else CALL_NS

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        data = super().read(name, start_bytes, fresh)
        self.read_bytes[name] = self.read_bytes.get(name, 0) + len(data)
        self.spent_ns += len(data) * 1_000_000_000 // READ_BYTES_S
        return data

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        entries = super().list(name) + self.more.get(name, ())
        self.spent_ns += len(entries) * ENTRY_NS
        return entries


@dataclass
class Gated(Passing):
    """Reading ``gated`` as a whole waits until ``gate`` is set."""

    gated: str
    gate: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        if name == self.gated:
            self.reached.set()
            if not self.gate.wait(60):
                raise AssertionError("the gate never opened")
        return super().read(name, start_bytes, fresh)
