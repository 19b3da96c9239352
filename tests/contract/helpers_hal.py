"""The back-ends under contract. A new back-end joins by adding one factory to the list of each port it offers.

A rig is a port together with what a test needs around it: how to let time pass, and the hand on the other side of it.
"""

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
from dataclasses import dataclass, field
from pathlib import Path

import pi_bench
from keybench import pkcs11_stores, tpm_stores
from pibench import hands

from hal.alsa_card import SoundCard
from hal.alsa_microphone import AlsaMicrophone
from hal.file_key_store import FileKeyStore
from hal.interfaces import (
    AudioFrame,
    ButtonName,
    Buttons,
    Camera,
    Clock,
    ClockReading,
    ClockTrust,
    DockLink,
    Entropy,
    Hal,
    Inbox,
    Indicators,
    KeyStore,
    LampName,
    Microphone,
    Picture,
    Positioning,
    Power,
    PowerState,
    VideoFormat,
    Volume,
    Watchdog,
    Worker,
)
from hal.none import NoReceiver
from hal.pc.camera import PcCamera
from hal.pc.clock import LaptopClock
from hal.pc.feed import FileFeed
from hal.pc.hands import KeyboardButtons, KeyboardDock
from hal.pc.indicators import TerminalIndicators
from hal.pc.power import LaptopPower
from hal.pc.terminal import KeyInput, StatusLine
from hal.pi.board import BOARDS
from hal.pi.buttons import open_buttons
from hal.pi.dock_link import open_dock_link
from hal.pi.gnss import PiPositioning
from hal.pi.indicators import open_indicators
from hal.pi.power import SOC, open_power
from hal.pi.rtc import ClockPaths, open_clock
from hal.posix import DirectoryVolume, PosixClock, QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker
from hal.serial_line import SerialLine
from hal.sim.boot import boot
from hal.sim.timeline import SECOND
from hal.sim.world import World

START_WALL_NS = 1_795_421_687_000_000_000
SMALL = VideoFormat(width=320, height=180, fps=15, bitrate_bps=300_000, gop_pictures=15)
PATIENCE_S = 10.0


