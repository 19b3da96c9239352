"""The back-ends under contract. A new back-end joins by adding one factory to the list of each port it offers (rigs: ``rigs``)."""

from __future__ import annotations

import errno
import io
import os
import pty
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pi_bench
from keybench import pkcs11_stores, tpm_stores
from pibench import hands
from rigs import CameraRig, ClockRig, HandsRig, MicrophoneRig, let_pass
from rigs_sim import (
    sim_camera,
    sim_clock,
    sim_entropy,
    sim_hands,
    sim_inbox,
    sim_keys,
    sim_microphone,
    sim_volume,
    sim_watchdog,
    sim_worker,
)

from hal.alsa_card import SoundCard
from hal.alsa_microphone import AlsaMicrophone
from hal.file_key_store import FileKeyStore
from hal.interfaces import (
    ButtonName,
    Camera,
    ClockTrust,
    Entropy,
    Inbox,
    KeyStore,
    LampName,
    PowerState,
    Volume,
    Watchdog,
    Worker,
)
from hal.none import NoAccelerometer, NoReceiver
from hal.pc.camera import PcCamera
from hal.pc.clock import LaptopClock
from hal.pc.feed import FileFeed
from hal.pc.hands import KeyboardButtons, KeyboardDock
from hal.pc.indicators import TerminalIndicators
from hal.pc.power import LaptopPower
from hal.pc.terminal import KeyInput, StatusLine
from hal.pi.accelerometer import open_orientation
from hal.pi.board import BOARDS
from hal.pi.buttons import open_buttons
from hal.pi.dock_link import open_dock_link
from hal.pi.gnss import PiPositioning
from hal.pi.indicators import open_indicators
from hal.pi.power import SOC, open_power
from hal.pi.rtc import ClockPaths, open_clock
from hal.posix import DirectoryVolume, PosixClock, QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker
from hal.serial_line import SerialLine

PATIENCE_S = 10.0


# --- Pi, on the bench -----------------------------------------------------------------------------------------------


@contextmanager
def _pi_rig(open_camera: Callable[[PosixClock], Camera]) -> Iterator[CameraRig]:
    """Real picamera2 on the fake libcamera of ``tests/pibench``."""
    clock = PosixClock(ClockTrust.RTC)
    with pi_bench.loaded():
        camera = open_camera(clock)
        try:
            yield CameraRig(camera, clock.now, let_pass)
        finally:
            camera.close()
            clock.close()


def _pi_camera(board: str) -> Callable[[PosixClock], Camera]:
    def opened(clock: PosixClock) -> Camera:
        from hal.pi.camera import PiCamera

        return PiCamera(BOARDS[board], clock)

    return opened


def _pi_process(clock: PosixClock) -> Camera:
    from hal.pi.process_camera import ProcessCamera

    return ProcessCamera(BOARDS["zero2w"], clock)


# --- POSIX ----------------------------------------------------------------------------------------------------------


@contextmanager
def _posix_volume(tmp_path: Path) -> Iterator[tuple[Volume, Path]]:
    (tmp_path / "card").mkdir()
    yield DirectoryVolume(tmp_path / "card"), tmp_path / "card"


@contextmanager
def _own_volume(tmp_path: Path) -> Iterator[tuple[Volume, Path]]:
    """As on a camera, where evidence has a file system of its own: a group is one flush of it."""
    (tmp_path / "card").mkdir()
    yield DirectoryVolume(tmp_path / "card", own_file_system=True), tmp_path / "card"


def _clock(opened: Callable[[Path], PosixClock]) -> Callable[[Path], AbstractContextManager[ClockRig]]:
    """A clock of the kernel's, whose waiting takes as long as it says."""

    @contextmanager
    def rig(tmp_path: Path) -> Iterator[ClockRig]:
        clock = opened(tmp_path)

        def wait(event: threading.Event) -> None:
            assert event.wait(PATIENCE_S)

        yield ClockRig(clock, wait)
        clock.close()

    return rig


