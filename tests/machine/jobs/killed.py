"""The recorder under its own unit and a real systemd, on the kernel's camera and lines: killed in mid-recording, again and again."""

from __future__ import annotations

import random
import shutil
import time

import guest
import nspawn_inside as inside
from under_systemd import PATIENCE_S, UNIT, begin, count, set_up

KILLS = 12
MORE = 2
"""Fragments of each run, before its end."""
KINDS = ("boot", "begin", "end", "gap", "fragment")


def kill() -> None:
    """As the kernel does when memory runs out: the process gets no word in."""
    pid = inside.show(UNIT, "MainPID")["MainPID"]
    guest.sh("systemctl", "kill", "--kill-whom=main", "--signal=KILL", UNIT)
    inside.wait("another process", lambda: inside.show(UNIT, "MainPID")["MainPID"] not in (pid, "0"), PATIENCE_S)


def run() -> None:
    dice = random.Random(1)
    wiring = set_up()
    guest.sh("systemctl", "start", UNIT)
    count("ready", 1)
    time.sleep(3)
    begin(wiring)
    promised: set[str] = set()
    again_s = []
    for _ in range(KILLS):
        count("fragment", len(inside.leaves("fragment")) + MORE)
        time.sleep(dice.uniform(0, 1.2))
        promised |= {leaf["sealed"] for leaf in inside.leaves("fragment")}
        at, begins = time.monotonic(), len(inside.leaves("begin"))
        kill()
        count("begin", begins + 1)
        again_s.append(round(time.monotonic() - at, 1))
    count("fragment", len(inside.leaves("fragment")) + MORE)
    ends = len(inside.leaves("end"))
    wiring.record.press(3.5)
    count("end", ends + 1)
    state = inside.show(UNIT, "ActiveState", "NRestarts", "WatchdogUSec", "PrivateNetwork", "ProtectSystem", "DevicePolicy", "User")
    guest.sh("systemctl", "stop", UNIT)
    shutil.copytree(inside.STATE, guest.JOB / "card")
    (guest.JOB / "oathcamd.log").write_text(inside.journal())
    leaves = [leaf for kind in KINDS for leaf in inside.leaves(kind)]
    guest.report(promised=sorted(promised), again_s=again_s, state=state, leaves=leaves)
