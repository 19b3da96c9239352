"""What the jobs share: the simulated hardware of the machine's kernel, and a recorder at work. Runs inside, as root; Linux only.

Each device is the kernel's own: a chip of ``gpio-sim`` under configfs, a camera of ``vivid``, both ends of a USB cable by
``dummy_hcd``, a card by device-mapper. Whatever moves them from outside (a finger, a pulled cable, a bad sector) is a write into
sysfs, configfs or a mapper's message, as the kernel's documentation gives it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hal.pi.board import BOARDS

JOB = Path("/job")
BOARD = BOARDS["zero2w"]
PINS = BOARD.build.pins
SERIAL = "T-1"
CAMERA = Path("/run/camera")
"""A copy of the provisioned camera: its own card unless a job mounts another."""
STATE = CAMERA / "card"
GADGETS = Path("/sys/kernel/config/usb_gadget")


class Failed(Exception):
    """Something in the machine did not do what it was to; ends the job."""


def sh(*command: str | Path, check: bool = True) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failed(f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def report(**facts: Any) -> None:
    (JOB / "result.json").write_text(json.dumps(facts))


def wait(what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Ask until the answer is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise Failed(f"not within {seconds} s: {what}")


# Buttons and lamps


class SimulatedChip:
    """A GPIO controller of ``gpio-sim`` with 54 lines, like a Pi's. ``label`` is what a driver finds it by."""

    def __init__(self, name: str, label: str) -> None:
        chip = Path("/sys/kernel/config/gpio-sim") / name
        bank = chip / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text("54")
        (bank / "label").write_text(label)
        (chip / "live").write_text("1")
        self.name = (bank / "chip_name").read_text().strip()
        self._lines = Path("/sys/devices/platform") / (chip / "dev_name").read_text().strip() / self.name

    def level(self, line: int) -> int:
        """What the line is at now, whoever drives it."""
        return int((self._lines / f"sim_gpio{line}/value").read_text())

    def pull(self, line: int) -> str:
        """What the line is pulled to: by the program's request, or by :meth:`drive`."""
        return (self._lines / f"sim_gpio{line}/pull").read_text().strip()

    def drive(self, line: int, high: bool) -> None:
        """What is wired to an input brings it to this level."""
        (self._lines / f"sim_gpio{line}/pull").write_text("pull-up" if high else "pull-down")


class Finger:
    """A finger on a button that closes to ground."""

    def __init__(self, chip: SimulatedChip, line: int) -> None:
        self._chip, self._line = chip, line
        chip.drive(line, True)

    def down(self) -> None:
        self._chip.drive(self._line, False)

    def up(self) -> None:
        self._chip.drive(self._line, True)

    def press(self, seconds: float) -> None:
        self.down()
        time.sleep(seconds)
        self.up()
        # The next press of any finger is a while later: sooner it would be this one, bouncing.
        time.sleep(0.12)

    def double_press(self) -> None:
        self.press(0.12)
        self.press(0.12)

    def bounce(self, times: int = 5) -> None:
        """A contact that closes and opens again before it stays closed, a few milliseconds each: quicker ones the chip merges."""
        for _ in range(times):
            self.down()
            time.sleep(0.003)
            self.up()
            time.sleep(0.003)
        self.down()


class LampCircuit:
    """What is soldered to the subject lamp: current through it pulls the sense line down, as long as it is whole."""

    EVERY_S = 0.004
    """A machine with one processor: this thread goes before the others, and not too often."""

    def __init__(self, chip: SimulatedChip) -> None:
        self._chip, self.whole = chip, True
        chip.drive(PINS.subject_sense, True)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -15)
        flowing = False
        while True:
            now = self.whole and self._chip.level(PINS.subject_lamp) == 1
            if now is not flowing:
                flowing = now
                self._chip.drive(PINS.subject_sense, not now)
            time.sleep(self.EVERY_S)


# Camera


class Video:
    """A V4L2 device's controls, by name (V4L2 API, "User Controls")."""

    _QUERYCTRL, _S_CTRL, _NEXT = 0xC0445624, 0xC008561C, 0x80000000
    _QUERY = struct.Struct("=II32siiiiI8x")

    def __init__(self, device: Path) -> None:
        self._device = device
        self._numbers: dict[str, int] = {}
        number = 0
        with device.open("rb", buffering=0) as file:
            while True:
                query = bytearray(self._QUERY.pack(number | self._NEXT, 0, b"", 0, 0, 0, 0, 0))
                try:
                    fcntl.ioctl(file, self._QUERYCTRL, query)
                except OSError:
                    break
                number, _, name, *_ = self._QUERY.unpack(query)
                self._numbers[name.rstrip(b"\0").decode()] = number

    def set(self, name: str, value: int = 1) -> None:
        with self._device.open("rb", buffering=0) as file:
            fcntl.ioctl(file, self._S_CTRL, bytearray(struct.pack("=Ii", self._numbers[name], value)))


