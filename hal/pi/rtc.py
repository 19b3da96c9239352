"""What the wall clock may be trusted for at boot, and the battery-backed clock that it came from.

Responsible for judging the wall clock at boot, and again when something else has stepped it: it counts as ``RTC`` when a clock chip is
there, says a plausible date, and agrees with the wall clock; otherwise it is ``UNSET``, whatever it says. After a step by the recorder
the chip is set, too, where the service may (``CAP_SYS_TIME``, and the group that udev gives the chip's node).
Refuses to set the wall clock from the chip: the kernel does that (``hctosys``), before anything runs.

Plausible: not before this program was written, nor before the newest thing that this camera wrote.
"""

from __future__ import annotations

import fcntl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hal.interfaces import ClockReading, ClockTrust
from hal.pi.board import Board
from hal.posix import PosixClock

WRITTEN_S = 1_780_000_000
"""2026-05-28: no camera with this program ran before."""
AGREE_WITHIN_S = 2
"""The chip counts whole seconds, and is read some time after the wall clock."""
STEPPED_NS = 10_000_000
"""A wall clock that moved by more than this against boot time was stepped: the kernel's own corrections move both."""
UNCERTAINTY_NS = 1_000_000_000
"""What the chip's whole seconds leave open; its drift since it was set is unknown here, which is what trust ``RTC`` says."""
RTC_SET_TIME = 0x4024700A
"""``_IOW('p', 0x0a, struct rtc_time)`` of linux/rtc.h, which has nine ints."""


@dataclass(frozen=True, slots=True)
class ClockPaths:
    """``newest``: the file that the camera appends to; its time of change is a floor. Roots of sysfs and of the device nodes."""

    newest: Path | None = None
    sysfs: Path = Path("/sys")
    devices: Path = Path("/dev")


@dataclass(frozen=True, slots=True)
class ClockChip:
    """One clock of the kernel. ``epoch_s`` is ``None`` when it cannot be read, as with an empty coin cell."""

    name: str
    set_the_wall: bool
    """Whether the kernel took the wall clock from it (``hctosys``)."""
    epoch_s: int | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """``found`` is for people."""

    trust: ClockTrust
    found: str
    chip: ClockChip | None = None


def chips(sysfs: Path) -> list[ClockChip]:
    """Every clock that the kernel has, the one that set the wall clock first."""
    found = []
    for directory in (sysfs / "class/rtc").glob("rtc*"):
        epoch = _number(directory / "since_epoch")
        found.append(ClockChip(directory.name, _number(directory / "hctosys") == 1, epoch))
    return sorted(found, key=lambda each: (not each.set_the_wall, each.name))


def floor_s(paths: ClockPaths) -> int:
    """The latest instant that has surely passed."""
    written = WRITTEN_S
    if paths.newest is not None:
        with suppress(OSError):
            written = max(written, int(paths.newest.stat().st_mtime))
    return written


def judge(found: list[ClockChip], wall_s: float, floor: int) -> Judgement:
    """What the wall clock is worth, from what the chips say."""
    if not found:
        return Judgement(ClockTrust.UNSET, "no battery-backed clock")
    for chip in found:
        if chip.epoch_s is not None and chip.epoch_s >= floor and abs(wall_s - chip.epoch_s) <= AGREE_WITHIN_S:
            return Judgement(ClockTrust.RTC, f"{chip.name} agrees with the wall clock", chip)
    chip = found[0]
    if chip.epoch_s is None:
        return Judgement(ClockTrust.UNSET, f"{chip.name} has no time", chip)
    if chip.epoch_s < floor:
        return Judgement(ClockTrust.UNSET, f"{chip.name} says {_date(chip.epoch_s)}, and {_date(floor)} has passed", chip)
    return Judgement(ClockTrust.UNSET, f"{chip.name} says {_date(chip.epoch_s)}, the wall clock {_date(wall_s)}", chip)


class PiClock(PosixClock):
    """The kernel's clocks, with what the chip makes them worth."""

    def __init__(self, judgement: Judgement, paths: ClockPaths) -> None:
        super().__init__(judgement.trust, UNCERTAINTY_NS if judgement.trust is ClockTrust.RTC else 0)
        self.judgement, self._paths = judgement, paths
        self._frame_ns = _frame_ns(super().now())
        self._judging = threading.RLock()

    def now(self) -> ClockReading:
        """A wall clock that moved against boot time is judged anew: whoever stepped it may have set the chip with it, or not."""
        reading = super().now()
        if abs(_frame_ns(reading) - self._frame_ns) <= STEPPED_NS:
            return reading
        with self._judging:  # another thread's step is no foreign one: it is over when the lock is free
            reading = super().now()
            if abs(_frame_ns(reading) - self._frame_ns) > STEPPED_NS:
                self._frame_ns = _frame_ns(reading)
                self.judgement = judge(chips(self._paths.sysfs), reading.wall_ns / 1e9, floor_s(self._paths))
                self._trust = self.judgement.trust
                self._uncertainty_ns = UNCERTAINTY_NS if self._trust is ClockTrust.RTC else 0
            return replace(reading, trust=self._trust, uncertainty_ns=self._uncertainty_ns)

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        """Then the chip, so that the next boot begins right. A chip that cannot be set makes the step no less done."""
        with self._judging:
            super().set_wall(wall_ns, trust, uncertainty_ns)
            self._frame_ns = _frame_ns(super().now())
            if self.judgement.chip is None:
                return ""
            try:
                set_chip(self._paths.devices / self.judgement.chip.name)
            except OSError as error:
                return f"{self.judgement.chip.name}: {error.strerror}"
            return ""


def _frame_ns(reading: ClockReading) -> int:
    return reading.wall_ns - reading.boottime_ns


def set_chip(device: Path) -> None:
    """Set a clock chip from the wall clock, UTC, to the nearest second: waiting for its turn would hold up the loop. ``OSError``."""
    utc = time.gmtime(round(time.time()))
    fields = (utc.tm_sec, utc.tm_min, utc.tm_hour, utc.tm_mday, utc.tm_mon - 1, utc.tm_year - 1900, 0, 0, 0)
    with device.open("rb", buffering=0) as file:
        fcntl.ioctl(file, RTC_SET_TIME, struct.pack("9i", *fields))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def open_clock(board: Board, paths: ClockPaths) -> PiClock:
    """Never unavailable: a camera without a battery-backed clock records, and says that its clock was not set (BWC-POL-27)."""
    judgement = judge(chips(paths.sysfs), time.time(), floor_s(paths))
    if judgement.chip is None:
        wired = f"{judgement.found}; this build has room for one on I2C bus {board.build.i2c_bus} at {board.build.rtc_address:#x}"
        judgement = Judgement(judgement.trust, wired)
    return PiClock(judgement, paths)
