"""A Pi's header, buses and serial lines for tests: the product's ports and the real libraries, on FAKE lines and pseudo-terminals.

gpiozero, pyserial and pyubx2 are the real ones; ``lgpio`` is the fake of ``fakes/``, the I2C bus is a fake, sysfs is a directory.
"""

from __future__ import annotations

import errno
import os
import pty
import select
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from hal.hint import Hello
from hal.pi.board import BOARDS, Board
from hal.pi.gpio import Gpio, open_gpio
from hal.pi.power import CRATE, SOC, THROTTLED_FILE, VCELL, VERSION

FAKES = Path(__file__).resolve().parent / "fakes"
BOARD = BOARDS["zero2w"]
PINS = BOARD.build.pins
BOUNCES_S = (0.0, 0.0004, 0.0009, 0.0017, 0.0026)
"""As the simulator's worn contact: an odd number of changes within 3 ms."""
HELLO = Hello("T-1", "0.1.0", 7)
GGA = b"$GNGGA,101530.00,3853.86200,N,07702.19000,W,1,09,0.92,12.3,M,-33.0,M,,*42\r\n"
"""A fix in NMEA 0183, HDOP 0.92."""


def fake_lgpio() -> ModuleType:
    """The fake, in front of the real one."""
    if str(FAKES) not in sys.path:
        sys.path.insert(0, str(FAKES))
    import lgpio

    assert lgpio.IS_FAKE, "the real lgpio was imported before the fake could be"
    return lgpio


class Header:
    """A header of its own in ``directory``, opened by the product."""

    def __init__(self, directory: Path, board: Board = BOARD) -> None:
        self.lgpio = fake_lgpio()
        self.board, self.pins = board, board.build.pins
        # A controller that came first and is not the header's.
        self.lgpio.reset({0: "raspberrypi-exp-gpio", 10: board.chip_label})
        self.devices = directory / "dev"
        self.devices.mkdir(exist_ok=True)
        for number in (0, 10):
            (self.devices / f"gpiochip{number}").touch()
        self.lamp_is_broken = False
        self.lgpio.circuits.append(self._lamp_circuit)

    def open(self) -> Gpio:
        return open_gpio(self.board, self.board.sample_revision, self.devices)

    def _lamp_circuit(self, gpio: int, level: int) -> None:
        """Current through the subject lamp pulls the sense line down."""
        if gpio == self.pins.subject_lamp:
            self.lgpio.wire(self.pins.subject_sense, 0 if level and not self.lamp_is_broken else None)

    def contact(self, pin: int, closed: bool, bounce: bool = False, at: float | None = None) -> int:
        """Close to ground or open, now or at an instant of ``time.monotonic``; returns the instant of the first change in ns."""
        begin = time.monotonic() if at is None else at
        for index, offset in enumerate(BOUNCES_S if bounce else BOUNCES_S[:1]):
            pause_until(begin + offset)
            now_closed = closed if index % 2 == 0 else not closed
            self.lgpio.wire(pin, 0 if now_closed else None, round((begin + offset) * 1e9))
        return round(begin * 1e9)


def pause_until(instant: float) -> None:
    while (left := instant - time.monotonic()) > 0:
        time.sleep(left)


class FakeBus:
    """A FAKE of smbus2's ``SMBus`` with a MAX17048 behind it. Words come as SMBus has them: the first byte is the low one."""

    def __init__(self, address: int = BOARD.build.gauge_address) -> None:
        self.address = address
        self.registers = {VCELL: 0xC000, SOC: 80 << 8, VERSION: 0x0012, CRATE: 0x0000}
        """As in the datasheet: most significant byte first."""
        self.failures = 0
        """How many of the next reads fail."""
        self.closed = False

    def read_word_data(self, i2c_addr: int, register: int) -> int:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EREMOTEIO, os.strerror(errno.EREMOTEIO))
        if i2c_addr != self.address:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        word = self.registers[register]
        return (word & 0xFF) << 8 | word >> 8

    def close(self) -> None:
        self.closed = True


def make_sysfs(directory: Path, celsius: float = 41.2, throttled: int = 0) -> Path:
    """What of /sys the ports for power and orientation read."""
    zone = directory / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text(f"{round(celsius * 1000)}\n")
    firmware = directory / THROTTLED_FILE.replace("*", "soc:firmware")
    firmware.parent.mkdir(parents=True)
    firmware.write_text(f"{throttled:x}\n")
    accelerometer = directory / "bus/iio/devices/iio:device0"
    accelerometer.mkdir(parents=True)
    for name, number in (("x_raw", "90"), ("y_raw", "16384"), ("z_raw", "-210"), ("scale", "0.000598")):
        (accelerometer / f"in_accel_{name}").write_text(f"{number}\n")
    return directory


class Wire:
    """A pseudo-terminal behind a name of its own, like an adapter: :meth:`unplug` takes it away, :meth:`plug` brings another."""

    def __init__(self, name: Path) -> None:
        self.name = name
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, end = pty.openpty()
        tty.setraw(self.master)
        self.name.unlink(missing_ok=True)
        self.name.symlink_to(os.ttyname(end))
        # The port has it open; the test keeps no end of its own, so that closing the master is an unplugged adapter.
        self._end = end

    def let_go(self) -> None:
        if self._end >= 0:
            os.close(self._end)
            self._end = -1

    def unplug(self) -> None:
        self.let_go()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
        self.name.unlink(missing_ok=True)

    def send(self, data: bytes) -> None:
        os.write(self.master, data)

    def pending(self) -> bool:
        return bool(select.select([self.master], [], [], 0.1)[0])

    def receive(self, limit: int = 4096) -> bytes:
        return os.read(self.master, limit)


@contextmanager
def wire(name: Path) -> Iterator[Wire]:
    made = Wire(name)
    yield made
    made.unplug()


def wait(condition, seconds: float = 10.0):
    """Ask until the answer is true; it is returned."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.005)
    raise AssertionError(f"not within {seconds} s")