@contextmanager
def _posix_inbox(tmp_path: Path, limit: int) -> Iterator[Inbox]:
    yield QueueInbox(limit)


@contextmanager
def _posix_worker(tmp_path: Path, depth: int) -> Iterator[Worker]:
    worker = ThreadWorker("test", depth)
    yield worker
    worker.close()


@contextmanager
def _file_keys(tmp_path: Path) -> Iterator[Callable[[], KeyStore]]:
    yield lambda: FileKeyStore(tmp_path / "keys")


@contextmanager
def _system_entropy(tmp_path: Path) -> Iterator[Entropy]:
    yield SystemEntropy()


@contextmanager
def _posix_watchdog(tmp_path: Path, address: str) -> Iterator[Watchdog]:
    watchdog = SdNotifyWatchdog({"NOTIFY_SOCKET": address})
    yield watchdog
    watchdog.close()


def notify_socket(address: str) -> socket.socket:
    """The service manager's end of ``NOTIFY_SOCKET``."""
    opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    opened.bind("\0" + address[1:] if address.startswith("@") else address)
    opened.settimeout(PATIENCE_S)
    return opened


# --- laptop ---------------------------------------------------------------------------------------------------------


@contextmanager
def _pc_camera(tmp_path: Path) -> Iterator[CameraRig]:
    """A film on disk before the camera."""
    from clips import a_clip

    clock = LaptopClock()
    camera = PcCamera(FileFeed(str(a_clip()), clock), clock)
    yield CameraRig(camera, clock.now, let_pass)
    camera.close()
    clock.close()


def _alsa(**card: int) -> Callable[[Path], AbstractContextManager[MicrophoneRig]]:
    """A real sound server behind ALSA; the Pi's card has its one microphone in the right half of 32 bit stereo."""

    @contextmanager
    def opened(_tmp_path: Path) -> Iterator[MicrophoneRig]:
        from soundrig import DEVICE, shared_rig

        shared_rig()
        clock = PosixClock()
        microphone = AlsaMicrophone(clock, SoundCard(DEVICE, **card))
        yield MicrophoneRig(microphone, clock.now, let_pass)
        microphone.close()
        clock.close()

    return opened


class _Paper(io.StringIO):
    """A log that refuses every line about a lamp that is broken."""

    broken: LampName | None = None

    def write(self, text: str) -> int:
        if self.broken is not None and text.startswith(self.broken.value):
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def _write_battery(directory: Path, percent: int) -> None:
    fields = {"type": "Battery", "capacity": percent, "status": "Discharging", "voltage_now": 11_400_000, "voltage_min_design": 11_100_000}
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in fields.items():
        (directory / name).write_text(f"{value}\n")


@contextmanager
def _pc_hands(tmp_path: Path) -> Iterator[HandsRig]:
    """Keys through a real pseudo-terminal, a battery as the kernel's files say it, lamps on paper."""
    clock = LaptopClock()
    keyboard, terminal = pty.openpty()
    _write_battery(tmp_path / "supply/BAT0", 80)
    power = LaptopPower(clock, tmp_path / "supply")
    dock_link = KeyboardDock(clock, tmp_path / "sync-request", tmp_path / "docked")
    buttons = KeyboardButtons(KeyInput(os.ttyname(terminal)), clock, 3500, dock_link.toggle)
    paper = _Paper()

    def press(button: ButtonName, hold_ms: int) -> None:
        brief, held = {ButtonName.RECORD: b" h", ButtonName.FUNCTION: b"mM"}[button]
        os.write(keyboard, bytes([held if hold_ms >= 3000 else brief]))
        let_pass(hold_ms / 1000 + 0.3)

    def dock(docked: bool) -> None:
        if docked is not (tmp_path / "docked").exists():
            (tmp_path / "docked").touch() if docked else (tmp_path / "docked").unlink()
        dock_link.look()

    def set_percent(percent: int) -> None:
        _write_battery(tmp_path / "supply/BAT0", percent)
        power.look()

    indicators = TerminalIndicators(StatusLine(paper))
    yield HandsRig(
        buttons,
        indicators,
        power,
        NoReceiver(),
        NoAccelerometer(),
        dock_link,
        press,
        dock,
        set_percent,
        lambda name: setattr(paper, "broken", name),
    )
    for close in (buttons.close, dock_link.close, power.close, clock.close):
        close()
    os.close(terminal)
    os.close(keyboard)


