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
from pathlib import Path

from tests.absent import absent, need_program

DISK_BYTES = 48 * 1024 * 1024
_MAKE = ("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", "-m", "0")
_APART = ("unshare", "--mount", "--propagation", "private")


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


def make_disk(image: Path, holds: Path) -> None:
    """An ext4 file system in a file, with what a directory holds."""
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run([*_MAKE, "-d", holds, image], check=True, stdin=subprocess.DEVNULL, capture_output=True)


@contextmanager
def in_memory(at: Path) -> Iterator[Path]:
    """A directory whose files take memory, and go with this process's mounts."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "images", at], check=True)
    try:
        yield at
    finally:
        _unmount(at)


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """A file system of a file, mounted by a loop device that is released with it. OSError when it cannot be mounted."""
    done = subprocess.run(["mount", "-o", "loop,noatime", "-t", "ext4", image, at], capture_output=True, text=True)
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
