"""What a soak may run on: how each back-end is configured, started and pressed."""

from __future__ import annotations

import os
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from subprocess import Popen

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

from clips import make_clip  # noqa: E402

from hal.interfaces import KeyProtection  # noqa: E402


class Backend(ABC):
    """``name`` goes into the camera's configuration, ``title`` into the result."""

    name: str
    title: str
    fps = 30
    protection = KeyProtection.FILE

    def profile(self, directory: Path) -> str:
        """The policy's profile, or a policy file of its own."""
        return "default"

    @abstractmethod
    def options(self) -> str:
        """Lines of the ``[hal.<name>]`` table."""

    def command(self) -> list[str]:
        """What starts the daemon; ``--config`` and its file follow."""
        return [sys.executable, "-P", "-m", "firmware", "run"]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    @abstractmethod
    def press_record(self, process: Popen[bytes]) -> None:
        """Press twice, once the recorder runs; returns at once."""

    @staticmethod
    def available() -> bool:
        return True


class Simulator(Backend):
    """The drawn street, real H.264 and AAC, in real time, onto the real disk with real syncs."""

    name = "sim"
    title = "hal.sim in real time (drawn street, libx264, AAC), fsync on the host's disk"
    protection = KeyProtection.SIMULATED

    def options(self) -> str:
        return 'host_sync = true\nscript = ["5 double_press"]\n'

    def press_record(self, process: Popen[bytes]) -> None:
        """The script of the settings does."""


class Laptop(Backend):
    """A film on disk in real time, with its sound, libx264 and AAC; keys through the daemon's standard input."""

    name = "pc"
    title = "hal.pc in real time (a film of 20 s at 720p with its sound, libx264, AAC), fsync on the host's disk"

    def __init__(self) -> None:
        self._film = Path()

    def profile(self, directory: Path) -> str:
        self._film = make_clip(directory / "film.mp4", 20, (1280, 720))
        return "default"

    def options(self) -> str:
        return f'source = "{self._film}"\n'

    def press_record(self, process: Popen[bytes]) -> None:
        threading.Timer(5, _type, (process, b"  ")).start()


def _type(process: Popen[bytes], keys: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(keys)
    process.stdin.flush()


BACKENDS: dict[str, type[Backend]] = {"pc": Laptop, "sim": Simulator}
"""Nearest to the Pi first."""


def choose(name: str | None) -> Backend:
    if name is not None:
        return BACKENDS[name]()
    return next(kind() for kind in BACKENDS.values() if kind.available())
