"""A card that forgets: a directory of the host on which whatever was not synced may be lost when the power goes.

Responsible for knowing which bytes and names are durable, for the fault plan, and for the capacity. Refuses to know what
the files mean.

Model: POSIX read strictly. A file's bytes are durable after its ``sync``; an entry (made, renamed, removed) after
``sync_directory`` of every directory that it touches; syncing a file does not make its name durable. At a power cut each
undurable change of a name is kept or undone, except that a change is undone with any earlier one that it builds on (a
journalling file system orders them); each undurable tail is kept, dropped or torn.

Invariant: the host's directory always shows what a running camera would see; after the cut, what the next boot sees.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hal.directory_volume import DirectoryVolume, split_name
from hal.errors import DeviceFault, HalError, VolumeFull
from hal.interfaces import Volume, VolumeFile
from hal.sim.card import CardFault
from hal.sim.world import Life

_LIMBO = ".limbo"
"""In the volume's directory, hidden from the port: files that a rename or a removal took away, and that a cut may bring back."""


@dataclass(slots=True, eq=False)
class _Change:
    """One undurable change of names. ``saved`` is where what stood at ``target`` (or was removed) went, and
    ``saved_durable_bytes`` how much of that was durable (``None``: all)."""

    kind: str
    target: str
    source: str = ""
    saved: str = ""
    saved_durable_bytes: int | None = None
    waiting: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.source, self.target) if self.source else (self.target,)

    def builds_on(self, earlier: _Change) -> bool:
        """Whether this change cannot have happened without ``earlier``."""
        pairs = [(mine, theirs) for mine in self.names for theirs in earlier.names]
        return any(_within(mine, theirs) or _within(theirs, mine) for mine, theirs in pairs)

    def settles(self, earlier: _Change) -> bool:
        """Whether this change, once durable, shows that ``earlier`` is: the same names, or names below them."""
        return any(_within(theirs, mine) for mine in self.names for theirs in earlier.names)


def _within(name: str, directory: str) -> bool:
    return name == directory or name.startswith(directory + "/")


def parent_of(name: str) -> str:
    return name.rpartition("/")[0]


class SimFile(VolumeFile):
    def __init__(self, volume: SimVolume, name: str, file: VolumeFile) -> None:
        self.name = name
        self._volume = volume
        self._file = file

    def write(self, data: bytes) -> None:
        self._volume.write(self, self._file, bytes(data))

    def sync(self) -> None:
        self._volume.sync(self, self._file)

    def close(self) -> None:
        self.release()
        self._volume.closed(self)

    def release(self) -> None:
        """Give the host's descriptor back, whatever became of the camera."""
        self._file.close()


