"""One life of the camera under strace(1), in which one system call on its card fails or is its last; and the calls that it made.

What is counted are the calls that touch the card: strace follows the paths that an undisturbed life of the same shift used. So the N-th
call is the same one in every run up to the fault.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from tests.absent import need_program
from tests.disk.log import Mark, read_log
from tests.syscalls.camera import Twin

WRITES = ("write", "pwrite64", "writev", "fsync", "fdatasync", "syncfs", "sync_file_range", "ftruncate")
NAMES = ("openat", "mkdir", "mkdirat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir")
QUESTIONS = ("statfs", "getdents64", "read")
CALLS = (*WRITES, *NAMES, *QUESTIONS)

_LINE = re.compile(r"(\d+) +(\w+)\((.*?)\)? += +(-?\w+)(.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_DESCRIPTOR = re.compile(r"(?:\d+|AT_FDCWD)<((?:[^<>\\]|\\.)*)>")
_DECODED = re.compile(r"(?:(?:\d+|AT_FDCWD)<((?:[^<>\\]|\\.)*)>, )?(\"(?:[^\"\\]|\\.)*\")")


class Way(Enum):
    """What the N-th call meets; the value is strace's word for it."""

    KILLED = "signal=SIGKILL"
    FULL = "error=ENOSPC"
    FAILED = "error=EIO"


@dataclass(frozen=True, slots=True)
class Fault:
    call: str
    way: Way
    number: int
    """1 is the first call of that name that touches the card."""

    def __str__(self) -> str:
        return f"{self.call} {self.number} {self.way.name.lower()}"


@dataclass(frozen=True, slots=True)
class Call:
    """``paths``: of the files or directories that it is about, below the card."""

    name: str
    arguments: str
    paths: tuple[str, ...]
    worked: bool
    injected: bool

    @property
    def creates(self) -> bool:
        return "O_CREAT" in self.arguments


@dataclass(frozen=True, slots=True)
class Run:
    """``code``: what the process ended with, -9 when it was killed. ``calls`` in their order."""

    code: int
    errors: str
    calls: tuple[Call, ...]
    marks: tuple[Mark, ...]

    def count(self, call: str) -> int:
        return Counter(one.name for one in self.calls)[call]


@dataclass(frozen=True, slots=True)
class Body:
    """Where one life finds its things: ``directory`` holds ``camera`` (configuration, keys) and ``card``."""

    directory: Path
    footage: Path
    shift: str
    twin: Twin = Twin.RIGHT

    @property
    def card(self) -> Path:
        return self.directory / "card"

    @property
    def config(self) -> Path:
        return self.directory / "camera/oathcamd.toml"

    def command(self) -> list[str]:
        log = self.directory / "promises"
        places = (self.config, self.card, self.footage, log)
        return [sys.executable, "-m", "tests.syscalls.camera", *map(str, places), self.shift, self.twin.value]


def live(body: Body, paths: Sequence[str] = (), fault: Fault | None = None) -> Run:
    """One life. ``paths``, relative to the card: what is followed; none: everything below the card."""
    output = body.directory / "calls"
    traced = "trace=" + ",".join(f"?{one}" for one in CALLS)
    command = [need_program("strace"), "-f", "-qq", "-y", "-o", str(output), "-e", traced]
    for path in paths:
        command += ["-P", str(body.card / path)]
    if fault is not None:
        command += ["-e", f"inject={fault.call}:{fault.way.value}:when={fault.number}"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*command, *body.command()], capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    calls = tuple(_calls(output.read_text(errors="replace"), body.card))
    marks = tuple(one for one in read_log(body.directory / "promises") if isinstance(one, Mark))
    return Run(done.returncode, done.stderr, calls, marks)


def paths_of(run: Run) -> list[str]:
    """Everything on the card that a life touched, and every directory above it."""
    found = {path for call in run.calls for path in call.paths}
    return sorted(found | {str(above) for path in found for above in PurePosixPath(path).parents})


def _calls(text: str, card: Path) -> Iterator[Call]:
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if line.endswith("<unfinished ...>"):
            begun[line.split(" ", 1)[0]] = line.removesuffix(" <unfinished ...>")
            continue
        if resumed := _RESUMED.fullmatch(line):
            line = begun.pop(resumed[1]) + resumed[2]
        if found := _LINE.fullmatch(line):
            _, name, arguments, result, rest = found.groups()
            paths = tuple(_below(_paths(name, arguments), str(card)))
            if paths:
                yield Call(name, arguments, paths, not result.startswith("-"), "INJECTED" in rest)


def _paths(name: str, arguments: str) -> Iterator[str]:
    if name in NAMES or name == "statfs":
        for directory, quoted in _DECODED.findall(arguments):
            yield os.path.join(directory, json.loads(quoted))
    elif found := _DESCRIPTOR.match(arguments):
        yield found[1].removesuffix(" (deleted)")


def _below(paths: Iterator[str], card: str) -> Iterator[str]:
    for path in paths:
        if path == card:
            yield "."
        elif path.startswith(card + "/"):
            yield path.removeprefix(card + "/")
