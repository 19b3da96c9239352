"""What reached the recorded disk, in its order: writes, flushes, and what was promised in between.

Two processes append: the disk what the kernel sends it, the camera its marks. Each record is one write with O_APPEND, so order in the file
is order in time; a mark is written after the call that it tells of has returned, and before the next one begins.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITE, _FLUSH, _MARK = b"W", b"F", b"M"
_PLACE = struct.Struct("<QI")
_SIZE = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Write:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """All writes before it are on the medium, if the medium is honest."""


@dataclass(frozen=True, slots=True)
class Mark:
    """``fields`` has one key that names the kind of mark, see ``witness`` and ``camera``."""

    fields: dict[str, Any]


Record = Write | Flush | Mark


class DiskLog:
    """The end at which records are appended."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, offset: int, data: bytes) -> None:
        self._append(_WRITE + _PLACE.pack(offset, len(data)) + data)

    def flush(self) -> None:
        self._append(_FLUSH)

    def mark(self, **fields: Any) -> None:
        text = json.dumps(fields).encode()
        self._append(_MARK + _SIZE.pack(len(text)) + text)

    def _append(self, record: bytes) -> None:
        if os.write(self._descriptor, record) != len(record):
            raise OSError("no room for the log of the recorded disk")


def read_log(path: Path) -> Iterator[Record]:
    """Every record up to the end of the file."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        kind, at = data[at : at + 1], at + 1
        if kind == _WRITE:
            offset, size = _PLACE.unpack_from(data, at)
            at += _PLACE.size
            yield Write(offset, data[at : at + size])
            at += size
        elif kind == _MARK:
            (size,) = _SIZE.unpack_from(data, at)
            at += _SIZE.size
            yield Mark(json.loads(data[at : at + size]))
            at += size
        else:
            assert kind == _FLUSH, kind
            yield Flush()
