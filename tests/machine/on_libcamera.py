"""The product's camera port on real libcamera: C++ library, Python bindings, picamera2, and libcamera's own virtual sensor.

Not collected by a plain run of the tests; ``make test-libcamera`` names this file. ``hal.pi.camera.PiCamera`` runs in the test's process,
once more with a second, small stream, and once in its capture process behind ``hal.pi.process_camera.ProcessCamera``. What is not real
here: the sensor, its clock and the DMA heap. What no PC can show: the Pi's image processor and its encoder; this is the Pi 5's, libx264.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import machine
import pytest
import sid_root

CAMERAS = ("in-process", "two-streams", "capture-process")
STOP_S = 2.0


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run inside the root, done."""
    machine.nspawn.require()
    sid_root.sid_root()
    directory = tmp_path_factory.mktemp("libcamera")
    began = time.monotonic()
    done = sid_root.run_inside(directory, "record.py", 240)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((directory / "result.json").read_text())
    takes = [take for camera in found["cameras"].values() for take in takes_of(camera)]
    pictures, lost = sum(take["pictures"] for take in takes), sum(take["lost"] for take in takes)
    print(f"{found['versions']}: {pictures} pictures, {lost} missing by the sensor's times, {time.monotonic() - began:.1f} s")  # noqa: T201 - shown by -rP
    for name, camera in found["cameras"].items():
        steps = ", ".join(f"{take['shortest_step_s']:.3f} to {take['longest_step_s']:.3f} s" for take in takes_of(camera))
        print(f"{name}: first picture after {camera['takes'][0]['first_s']:.2f} s, steps {steps}")  # noqa: T201
    return directory


def takes_of(camera: dict[str, Any]) -> list[dict[str, Any]]:
    return [*camera["takes"], camera["stamped"], camera["changes"]]


@pytest.fixture(params=CAMERAS)
def seen(job: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """What one camera did."""
    found: dict[str, Any] = json.loads((job / "result.json").read_text())["cameras"][request.param]
    return found


def test_takes_are_whole(seen: dict[str, Any]) -> None:
    """The first picture is an IDR, every IDR has SPS and PPS and comes at its place, times rise and are the sensor's own, each picture
    decodes; the camera stops within two seconds and starts again (BWC-POL-25)."""
    for take in (*seen["takes"], seen["stamped"]):
        assert take["keyframe_first"] is True
        assert take["idr_without_parameters"] == 0
        assert take["idr_step"] == [30]
        assert take["shortest_step_s"] > 0
        assert take["after_start"] is True
        assert 0 < take["age_s"] < 1  # on the boot clock, whichever one libcamera stamps with
        assert take["suspended_s"] == sid_root.SUSPENDED_S
        assert take["decoded"] == take["pictures"] >= 120, take
        assert take["stop_s"] < STOP_S
        assert take["progress"] == [False, True]
    assert seen["faults"] == []
    assert seen["camera"]["sensor"] == "virtual sensor"


def test_small_picture_and_stamp(seen: dict[str, Any]) -> None:
    """The grey picture for judging the lens is a second or two old; the time is in the lower left corner when asked for (BWC-POL-26)."""
    for take in (*seen["takes"], seen["stamped"]):
        assert take["small"][:3] == [320, 180, 320 * 180]
        assert take["small"][3] > 100  # bars, not grey
        assert take["small_age_s"] < 2.5
    assert seen["stamped"]["dark_corner"] > 0.9
    assert all(take["dark_corner"] < 0.3 for take in seen["takes"])


def test_bit_rate_and_encoder_change_while_recording(seen: dict[str, Any]) -> None:
    """x264 itself says what it was opened with: the first, one at the new rate, and a new one after the restart, at that rate too."""
    changes = seen["changes"]
    assert changes["encoders_kbps"] == [1000, 700, 700]
    assert changes["keyframe_first"] is True
    assert changes["idr_without_parameters"] == 0
    assert changes["shortest_step_s"] > 0
    assert changes["longest_step_s"] < 1
    assert changes["decoded"] == changes["pictures"]


def test_what_the_sensor_does_not_have_is_refused(seen: dict[str, Any]) -> None:
    """libcamera would adjust it, picamera2 would record that without a word."""
    assert "1280x720 instead of 800x600" in seen["refused"]["size"]
    assert "not 15" in seen["refused"]["rate"]


def test_another_decoder_finds_the_same_pictures(job: Path) -> None:
    for name in CAMERAS:
        stream = job / f"{name}-1.h264"
        entries = "stream=nb_read_frames,width,height"
        probe = ["ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", stream]
        done = subprocess.run(probe, capture_output=True, text=True, check=False)
        count = json.loads((job / "result.json").read_text())["cameras"][name]["takes"][0]["pictures"]
        assert done.stdout.strip() == f"640,360,{count}", done.stderr
