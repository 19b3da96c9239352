"""Disks of the tests on a machine's kernel: made, recorded, mounted, and gone again.

Everything is mounted in a mount namespace of a process of its own (``run_apart``): when that process is gone, for whatever reason, its
mounts are gone, and with them the loop devices, which release themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.absent import absent, need_program

_APART = ("unshare", "--mount", "--propagation", "private")


@dataclass(frozen=True, slots=True)
class FileSystem:
    """``kind`` as mount(8) names it. ``make``: a command that takes the image's name. ``fill``: one that takes the directory whose content
    the file system is to have, and the image's name."""

    kind: str
    options: str
    size_bytes: int
    make: tuple[str, ...]
    fill: tuple[str, ...]


_EXT4_MAKE = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-m", "0")
_F2FS_MAKE = ("mkfs.f2fs", "-q", "-f", "-r", "-t", "0")


def _f2fs(fsync_mode: str) -> FileSystem:
    return FileSystem("f2fs", f"noatime,nodiscard,fsync_mode={fsync_mode}", 96 << 20, _F2FS_MAKE, ("sload.f2fs", "-f"))


FILE_SYSTEMS = {
    "ext4": FileSystem("ext4", "noatime", 48 << 20, _EXT4_MAKE, ()),
    **{f"f2fs {mode}": _f2fs(mode) for mode in ("strict", "posix", "nobarrier")},
}
"""By the name that a campaign is told. Discards are off: what a card holds where it was told to forget is not modelled."""


def require() -> None:
    """Skip with a sentence where this kernel, or our rights, give no disk of our own."""
    for program in ("mkfs.ext4", "mount", "umount", "unshare"):
        need_program(program)
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not Path(device).exists():
            absent(f"no {device} here: power cuts were not tried on a real file system")
    if os.geteuid() != 0:
        absent("not root: power cuts were not tried on a real file system, which only root may mount")
    done = subprocess.run([*_APART, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    if done.returncode != 0:
        absent(f"nothing can be mounted here: power cuts were not tried on a real file system ({done.stderr.strip()})")


def run_apart(module: str, *arguments: str | Path) -> str:
    """Run a module of ours in a process with mounts of its own; what it printed."""
    command = [*_APART, sys.executable, "-m", module, *(str(one) for one in arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def make_disk(image: Path, holds: Path, system: FileSystem) -> None:
    """A file system in a file, with what a directory holds. Needs no kernel that knows it."""
    with image.open("wb") as file:
        file.truncate(system.size_bytes)
    commands = [[*system.make, "-d", holds, image]] if not system.fill else [[*system.make, image], [*system.fill, holds, image]]
    for command in commands:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)


@contextmanager
def in_memory(at: Path) -> Iterator[Path]:
    """A directory whose files take memory, and go with this process's mounts."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "images", at], check=True)
    try:
        yield at
    finally:
        _unmount(at)


@contextmanager
def mounted(image: Path, at: Path, system: FileSystem) -> Iterator[Path]:
    """A file system of a file, mounted by a loop device that is released with it. OSError when it cannot be mounted."""
    command = ["mount", "-o", f"loop,{system.options}", "-t", system.kind, image, at]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
    try:
        yield at
    finally:
        _unmount(at)


@contextmanager
def recorded(image: Path, log: Path, file: Path) -> Iterator[Path]:
    """A disk that begins as ``image`` and logs what it is told, as ``file``."""
    file.touch()
    command: Sequence[str | Path] = (sys.executable, "-m", "tests.disk.recorder", image, file, log)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "mounted\n":
            raise OSError(f"the recorded disk ended with {process.wait()}")
        try:
            yield file
        finally:
            _unmount(file)
    finally:
        process.stdout.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _unmount(at: Path) -> None:
    """For good, or out of sight when something still holds it."""
    if subprocess.run(["umount", at], capture_output=True).returncode != 0:
        subprocess.run(["umount", "--lazy", at], check=True)
