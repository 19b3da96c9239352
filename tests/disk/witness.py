"""Volumes around the real one: a witness that writes down what the volume answers for, and wrong twins that answer for nothing.

The witness knows the port's contract alone (``hal.interfaces.Volume``): a file's bytes are durable once ``sync`` of it has returned, its
name once ``sync_directory`` has, both once ``sync_group`` has. It logs them together as ``stored``, and ``gone`` before a name may cease to
stand for those bytes; with ``removed`` where the name itself goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from firmware.storage.durable import parent_of, remove_directory
from firmware.storage.ledger_file import RECEIPTS
from firmware.storage.vault import VAULT
from hal.directory_volume import DirectoryVolume
from hal.interfaces import Volume, VolumeFile
from tests.disk.log import DiskLog


class Twin(Enum):
    """How the recorded writer is made."""

    RIGHT = "right"
    SHARED = "right, without flushes of the whole file system"
    NO_SYNC = "no sync of files"
    NO_DIRECTORY_SYNC = "no sync of directories"
    EAGER_KERNEL = "right, and the kernel commits each removal"
    EARLY_RELEASE = "release before the receipt's leaf"


class _Unsynced(VolumeFile):
    """A file whose ``sync`` does nothing."""

    def __init__(self, file: VolumeFile) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class OwnDisk(DirectoryVolume):
    """The product's volume on a file system of its own: a group is one flush of all of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, own_file_system=True)


class SharedDisk(DirectoryVolume):
    """The product's volume among other programs' files: each file and directory by itself."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, own_file_system=False)


class NoSync(SharedDisk):
    def create(self, name: str) -> VolumeFile:
        return _Unsynced(super().create(name))

    def append(self, name: str) -> VolumeFile:
        return _Unsynced(super().append(name))


class NoDirectorySync(SharedDisk):
    def sync_directory(self, name: str) -> None:
        pass


class EagerKernel(OwnDisk):
    """A journal that happens to be written between any two removals: what a kernel may do at any time, and seldom does in a test."""

    def remove(self, name: str) -> None:
        super().remove(name)
        self.sync_directory(parent_of(name))


VOLUMES: dict[Twin, type[DirectoryVolume]] = {
    Twin.RIGHT: OwnDisk,
    Twin.SHARED: SharedDisk,
    Twin.NO_SYNC: NoSync,
    Twin.NO_DIRECTORY_SYNC: NoDirectorySync,
    Twin.EAGER_KERNEL: EagerKernel,
    Twin.EARLY_RELEASE: OwnDisk,
}


@dataclass(slots=True)
class _Content:
    """What was written under a name, and how much of it was synced."""

    hash: Any = field(default_factory=hashlib.sha256)
    written_bytes: int = 0
    synced_bytes: int = 0
    synced_sha256: str = hashlib.sha256().hexdigest()
    named: bool = False

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self.written_bytes += len(data)

    def sync(self) -> None:
        self.synced_bytes, self.synced_sha256 = self.written_bytes, self.hash.hexdigest()


class Witness(Volume):
    """Passes everything on to ``volume``."""

    def __init__(self, volume: Volume, log: DiskLog) -> None:
        self._volume = volume
        self._log = log
        self._contents: dict[str, _Content] = {}

    def create(self, name: str) -> VolumeFile:
        file = self._volume.create(name)
        self._contents[name] = _Content()
        return _WitnessedFile(self, name, file)

    def append(self, name: str) -> VolumeFile:
        if name not in self._contents:
            self._contents[name] = self._found(name)
        return _WitnessedFile(self, name, self._volume.append(name))

    def truncate(self, name: str, length_bytes: int) -> None:
        self._gone(name)
        self._volume.truncate(name, length_bytes)
        self._contents[name] = self._found(name)
        self._stored(name)

    def rename(self, old: str, new: str) -> None:
        self._gone(old)
        self._gone(new)
        self._volume.rename(old, new)
        self._contents[new] = self._contents.pop(old, None) or self._found(new)
        self._contents[new].named = False

    def remove(self, name: str) -> None:
        self._log.mark(gone=name, removed=True)
        self._volume.remove(name)
        self._contents.pop(name, None)

    def make_directory(self, name: str) -> None:
        self._volume.make_directory(name)

    def sync_directory(self, name: str) -> None:
        self._volume.sync_directory(name)
        self._named(name)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        mine = [file for file in files if isinstance(file, _WitnessedFile)]
        self._volume.sync_group([file.file for file in mine], directories)
        for file in mine:
            self.synced(file.name)
        for name in directories:
            self._named(name)

    def _named(self, name: str) -> None:
        for known, content in self._contents.items():
            if parent_of(known) == name and not content.named:
                content.named = True
                self._stored(known)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        return self._volume.read(name, start_bytes, fresh)

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        return self._volume.list(name)

    def free_bytes(self) -> int:
        return self._volume.free_bytes()

    def wrote(self, name: str, data: bytes) -> None:
        self._contents[name].write(data)

    def synced(self, name: str) -> None:
        self._contents[name].sync()
        if self._contents[name].named:
            self._stored(name)

    def _found(self, name: str) -> _Content:
        """A file of an earlier life, durable since then; nothing when there is none yet."""
        content = _Content()
        if name.rpartition("/")[2] in {one for one, _ in self._volume.list(parent_of(name))}:
            content.write(self._volume.read(name))
            content.sync()
            content.named = True
        return content

    def _stored(self, name: str) -> None:
        content = self._contents[name]
        self._log.mark(stored=name, bytes=content.synced_bytes, sha256=content.synced_sha256)

    def _gone(self, name: str) -> None:
        self._log.mark(gone=name)


class EarlyRelease(Witness):
    """Removes a recording as soon as its receipt is kept beside the ledger, which is before the receipt has its leaf."""

    def rename(self, old: str, new: str) -> None:
        super().rename(old, new)
        directory, _, name = new.rpartition("/")
        recording, _, suffix = name.partition(".")
        if directory == RECEIPTS and suffix == "json":
            remove_directory(self, f"{VAULT}/{recording}")


def witnessed(card: Path, twin: Twin, log: DiskLog) -> Volume:
    """A camera's card on the recorded disk."""
    witness = EarlyRelease if twin is Twin.EARLY_RELEASE else Witness
    return witness(VOLUMES[twin](card), log)


class _WitnessedFile(VolumeFile):
    """The witness hears of what was written and synced under the name by which it was opened."""

    def __init__(self, witness: Witness, name: str, file: VolumeFile) -> None:
        self._witness = witness
        self.name = name
        self.file = file

    def write(self, data: bytes) -> None:
        self.file.write(data)
        self._witness.wrote(self.name, data)

    def sync(self) -> None:
        self.file.sync()
        self._witness.synced(self.name)

    def close(self) -> None:
        self.file.close()
