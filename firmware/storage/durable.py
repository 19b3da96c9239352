"""The only module that decides a sync order.

Responsible for turning "these bytes under this name" into something that survives a pulled battery. Refuses to know what
the bytes mean. Every function returns only once its effect is durable, on media that honours a flush; on failure it
raises the volume's own error and leaves at most temporary files (``*.tmp``), files that no leaf names, or a torn tail behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from hal.errors import DeviceFault, HalError, VolumeFull
from hal.interfaces import Volume, VolumeFile

TEMPORARY = ".tmp"


def parent_of(name: str) -> str:
    """Directory part of a volume name; '' for the root."""
    return name.rpartition("/")[0]


Files = Sequence[tuple[str, bytes]]
"""Names in one directory, and what is to stand under them."""


def write_file(volume: Volume, name: str, data: bytes) -> None:
    """Create or replace one file, atomically and durably: who looks meanwhile sees the old one or the new one (W5)."""
    replace_group(volume, parent_of(name), [(name.rpartition("/")[2], data)])


def replace_group(volume: Volume, directory: str, files: Files) -> None:
    """Create or replace several files of one directory, each atomically: bytes synced, then all names, then the directory (W5).

    For what other processes read, or what stands already. A cut leaves any subset of the names, each complete.
    """
    _write(volume, directory, [(name + TEMPORARY, data) for name, data in files], ())
    for name, _ in files:
        volume.rename(_join(directory, name + TEMPORARY), _join(directory, name))
    volume.sync_directory(directory)


def write_new(volume: Volume, directory: str, files: Files, make: bool = False) -> None:
    """Files that nobody looks at before the leaf that names them, which the caller writes afterwards (W1): bytes and names become
    durable in one sync of the group. ``make``: the directory is new as well.

    A cut leaves any subset of them, torn or whole: nobody's word, and set aside at boot (W2). A name may exist only from a try of the
    same that failed.
    """
    if make:
        volume.make_directory(directory)
    _write(volume, directory, files, (directory, parent_of(directory)) if make else (directory,))


def _write(volume: Volume, directory: str, files: Files, directories: Sequence[str]) -> None:
    with ExitStack() as opened:
        made = []
        for name, data in files:
            made.append(_create(volume, _join(directory, name)))
            opened.callback(made[-1].close)
            made[-1].write(data)
        volume.sync_group(made, directories)


def _create(volume: Volume, name: str) -> VolumeFile:
    try:
        return volume.create(name)
    except (VolumeFull, DeviceFault):
        raise
    except HalError:
        volume.remove(name)  # the name exists: left by a write that failed earlier, never promised
        return volume.create(name)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def make_directory(volume: Volume, name: str) -> None:
    """Make a directory whose entry in its parent is durable."""
    volume.make_directory(name)
    volume.sync_directory(parent_of(name))


def move(volume: Volume, old: str, new: str) -> None:
    """Rename across directories. The new name is made durable before the old directory is synced."""
    volume.rename(old, new)
    volume.sync_directory(parent_of(new))
    volume.sync_directory(parent_of(old))


def remove_directory(volume: Volume, name: str, at_most: int | None = None) -> bool:
    """Remove a flat directory, or ``at_most`` of its files; ``True`` once it is gone with all of them, durably. Idempotent: a cut in the
    middle can be taken up again."""
    entries = volume.list(name)
    for entry, _size in entries[:at_most]:
        volume.remove(f"{name}/{entry}")
    if at_most is not None and len(entries) > at_most:
        return False
    known = {entry for entry, _size in volume.list(parent_of(name))}
    if name.rpartition("/")[2] in known:
        volume.sync_directory(name)
        volume.remove(name)
    volume.sync_directory(parent_of(name))
    return True


def remove_empty_directory(volume: Volume, name: str) -> None:
    """Remove a directory that holds nothing, durably; the volume refuses any other."""
    volume.remove(name)
    volume.sync_directory(parent_of(name))


class AppendLog:
    """One append-only file. After a failed append the torn tail is cut off before anything else is appended."""

    def __init__(self, volume: Volume, name: str, length_bytes: int) -> None:
        self._volume = volume
        self._name = name
        self._length = length_bytes
        self._file: VolumeFile | None = None
        self._torn = False

    @property
    def length_bytes(self) -> int:
        """Bytes that are durable."""
        return self._length

    def append(self, data: bytes) -> None:
        """Write at the end and sync. Raises the volume's error; the log is then as before, as far as readers see it."""
        if self._torn:
            self.cut(self._length)
        try:
            file = self._open()
            file.write(data)
            if self._length:
                file.sync()
            else:
                self._volume.sync_group([file], [parent_of(self._name)])  # its name is new
        except HalError:
            self._torn = True
            raise
        self._length += len(data)

    def cut(self, length_bytes: int) -> None:
        """Shorten to ``length_bytes``: a torn or unsigned tail, which the caller has kept elsewhere first."""
        self.close()
        self._volume.truncate(self._name, length_bytes)
        self._length = length_bytes
        self._torn = False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> VolumeFile:
        if self._file is None:
            self._file = self._volume.append(self._name)
        return self._file
