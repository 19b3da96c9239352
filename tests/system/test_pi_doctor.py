"""`oathcam doctor` on the Pi's back-end, on the bench: every port opened as on a camera, and one remedy for whatever is red."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pi_bench
import pytest
from pi_daemon import PiDaemon, pi_daemon

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("real time 1")]


def doctor(camera: PiDaemon, directory: Path) -> tuple[int, dict[str, dict[str, str]], dict[str, str]]:
    """(exit code, rows by port, what the back-end says of itself)."""
    environment = {**os.environ, "PYTHONPATH": str(pi_bench.FAKES), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    environment |= {"OATHCAM_BENCH": str(camera.hand.path), "OATHCAM_HEADER": str(directory / "doctors-header")}
    command = [sys.executable, "-P", "-m", "tools.cli", "doctor", str(camera.config), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout)
    return done.returncode, {row["port"]: row for row in found["rows"]}, found["device"]


def test_a_camera_that_is_well_and_one_whose_encoder_is_not(tmp_path: Path, agency) -> None:
    with pi_daemon(tmp_path / "pi", agency) as camera:
        camera.start()
        assert camera.stop() == 0
        code, rows, device = doctor(camera, tmp_path)
        assert code == 0
        assert {port for port, row in rows.items() if row["light"] == "red"} == set()
        assert {port: rows[port]["light"] for port in ("camera", "buttons", "lamps", "card", "key store")} == dict.fromkeys(
            ("camera", "buttons", "lamps", "card", "key store"), "green"
        )
        assert "0 lost" in rows["camera"]["found"]
        assert device["board"] == "Raspberry Pi Zero 2 W"
        assert device["encoder"] == "v4l2-m2m"
        camera.hand.do(keep=True, codec_missing=True)
        code, rows, _ = doctor(camera, tmp_path)
        assert code == 1
        assert [port for port, row in rows.items() if row["light"] == "red"] == ["camera"]
        assert "encoder start" in rows["camera"]["found"]
        assert rows["camera"]["remedy"]
        camera.hand.do(keep=True, codec_missing=False, absent=True)
        code, rows, _ = doctor(camera, tmp_path)
        assert code == 1
        assert "no camera 0, 0 found" in rows["camera"]["found"]


def test_the_recorder_is_not_disturbed(tmp_path: Path, agency) -> None:
    """It owns the camera and the ledger: the doctor says so, and looks no further."""
    with pi_daemon(tmp_path / "pi", agency) as camera:
        camera.start()
        command = [sys.executable, "-P", "-m", "tools.cli", "doctor", str(camera.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert "recorder is running" in done.stdout + done.stderr
