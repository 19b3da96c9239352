"""A long recording in real time: does the recorder keep up, and does it grow? ``make soak``, ``MINUTES=60`` for an hour.

Runs the daemon as its own process on a back-end that is named in the result, presses record, and reads once a second what the
kernel says of its processes and what the ledger says of the recording. Then counts, in the opened evidence, the pictures that the
sensor's times show to be missing; where the sensor is a fake of this machine it says which of them it never gave because the machine
was late, and only the others are the recorder's. Writes ``soak.json`` and ``soak.html`` (plots), and ends with exit code 1 when a
picture was lost by the recorder or without an account, the evidence is not authentic, or memory or descriptors grew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soak_backends import BACKENDS, Backend, choose
from soak_page import write_page
from soak_pictures import account
from soak_samples import LedgerTail, Sample, Sampler

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from firmware.evidence.findings import Verdict  # noqa: E402
from firmware.evidence.verify import verify_device  # noqa: E402
from tools.provision import CameraOrder, make_agency, make_camera  # noqa: E402
from tools.sources import DirectorySource, load_key, load_roots  # noqa: E402

SETTLED_S = 90
"""By then the pre-event buffer was written out, and every library that is loaded late is loaded."""
GROWTH_BYTES = 24 << 20
"""What an allocator may still take after that without being called a leak."""


def provision(directory: Path, backend: Backend) -> tuple[Path, Path]:
    """(the camera's configuration, its agency's directory)."""
    agency = make_agency(directory / "agency", "Soak Agency")
    order = CameraOrder("SOAK-1", "oathcam", "", backend.profile(directory), backend.name, backend.protection)
    return make_camera(directory / "camera", agency, order, backend.options), agency.directory


def run(backend: Backend, minutes: float, directory: Path) -> dict[str, Any]:
    config, agency = provision(directory, backend)
    log = (directory / "oathcamd.log").open("wb")
    process = subprocess.Popen(
        [*backend.command(), "--config", str(config)], stdin=subprocess.PIPE, stdout=log, stderr=log, env=backend.environment(), cwd=ROOT
    )
    tail = LedgerTail(config.parent / "card/ledger/log")
    samples: list[Sample] = []
    sampler = Sampler(process.pid, tail)
    began = sampler.began
    backend.press_record(process)
    while time.monotonic() - began < minutes * 60 and process.poll() is None:
        time.sleep(max(0.0, began + len(samples) + 1 - time.monotonic()))
        samples.append(sampler.sample())
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    tail.read()
    key = load_key(agency / "agency.key", None)
    assert key is not None
    source = DirectorySource(config.parent / "card")
    return {
        "backend": backend.title,
        "machine": machine_name(),
        "minutes": minutes,
        "exit_code": code,
        "verdict": verify_device(source, load_roots(agency / "root.crt"), key).verdict.value,
        **account(tail, source, key, backend.fps, backend.losses()),
        **processes(samples, minutes),
        "promise_lag_ms": spread(tail.lags_ms),
        "log_tail": (directory / "oathcamd.log").read_text(errors="replace").splitlines()[-5:],
        "samples": [asdict(one) for one in samples],
    }


def processes(samples: Sequence[Sample], minutes: float) -> dict[str, Any]:
    """Memory, descriptors and threads once settled, at the end, at most; mean processor time since settled. ``capture_…``: the capture
    process."""
    nothing = [Sample(0, 0, 0, 0, 0, 0, -1)]
    samples = samples or nothing
    settled = [one for one in samples if one.at_s >= min(SETTLED_S, minutes * 30)] or nothing
    found: dict[str, Any] = {}
    for prefix in ("", "capture_"):
        for what, unit in (("rss", "_bytes"), ("descriptors", ""), ("threads", "")):
            field = f"{prefix}{what}{unit}"
            most = max(getattr(one, field) for one in samples)
            for when, value in (("settled", getattr(settled[0], field)), ("end", getattr(settled[-1], field)), ("most", most)):
                found[f"{prefix}{what}_{when}{unit}"] = value
    for prefix in ("", "capture_", "both_"):
        values = [getattr(one, f"{prefix}cpu_percent") for one in settled]
        found[f"{prefix}cpu_percent_mean"] = round(sum(values) / len(values), 1)
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    return {name: round(ordered[int(share * (len(ordered) - 1))], 1) for name, share in (("median", 0.5), ("p99", 0.99), ("worst", 1))}


def machine_name() -> str:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return f"{platform.machine()}, {os.cpu_count()} processors ({found[1] if found else 'unnamed'}), Linux {platform.release()}"


def failures(result: Mapping[str, Any]) -> list[str]:
    """Why this run is not good enough; empty when it is."""
    found = []
    if result["exit_code"] != 0:
        found.append(f"the recorder ended with {result['exit_code']}: {result['log_tail']}")
    if result["verdict"] != Verdict.AUTHENTIC.value:
        found.append(f"the evidence is {result['verdict']}")
    if result["pictures_lost_recorder"]:
        found.append(f"the recorder lost {result['pictures_lost_recorder']} pictures")
    if result["pictures_lost_unaccounted"]:
        found.append(f"{result['pictures_lost_unaccounted']} pictures are missing and the ledger does not say so")
    if result["recorded_s"] < result["minutes"] * 60 * 0.9:
        found.append(f"only {result['recorded_s']} s were recorded")
    for prefix in ("", "capture_"):
        for what, spare in (("rss_{}_bytes", GROWTH_BYTES), ("descriptors_{}", 2), ("threads_{}", 2)):
            settled, end = (result[prefix + what.format(when)] for when in ("settled", "end"))
            if end > settled + spare:
                found.append(f"{prefix}{what.partition('_')[0]} grew from {settled} to {end}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--backend", choices=sorted(BACKENDS), help="default: the nearest to the Pi that there is")
    parser.add_argument("--output", type=Path, default=ROOT)
    options = parser.parse_args()
    backend = choose(options.backend)
    print(f"soak: {options.minutes:g} minutes on {backend.title}", flush=True)  # noqa: T201
    with tempfile.TemporaryDirectory(prefix="soak-") as scratch:
        result = run(backend, options.minutes, Path(scratch))
    (options.output / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    write_page(options.output / "soak.html", result)
    for name, value in result.items():
        if name not in ("samples", "log_tail"):
            print(f"  {name}: {value}")  # noqa: T201
    found = failures(result)
    for reason in found:
        print(f"soak: {reason}")  # noqa: T201
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
