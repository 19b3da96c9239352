"""picamera2 as the firmware means to use it, on real libcamera: C++ library, Python bindings, and libcamera's own virtual sensor.

Not collected by a plain run of the tests; ``make test-libcamera`` names this file. What is not real here: the sensor, its clock and
the DMA heap; the camera port is the one that ``libcamera/port.py`` opens. What no PC can show: the Pi's image processor and its encoder.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import machine
import pytest
import sid_root


@pytest.fixture(scope="module")
def _root() -> Path:
    machine.nspawn.require()
    return sid_root.sid_root()


@pytest.mark.usefixtures("_root")
def test_camera_records(tmp_path: Path) -> None:
    """The camera starts, delivers whole access units with rising times, the first an IDR and every IDR with SPS and PPS, stops within
    two seconds and starts again; what it delivered decodes, picture for picture (BWC-POL-25)."""
    began = time.monotonic()
    done = sid_root.run_inside(tmp_path, "record.py", 90)
    seconds = time.monotonic() - began
    result = tmp_path / "result.json"
    assert done.returncode == 0, done.stdout + done.stderr
    assert result.exists(), done.stdout + done.stderr
    found = json.loads(result.read_text())
    print(f"{found['versions']}: {found['delivered']} pictures, {found['sensor_lost']} lost at the sensor, {seconds:.1f} s")  # noqa: T201 - shown by -rP
    for take in found["takes"]:
        assert take["keyframe_first"] is True
        assert take["idr_without_parameters"] == 0
        assert take["times_rise"] is True
        assert take["pictures"] >= take["seconds"] * 30 * 0.8, take
        assert take["decoded"] == take["pictures"], take
        assert take["stop_s"] < 2
    assert found["faults"] == []
    stream = tmp_path / "take-1.h264"
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width,height", "-of", "csv=p=0", stream],
        capture_output=True,
        text=True,
        check=False,
    )
    assert probe.stdout.strip() == f"640,360,{found['takes'][0]['pictures']}", probe.stderr
