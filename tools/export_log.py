"""The store's export log on disk: one line more for every file that leaves it in clear.

Responsible for appending durably and one process at a time. The log lies in a dock's store only: a camera's card and a copy of
evidence are not written to, whatever their file system would let happen.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from firmware.custody.exports import ExportEntry, next_place
from firmware.errors import FormatError, IntegrityError
from hal.files import sync_directory
from tools.sources import is_in_dock_store

NAME = "ledger/exports"


def append_export(root: Path, make_entry: Callable[[int, str], ExportEntry]) -> str:
    """Append ``make_entry(number, previous hash)``; returns "" or, in words, why the entry is not in any log.

    ``root`` is a camera's directory of a store. Never raises for a store that cannot be written.
    """
    if not is_in_dock_store(root):
        return "this is no dock's store"
    path = root / NAME
    try:
        created = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        with os.fdopen(handle, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # goes with the descriptor
            _append(handle, make_entry(*next_place(path.read_bytes())).to_line())
        if created:
            sync_directory(path.parent)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except (FormatError, IntegrityError) as error:
        return f"{path}: {error}"
    return ""


def _append(handle: int, line: bytes) -> None:
    """All of the line, durably, or nothing of it."""
    size = os.fstat(handle).st_size
    try:
        view = memoryview(line)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise
