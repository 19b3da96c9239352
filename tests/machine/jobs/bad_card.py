"""A card that goes bad: a sector that cannot be read any more, under a promised fragment; then no write gets through.

``dm-dust`` fails reads of the sectors it is told; a mapper table of ``error`` refuses everything, as a card does that has died.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import guest

CARD = "card"
DISK = Path("/dev/ubda")


def table(kind: str) -> str:
    sectors = guest.sh("blockdev", "--getsz", DISK).strip()
    tail = {"dust": f"dust {DISK} 0 512", "dead": f"flakey {DISK} 0 0 3600 1 error_writes"}[kind]
    return f"0 {sectors} {tail}"


def first_sector(path: Path) -> int:
    """Where a file's bytes begin on the device, in sectors of 512 bytes."""
    found = re.search(r"^\s*0:\s+0\.\.\s*\d+:\s+(\d+)\.\.", guest.sh("filefrag", "-v", "-b512", path), re.MULTILINE)
    if found is None:
        raise guest.Failed(f"no extent of {path}")
    return int(found[1])


def run() -> None:
    guest.sh("dmsetup", "create", CARD, "--table", table("dust"))
    guest.sh("dmsetup", "mknodes")
    cable = guest.Cable()
    station = guest.Station()
    bench = guest.Bench(f"/dev/mapper/{CARD}")
    time.sleep(1)
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
    sync = guest.Sync(bench.config)
    said = sync.finish()
    bench.contact.up()
    time.sleep(1)
    # From here on every write fails; what was promised before stays what it is.
    bench.begin(3)
    began, faults = time.monotonic(), len(guest.leaves("fault"))
    guest.sh("dmsetup", "suspend", CARD)
    guest.sh("dmsetup", "load", CARD, "--table", table("dead"))
    guest.sh("dmsetup", "resume", CARD)
    promised = [leaf["sealed"] for leaf in guest.leaves("fragment")]
    bench.recorder.wait("the fault is shown", lambda: not bench.lamp(), 30)
    dark_s = time.monotonic() - began
    time.sleep(2)
    alive = bench.recorder.process.poll() is None
    bench.recorder.process.kill()
    station.stop()
    guest.report(bad=bad, good=good, read=read, sync=said, promised=promised, dark_s=dark_s, alive=alive, faults=faults)
