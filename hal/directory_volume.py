"""The evidence volume as a directory of the host's file system.

Responsible for turning names into paths that cannot leave the directory, for whole writes, and for translating the
kernel's errors. Refuses to know what is stored, and in which order it must become durable.

Invariants: every component of a name is opened relative to its parent with O_NOFOLLOW, so a symbolic link planted on a
removed card leads nowhere; a call that returns has done all of its work; nothing but ``HalError`` and its kinds escapes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hal.errors import DeviceFault, HalError, HalUnavailable, VolumeFull
from hal.interfaces import Volume, VolumeFile

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: opening a FIFO planted under a file's name must not hang the recorder."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_CALLER = {
    errno.ENOENT: "no such name",
    errno.EEXIST: "name exists",
    errno.ENOTDIR: "a component is not a directory",
    errno.EISDIR: "is a directory",
    errno.ENOTEMPTY: "directory is not empty",
    errno.ELOOP: "is a symbolic link",
    errno.ENXIO: "is not a regular file",
    errno.ENAMETOOLONG: "name is too long",
}


_FILE_BYTES = 16_384
"""What a file counts for where names run out before bytes do: mkfs.ext4 makes one inode for as much."""
_SYNCFS_TELLS = (5, 17)
"""The first Linux whose syncfs(2) reports every failed write: of data since 5.8, of the journal since 5.17."""
_libc = ctypes.CDLL(None, use_errno=True)


def make_root(directory: Path) -> Path:
    """The volume's directory, made when it is not there; for machines whose volume is no mount of its own."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HalUnavailable(f"no directory for the evidence volume at {str(directory)!r}: {error.strerror}") from error
    return directory


