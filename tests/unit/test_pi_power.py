"""Fuel gauge, temperature and throttling of the Pi back-end: a fake bus, a directory for sysfs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pibench.hands import BOARD, FakeBus, make_sysfs, wait

from hal.errors import DeviceFault, HalUnavailable
from hal.interfaces import PowerState
from hal.pi.board import BOARDS
from hal.pi.power import CRATE, SOC, TRIES, VCELL, VERSION, Gauge, PiPower, differs, open_power

FOUR = BOARDS["4b"]
ZONE = "class/thermal/thermal_zone0/temp"
THROTTLED = "bus/platform/drivers/raspberrypi-firmware/soc:firmware/get_throttled"


@contextmanager
def opened(sysfs: Path, bus: FakeBus, board=FOUR) -> Iterator[PiPower]:
    power = open_power(board, sysfs=sysfs, bus=bus, poll_s=0.02)
    try:
        yield power
    finally:
        power.close()
    assert bus.closed


# Datasheet 19-6171, "VCELL Register": 78.125 µV/cell; "SOC Register": 1 %/256; "CRATE Register": 0.208 %/h, two's complement.
@pytest.mark.parametrize(
    ("vcell", "soc", "crate", "millivolts", "percent", "charging"),
    [
        (0xC000, 0x6400, 0x0000, 3840, 100, False),
        (0xD700, 0x64FF, 0x0030, 4300, 100, True),
        (0xA800, 0x0080, 0xFF38, 3360, 0, False),
        (0x0100, 0x1400, 0x8000, 20, 20, False),
        (0xB9B0, 0x6680, 0x0004, 3714, 100, False),
        (0xB9B0, 0x2A01, 0x0005, 3714, 42, True),
    ],
)
def test_registers(vcell: int, soc: int, crate: int, millivolts: int, percent: int, charging: bool) -> None:
    """The chip sends the high byte first, SMBus takes the first for the low one."""
    bus = FakeBus()
    bus.registers |= {VCELL: vcell, SOC: soc, CRATE: crate}
    gauge = Gauge(bus, bus.address)
    assert (gauge.millivolts(), gauge.percent(), gauge.charging()) == (millivolts, percent, charging)


# Raspberry Pi documentation, get_throttled: bits 0 to 3 are now, 16 to 19 have occurred. 0x50005 is its own example.
@pytest.mark.parametrize(
    ("bits", "low_voltage", "throttled"),
    [
        (0x0, False, False),
        (0x1, True, False),
        (0x2, False, True),
        (0x4, False, True),
        (0x8, False, True),
        (0x50005, True, True),
        (0xF0000, False, False),
    ],
)
def test_throttling(tmp_path: Path, bits: int, low_voltage: bool, throttled: bool) -> None:
    """On a board with a detector, and on one without: it slows down for heat, and cannot know its supply."""
    sysfs = make_sysfs(tmp_path, celsius=63.7, throttled=bits)
    with opened(sysfs, FakeBus()) as power:
        state = power.state()
    assert (state.celsius, state.low_voltage, state.throttled) == (64, low_voltage, throttled)
    with opened(sysfs, FakeBus(), BOARD) as power:
        state = power.state()
    assert (state.low_voltage, state.throttled) == (False, throttled)


def test_a_kernel_without_the_flags_reports_none(tmp_path: Path) -> None:
    sysfs = make_sysfs(tmp_path)
    (sysfs / THROTTLED).unlink()
    with opened(sysfs, FakeBus()) as power:
        assert power.state() == PowerState(80, 3840, False, 41)


def test_changes_are_told_and_nothing_else(tmp_path: Path) -> None:
    sysfs, bus = make_sysfs(tmp_path), FakeBus()
    with opened(sysfs, bus) as power:
        told: list[PowerState] = []
        power.subscribe(told.append)
        wait(lambda: power._told)
        (sysfs / ZONE).write_text("42400\n")  # 41.2 -> 42.4: not yet 2 degrees
        bus.registers[VCELL] = 0xBF00
        bus.registers[SOC] = 79 << 8
        wait(lambda: len(told) == 1)
        (sysfs / ZONE).write_text("44400\n")
        wait(lambda: len(told) == 2)
        (sysfs / THROTTLED).write_text("1\n")
        wait(lambda: len(told) == 3)
        bus.registers[CRATE] = 100
        wait(lambda: len(told) == 4)
    assert [(one.percent, one.celsius, one.low_voltage, one.charging) for one in told] == [
        (79, 42, False, False),
        (79, 44, False, False),
        (79, 44, True, False),
        (79, 44, True, True),
    ]


def test_what_is_a_change() -> None:
    state = PowerState(50, 3700, False, 40)
    same = [replace(state, millivolts=3600), replace(state, celsius=41), replace(state, celsius=39)]
    assert [differs(each, state) for each in same] == [False] * 3
    other = [{"percent": 51}, {"charging": True}, {"low_voltage": True}, {"throttled": True}, {"celsius": 42}, {"celsius": 38}]
    assert all(differs(replace(state, **each), state) for each in other)


def test_a_gauge_that_fails_is_asked_again_and_then_a_fault(tmp_path: Path) -> None:
    bus = FakeBus()
    with opened(make_sysfs(tmp_path), bus) as power:
        told: list[PowerState] = []
        power.subscribe(told.append)
        power._loop.close()  # the test alone reads
        bus.failures = TRIES - 1
        assert power.state().percent == 80
        bus.failures = TRIES
        with pytest.raises(DeviceFault, match="fuel gauge at 0x36, register 0x04: Remote I/O error"):
            power.state()
        assert bus.failures == 0
        assert power.state().percent == 80
        assert told == []


def test_a_gauge_that_fails_for_a_while_is_heard_of_again(tmp_path: Path) -> None:
    """Whoever asked meanwhile got a fault, and so has no state: it is told as soon as there is one, changed or not."""
    bus = FakeBus()
    with opened(make_sysfs(tmp_path), bus) as power:
        told: list[PowerState] = []
        power.subscribe(told.append)
        wait(lambda: power._told)
        thread = power._loop._thread
        bus.failures = 10
        wait(lambda: told)
        assert [one.percent for one in told] == [80]
        assert power._loop._thread is thread


@pytest.mark.parametrize(("file", "text"), [(ZONE, None), (ZONE, "hot\n"), (THROTTLED, "yes\n")])
def test_a_sensor_that_fails_is_a_fault(tmp_path: Path, file: str, text: str | None) -> None:
    sysfs = make_sysfs(tmp_path)
    with opened(sysfs, FakeBus()) as power:
        if text is None:
            (sysfs / file).unlink()
        else:
            (sysfs / file).write_text(text)
        with pytest.raises(DeviceFault, match=Path(file).name):
            power.state()


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sysfs = make_sysfs(tmp_path / "sys")
    silent, other = FakeBus(address=0x10), FakeBus()
    other.registers[VERSION] = 0x4010
    for bus, said in ((silent, "no fuel gauge answers: .*0x36.*check its wiring"), (other, "is no MAX17048 .version 0x4010")):
        with pytest.raises(HalUnavailable, match=said):
            open_power(BOARD, sysfs=sysfs, bus=bus)
        assert bus.closed
    with pytest.raises(HalUnavailable, match="no thermal zone"):
        open_power(BOARD, sysfs=tmp_path / "none", bus=FakeBus())
    with pytest.raises(HalUnavailable, match=r"cannot open I2C bus 1: .*dtparam=i2c_arm=on"):
        open_power(BOARD, sysfs=sysfs)
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(HalUnavailable, match="install smbus2"):
        open_power(BOARD, sysfs=sysfs)