def vivid() -> Path:
    """The capture node of the kernel's own test camera."""
    for name in sorted(Path("/sys/class/video4linux").glob("video*/name")):
        if name.read_text().strip() == "vivid-000-vid-cap":
            return Path("/dev") / name.parent.name
    raise Failed("the kernel has no vivid camera")


# The cable


class Cable:
    """USB between camera (gadget: Ethernet and a serial port) and dock (host, in a network namespace ``dock``)."""

    CAMERA_ADDRESS, DOCK_ADDRESS = "10.66.0.2", "10.66.0.1"
    CAMERA_SERIAL, DOCK_SERIAL = Path("/dev/ttyGS0"), Path("/dev/ttyACM0")

    def __init__(self, ethernet: str = "ncm") -> None:
        gadget = GADGETS / "camera"
        for name in ("strings/0x409", "configs/c.1/strings/0x409"):
            (gadget / name).mkdir(parents=True)
        (gadget / "idVendor").write_text("0x1d6b")
        (gadget / "idProduct").write_text("0x0104")
        (gadget / "strings/0x409/serialnumber").write_text(SERIAL)
        self._gadget, self._function = gadget, gadget / f"functions/{ethernet}.usb0"
        for function in (self._function, gadget / "functions/acm.gs0"):
            function.mkdir()
            if function is self._function:
                # Once a configuration holds the function its addresses are fixed.
                (function / "host_addr").write_text("02:00:00:00:00:01")
                (function / "dev_addr").write_text("02:00:00:00:00:02")
            (gadget / "configs/c.1" / function.name).symlink_to(function)
        sh("ip", "netns", "add", "dock")
        sh("ip", "-n", "dock", "link", "set", "lo", "up")
        # A station may listen before its cable brings the address.
        sh("ip", "netns", "exec", "dock", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_nonlocal_bind")

    def plug(self) -> None:
        """Connect, and give both ends their addresses, as networkd would on either side."""
        before = set(os.listdir("/sys/class/net"))
        controller = sorted(Path("/sys/class/udc").iterdir())[0].name
        (self._gadget / "UDC").write_text(controller)
        camera_end = (self._function / "ifname").read_text().strip()
        dock_end = wait("the dock's interface", lambda: set(os.listdir("/sys/class/net")) - before - {camera_end}).pop()
        sh("ip", "link", "set", dock_end, "netns", "dock")
        for command in (["addr", "add", f"{self.DOCK_ADDRESS}/24", "dev", dock_end], ["link", "set", dock_end, "up"]):
            sh("ip", "-n", "dock", *command)
        sh("ip", "addr", "replace", f"{self.CAMERA_ADDRESS}/24", "dev", camera_end)
        sh("ip", "link", "set", camera_end, "up")
        self.camera_end = camera_end
        wait("carrier", lambda: (Path("/sys/class/net") / camera_end / "carrier").read_text().strip() == "1")

    def pull(self) -> None:
        (self._gadget / "UDC").write_text("\n")

    def slow(self, megabits: int) -> None:
        """Let the camera's end send no faster than this."""
        limit = ("rate", f"{megabits}mbit", "burst", "8kb", "latency", "200ms")
        sh("tc", "qdisc", "replace", "dev", self.camera_end, "root", "tbf", *limit)

    def sent_bytes(self) -> int:
        """What has gone over the cable from the camera."""
        return int((Path("/sys/class/net") / self.camera_end / "statistics/tx_bytes").read_text())


# A recorder at work


class Station:
    """``oathcam dock`` in the dock's network namespace. Its store lies in memory until :meth:`stop` keeps it."""

    def __init__(self) -> None:
        self._store = Path("/run/store")
        self._store.mkdir()
        # More than the reserve that a station insists on; only what is written takes memory.
        sh("mount", "-t", "tmpfs", "-o", "size=2G", "none", self._store)
        self._listening = Path("/run/dock-port")
        self.start()

    def start(self) -> None:
        self._listening.unlink(missing_ok=True)
        command = ["ip", "netns", "exec", "dock", sys.executable, "-P", "-m", "tools.cli", "dock", JOB / "agency/dock"]
        command += ["--store", self._store, "--host", Cable.DOCK_ADDRESS, "--port", "7443", "--port-file", self._listening]
        command += ["--hint-device", Cable.DOCK_SERIAL, "--bay", "3"]
        log = (JOB / "dock.log").open("ab")
        self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)

    def wait(self) -> None:
        wait("the dock station", self._listening.exists, 40)

    def lose_power(self) -> None:
        """The process is gone at this instant; what it had synced stays."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        shutil.copytree(self._store, JOB / "store")


class Sync:
    """``oathcamd sync``, as the path unit would start it on the recorder's request."""

    def __init__(self, config: Path) -> None:
        wait("the recorder's request", (CAMERA / "run/sync-request").exists)
        log = (JOB / "sync.log").open("wb")
        command = [sys.executable, "-P", "-m", "firmware", "sync", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)

    def finish(self) -> dict[str, Any]:
        """Its report; ``code`` is its exit code."""
        said, _ = self.process.communicate(timeout=60)
        found: dict[str, Any] = {**(json.loads(said) if said else {}), "code": self.process.returncode}
        return found


