"""A long recording in real time: does the recorder keep up, and does it grow? ``make soak``, ``MINUTES=60`` for an hour.

Runs the daemon as its own process on a back-end that is named in the result, presses record, and reads once a second what the
kernel says of the process and what the ledger says of the recording. Writes ``soak.json`` and ``soak.html`` (plots), and ends with
exit code 1 when a picture was lost without an account, the evidence is not authentic, or memory or descriptors grew.
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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soak_backends import BACKENDS, Backend, choose
from soak_page import write_page

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
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Sample:
    """One second. ``lag_ms``: from the last picture of a fragment to its promise, the worst of this second; -1 when there was none."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    cpu_percent: float
    pictures: int
    lag_ms: float


class LedgerTail:
    """Leaves as they are written."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0
        self.pictures = 0
        self.first_us = self.last_us = 0
        self.gaps: list[Mapping[str, Any]] = []
        self.faults: list[Mapping[str, Any]] = []
        self.lags_ms: list[float] = []
        """Of the fragments that ended after the press: those before it waited in the pre-event buffer."""
        self._pressed_us = 0

    def read(self) -> float:
        """Take what is new; the worst lag in it."""
        worst = -1.0
        if not self._log.exists():
            return worst
        with self._log.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                worst = max(worst, self._take(json.loads(line)))
        return worst

    def _take(self, leaf: Mapping[str, Any]) -> float:
        match leaf.get("type"):
            case "gap" if leaf["cause"] != "boot":
                self.gaps.append(leaf)
            case "fault":
                self.faults.append(leaf)
            case "begin":
                self._pressed_us = self._pressed_us or leaf["boottime_us"]
            case "fragment":
                end_us = leaf["start_us"] + leaf["duration_us"]
                self.first_us = self.first_us or leaf["start_us"]
                self.last_us = end_us
                self.pictures += leaf["pictures"]
                lag_ms = (leaf["boottime_us"] - end_us) / 1000
                if end_us > self._pressed_us:
                    self.lags_ms.append(lag_ms)
                    return lag_ms
        return -1.0


def sample(pid: int, tail: LedgerTail, began: float, before: tuple[float, int]) -> tuple[Sample, tuple[float, int]]:
    process = Path("/proc") / str(pid)
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    now, ticks = time.monotonic(), int(fields[11]) + int(fields[12])
    cpu = 100 * (ticks - before[1]) / TICKS / max(now - before[0], 1e-3)
    lag = tail.read()
    descriptors = len(os.listdir(process / "fd"))
    one = Sample(round(now - began, 2), int(fields[21]) * PAGE, descriptors, int(fields[17]), round(cpu, 1), tail.pictures, round(lag, 1))
    return one, (now, ticks)


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
    began = time.monotonic()
    mark = (began, 0)
    backend.press_record(process)
    while time.monotonic() - began < minutes * 60 and process.poll() is None:
        time.sleep(max(0.0, began + len(samples) + 1 - time.monotonic()))
        one, mark = sample(process.pid, tail, began, mark)
        samples.append(one)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    tail.read()
    key = load_key(agency / "agency.key", None)
    report = verify_device(DirectorySource(config.parent / "card"), load_roots(agency / "root.crt"), key)
    return summary(backend, minutes, samples, tail, code, report.verdict, (directory / "oathcamd.log").read_text(errors="replace"))


def summary(
    backend: Backend, minutes: float, samples: list[Sample], tail: LedgerTail, code: int, verdict: Verdict, log: str
) -> dict[str, Any]:
    lags = sorted(tail.lags_ms) or [0.0]
    settled = [one for one in samples if one.at_s >= min(SETTLED_S, minutes * 30)]
    seconds = (tail.last_us - tail.first_us) / 1e6
    return {
        "backend": backend.title,
        "machine": machine_name(),
        "minutes": minutes,
        "exit_code": code,
        "verdict": verdict.value,
        "recorded_s": round(seconds, 1),
        "pictures": tail.pictures,
        "pictures_lost": max(0, round(seconds * backend.fps) - tail.pictures),
        "gaps": len(tail.gaps),
        "faults": [leaf["reason"] for leaf in tail.faults],
        "rss_settled_bytes": settled[0].rss_bytes if settled else 0,
        "rss_end_bytes": settled[-1].rss_bytes if settled else 0,
        "rss_most_bytes": max((one.rss_bytes for one in samples), default=0),
        "descriptors_settled": settled[0].descriptors if settled else 0,
        "descriptors_end": settled[-1].descriptors if settled else 0,
        "cpu_percent_mean": round(sum(one.cpu_percent for one in settled) / max(1, len(settled)), 1),
        "promise_lag_ms": {
            name: round(lags[int(share * (len(lags) - 1))], 1) for name, share in (("median", 0.5), ("p99", 0.99), ("worst", 1))
        },
        "log_tail": log.splitlines()[-5:],
        "samples": [asdict(one) for one in samples],
    }


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
    if result["pictures_lost"] and not result["gaps"]:
        found.append(f"{result['pictures_lost']} pictures are missing and no gap says so")
    if result["recorded_s"] < result["minutes"] * 60 * 0.9:
        found.append(f"only {result['recorded_s']} s were recorded")
    if result["rss_end_bytes"] - result["rss_settled_bytes"] > GROWTH_BYTES:
        found.append(f"memory grew from {result['rss_settled_bytes']} to {result['rss_end_bytes']} bytes")
    if result["descriptors_end"] > result["descriptors_settled"] + 2:
        found.append(f"descriptors grew from {result['descriptors_settled']} to {result['descriptors_end']}")
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
