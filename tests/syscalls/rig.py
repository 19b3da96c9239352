"""Cameras for the sweep, and the cards that their shifts begin with."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.config import load_config
from firmware.custody.entries import Entry
from firmware.storage.ledger_file import LOG
from tests.disk.dock import leave_receipts
from tests.disk.judge import Court
from tests.syscalls.camera import Twin
from tests.syscalls.judge import wrong
from tests.syscalls.trace import Body, Fault, Run, live, paths_of
from tools.sources import load_key, load_roots

OPEN = "DISK-1-000001-0002"
"""The recording that the life before the one that is swept left open."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """``start``: what each run begins with. ``reference``: the run in which nothing failed, and its leaves."""

    rig: Path
    start: Path
    shift: str
    paths: Sequence[str]
    reference: Run
    leaves: tuple[Entry, ...]

    def body(self, directory: Path, twin: Twin = Twin.RIGHT) -> Body:
        if directory.exists():
            shutil.rmtree(directory)
        shutil.copytree(self.start, directory, symlinks=True)
        return Body(directory, self.rig / "footage.h264", self.shift, twin)

    def try_fault(self, fault: Fault, directory: Path, twin: Twin = Twin.RIGHT) -> list[str] | None:
        """What is wrong after it; ``None`` when no call met it."""
        body = self.body(directory, twin)
        run = live(body, self.paths, fault)
        if run.code != -9 and not any(one.injected for one in run.calls):
            return None
        return wrong(run, fault, body.card, court_of(self.rig, body), self.leaves)


def court_of(rig: Path, body: Body) -> Court:
    key = load_key(rig / "agency.key", None)
    return Court(load_config(body.config), body.footage, tuple(load_roots(rig / "root.crt")), key)


def open_sweep(rig: Path, start: Path, shift: str, directory: Path) -> Sweep:
    """Runs the shift once, undisturbed."""
    body = Sweep(rig, start, shift, (), Run(0, "", (), ()), ()).body(directory)
    run = live(body)
    assert run.code == 0, run.errors
    return Sweep(rig, start, shift, paths_of(run), run, court_of(rig, body).leaves(body.card))


def new_card(rig: Path, start: Path) -> Path:
    """A camera on its first day."""
    shutil.copytree(rig / "camera", start / "camera")
    (start / "card").mkdir()
    return start


def card_after_a_cut(rig: Path, start: Path, store: Path) -> Path:
    """A closed recording with a store's receipt for it in the spool; an open one; a ledger that ends in half a leaf, and a file that no
    leaf names."""
    new_card(rig, start)
    subprocess.run(Body(start, rig / "footage.h264", "before").command(), check=True, stdin=subprocess.DEVNULL)
    (start / "promises").unlink()
    body = Body(start, rig / "footage.h264", "before")
    leave_receipts(body.card, store, load_config(body.config).serial, court_of(rig, body).leaves(body.card))
    shutil.copy(start / "card/vault" / OPEN / "000000.m4s.p7m", start / "card/vault" / OPEN / "000007.m4s.p7m")
    with (start / "card" / LOG).open("ab") as log:
        log.write(b'{"boot":1,"boottime_us":')
    return start
