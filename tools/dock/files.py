"""Durable plain files of the store: the station's only sync order (see the package's D1 to D4).

Responsible for bytes and names that survive a pulled plug. Refuses to know what they mean. Names are checked by the caller.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

from firmware.errors import IntegrityError
from hal.files import sync_directory

BUFFER_BYTES = 256 * 1024
_thread = threading.local()


def thread_buffer() -> memoryview:
    """One buffer per thread, for whoever copies at the moment: taking a new one for each file costs more than the copy."""
    buffer: memoryview | None = getattr(_thread, "buffer", None)
    if buffer is None:
        buffer = _thread.buffer = memoryview(bytearray(BUFFER_BYTES))
    return buffer


def make_directory(path: Path) -> None:
    """Make a directory and its parents, each durable in the one above it."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o750, exist_ok=True)
        sync_directory(path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Create or replace one file, atomically and durably."""
    temporary = path.with_name(path.name + ".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        write_at(handle, data, 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.rename(path)
    sync_directory(path.parent)


def write_at(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at ``offset``; never at "the end", which after a crash may not be where the caller believes."""
    view = memoryview(data)
    while view:
        count = os.pwrite(handle, view, offset)
        view, offset = view[count:], offset + count


def append_at(path: Path, data: bytes, offset: int) -> None:
    """Write ``data`` at ``offset`` of a log and cut whatever lay beyond it, durably (D4)."""
    created = not path.exists()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        if os.fstat(handle).st_size < offset:
            raise IntegrityError("store", f"expected {path.name} to hold at least {offset} bytes, got {os.fstat(handle).st_size}")
        os.ftruncate(handle, offset)
        write_at(handle, data, offset)
        os.fsync(handle)
    finally:
        os.close(handle)
    if created:
        sync_directory(path.parent)


def sha256_of(path: Path) -> str:
    """SHA-256 in hexadecimal of what the disk gives back."""
    digest = hashlib.sha256()
    buffer = thread_buffer()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
    return digest.hexdigest()


def publish_directory(final: Path, files: Mapping[str, Path], extra: Mapping[str, bytes]) -> None:
    """A directory with hard links to ``files`` and the bytes of ``extra``, complete and synced before it gets its name."""
    temporary = final.with_name("." + final.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    make_directory(temporary)
    for name, source in files.items():
        os.link(source, temporary / name, follow_symlinks=False)
        (temporary / name).chmod(0o440)
    for name, data in extra.items():
        write_file(temporary / name, data)
    sync_directory(temporary)
    temporary.rename(final)
    sync_directory(final.parent)