def split_name(name: str) -> tuple[str, ...]:
    """The components of a volume name; '' is the root. ``HalError`` for anything that could leave the volume."""
    if name == "":
        return ()
    parts = tuple(name.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise HalError(f"volume name must be relative and without '', '.', '..', got {name!r}")
    return parts


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn ``OSError`` into ``VolumeFull``, ``DeviceFault`` or, where the caller erred, ``HalError``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise VolumeFull(f"no room on the volume for {path!r}") from error
        if error.errno in _CALLER:
            raise HalError(f"{path!r}: {_CALLER[error.errno]}") from error
        raise DeviceFault(f"volume failed at {path!r}: {error.strerror}") from error


class DirectoryFile(VolumeFile):
    """An open file of a :class:`DirectoryVolume`."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, data: bytes) -> None:
        view = memoryview(data).cast("B")
        with translated(self._path):
            while view:
                view = view[os.write(self._open(), view) :]

    def sync(self) -> None:
        with translated(self._path):
            os.fsync(self._open())

    def sync_file_system(self) -> None:
        """Everything of this file's file system: one flush of the card. Fails for any write to it that failed since this file was
        opened (the kernel counts errors by open file, syncfs(2))."""
        with translated(self._path):
            if _libc.syncfs(self._open()) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with translated(self._path):
                os.close(descriptor)

    def _open(self) -> int:
        if self._descriptor < 0:
            raise HalError(f"{self._path!r}: file is closed")
        return self._descriptor


class DirectoryVolume(Volume):
    """A volume below ``root``, which must exist.

    ``own_file_system``: nothing but evidence lies there, so that one flush of all of it is a group's sync; a shared file system would
    make a press wait for other programs' writes. By default when ``root`` is where a file system is mounted.
    """

    def __init__(self, root: Path, own_file_system: bool | None = None) -> None:
        self._root = Path(root)
        if not self._root.is_dir():
            raise HalUnavailable(f"no directory for the evidence volume at {str(root)!r}; make or mount it first")
        own = os.path.ismount(self._root) if own_file_system is None else own_file_system
        self._flushes_whole = own and _linux_release() >= _SYNCFS_TELLS

    def create(self, name: str) -> VolumeFile:
        with self._parent(name) as (parent, leaf):
            return DirectoryFile(os.open(leaf, _APPEND | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=parent), self._path(name))

    def append(self, name: str) -> VolumeFile:
        with self._parent(name) as (parent, leaf):
            descriptor = _regular(os.open(leaf, _APPEND | os.O_CREAT, 0o640, dir_fd=parent), self._path(name))
            return DirectoryFile(descriptor, self._path(name))

    def truncate(self, name: str, length_bytes: int) -> None:
        with self._parent(name) as (parent, leaf):
            descriptor = _regular(os.open(leaf, _APPEND, dir_fd=parent), self._path(name))
            try:
                if not 0 <= length_bytes <= os.fstat(descriptor).st_size:
                    raise HalError(f"{self._path(name)!r}: cannot shorten to {length_bytes!r} bytes")
                os.ftruncate(descriptor, length_bytes)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        with self._parent(old) as (source, old_leaf), self._parent(new) as (target, new_leaf):
            os.rename(old_leaf, new_leaf, src_dir_fd=source, dst_dir_fd=target)

    def remove(self, name: str) -> None:
        with self._parent(name) as (parent, leaf):
            if stat.S_ISDIR(os.stat(leaf, dir_fd=parent, follow_symlinks=False).st_mode):
                os.rmdir(leaf, dir_fd=parent)
            else:
                os.unlink(leaf, dir_fd=parent)

    def make_directory(self, name: str) -> None:
        parts = split_name(name)
        for count in range(1, len(parts) + 1):
            self._make_one("/".join(parts[:count]))

    def sync_directory(self, name: str) -> None:
        with self._directory(split_name(name), self._path(name)) as descriptor:
            os.fsync(descriptor)

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        first = files[0] if files else None
        if self._flushes_whole and isinstance(first, DirectoryFile):
            first.sync_file_system()  # the file that was opened first: its error count covers what was written to the others
            return
        super().sync_group(files, directories)

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        with self._parent(name) as (parent, leaf):
            descriptor = _regular(os.open(leaf, _READ, dir_fd=parent), self._path(name))
            with os.fdopen(descriptor, "rb") as file:
                if fresh:  # of synced bytes nothing stays in the page cache, so that they come from the card
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                file.seek(start_bytes)
                return file.read()

    def list(self, name: str) -> tuple[tuple[str, int], ...]:
        try:
            with self._directory(split_name(name), self._path(name)) as descriptor, os.scandir(descriptor) as entries:
                return tuple(sorted((entry.name, _size(entry)) for entry in entries))
        except HalError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return ()
            raise

    def free_bytes(self) -> int:
        with translated(str(self._root)):
            info = os.statvfs(self._root)
        room = info.f_bavail * info.f_frsize
        return min(room, info.f_favail * _FILE_BYTES) if info.f_files else room

    def _make_one(self, name: str) -> None:
        with self._parent(name) as (parent, leaf):
            try:
                os.mkdir(leaf, 0o750, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(leaf, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[int, str]]:
        parts = split_name(name)
        if not parts:
            raise HalError("the volume's root cannot be created, renamed, removed or read")
        with self._directory(parts[:-1], self._path(name)) as descriptor:
            yield descriptor, parts[-1]

    @contextmanager
    def _directory(self, parts: tuple[str, ...], path: str) -> Iterator[int]:
        """A descriptor of a directory reached without following a link; errors inside are translated too."""
        with translated(path):
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for part in parts:
                    below = os.open(part, _DIRECTORY, dir_fd=descriptor)
                    os.close(descriptor)
                    descriptor = below
                yield descriptor
            finally:
                os.close(descriptor)

    def _path(self, name: str) -> str:
        return str(self._root / name)


def _linux_release() -> tuple[int, ...]:
    numbers = os.uname().release.split("-")[0].split(".")[:2]
    return tuple(int(each) for each in numbers if each.isdigit())


def _regular(descriptor: int, path: str) -> int:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HalError(f"{path!r}: is not a regular file")
    return descriptor


def _size(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return -1
    return entry.stat(follow_symlinks=False).st_size
