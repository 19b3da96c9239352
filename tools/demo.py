"""``oathcam demo``: one shift, end to end, on the simulated camera, and a page to look at."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from firmware.config import load_config
from hal.interfaces import KeyProtection
from tools.console import progress
from tools.exhibit import Staging, check_source, conclude, fresh_directory
from tools.provision import CameraOrder, make_agency, make_camera
from tools.shift import Script, dock_station, run_shift

SERIAL = "SIM-0001"
CUT_AFTER_BYTES = 3_000_000
MADE_OF = "Simulated device, real encoder, real cryptography, real files."


def run_demo(source: str, target: Path, profile: str) -> int:
    """Provision, record, lose power, dock, verify, open, report; returns the exit code. ``source`` '' is the drawn street."""
    began = time.monotonic()
    if source and not source.startswith("/dev/"):
        check_source(source, target)
    fresh_directory(target)
    agency = make_agency(target / "agency", "Example Agency")
    order = CameraOrder(SERIAL, "simulated body camera", "officer 4711", profile, "sim", KeyProtection.SIMULATED)
    where = f"source = {_quoted(str(Path(source).resolve()) if source and not source.startswith('/dev/') else source)}\n"
    config = load_config(make_camera(target / "camera", agency, order, lambda: where if source else ""))
    script = Script()
    logging.basicConfig(filename=target / "oathcamd.log", level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with dock_station(target / "agency" / "dock", target / "store", target / "dock.log") as address, progress() as bars:
        task = bars.add_task("the shift", total=script.end, note="booting")
        result = run_shift(config, address, script, [CUT_AFTER_BYTES], lambda done, text: bars.update(task, completed=done, note=text))
    figures = [
        ("shift in virtual time", f"{script.end:.0f} s"),
        ("time to capture, encode, sign, seal and store it", f"{result.capture_s:.1f} s"),
    ]
    staging = Staging(SERIAL, MADE_OF, Path(source).name if source else "a drawn street", figures)
    return conclude(target, staging, result, began)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
