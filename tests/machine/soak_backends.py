"""What a soak may run on: how each back-end is configured, started and pressed."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from subprocess import Popen

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests"))

import pi_bench  # noqa: E402
from clips import make_clip  # noqa: E402

from hal.interfaces import KeyProtection  # noqa: E402
from hal.pi.board import BOARDS  # noqa: E402
from tools.policies import read_profile  # noqa: E402


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

    def losses(self) -> list[tuple[int, str]]:
        """(boot time in ns, whose) of the pictures that no sensor gave: how much of it is this machine's fault and not the recorder's."""
        return []

    @classmethod
    def available(cls) -> bool:
        return True


class PiBench(Backend):
    """``hal.pi`` as a camera runs it, capture process and all; the sensor, the codec and the header are the bench's fakes. Without sound:
    the fakes have no card."""

    name = "pi"
    title = "hal.pi on the bench: real picamera2 in a capture process, V4L2 encoder; libcamera, /dev/video11 (libx264), lgpio are fakes"
    board = "zero2w"
    after_s = 5.0

    def profile(self, directory: Path) -> str:
        self._bench, self._header = directory / "bench", directory / "header"
        self._devices = directory / "dev"
        self._devices.mkdir()
        (self._devices / "gpiochip0").touch()
        policy = directory / "policy.toml"
        _, text = read_profile("default")
        assert "[audio]\nenabled = true" in text
        policy.write_text(text.replace("[audio]\nenabled = true", "[audio]\nenabled = false"), encoding="utf-8")
        return str(policy)

    def options(self) -> str:
        lines = {"board": self.board, "devices": str(self._devices)}
        return "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()) + "gnss = false\ngauge = false\nhint = false\n"

    def environment(self) -> dict[str, str]:
        bench = {"OATHCAM_BENCH": str(self._bench), "OATHCAM_HEADER": str(self._header), "OATHCAM_HEADER_BOARD": self.board}
        return {**os.environ, **bench, "PYTHONPATH": f"{pi_bench.FAKES}:{ROOT}", "PYTHONWARNINGS": "ignore::DeprecationWarning"}

    def press_record(self, process: Popen[bytes]) -> None:
        threading.Thread(target=self._press_twice, daemon=True).start()

    def _press_twice(self) -> None:
        while not self._header.exists():
            time.sleep(0.1)
        time.sleep(self.after_s)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hand:
            for closed in (True, False, True, False):
                order = {"gpio": BOARDS[self.board].build.pins.record_button, "closed": closed}
                hand.sendto(json.dumps(order).encode(), str(self._header))
                time.sleep(0.1)

    def losses(self) -> list[tuple[int, str]]:
        return pi_bench.losses(self._bench)

    @classmethod
    def available(cls) -> bool:
        return not pi_bench.missing()


class PiBenchLibav(PiBench):
    title = "hal.pi on the bench as a Raspberry Pi 5: real picamera2 in a capture process, libx264 encoder; libcamera, lgpio are fakes"
    board = "5"


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


BACKENDS: dict[str, type[Backend]] = {"pi": PiBench, "pi-libav": PiBenchLibav, "pc": Laptop, "sim": Simulator}
"""Nearest to the Pi first."""


def choose(name: str | None) -> Backend:
    if name is not None:
        return BACKENDS[name]()
    return next(kind() for kind in BACKENDS.values() if kind.available())
