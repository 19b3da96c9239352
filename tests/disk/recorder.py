"""A disk in memory that writes down everything the kernel does to it; as a program, mounted over a file.

    python -m tests.disk.recorder IMAGE FILE LOG

``IMAGE`` is what the disk holds at first; ``FILE`` is mounted over and becomes the disk, for a loop device to sit on. It speaks the
protocol of fuse(4) itself, version 7.31 (include/uapi/linux/fuse.h): one regular file as the root of the mount, a dozen operations, no
library to install. A file system on the loop device sends each block that leaves the page cache as a WRITE, each flush as an FSYNC.

One thread answers one request after the other: what was answered before an FSYNC came is what the FSYNC makes durable.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import stat
import struct
import sys
from enum import IntEnum
from pathlib import Path

from tests.disk.log import DiskLog

_REQUEST = struct.Struct("<IIQQIIIHH")
_ANSWER = struct.Struct("<IiQ")
_INIT = struct.Struct("<IIII")
_INIT_ANSWER = struct.Struct("<IIIIHHIIHH28x")
_ATTRIBUTES = struct.Struct("<QIIQQQQQQIIIIIIIIII")
_OPEN_ANSWER = struct.Struct("<QII")
_TRANSFER = struct.Struct("<QQIIQII")
_WRITE_ANSWER = struct.Struct("<II")
_MAX_WRITE = 128 * 1024
_BIG_WRITES = 1 << 5
_NOSUID, _NODEV = 2, 4
_PR_SET_PDEATHSIG = 1


class Operation(IntEnum):
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42


_UNANSWERED = frozenset({Operation.FORGET, Operation.BATCH_FORGET, Operation.INTERRUPT})
_EMPTY = frozenset({Operation.RELEASE, Operation.FLUSH, Operation.DESTROY})


class RecordedDisk:
    """The file, and the log of what was done to it."""

    def __init__(self, data: bytearray, log: DiskLog) -> None:
        self._data = data
        self._log = log

    def serve(self, descriptor: int) -> None:
        """Until the file is unmounted."""
        while True:
            try:
                request = os.read(descriptor, _MAX_WRITE + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            size, operation, unique, *_ = _REQUEST.unpack_from(request)
            if operation in _UNANSWERED:
                continue
            answer = self._answer(operation, request[_REQUEST.size : size])
            if isinstance(answer, int):
                os.write(descriptor, _ANSWER.pack(_ANSWER.size, -answer, unique))
            else:
                os.write(descriptor, _ANSWER.pack(_ANSWER.size + len(answer), 0, unique) + answer)

    def _answer(self, operation: int, body: bytes) -> bytes | int:
        """What the kernel is told; a number is an error."""
        match operation:
            case Operation.INIT:
                major, _minor, read_ahead, _flags = _INIT.unpack_from(body)
                return _INIT_ANSWER.pack(major, 31, read_ahead, _BIG_WRITES, 0, 0, _MAX_WRITE, 1, 0, 0)
            case Operation.GETATTR | Operation.SETATTR:
                return self._attributes()
            case Operation.OPEN:
                return _OPEN_ANSWER.pack(1, 0, 0)
            case Operation.READ:
                _, offset, size, *_ = _TRANSFER.unpack_from(body)
                return bytes(self._data[offset : offset + size])
            case Operation.WRITE:
                _, offset, size, *_ = _TRANSFER.unpack_from(body)
                return self._write(offset, body[_TRANSFER.size : _TRANSFER.size + size])
            case Operation.FSYNC:
                self._log.flush()
                return b""
            case _ if operation in _EMPTY:
                return b""
        return errno.ENOSYS

    def _write(self, offset: int, data: bytes) -> bytes | int:
        if offset + len(data) > len(self._data):
            return errno.ENOSPC
        self._data[offset : offset + len(data)] = data
        self._log.write(offset, data)
        return _WRITE_ANSWER.pack(len(data), 0)

    def _attributes(self) -> bytes:
        size, mode = len(self._data), stat.S_IFREG | 0o600
        return _ATTRIBUTES.pack(3600, 0, 0, 1, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def die_with_parent() -> None:
    """This process ends when the one that started it does, however that ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def mount_over(file: Path) -> int:
    """Mount over a regular file; the descriptor from which requests are read. OSError where the kernel or our rights forbid it."""
    descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={descriptor},rootmode={stat.S_IFREG:o},user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"recorded-disk", os.fsencode(file), b"fuse", _NOSUID | _NODEV, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(file))
    return descriptor


def main(image: str, file: str, log: str) -> None:
    die_with_parent()
    disk = RecordedDisk(bytearray(Path(image).read_bytes()), DiskLog(Path(log)))
    descriptor = mount_over(Path(file))
    print("mounted", flush=True)  # noqa: T201 - who started us waits for it
    disk.serve(descriptor)


if __name__ == "__main__":
    main(*sys.argv[1:])