def provision(disk: Path) -> Path:
    """The camera's files in their places; returns its configuration. Card and keys lie on ``disk`` and outlast the machine, as the
    counter of boots must."""
    shutil.copytree(JOB / "camera", CAMERA)
    for name in ("card", "keys"):
        if not (disk / name).exists():
            shutil.copytree(CAMERA / name, disk / name)
        shutil.rmtree(CAMERA / name)
        (CAMERA / name).symlink_to(disk / name)
    os.sync()
    return CAMERA / "oathcamd.toml"


class Recorder:
    """``oathcamd run``, a process of its own, on the back-end that ``machine_hal`` composes."""

    def __init__(self, config: Path, environment: Mapping[str, str] = {}) -> None:
        log = (JOB / "oathcamd.log").open("ab")
        boots = len(leaves("ready"))
        command = [sys.executable, "-P", "/checkout/tests/machine/machine_hal.py", "run", "--config", str(config)]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
        self.wait("the recorder's boot", lambda: len(leaves("ready")) > boots, 40)

    def wait(self, what: str, condition: Callable[[], Any], seconds: float = 20) -> Any:
        def alive() -> Any:
            if self.process.poll() is not None:
                raise Failed(f"the recorder ended with {self.process.returncode} before: {what}")
            return condition()

        return wait(what, alive, seconds)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def leaves(kind: str = "") -> list[dict[str, Any]]:
    """Leaves of the ledger, of one kind or all; a checkpoint's line is not one."""
    log = STATE / "ledger/log"
    if not log.exists():
        return []
    rows = [json.loads(line) for line in log.read_bytes().splitlines(keepends=True) if line.startswith(b"{") and line.endswith(b"\n")]
    return [row for row in rows if kind in ("", row.get("type"))]


def fragments() -> list[str]:
    return sorted(path.name for path in STATE.glob("vault/*/*.m4s.p7m"))


def recordings() -> list[str]:
    return sorted(path.name for path in STATE.glob("vault/*"))


def keep_card() -> None:
    """Take the card out of the machine, for whoever verifies."""
    shutil.copytree(STATE, JOB / "card", dirs_exist_ok=True)


class Wiring:
    """The header's chip, with buttons and lamps soldered to it."""

    def __init__(self) -> None:
        self.chip = SimulatedChip("header", BOARD.chip_label)
        self.record = Finger(self.chip, PINS.record_button)
        self.function = Finger(self.chip, PINS.function_button)
        self.contact = Finger(self.chip, PINS.dock_contact)
        self.circuit = LampCircuit(self.chip)

    def lamp(self) -> int:
        """What drives the subject lamp."""
        return self.chip.level(PINS.subject_lamp)


class Bench(Wiring):
    """A camera with its card in ``/dev/ubda`` (or on another file system that the job mounted), buttons and lamps wired."""

    def __init__(self, card: str = "/dev/ubda", environment: Mapping[str, str] = {}) -> None:
        sh("mount", card, "/mnt")
        self.config = provision(Path("/mnt"))
        super().__init__()
        self.start(environment)

    def start(self, environment: Mapping[str, str] = {}) -> None:
        self.recorder = Recorder(self.config, environment)

    def begin(self, count: int) -> int:
        """Record until ``count`` more fragments are promised; milliseconds from the first press to the lamp."""
        before, began = len(leaves("fragment")), time.monotonic()
        self.record.double_press()
        self.recorder.wait("the subject lamp is lit", self.lamp, 5)
        lit_ms = round((time.monotonic() - began) * 1000)
        self.recorder.wait(f"{count} fragments", lambda: len(leaves("fragment")) - before >= count, 40)
        return lit_ms

    def end(self) -> None:
        """Hold until the recording is closed."""
        before = len(leaves("end"))
        self.record.press(3.5)
        self.recorder.wait("the end of the recording", lambda: len(leaves("end")) > before)
