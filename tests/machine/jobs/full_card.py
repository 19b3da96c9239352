"""A real ext4 with no room but the reserve, in mid-recording, under the recorder's own unit; and room again."""

from __future__ import annotations

import os
import shutil
import time

import guest
import nspawn_inside as inside
from under_systemd import UNIT, begin, count, set_up

LEFT_BYTES = 40 << 20
"""Less than the policy's reserve, and enough to close what is open."""
LONGER_THAN_THE_WATCHDOG_S = 12


def status() -> str:
    return inside.show(UNIT, "StatusText")["StatusText"]


def run() -> None:
    wiring = set_up()
    guest.sh("systemctl", "start", UNIT)
    count("ready", 1)
    time.sleep(3)
    begin(wiring)
    count("fragment", 3)
    pid = inside.show(UNIT, "MainPID")["MainPID"]
    filler, card = inside.STATE / "filler", os.statvfs(inside.STATE)
    guest.sh("fallocate", "--length", str(card.f_bavail * card.f_frsize - LEFT_BYTES), filler)
    count("end", 1)
    told = inside.wait("the state", lambda: (text := status()).startswith("full") and text)
    lamp = wiring.lamp()
    time.sleep(LONGER_THAN_THE_WATCHDOG_S)
    facts = {"told": told, "lamp": lamp, "still": inside.show(UNIT, "MainPID")["MainPID"] == pid}
    filler.unlink()
    inside.wait("readiness", lambda: status().startswith("ready"), 60)
    begin(wiring)
    count("fragment", len(inside.leaves("fragment")) + 2)
    facts |= inside.show(UNIT, "ActiveState", "NRestarts")
    guest.sh("systemctl", "stop", UNIT)
    shutil.copytree(inside.STATE, guest.JOB / "card")
    (guest.JOB / "oathcamd.log").write_text(inside.journal())
    guest.report(**facts, leaves=[leaf for kind in ("end", "fault") for leaf in inside.leaves(kind)])
