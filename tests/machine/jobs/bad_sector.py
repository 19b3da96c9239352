"""A sector under a promised fragment cannot be read any more, and the camera is docked. ``dm-dust`` fails the sectors it is told."""

from __future__ import annotations

import re
from pathlib import Path

import guest

CARD = "card"
DISK = Path("/dev/ubda")


def first_sector(path: Path) -> int:
    """Where a file's bytes begin on the device, in sectors of 512 bytes."""
    found = re.search(r"^\s*0:\s+0\.\.\s*\d+:\s+(\d+)\.\.", guest.sh("filefrag", "-v", "-b512", path), re.MULTILINE)
    if found is None:
        raise guest.Failed(f"no extent of {path}")
    return int(found[1])


def run() -> None:
    sectors = guest.sh("blockdev", "--getsz", DISK).strip()
    guest.sh("dmsetup", "create", CARD, "--table", f"0 {sectors} dust {DISK} 0 512")
    guest.sh("dmsetup", "mknodes")
    cable = guest.Cable()
    station = guest.Station()
    bench = guest.Bench(f"/dev/mapper/{CARD}")
    for _ in range(2):
        bench.begin(3)
        bench.end()
    bad, good = guest.recordings()
    victim = sorted((guest.STATE / "vault" / bad).glob("*.m4s.p7m"))[1]
    guest.sh("dmsetup", "message", CARD, "0", "addbadblock", str(first_sector(victim)))
    guest.sh("dmsetup", "message", CARD, "0", "enable")
    Path("/proc/sys/vm/drop_caches").write_text("3")
    try:
        victim.read_bytes()
        read = "read"
    except OSError as error:
        read = error.strerror
    station.wait()
    cable.plug()
    bench.contact.down()
    said = guest.Sync(bench.config).finish()
    code = bench.recorder.stop()
    station.stop()
    guest.report(bad=bad, good=good, read=read, sync=said, left=guest.recordings(), code=code)
