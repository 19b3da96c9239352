"""The cell's fuel gauge, the board's temperature, and what the firmware says of its supply.

Responsible for a MAX17048 on I2C (datasheet 19-6171), for the kernel's thermal zone, and for the throttling flags that Raspberry Pi's
kernel publishes. Refuses to judge a level: policy and machine do.

A gauge that does not answer is asked again a few times; then :meth:`PiPower.state` is a ``DeviceFault``, and subscribers keep the last
state that was told until it answers again. The flags are the firmware's as of its last poll by ``raspberrypi-hwmon`` (2 s); no flag
is one that only *has* occurred. Boards without a detector for low voltage never report it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hal.errors import DeviceFault, HalUnavailable
from hal.interfaces import Power, PowerState
from hal.loop import Loop
from hal.pi.board import Board
from hal.pi.sysfs import hexadecimal, read_number
from hal.subscribers import Subscribers

VCELL, SOC, VERSION, CRATE = 0x02, 0x04, 0x08, 0x16
VERSION_MASK, VERSION_EXPECTED = 0xFFF0, 0x0010
VCELL_MICROVOLTS = 78.125
CHARGING_CRATE = 5
"""In units of 0.208 %/h: about 1 %/h. Below that a cell at rest and one at its full level look the same."""
TRIES = 3
PAUSE_S = 0.01
POLL_S = 5.0
COLDER_OR_HOTTER = 2
UNDER_VOLTAGE = 1 << 0
FREQUENCY_CAPPED, THROTTLED, SOFT_LIMIT = 1 << 1, 1 << 2, 1 << 3
"""Raspberry Pi documentation, ``vcgencmd get_throttled``; bits 16 to 19 say that the same has occurred."""
THROTTLED_FILE = "bus/platform/drivers/raspberrypi-firmware/*/get_throttled"
"""Below /sys, by driver: the device's own name differs between boards (drivers/firmware/raspberrypi.c)."""


class Bus(Protocol):
    """The part of smbus2's ``SMBus`` that is used here."""

    def read_word_data(self, i2c_addr: int, register: int) -> int: ...

    def close(self) -> None: ...


class Gauge:
    """A MAX17048. Its registers are big-endian words, SMBus words are little-endian: every word is turned round."""

    def __init__(self, bus: Bus, address: int) -> None:
        self._bus, self._address = bus, address

    def version(self) -> int:
        return self._word(VERSION)

    def millivolts(self) -> int:
        return round(self._word(VCELL) * VCELL_MICROVOLTS / 1000)

    def percent(self) -> int:
        """The high byte is whole percents; a model may say a little more than 100."""
        return min(100, self._word(SOC) >> 8)

    def charging(self) -> bool:
        rate = self._word(CRATE)
        return (rate - 0x10000 if rate & 0x8000 else rate) >= CHARGING_CRATE

    def close(self) -> None:
        self._bus.close()

    def _word(self, register: int) -> int:
        for tries_left in reversed(range(TRIES)):
            try:
                word = self._bus.read_word_data(self._address, register)
                return (word & 0xFF) << 8 | word >> 8
            except OSError as error:
                if not tries_left:
                    raise DeviceFault(f"fuel gauge at {self._address:#x}, register {register:#04x}: {error.strerror or error}") from error
                time.sleep(PAUSE_S)
        raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class BoardSensors:
    """Files of sysfs. ``throttled`` is ``None`` where the kernel has no such file."""

    temperature: Path
    throttled: Path | None
    low_voltage_detect: bool

    def celsius(self) -> int:
        return round(read_number(self.temperature, int) / 1000)

    def flags(self) -> tuple[bool, bool]:
        """(low voltage, throttled), as of now."""
        if self.throttled is None:
            return False, False
        bits = read_number(self.throttled, hexadecimal)
        slowed = FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT
        return self.low_voltage_detect and bool(bits & UNDER_VOLTAGE), bool(bits & slowed)


