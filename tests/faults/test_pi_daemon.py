"""What goes wrong under a Pi, met by the whole recorder: what the officer feels, what the ledger says, and that recording goes on.

The daemon is a process of its own with the Pi's back-end; camera stack, codec and card misbehave as they were seen to (the rows of
hardware-notes.md, section 8). What is felt is what drives the motor's line. In real time: nobody can step libcamera's threads.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pi_daemon import PINS, PiDaemon, pi_daemon, seconds_now

from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Verdict

pytestmark = pytest.mark.xdist_group("real time 1")

FELT_S = 2.0
"""BWC-POL-47."""


@pytest.fixture
def camera(tmp_path: Path, agency) -> Iterator[PiDaemon]:
    with pi_daemon(tmp_path / "pi", agency) as opened:
        yield opened


def recording(camera: PiDaemon) -> None:
    """Ready, pressed, and two fragments promised after the press."""
    camera.start()
    camera.double_press()
    camera.until("a recording", lambda: len(camera.leaves("fragment")) >= 2)
    camera.wait(0.6)  # the start's own cue is over


def ends_well(camera: PiDaemon, recordings: int) -> None:
    """Pictures come; a hold ends the last recording; all of it is authentic."""
    count = len(camera.leaves("fragment"))
    camera.until("more pictures", lambda: len(camera.leaves("fragment")) >= count + 2)
    assert camera.lamp()
    camera.hold()
    camera.until("the end", lambda: camera.leaves("begin", "end")[-1].kind == "end")
    assert camera.stop() == 0
    assert len(camera.recordings()) == recordings
    report = camera.verify()
    assert report.verdict is Verdict.AUTHENTIC, report.as_dict()


def steps(camera: PiDaemon) -> list[str]:
    return [entry.fields["step"] for entry in camera.leaves("escalation")]


def faults(camera: PiDaemon) -> list[tuple[str, str]]:
    return [(entry.fields["port"], entry.fields["reason"]) for entry in camera.leaves("fault")]


def causes(camera: PiDaemon) -> list[str]:
    return [f"{entry.kind} {entry.fields['cause']}" for entry in camera.leaves("begin", "end")]


def felt_within(camera: PiDaemon, since: float, seconds: float) -> None:
    camera.until("something felt", lambda: camera.felt(since) is not None, seconds + 3)
    felt = camera.felt(since)
    assert felt is not None
    assert felt < seconds


def test_pictures_lost_at_the_sensor_are_counted_from_its_own_times(camera: PiDaemon) -> None:
    """BWC-POL-05: lost, and dropped by picamera2 for their status, both without a word from it: every picture is accounted for."""
    recording(camera)
    camera.hand.do(skip_next=4)
    camera.wait(1.5)
    camera.hand.do(error_next=7)
    camera.wait(1.5)
    ends_well(camera, 1)
    manifest = camera.manifest(camera.recordings()[0])
    lost = [gap.pictures_lost for gap in manifest.gaps if gap.cause == "camera"]
    assert {4, 7} <= set(lost)  # a busy machine may lose others
    assert lost.index(4) < len(lost) - 1 - lost[::-1].index(7)
    assert list(unexplained(manifest)) == []
    assert steps(camera) == faults(camera) == []


def test_a_stalled_codec_costs_a_second_and_no_recording(camera: PiDaemon) -> None:
    """picamera2#1392: another encoder before it is a fault; felt, written, one recording (BWC-POL-06, -47)."""
    recording(camera)
    since = seconds_now()
    camera.hand.do(codec_stalled=True)
    camera.wait(0.3)
    camera.hand.do(codec_stalled=False)  # what is open stays stalled, as a codec that lost its buffers does
    felt_within(camera, since, FELT_S)
    ends_well(camera, 1)
    assert steps(camera) == ["encoder"]
    assert faults(camera) == []
    manifest = camera.manifest(camera.recordings()[0])
    assert manifest.gaps
    assert max(gap.duration_us for gap in manifest.gaps) < 2_000_000
    assert list(unexplained(manifest)) == []


def test_a_sensor_that_stops_is_felt_and_opened_anew(camera: PiDaemon) -> None:
    """picamera2#883, #1275: every thread is alive and nothing comes."""
    recording(camera)
    since = seconds_now()
    camera.hand.do(stall=4)
    felt_within(camera, since, FELT_S)
    camera.until("the next recording", lambda: len(camera.leaves("begin")) == 2)
    ends_well(camera, 2)
    assert causes(camera) == ["begin button", "end fault", "begin recovery", "end button"]
    assert steps(camera) == ["reopen"]
    ((port, reason),) = faults(camera)
    assert (port, reason[:7]) == ("camera", "sensor:")
    assert [entry.fields["cause"] for entry in camera.leaves("gap")] == ["boot", "fault"]


def test_an_exception_in_the_cameras_loop_is_a_fault_at_once(camera: PiDaemon) -> None:
    """picamera2's own loop would be gone without a word (0.3.38)."""
    recording(camera)
    since = seconds_now()
    camera.hand.do(without_timestamp=1)
    felt_within(camera, since, FELT_S)
    camera.until("the next recording", lambda: len(camera.leaves("begin")) == 2)
    ends_well(camera, 2)
    assert faults(camera) == [("camera", "camera loop: KeyError('SensorTimestamp')")]


def capture_process(camera: PiDaemon) -> int:
    assert camera.process is not None
    children = Path(f"/proc/{camera.process.pid}/task/{camera.process.pid}/children").read_text().split()
    return next(int(child) for child in children if "hal.pi.capture_process" in Path(f"/proc/{child}/cmdline").read_text())


