"""``oathcamd`` with the Pi's back-end as a process of its own on the bench, and hands to press, break and pull.

The product's daemon, real picamera2 in the capture process, real gpiozero; the libcamera, codec and lgpio under them are the fakes of
``pibench/fakes``. The card is a directory of this machine's file system; strace(1) makes single calls on it fail, stall or hang.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pi_bench
from absent import need_program

from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import OathcamError
from firmware.evidence import pki
from firmware.evidence.findings import Report
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import verify_device
from hal.interfaces import KeyProtection
from hal.pi.board import BOARDS
from hal.pi.camera import LOW_RESOLUTION
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, make_camera
from tools.sources import DirectorySource, load_key, load_roots

SERIAL = "PI-0001"
PINS = BOARDS["zero2w"].build.pins
SMALL = {"width": 320, "height": 240, "bitrate_bps": 500_000, "seconds": 3}
PATIENCE_S = 30.0


def seconds_now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def policy_file(path: Path, *, audio: bool = False, **changes: int) -> Path:
    """The default policy with small pictures and ``changes``."""
    _, text = read_profile("default")
    for name, value in {**SMALL, **changes}.items():
        text, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        assert count == 1, name
    if not audio:
        text = text.replace("enabled = true", "enabled = false", 1)
    path.write_text(text, encoding="utf-8")
    return path


def new_boot_time() -> list[str]:
    """A command's prefix under which boot time is another one, as after a power loss; empty where the kernel or our rights forbid it."""
    earlier_s = max(1, int(seconds_now()) - 60)
    prefix = ["unshare", "--time", "--boottime", str(-earlier_s)]
    try:
        done = subprocess.run([*prefix, "cat", "/proc/uptime"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return prefix if float(done.stdout.split()[0]) < seconds_now() - earlier_s / 2 else []


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return not Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0].startswith("Z")
    except OSError:
        return False


class PiDaemon:
    """One provisioned camera; any number of lives of its daemon. Times are seconds of boot time."""

    def __init__(
        self,
        directory: Path,
        agency: Agency,
        *,
        film: str = "",
        board: str = "zero2w",
        microphone: str = "",
        **changes: Any,
    ) -> None:
        """``microphone``: an ALSA device, 16 bit and one channel. ``changes``: to the policy, see :func:`policy_file`."""
        pi_bench.require()
        import bench

        self.directory = directory
        (directory / "dev").mkdir(parents=True)
        (directory / "dev/gpiochip0").touch()
        policy = policy_file(directory / "policy.toml", **changes)
        order = CameraOrder(SERIAL, "bench", "officer 4711", str(policy), "pi", KeyProtection.FILE)
        lines: dict[str, Any] = {"board": board, "devices": str(directory / "dev"), "gnss": False, "gauge": False, "hint": False}
        if microphone:
            lines |= {"microphone": microphone, "microphone_bits": 16, "microphone_channels": 1}
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items())
        self.config = make_camera(directory / "camera", agency, order, lambda: text)
        self.agency = agency
        self.card = self.config.parent / "card"
        self.hand = bench.Remote(directory / "bench")
        self._header = directory / "header"
        self._film, self._board = film, board
        if film:  # here and now: a camera that starts waits for nothing
            for size in ((changes.get("width", SMALL["width"]), changes.get("height", SMALL["height"])), LOW_RESOLUTION):
                bench.Film(film, directory).load(*size)
        self.process: subprocess.Popen[bytes] | None = None

    # Lives

    def start(self, prefix: Sequence[str] = ()) -> None:
        """Returns once the camera is ready, or recording again. ``prefix``: a command that starts the daemon in its own place."""
        before = len(self.entries())
        log = (self.directory / "oathcamd.log").open("ab")
        self.process = subprocess.Popen(
            [*prefix, *self.command()], env=self.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        self.until("ready", lambda: [one for one in self.entries()[before:] if one.kind in ("ready", "begin", "fault")])

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", "firmware", "run", "--config", str(self.config)]

    def environment(self) -> dict[str, str]:
        environment = {**os.environ, "OATHCAM_BENCH": str(self.hand.path), "OATHCAM_HEADER": str(self._header)}
        environment |= {"OATHCAM_HEADER_BOARD": self._board, "PYTHONPATH": str(pi_bench.FAKES)}
        environment["PYTHONWARNINGS"] = "ignore::DeprecationWarning"  # picamera2 starts its threads in an old way
        if self._film:
            environment["OATHCAM_BENCH_FILM"] = self._film
        return environment

    def stop(self) -> int:
        """An orderly end; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """The process is gone at this instruction; what it wrote is in the page cache, the board stays up."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def pull_battery(self) -> None:
        """Recorder and capture process are gone together. It is a kill: the page cache stays, and so does the board's boot time."""
        children = self.children()
        self.kill()
        for pid in children:
            with suppress(ProcessLookupError):  # it may have seen the recorder's end first
                os.kill(pid, signal.SIGKILL)

    def children(self) -> list[int]:
        """The daemon's own processes: the capture process."""
        assert self.process is not None
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(pid) for path in found for pid in path.read_text().split()]

    def until_dead(self, pids: Sequence[int]) -> None:
        """Processes that the daemon left behind are gone."""
        end = seconds_now() + PATIENCE_S
        while living := [pid for pid in pids if is_alive(pid)]:
            assert seconds_now() < end, living
            self.wait(0.02)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    # Hands

    def contact(self, gpio: int, closed: bool) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(json.dumps({"gpio": gpio, "closed": closed}).encode(), str(self._header))

    def press(self, seconds: float = 0.1, gpio: int = PINS.record_button) -> float:
        """Press and release; the instant of the press."""
        at = seconds_now()
        self.contact(gpio, True)
        self.wait(seconds)
        self.contact(gpio, False)
        self.wait(0.1)
        return at

    def double_press(self) -> float:
        self.press()
        return self.press()

    def hold(self) -> float:
        return self.press(3.3)

    def dock(self, docked: bool) -> None:
        self.contact(PINS.dock_contact, docked)

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def until(self, what: str, condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
        end = seconds_now() + seconds
        while not (answer := condition()):
            ended = self.process is not None and self.process.poll() is not None
            assert seconds_now() < end and not ended, f"{what}: {self.log()[-3000:]}"  # noqa: PT018 - one reason to give up
            self.wait(0.02)
        return answer

    @contextmanager
    def card_fails(self, calls: str, how: str) -> Iterator[None]:
        """While inside, system calls on the card's files fail (strace's ``inject``), as ``error=EIO`` or ``delay_enter=3000000``."""
        assert self.process is not None
        command = [need_program("strace"), "-f", "-qq", "-o", "/dev/null", "-p", str(self.process.pid), "-e", f"trace={calls}"]
        paths = [str(path) for path in self.card.rglob("*")] + [str(self.card)]
        for path in paths[:200]:
            command += ["-P", path]
        tracer = subprocess.Popen([*command, "-e", f"inject={calls}:{how}"], stderr=subprocess.PIPE)
        self.wait(0.3)
        try:
            yield
        finally:
            tracer.terminate()
            tracer.wait(PATIENCE_S)
            assert tracer.stderr is not None
            tracer.stderr.close()

    # What can be seen of it

    def log(self) -> str:
        path = self.directory / "oathcamd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def entries(self) -> tuple[Entry, ...]:
        try:
            chain = pki.load_certificates_pem((self.card / "ledger/device.pem").read_bytes())
            log = (self.card / "ledger/log").read_bytes()
            return read_log(log, f"oathcam/{SERIAL}", pki.public_key(chain[0]), verify_all=False).entries
        except (OSError, OathcamError):  # not yet there, or a batch is being written
            return ()

    def leaves(self, *kinds: str) -> list[Entry]:
        return [entry for entry in self.entries() if entry.kind in kinds]

    def outputs(self, gpio: int, since: float = 0) -> list[tuple[float, float]]:
        """(second, level or duty) of every change of an output."""
        path = self._header.with_name(self._header.name + ".log")
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        found = [(int(row[0]) / 1e9, float(row[2])) for row in rows if len(row) == 3 and int(row[1]) == gpio]
        return [(at, value) for at, value in found if at >= since]

    def felt(self, since: float) -> float | None:
        """Seconds from ``since`` to the first pulse of the motor; ``None`` when nothing was felt."""
        return next((at - since for at, value in self.outputs(PINS.vibration, since) if value), None)

    def lamp(self) -> bool:
        outputs = self.outputs(PINS.subject_lamp)
        return bool(outputs and outputs[-1][1])

    def recordings(self) -> list[str]:
        return sorted(path.name for path in (self.card / "vault").iterdir())

    def manifest(self, recording: str) -> Manifest:
        return Manifest.from_bytes((self.card / "vault" / recording / "manifest.json").read_bytes())

    def verify(self) -> Report:
        key = load_key(self.agency.directory / "agency.key", None)
        return verify_device(DirectorySource(self.card), load_roots(self.agency.directory / "root.crt"), key)


@contextmanager
def pi_daemon(directory: Path, agency: Agency, **options: Any) -> Iterator[PiDaemon]:
    with pi_bench.loaded():
        daemon = PiDaemon(directory, agency, **options)
        try:
            yield daemon
        finally:
            daemon.close()
