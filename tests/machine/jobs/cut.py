"""A recording during which the machine's power is cut from outside."""

from __future__ import annotations

import time

import guest


def run() -> None:
    bench = guest.Bench()
    time.sleep(1)
    bench.begin(5)
    guest.report(promised=[leaf["sealed"] for leaf in guest.leaves("fragment")])
    (guest.JOB / "recording").touch()
    time.sleep(60)