@pytest.mark.parametrize(("number", "reason"), [(signal.SIGSEGV, "the capture process ended"), (signal.SIGSTOP, "sensor: no picture")])
def test_a_capture_process_that_dies_or_hangs_is_replaced(camera: PiDaemon, number: signal.Signals, reason: str) -> None:
    """The recorder lives, closes what was open, and goes on with another process (picamera2#1275)."""
    recording(camera)
    first, since = capture_process(camera), seconds_now()
    os.kill(first, number)
    felt_within(camera, since, FELT_S)
    camera.until("the next recording", lambda: len(camera.leaves("begin")) == 2)
    assert capture_process(camera) != first
    ends_well(camera, 2)
    assert [found[1][: len(reason)] for found in faults(camera)] == [reason]


def test_a_codec_that_is_busy_when_the_camera_is_opened_anew(camera: PiDaemon) -> None:
    """The start that raises is tried again until it works; the officer is told once, not every five seconds."""
    recording(camera)
    camera.hand.do(keep=True, codec_busy=True)
    os.kill(capture_process(camera), signal.SIGKILL)
    camera.until("a fault", lambda: camera.leaves("fault"))
    camera.wait(2)
    camera.hand.do(keep=True, codec_busy=False)
    camera.until("the next recording", lambda: len(camera.leaves("begin")) == 2)
    ends_well(camera, 2)
    assert [port for port, _ in faults(camera)] == ["camera"]


def test_a_camera_that_is_not_there_at_boot_is_felt_and_found_later(camera: PiDaemon) -> None:
    """A press meanwhile is owed, and obeyed when the ribbon sits (BWC-POL-01, -47)."""
    camera.hand.do(keep=True, absent=True)
    since = seconds_now()
    camera.start()
    camera.until("the fault", lambda: camera.leaves("fault"))
    assert camera.felt(since) is not None
    assert "check the ribbon" in faults(camera)[0][1]
    assert not camera.lamp()
    camera.double_press()
    camera.hand.do(keep=True, absent=False)
    camera.until("the recording that was owed", lambda: camera.leaves("begin"))
    ends_well(camera, 1)
    assert causes(camera) == ["begin button", "end button"]


def test_a_card_that_stalls_is_felt_and_costs_nothing(camera: PiDaemon) -> None:
    """BWC-POL-47: what is recorded waits in memory and becomes durable late; not a picture is missing."""
    recording(camera)
    since = seconds_now()
    with camera.card_fails("fsync,fdatasync", "delay_enter=3200000:when=1"):
        camera.until("the fault", lambda: "has not answered" in camera.log() or camera.felt(since) is not None, 8)
        camera.wait(2)
    felt = camera.felt(since)
    assert felt is not None
    assert felt < 3.6  # the stall begins with the next fragment's sync, at most a second from now
    ends_well(camera, 1)
    assert [port for port, _ in faults(camera)] == ["card"]
    assert [entry.fields["port"] for entry in camera.leaves("recovered")] == ["card"]
    assert {gap.cause for gap in camera.manifest(camera.recordings()[0]).gaps} <= {"camera"}  # those of a busy machine; none of the card's


def test_a_card_that_refuses_is_felt_and_what_was_promised_stays(camera: PiDaemon) -> None:
    """EIO on every sync for some seconds: a fault, two recordings, nothing promised is missing (BWC-POL-28, -47)."""
    recording(camera)
    since = seconds_now()
    with camera.card_fails("fsync,fdatasync", "error=EIO"):
        camera.until("something felt", lambda: camera.felt(since) is not None, 8)
        camera.wait(1)
    felt = camera.felt(since)
    assert felt is not None
    assert felt < 1 + FELT_S  # within two seconds of the first refusal, which is the next fragment's
    camera.until("the next recording", lambda: len(camera.leaves("begin")) == 2)
    ends_well(camera, 2)
    assert causes(camera)[1:3] == ["end fault", "begin recovery"]
    assert [port for port, _ in faults(camera)] == ["storage"]


def test_a_full_card_stops_aloud_and_overwrites_nothing(camera: PiDaemon) -> None:
    """ENOSPC: with picamera2's own file output the camera's thread would die of it (measured); here the camera runs on (BWC-POL-23)."""
    recording(camera)
    since = seconds_now()
    with camera.card_fails("write", "error=ENOSPC"):
        camera.until("something felt", lambda: camera.felt(since) is not None, 8)
        camera.wait(1)
    camera.until("the end", lambda: camera.leaves("end"))
    camera.until("ready again", lambda: camera.entries()[-1].kind == "ready" or camera.leaves("recovered"))
    assert causes(camera) == ["begin button", "end storage-full"]
    camera.wait(0.5)
    camera.double_press()
    camera.until("another recording", lambda: len(camera.leaves("begin")) == 2)
    ends_well(camera, 2)
    assert ("storage", "full") in faults(camera)


def test_both_buttons_reach_the_recorder_while_it_is_busy(camera: PiDaemon) -> None:
    """BWC-POL-01, -18: no picture comes and the encoder is being replaced: a mark is taken, and the list of categories opens."""
    recording(camera)
    camera.hand.do(codec_stalled=True)
    camera.wait(0.3)
    camera.hand.do(codec_stalled=False)
    camera.press()
    begun_us = int(camera.press(gpio=PINS.function_button) * 1_000_000)
    camera.press(gpio=PINS.function_button)
    camera.press(1.0, gpio=PINS.function_button)
    camera.until("mark and category", lambda: camera.leaves("mark") and camera.leaves("annotation"))
    ends_well(camera, 1)
    manifest = camera.manifest(camera.recordings()[0])
    (mark,) = manifest.marks
    hole = max(manifest.gaps, key=lambda gap: gap.duration_us)
    assert hole.boottime_us < mark.boottime_us < begun_us < hole.boottime_us + hole.duration_us
    assert steps(camera) == ["encoder"]