class PiPower(Power):
    """Polls on a thread of its own."""

    def __init__(self, gauge: Gauge, sensors: BoardSensors, poll_s: float = POLL_S) -> None:
        self._gauge, self._sensors, self._poll_s = gauge, sensors, poll_s
        self._subscribers: Subscribers[PowerState] = Subscribers(backlog=1)
        self._told: PowerState | None = None
        self._failed = False
        self._loop = Loop("power", self._step)
        self._loop.start()

    def state(self) -> PowerState:
        low_voltage, throttled = self._sensors.flags()
        gauge = self._gauge
        celsius = self._sensors.celsius()
        return PowerState(gauge.percent(), gauge.millivolts(), gauge.charging(), celsius, low_voltage, throttled)

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        self._subscribers.subscribe(callback)

    def close(self) -> None:
        self._loop.close()
        self._gauge.close()

    def _step(self) -> None:
        """After a fault the state is told whatever it is: who asked in the meantime has none."""
        try:
            state = self.state()
        except DeviceFault:  # told by state(), which whoever needs to know asks
            self._failed = True
        else:
            new = self._failed if self._told is None else self._failed or differs(state, self._told)
            if new or self._told is None:
                self._told, self._failed = state, False
            if new:
                self._subscribers.tell(state)
        self._loop.stopping.wait(self._poll_s)


def differs(state: PowerState, told: PowerState) -> bool:
    """Whether subscribers are to be told."""

    def coarse(one: PowerState) -> tuple[int, bool, bool, bool]:
        return one.percent, one.charging, one.low_voltage, one.throttled

    return coarse(state) != coarse(told) or abs(state.celsius - told.celsius) >= COLDER_OR_HOTTER


def open_sensors(board: Board, sysfs: Path = Path("/sys")) -> BoardSensors:
    """The processor's thermal zone and the firmware's flags. ``HalUnavailable`` when there is no thermal zone."""
    zones = sorted((sysfs / "class/thermal").glob("thermal_zone*"))
    named = [zone for zone in zones if _kind(zone).startswith("cpu")]
    if not (named or zones):
        raise HalUnavailable(f"no thermal zone below {str(sysfs / 'class/thermal')!r}; boot a kernel of the board's own")
    throttled = next(iter(sorted(sysfs.glob(THROTTLED_FILE))), None)
    return BoardSensors((named or zones)[0] / "temp", throttled, board.low_voltage_detect)


def _kind(zone: Path) -> str:
    try:
        return (zone / "type").read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def open_gauge(board: Board, bus: Bus | None = None) -> Gauge:
    """``HalUnavailable`` when smbus2, the bus or the gauge is missing, or something else answers at its address."""
    address = board.build.gauge_address
    gauge = Gauge(bus if bus is not None else _open_bus(board.build.i2c_bus), address)
    try:
        version = gauge.version()
    except DeviceFault as error:
        gauge.close()
        raise HalUnavailable(f"no fuel gauge answers: {error}; check its wiring, and that no overlay gives it to the kernel") from error
    if version & VERSION_MASK != VERSION_EXPECTED:
        gauge.close()
        raise HalUnavailable(f"what answers at {address:#x} is no MAX17048 (version {version:#06x}); correct the build's gauge address")
    return gauge


def _open_bus(number: int) -> Bus:
    try:
        from smbus2 import SMBus
    except ImportError as error:
        raise HalUnavailable(f"the fuel gauge needs the library {error.name!r}; install smbus2") from error
    try:
        return SMBus(number)
    except OSError as error:
        remedy = "set dtparam=i2c_arm=on in config.txt and add the service's user to the group i2c"
        raise HalUnavailable(f"cannot open I2C bus {number}: {error.strerror}; {remedy}") from error


def open_power(board: Board, *, sysfs: Path = Path("/sys"), bus: Bus | None = None, poll_s: float = POLL_S) -> PiPower:
    """``bus``: one that is open already. ``HalUnavailable`` names what is missing."""
    sensors = open_sensors(board, sysfs)
    return PiPower(open_gauge(board, bus), sensors, poll_s)