# --- Pi: the product's ports and real gpiozero on a fake lgpio, real pyserial on pseudo-terminals, a fake I2C bus ---------------------


@contextmanager
def _pi_hands(tmp_path: Path) -> Iterator[HandsRig]:
    header = hands.Header(tmp_path)
    sysfs, bus, clock = hands.make_sysfs(tmp_path / "sys"), hands.FakeBus(), PosixClock()
    with ExitStack() as stack:
        stack.callback(clock.close)
        receiver = stack.enter_context(hands.wire(tmp_path / "ttyAMA0"))
        gpio = header.open()
        stack.callback(gpio.close)

        def opened(port):
            stack.callback(port.close)
            return port

        buttons = opened(open_buttons(gpio, header.board, clock))
        power = opened(open_power(header.board, sysfs=sysfs, bus=bus, poll_s=0.02))
        dock_link = opened(open_dock_link(gpio, header.board, clock, tmp_path / "sync-request"))
        positioning = opened(PiPositioning(SerialLine(receiver.name, 38_400), clock))
        # Again and again: opening a port throws away what came before.
        hands.wait(lambda: receiver.send(hands.GGA) or positioning.fix())

        def press(button: ButtonName, hold_ms: int) -> None:
            pin = {ButtonName.RECORD: header.pins.record_button, ButtonName.FUNCTION: header.pins.function_button}[button]
            began = time.monotonic()
            header.contact(pin, True, bounce=True, at=began)
            hands.wait(lambda: buttons.is_pressed(button))
            header.contact(pin, False, bounce=True, at=began + hold_ms / 1000)
            hands.wait(lambda: not buttons.is_pressed(button))

        def dock(docked: bool) -> None:
            header.contact(header.pins.dock_contact, docked)
            hands.wait(lambda: dock_link.docked() is docked)

        def set_percent(percent: int) -> None:
            told: list[PowerState] = []
            power.subscribe(told.append)
            bus.registers[SOC] = percent << 8
            hands.wait(lambda: told)

        yield HandsRig(
            buttons,
            opened(open_indicators(gpio, header.board)),
            power,
            positioning,
            open_orientation("y", sysfs),
            dock_link,
            press,
            dock,
            set_percent,
            lambda name: setattr(header, "lamp_is_broken", name is LampName.SUBJECT),
        )


VOLUMES = {"sim": sim_volume, "posix": _posix_volume, "posix, own file system": _own_volume}
CLOCKS = {
    "sim": sim_clock,
    "posix": _clock(lambda _: PosixClock()),
    "pc": _clock(lambda _: LaptopClock()),
    "pi": _clock(lambda sysfs: open_clock(hands.BOARD, ClockPaths(sysfs=sysfs))),
}
INBOXES = {"sim": sim_inbox, "posix": _posix_inbox}
WORKERS = {"sim": sim_worker, "posix": _posix_worker}
KEY_STORES = {"sim": sim_keys, "file": _file_keys, "tpm": tpm_stores, "pkcs11": pkcs11_stores}
ENTROPIES = {"sim": sim_entropy, "posix": _system_entropy}
WATCHDOGS = {"sim": sim_watchdog, "posix": _posix_watchdog}
CAMERAS = {
    "sim": sim_camera,
    "pc": _pc_camera,
    "pi-v4l2": lambda _: _pi_rig(_pi_camera("zero2w")),
    "pi-libav": lambda _: _pi_rig(_pi_camera("5")),
    "pi-process": lambda _: _pi_rig(_pi_process),
}
MICROPHONES = {"sim": sim_microphone, "pc": _alsa(), "pi": _alsa(bits=32, channels=2, channel=1)}
HANDS = {"sim": sim_hands, "pc": _pc_hands, "pi": _pi_hands}
