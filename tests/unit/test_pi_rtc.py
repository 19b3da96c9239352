"""What the wall clock is worth at boot (BWC-POL-26, BWC-POL-27). The chip itself is set in the user-mode machine."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pibench.hands import BOARD

from hal.interfaces import ClockTrust
from hal.pi import rtc
from hal.pi.rtc import UNCERTAINTY_NS, WRITTEN_S, ClockChip, ClockPaths, chips, floor_s, judge, open_clock

NOW = WRITTEN_S + 10_000_000


def make_chip(sysfs: Path, name: str = "rtc0", hctosys: int = 1, epoch: str | None = None) -> None:
    directory = sysfs / "class/rtc" / name
    directory.mkdir(parents=True)
    (directory / "hctosys").write_text(f"{hctosys}\n")
    if epoch is not None:
        (directory / "since_epoch").write_text(epoch + "\n")


def chip(epoch: int | None, name: str = "rtc0", hctosys: bool = True) -> ClockChip:
    return ClockChip(name, hctosys, epoch)


@pytest.mark.parametrize(
    ("found", "wall", "trust", "said"),
    [
        ([], NOW, ClockTrust.UNSET, "no battery-backed clock"),
        ([chip(NOW)], NOW + 1.4, ClockTrust.RTC, "rtc0 agrees"),
        ([chip(None)], NOW, ClockTrust.UNSET, "rtc0 has no time"),
        ([chip(0)], 0.3, ClockTrust.UNSET, "1970-01-01T00:00:00Z, and"),
        ([chip(WRITTEN_S - 1)], WRITTEN_S, ClockTrust.UNSET, "has passed"),
        ([chip(NOW)], 3.0, ClockTrust.UNSET, "the wall clock 1970-01-01"),
        ([chip(NOW)], NOW + 60, ClockTrust.UNSET, "the wall clock"),
        ([chip(5), chip(NOW, "rtc1", False)], NOW, ClockTrust.RTC, "rtc1 agrees"),
    ],
)
def test_what_the_wall_clock_is_worth(found: list[ClockChip], wall: float, trust: ClockTrust, said: str) -> None:
    """Trusted only when a chip is there, plausible, and of one mind with the wall clock."""
    judgement = judge(found, wall, WRITTEN_S)
    assert judgement.trust is trust
    assert said in judgement.found


def test_chips_are_read_from_sysfs(tmp_path: Path) -> None:
    """The one that the kernel set the wall clock from first; one that cannot be read has no time."""
    make_chip(tmp_path, "rtc0", 0, str(NOW))
    make_chip(tmp_path, "rtc1", 1, str(NOW + 5))
    make_chip(tmp_path, "rtc2", 0)
    make_chip(tmp_path, "rtc3", 0, "garbage")
    names = [(each.name, each.set_the_wall, each.epoch_s) for each in chips(tmp_path)]
    assert names == [("rtc1", True, NOW + 5), ("rtc0", False, NOW), ("rtc2", False, None), ("rtc3", False, None)]
    assert chips(tmp_path / "none") == []


def test_the_floor_is_the_newest_thing_that_was_written(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert floor_s(ClockPaths()) == floor_s(ClockPaths(newest=log)) == WRITTEN_S
    log.touch()
    os.utime(log, (NOW, NOW))
    assert floor_s(ClockPaths(newest=log)) == NOW
    os.utime(log, (100, 100))  # a clock that was never set wrote it
    assert floor_s(ClockPaths(newest=log)) == WRITTEN_S


def test_a_camera_with_a_chip(tmp_path: Path) -> None:
    make_chip(tmp_path, epoch=str(round(time.time())))
    clock = open_clock(BOARD, ClockPaths(sysfs=tmp_path))
    reading = clock.now()
    assert (reading.trust, reading.uncertainty_ns) == (ClockTrust.RTC, UNCERTAINTY_NS)
    clock.close()


def test_a_camera_without_one_records_and_says_so(tmp_path: Path) -> None:
    clock = open_clock(BOARD, ClockPaths(sysfs=tmp_path))
    assert clock.now().trust is ClockTrust.UNSET
    assert "room for one on I2C bus 1 at 0x68" in clock.judgement.found
    clock.close()


def test_a_chip_that_cannot_be_set_makes_the_step_no_less_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_chip(tmp_path, epoch=str(round(time.time())))
    clock = open_clock(BOARD, ClockPaths(sysfs=tmp_path, devices=tmp_path / "dev"))
    stepped: list[int] = []
    monkeypatch.setattr(time, "clock_settime_ns", lambda _clock, wall_ns: stepped.append(wall_ns))
    assert clock.set_wall(NOW * 1_000_000_000, ClockTrust.SYNCED, 5_000_000) == "rtc0: No such file or directory"
    assert stepped == [NOW * 1_000_000_000]
    assert clock.now().trust is ClockTrust.SYNCED
    monkeypatch.setattr(rtc, "set_chip", lambda _device: None)
    assert clock.set_wall(NOW * 1_000_000_000, ClockTrust.SYNCED, 5_000_000) == ""
    clock.close()


@pytest.mark.parametrize(("chip_too", "trust"), [(True, ClockTrust.RTC), (False, ClockTrust.UNSET)])
def test_a_step_by_something_else_is_judged_by_the_chip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chip_too: bool, trust: ClockTrust
) -> None:
    """BWC-POL-26: a wall clock that somebody moved is worth what the chip behind it says now."""
    make_chip(tmp_path, epoch=str(round(time.time())))
    clock = open_clock(BOARD, ClockPaths(sysfs=tmp_path))
    assert clock.now().trust is ClockTrust.RTC
    real, moved_ns = time.clock_gettime_ns, 120 * 1_000_000_000
    monkeypatch.setattr(time, "clock_gettime_ns", lambda which: real(which) + (moved_ns if which == time.CLOCK_REALTIME else 0))
    if chip_too:
        (tmp_path / "class/rtc/rtc0/since_epoch").write_text(str(round(time.time()) + 120))
    reading = clock.now()
    assert (reading.trust, clock.now().trust) == (trust, trust)
    assert reading.uncertainty_ns == (UNCERTAINTY_NS if chip_too else 0)
    clock.close()
