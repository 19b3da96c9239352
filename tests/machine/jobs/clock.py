"""The kernel's clock chips: what the wall clock is worth at boot, and what a step of it leaves in the chip."""

from __future__ import annotations

import fcntl
import struct
import time
from pathlib import Path

import guest

from hal.interfaces import ClockTrust
from hal.pi.rtc import RTC_SET_TIME, ClockPaths, PiClock, chips, open_clock

DAY_S = 86_400
RTC = Path("/sys/class/rtc")


def judged(paths: ClockPaths) -> dict[str, str]:
    clock = open_clock(guest.BOARD, paths)
    clock.close()
    return {"trust": clock.now().trust.value, "found": clock.judgement.found}


def only(chip: Path) -> ClockPaths:
    """A machine that has this chip alone."""
    root = Path("/run/sys")
    (root / "class/rtc").mkdir(parents=True)
    (root / "class/rtc" / chip.name).symlink_to(chip)
    return ClockPaths(sysfs=root)


def set_wrong(chip: Path, seconds: float) -> None:
    utc = time.gmtime(time.time() + seconds)
    fields = (utc.tm_sec, utc.tm_min, utc.tm_hour, utc.tm_mday, utc.tm_mon - 1, utc.tm_year - 1900, 0, 0, 0)
    with (Path("/dev") / chip.name).open("rb", buffering=0) as file:
        fcntl.ioctl(file, RTC_SET_TIME, struct.pack("9i", *fields))


def run() -> None:
    kernel = [each.name for each in chips(Path("/sys"))]
    trust = judged(ClockPaths())["trust"]
    # The machine's own chip is the host's clock and cannot be set; the kernel's test chips can.
    chip = next(path for path in sorted(RTC.iterdir()) if "test" in (path / "name").read_text())
    paths = only(chip)
    set_wrong(chip, -3 * DAY_S)
    wrong = judged(paths)
    clock: PiClock = open_clock(guest.BOARD, paths)
    before = clock.now()
    trouble = clock.set_wall(before.wall_ns + DAY_S * 1_000_000_000, ClockTrust.SYNCED, 1_000_000)
    now = clock.now()
    clock.close()
    after = judged(paths)
    # As with an empty coin cell: both begin in 1970.
    time.clock_settime_ns(time.CLOCK_REALTIME, 5 * 1_000_000_000)
    empty = judged(paths)
    guest.report(
        chips=kernel,
        trust=trust,
        wrong=wrong,
        after=after,
        trouble=trouble,
        empty=empty,
        stepped_s=(now.wall_ns - before.wall_ns) / 1e9,
        passed_s=(now.boottime_ns - before.boottime_ns) / 1e9,
    )
