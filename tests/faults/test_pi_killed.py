"""The recorder on the Pi's back-end is killed, ended, or loses its power while it records: what is kept, and what goes on.

The daemon is a process of its own on the bench (``pi_daemon``). A kill leaves the page cache; what a card keeps of a real power cut is
the subject of ``test_power_cuts.py``. A board that was off is one whose boot time begins anew: here a time namespace (time_namespaces(7)).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from absent import absent
from pi_daemon import PINS, PiDaemon, new_boot_time, pi_daemon
from pi_pictures import opened, steps_shown

from firmware.custody.entries import Entry
from firmware.evidence.findings import Verdict
from tools.provision import Agency

FIRST = "PI-0001-000001-0001"
SECOND = "PI-0001-000002-0001"


@pytest.fixture
def camera(tmp_path: Path, agency: Agency) -> Iterator[PiDaemon]:
    """A camera that has been recording for some fragments and half of the next one."""
    with pi_daemon(tmp_path, agency) as made:
        made.start()
        made.wait(1)
        made.double_press()
        made.until("some fragments", lambda: len(made.leaves("fragment")) >= 4)
        made.wait(0.5)
        assert made.lamp()
        yield made


def promised(camera: PiDaemon) -> list[Entry]:
    return camera.leaves("fragment")


def second_life(camera: PiDaemon) -> list[Entry]:
    return [entry for entry in camera.entries() if entry.boot == 2]


def assert_all_kept(camera: PiDaemon, before: list[Entry], cause: str) -> None:
    """Every promise of the first life is in its manifest, and its file on the card opens and verifies."""
    manifest = camera.manifest(FIRST)
    assert [one.sealed_sha256 for one in manifest.fragments] == [one.fields["sealed"] for one in before]
    assert manifest.end.cause == cause
    assert manifest.recovered is not None
    assert steps_shown(opened(camera.card, FIRST, camera.agency.directory, camera.directory / "first.mp4")) == {1}
    assert camera.verify().verdict is Verdict.AUTHENTIC


def test_a_killed_recorder_loses_no_promise_and_goes_on_by_itself(camera: PiDaemon) -> None:
    """BWC-POL-05, BWC-POL-06, BWC-POL-28: kill -9 while it records. The next life records again without a press, lamp lit, and the
    ledger tells of no fault that was none."""
    children = camera.children()
    camera.kill()
    assert camera.process is not None
    assert camera.process.returncode == -signal.SIGKILL
    before = promised(camera)
    assert len(children) == 1
    camera.until_dead(children)
    camera.start()
    (begun,) = camera.until("a recording", lambda: [one for one in second_life(camera) if one.kind == "begin"])
    assert begun.fields == {"recording": SECOND, "begin_sha256": begun.fields["begin_sha256"], "cause": "recovery"}
    assert [one.fields["previous"] for one in second_life(camera) if one.kind == "boot"] == ["crash"]
    assert camera.lamp()
    camera.until("a promise", lambda: [one for one in second_life(camera) if one.kind == "fragment"])
    camera.hold()
    camera.until("the end", lambda: [one for one in second_life(camera) if one.kind == "end" and one.fields["recording"] == SECOND])
    camera.until("a dark lamp", lambda: not camera.lamp())
    assert [one.fields for one in second_life(camera) if one.kind in ("fault", "escalation")] == []
    assert camera.stop() == 0
    assert_all_kept(camera, before, "fault")
    assert camera.manifest(SECOND).end.cause == "button"
    between_s = (camera.manifest(SECOND).fragments[0].boottime_us - before[-1].fields["start_us"]) / 1e6
    assert between_s < 6, "the encounter is still on"


def test_both_processes_killed_is_the_same(camera: PiDaemon) -> None:
    """BWC-POL-06: as by a pulled battery, but for page cache and boot time."""
    children = camera.children()
    camera.pull_battery()
    before = promised(camera)
    camera.until_dead(children)
    camera.start()
    (begun,) = camera.until("a recording", lambda: [one for one in second_life(camera) if one.kind == "begin"])
    assert begun.fields["cause"] == "recovery"
    assert camera.stop() == 0
    assert_all_kept(camera, before, "fault")
    assert camera.manifest(SECOND).end.cause == "shutdown"


def test_after_a_power_loss_the_camera_waits_for_a_press(camera: PiDaemon) -> None:
    """BWC-POL-28: boot time began anew, so the board was off: the recording is closed as a power loss, and nothing goes on by itself."""
    prefix = new_boot_time()
    if not prefix:
        (absent if os.geteuid() == 0 else pytest.skip)("no time namespace with a boot time of its own here")
    camera.pull_battery()
    before = promised(camera)
    camera.start(prefix)
    camera.until("readiness", lambda: [one for one in second_life(camera) if one.kind == "ready"])
    camera.wait(1)
    assert [one.fields["previous"] for one in second_life(camera) if one.kind == "boot"] == ["power-loss"]
    assert [one.kind for one in second_life(camera) if one.kind in ("begin", "fault")] == []
    assert not camera.lamp()
    assert camera.stop() == 0
    assert_all_kept(camera, before, "power-loss")


def test_sigterm_closes_the_recording_in_order(camera: PiDaemon) -> None:
    """BWC-POL-28: the service manager's end. Nothing is left to recover, the lamp is dark, and the next life waits for a press."""
    assert camera.stop() == 0
    assert not camera.lamp()
    assert camera.outputs(PINS.vibration)[-1][1] == 0
    assert [entry.kind for entry in camera.entries()][-2:] == ["end", "shutdown"]
    manifest = camera.manifest(FIRST)
    assert (manifest.end.cause, manifest.recovered, manifest.gaps) == ("shutdown", None, ())
    last = manifest.fragments[-1]
    assert abs(manifest.end.boottime_us - last.boottime_us - last.duration_us) < 150_000
    assert all(after.boottime_us == before.boottime_us + before.duration_us for before, after in pairwise(manifest.fragments))
    assert camera.verify().verdict is Verdict.AUTHENTIC
    camera.start()
    camera.wait(1)
    assert [one.kind for one in second_life(camera) if one.kind in ("begin", "fault")] == []
    assert not camera.lamp()
    assert camera.stop() == 0