@dataclass
class Heard:
    """A sink that keeps what it was given; counts as camera and microphone sink."""

    pictures: list[Picture] = field(default_factory=list)
    frames: list[AudioFrame] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def picture(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def camera_fault(self, reason: str) -> None:
        self.faults.append(reason)

    def audio(self, frame: AudioFrame) -> None:
        self.frames.append(frame)

    def microphone_fault(self, reason: str) -> None:
        self.faults.append(reason)


@dataclass
class CameraRig:
    """``pass_time(seconds)`` lets the device deliver for so long."""

    camera: Camera
    now: Callable[[], ClockReading]
    pass_time: Callable[[float], None]
    clock_tolerance_ns: int = 5_000_000
    """How far wall and boot time of two readings may move against each other while nobody steps the clock."""


@dataclass
class MicrophoneRig:
    microphone: Microphone
    now: Callable[[], ClockReading]
    pass_time: Callable[[float], None]


@dataclass
class ClockRig:
    """``wait(event)`` returns once the event is set; fails the test when it never is."""

    clock: Clock
    wait: Callable[[threading.Event], None]


@dataclass
class HandsRig:
    """The ports that face the wearer and the dock, and the hands that move them."""

    buttons: Buttons
    indicators: Indicators
    power: Power
    positioning: Positioning
    dock_link: DockLink
    press: Callable[[ButtonName, int], None]
    """Press for so many milliseconds, with a bouncing contact, and let it settle."""
    dock: Callable[[bool], None]
    set_percent: Callable[[int], None]
    break_lamp: Callable[[LampName], None]


# --- simulator ------------------------------------------------------------------------------------------------------


def sim_world() -> World:
    return World(START_WALL_NS, seed=7)


def sim_hal(tmp_path: Path, world: World) -> Hal:
    return boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys"})


@contextmanager
def _sim(tmp_path: Path) -> Iterator[tuple[World, Hal]]:
    world = sim_world()
    hal = sim_hal(tmp_path, world)
    yield world, hal
    hal.close()


@contextmanager
def _sim_volume(tmp_path: Path) -> Iterator[tuple[Volume, Path]]:
    with _sim(tmp_path) as (_, hal):
        yield hal.volume, tmp_path / "card"


@contextmanager
def _sim_media(tmp_path: Path) -> Iterator[tuple[Hal, Callable[[float], None]]]:
    with _sim(tmp_path) as (world, hal):

        def pass_time(seconds: float) -> None:
            world.horizon_ns = world.now_ns + round(seconds * SECOND)
            while hal.inbox.get() is not None:
                pass

        yield hal, pass_time


@contextmanager
def _sim_camera(tmp_path: Path) -> Iterator[CameraRig]:
    with _sim_media(tmp_path) as (hal, pass_time):
        yield CameraRig(hal.camera, hal.clock.now, pass_time, clock_tolerance_ns=0)


@contextmanager
def _sim_microphone(tmp_path: Path) -> Iterator[MicrophoneRig]:
    with _sim_media(tmp_path) as (hal, pass_time):
        yield MicrophoneRig(hal.microphone, hal.clock.now, pass_time)


@contextmanager
def _sim_clock(tmp_path: Path) -> Iterator[ClockRig]:
    with _sim(tmp_path) as (world, hal):

        def wait(event: threading.Event) -> None:
            world.run_until(world.now_ns + 60 * SECOND)
            assert event.is_set()

        yield ClockRig(hal.clock, wait)


@contextmanager
def _sim_inbox(tmp_path: Path, limit: int) -> Iterator[Inbox]:
    world = sim_world()
    hal = boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys", "inbox_limit": limit})
    yield hal.inbox
    hal.close()


@contextmanager
def _sim_worker(tmp_path: Path, depth: int) -> Iterator[Worker]:
    with _sim(tmp_path) as (_, hal):
        yield hal.make_worker("test", depth)


@contextmanager
def _sim_keys(tmp_path: Path) -> Iterator[Callable[[], KeyStore]]:
    world = sim_world()

    def reopen() -> KeyStore:
        if world.life is not None:
            world.life.end()
        return sim_hal(tmp_path, world).key_store

    yield reopen
    assert world.life is not None
    world.life.end()


@contextmanager
def _sim_entropy(tmp_path: Path) -> Iterator[Entropy]:
    with _sim(tmp_path) as (_, hal):
        yield hal.entropy


@contextmanager
def _sim_hands(tmp_path: Path) -> Iterator[HandsRig]:
    with _sim(tmp_path) as (world, hal):

        def press(button: ButtonName, hold_ms: int) -> None:
            world.run_until(world.press(button, hold_ms=hold_ms, bounce=True) + SECOND)

        yield HandsRig(
            hal.buttons,
            hal.indicators,
            hal.power,
            hal.positioning,
            hal.dock_link,
            press,
            lambda docked: world.dock() if docked else world.undock(),
            lambda percent: world.set_power(percent),
            lambda name: world.break_lamp(name),
        )


@contextmanager
def _sim_watchdog(tmp_path: Path, address: str) -> Iterator[Watchdog]:
    before = os.environ.get("NOTIFY_SOCKET")
    os.environ["NOTIFY_SOCKET"] = address
    try:
        with _sim(tmp_path) as (_, hal):
            yield hal.watchdog
    finally:
        del os.environ["NOTIFY_SOCKET"]
        if before is not None:
            os.environ["NOTIFY_SOCKET"] = before


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
def _posix_clock(tmp_path: Path) -> Iterator[ClockRig]:
    clock = PosixClock()

    def wait(event: threading.Event) -> None:
        assert event.wait(PATIENCE_S)

    yield ClockRig(clock, wait)
    clock.close()


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


def let_pass(seconds: float) -> None:
    """Real time, which nobody here can step."""
    threading.Event().wait(seconds)


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


@contextmanager
def _pc_clock(tmp_path: Path) -> Iterator[ClockRig]:
    clock = LaptopClock()

    def wait(event: threading.Event) -> None:
        assert event.wait(PATIENCE_S)

    yield ClockRig(clock, wait)
    clock.close()


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
        buttons, indicators, power, NoReceiver(), dock_link, press, dock, set_percent, lambda name: setattr(paper, "broken", name)
    )
    for close in (buttons.close, dock_link.close, power.close, clock.close):
        close()
    os.close(terminal)
    os.close(keyboard)


# --- Pi: the product's ports and real gpiozero on a fake lgpio, real pyserial on pseudo-terminals, a fake I2C bus ---------------------


@contextmanager
def _pi_clock(tmp_path: Path) -> Iterator[ClockRig]:
    clock = open_clock(hands.BOARD, ClockPaths(sysfs=tmp_path))

    def wait(event: threading.Event) -> None:
        assert event.wait(PATIENCE_S)

    yield ClockRig(clock, wait)
    clock.close()


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
            dock_link,
            press,
            dock,
            set_percent,
            lambda name: setattr(header, "lamp_is_broken", name is LampName.SUBJECT),
        )


VOLUMES = {"sim": _sim_volume, "posix": _posix_volume}
CLOCKS = {"sim": _sim_clock, "posix": _posix_clock, "pc": _pc_clock, "pi": _pi_clock}
INBOXES = {"sim": _sim_inbox, "posix": _posix_inbox}
WORKERS = {"sim": _sim_worker, "posix": _posix_worker}
KEY_STORES = {"sim": _sim_keys, "file": _file_keys, "tpm": tpm_stores, "pkcs11": pkcs11_stores}
ENTROPIES = {"sim": _sim_entropy, "posix": _system_entropy}
WATCHDOGS = {"sim": _sim_watchdog, "posix": _posix_watchdog}
CAMERAS = {
    "sim": _sim_camera,
    "pc": _pc_camera,
    "pi-v4l2": lambda _: _pi_rig(_pi_camera("zero2w")),
    "pi-libav": lambda _: _pi_rig(_pi_camera("5")),
    "pi-process": lambda _: _pi_rig(_pi_process),
}
MICROPHONES = {"sim": _sim_microphone, "pc": _alsa(), "pi": _alsa(bits=32, channels=2, channel=1)}
HANDS = {"sim": _sim_hands, "pc": _pc_hands, "pi": _pi_hands}