class SimVolume(Volume):
    """``capacity_bytes`` bounds the files' bytes together. ``host_sync`` also syncs the host's files (slow, and needed
    only where a real power cut of the host matters)."""

    def __init__(self, root: Path, life: Life, capacity_bytes: int = 32 * 10**9, host_sync: bool = False) -> None:
        self._real = DirectoryVolume(root)
        self._root = Path(root)
        self._clear_limbo()
        self._life = life
        self._card = life.world.card
        self._capacity_bytes = capacity_bytes
        self._host_sync = host_sync
        self._card.used_bytes = sum(size for _, size in self._walk(""))
        self._durable: dict[str, int] = {}
        """Durable length of every file that has undurable bytes."""
        self._changes: list[_Change] = []
        self._open: set[SimFile] = set()
        self._saved = 0
        life.before_power_loss.append(self.lose_power)

    def create(self, name: str) -> VolumeFile:
        self._begin("create", name)
        file = SimFile(self, name, self._real.create(name))
        self._note(_Change("create", name))
        self._durable[name] = 0
        return self._opened(file)

    def append(self, name: str) -> VolumeFile:
        self._begin("append", name)
        fresh = not (self._root / name).exists()
        file = SimFile(self, name, self._real.append(name))
        if fresh:
            self._note(_Change("create", name))
        return self._opened(file)

    def truncate(self, name: str, length_bytes: int) -> None:
        self._begin("truncate", name)
        before = self._size(name)
        self._real.truncate(name, length_bytes)
        self._card.used_bytes -= before - length_bytes
        self._durable.pop(name, None)

    def rename(self, old: str, new: str) -> None:
        self._begin("rename", old, new)
        if old == new:
            return
        change = _Change("rename", new, old, waiting={parent_of(old), parent_of(new)})
        if (self._root / new).is_file() and (self._root / old).is_file():
            self._save(new, change)
        self._real.rename(old, new)
        self._card.spoilt = {new if name == old else name for name in self._card.spoilt}
        self._rekey(old, new)
        self._note(change)

    def remove(self, name: str) -> None:
        self._begin("remove", name)
        if (self._root / name).is_file():
            change = _Change("remove", name)
            self._save(name, change)
            self._note(change)
        else:
            self._real.remove(name)
            self._note(_Change("rmdir", name))

    def make_directory(self, name: str) -> None:
        self._begin("make_directory", name)
        parts = split_name(name)
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            fresh = not (self._root / path).exists()
            self._real.make_directory(path)
            if fresh:
                self._note(_Change("mkdir", path))

    def sync_directory(self, name: str) -> None:
        self._begin("sync_directory", name)
        if self._host_sync:
            self._real.sync_directory(name)
        elif not (self._root / name).is_dir():
            raise HalError(f"{name!r}: no such name")
        for change in self._changes:
            change.waiting.discard(name)
        for change in [each for each in self._changes if not each.waiting]:
            self._settle(change)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        """Each by itself, in an order that the world's seed picks: a cut in between leaves any of them durable."""
        jobs = [file.sync for file in files] + [partial(self.sync_directory, name) for name in directories]
        self._card.rng.shuffle(jobs)
        for job in jobs:
            job()

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        self._life.check()
        if name in self._card.spoilt:
            raise DeviceFault(f"volume failed at {name!r}: input/output error")
        return self._real.read(name, start_bytes)

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        self._life.check()
        if name in self._card.spoilt:
            raise DeviceFault(f"volume failed at {name!r}: bad sector")
        entries = self._real.list(name)
        return entries if name else tuple(each for each in entries if each[0] != _LIMBO)

    def free_bytes(self) -> int:
        self._life.check()
        limit = self._card.limit_bytes
        return max(0, (self._capacity_bytes if limit is None else limit) - self._card.used_bytes)

    def write(self, file: SimFile, real: VolumeFile, data: bytes) -> None:
        fault = self._fate("write", file.name)
        reached = len(data) if fault is None else self._card.rng.randint(0, len(data))
        room = memoryview(data)[: min(reached, self.free_bytes())]
        self._durable.setdefault(file.name, self._size(file.name))
        if fault is not CardFault.FULL and fault is not CardFault.IO_ERROR:
            real.write(bytes(room))
            self._card.used_bytes += len(room)
        self._suffer(fault, file.name)
        if len(room) < len(data):
            raise VolumeFull(f"no room on the volume for {file.name!r}")

    def sync(self, file: SimFile, real: VolumeFile) -> None:
        if file not in self._open:
            raise HalError(f"{file.name!r}: file is closed")
        self._begin("sync", file.name)
        if self._host_sync:
            real.sync()
        self._durable.pop(file.name, None)

    def closed(self, file: SimFile) -> None:
        self._life.check()
        self._open.discard(file)

    def lose_power(self) -> None:
        """Undo what the card did not keep. The host's directory is then what the next boot finds."""
        lost: list[_Change] = []
        for change in self._changes:
            if any(change.builds_on(each) for each in lost) or not self._card.keeps():
                lost.append(change)
        for name, durable_bytes in self._durable.items():
            self._tear(self._root / name, durable_bytes)
        for change in reversed(lost):
            self._undo(change)
        self._clear_limbo()
        for file in self._open:
            file.release()

    def _tear(self, path: Path, durable_bytes: int | None) -> None:
        if durable_bytes is not None and path.is_file():
            data = path.read_bytes()
            path.write_bytes(data[:durable_bytes] + self._card.tail(data[durable_bytes:]))

    def _undo(self, change: _Change) -> None:
        target = self._root / change.target
        match change.kind:
            case "create":
                target.unlink()
            case "mkdir":
                shutil.rmtree(target)
            case "rmdir":
                target.mkdir()
            case "rename":
                target.rename(self._root / change.source)
        if change.saved:
            self._tear(self._root / change.saved, change.saved_durable_bytes)
            (self._root / change.saved).rename(target)

    def close(self) -> None:
        """Orderly end: everything is durable, as after an unmount."""
        if self._life.on:
            self._durable.clear()
            self._changes.clear()
            self._clear_limbo()

    def _clear_limbo(self) -> None:
        shutil.rmtree(self._root / _LIMBO, ignore_errors=True)

    def _fate(self, kind: str, name: str) -> CardFault | None:
        self._life.check()
        self._life.answer(self._card.delay)
        fault = self._card.count(f"{kind} {name}")
        if fault is not CardFault.STALL:
            return fault
        self._life.hang(self._life.world.now_ns + self._card.stall_ns)
        self._life.check()
        return None

    def _begin(self, kind: str, *names: str) -> None:
        for name in names:
            if split_name(name)[:1] == (_LIMBO,):
                raise HalError(f"{name!r}: name is reserved")
        self._suffer(self._fate(kind, " ".join(names)), names[-1])

    def _suffer(self, fault: CardFault | None, name: str) -> None:
        match fault:
            case CardFault.FULL:
                raise VolumeFull(f"no room on the volume for {name!r}")
            case CardFault.IO_ERROR | CardFault.SHORT_WRITE:
                raise DeviceFault(f"volume failed at {name!r}: input/output error")
            case CardFault.POWER_CUT:
                self._life.world.lose_power()
            case CardFault.STALL | None:
                pass

    def _opened(self, file: SimFile) -> SimFile:
        self._open.add(file)
        return file

    def _note(self, change: _Change) -> None:
        change.waiting = change.waiting or {parent_of(change.target)}
        self._changes.append(change)

    def _settle(self, change: _Change) -> None:
        """``change`` is durable, and with it every earlier one that led to it: a journal is written in order."""
        if change not in self._changes:
            return
        index = self._changes.index(change)
        settled: list[_Change] = [change]
        kept: list[_Change] = []
        for earlier in reversed(self._changes[:index]):
            (settled if any(each.settles(earlier) for each in settled) else kept).append(earlier)
        self._changes = kept[::-1] + self._changes[index + 1 :]
        for each in settled:
            if each.saved:
                self._real.remove(each.saved)

    def _save(self, name: str, change: _Change) -> None:
        """Take a file out of sight for ``change``, which removes or replaces it."""
        self._card.used_bytes -= self._size(name)
        self._saved += 1
        self._real.make_directory(_LIMBO)
        change.saved = f"{_LIMBO}/{self._saved}"
        change.saved_durable_bytes = self._durable.pop(name, None)
        self._real.rename(name, change.saved)

    def _rekey(self, old: str, new: str) -> None:
        for change in self._changes:
            change.waiting = {new + each[len(old) :] if _within(each, old) else each for each in change.waiting}
        for name in [each for each in self._durable if _within(each, old)]:
            self._durable[new + name[len(old) :]] = self._durable.pop(name)
        for file in self._open:
            if _within(file.name, old):
                file.name = new + file.name[len(old) :]

    def _size(self, name: str) -> int:
        path = self._root / name
        return path.stat().st_size if path.is_file() else 0

    def _walk(self, directory: str) -> Iterator[tuple[str, int]]:
        for entry, size in self._real.list(directory):
            name = f"{directory}/{entry}" if directory else entry
            if size < 0:
                yield from self._walk(name)
            else:
                yield name, size
