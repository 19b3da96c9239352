"""From one moment in mid-recording on no write gets through, as with a card that has died: a mapper table that refuses them all."""

from __future__ import annotations

import time
from pathlib import Path

import guest

CARD = "card"
DISK = Path("/dev/ubda")


def run() -> None:
    sectors = guest.sh("blockdev", "--getsz", DISK).strip()
    guest.sh("dmsetup", "create", CARD, "--table", f"0 {sectors} linear {DISK} 0")
    guest.sh("dmsetup", "mknodes")
    bench = guest.Bench(f"/dev/mapper/{CARD}")
    time.sleep(1)
    bench.begin(4)
    guest.sh("dmsetup", "suspend", CARD)
    guest.sh("dmsetup", "load", CARD, "--table", f"0 {sectors} flakey {DISK} 0 0 3600 1 error_writes")
    guest.sh("dmsetup", "resume", CARD)
    promised = [leaf["sealed"] for leaf in guest.leaves("fragment")]
    began = time.monotonic()
    bench.recorder.wait("the subject lamp is dark", lambda: not bench.lamp(), 30)
    dark_s = time.monotonic() - began
    time.sleep(2)
    alive = bench.recorder.process.poll() is None
    later = [leaf["sealed"] for leaf in guest.leaves("fragment")]
    guest.report(promised=promised, later=later, dark_s=dark_s, alive=alive)
    # There is nothing that an orderly end could still write: the machine just ends.
    bench.recorder.process.kill()
