"""What the measurements share: commands whose processor time counts, an agency and its cameras, footage, how a figure is told."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal.interfaces import KeyProtection
from tests.bench.footage import DEFAULT, Shape, Span, access_units, footage
from tools.provision import CameraOrder, make_agency, make_camera

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PARTITION_BYTES = 512 * 1024 * 1024
Figures = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. ``cpu_s`` is user and system time of all its processes."""

    cpu_s: float
    output: bytes


@dataclass(frozen=True, slots=True)
class Stream:
    """Coded pictures in a file, and where each of them lies."""

    annexb: Path
    mp4: Path
    spans: list[Span]


def run(*pipeline: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> Run:
    """Run commands joined by pipes, each reaped by wait4; the last one's output is kept."""
    processes: list[subprocess.Popen[bytes]] = []
    for command in pipeline:
        source = processes[-1].stdout if processes else subprocess.DEVNULL
        processes.append(subprocess.Popen([str(part) for part in command], stdin=source, stdout=subprocess.PIPE, env=environment))
        if processes[:-1]:
            assert processes[-2].stdout is not None
            processes[-2].stdout.close()
    assert processes[-1].stdout is not None
    output = processes[-1].stdout.read()
    cpu_s = sum(reaped(process) for process in processes)
    processes[-1].stdout.close()
    return Run(cpu_s, output)


def reaped(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process's good end; CPU seconds of it and of those that it waited for."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"bench: {process.args!r} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


class Workshop:
    """A directory on the disk of the checkout, not in memory: a durable write is part of what is measured. ``volatile`` is for the
    cameras' run directories, which on a device are ``/run``: a status that a disk's file system replaces each second is not."""

    def __init__(self, directory: Path, volatile: Path) -> None:
        self.directory = directory
        self._volatile = volatile
        self.agency = make_agency(directory / "agency", "Bench")

    def stream(self, shape: Shape) -> Stream:
        made = footage(ROOT / ".cache/bench", shape)
        spans = access_units(made.annexb)
        made.annexb.with_suffix(".json").write_text(json.dumps([(span.offset, span.size, span.keyframe) for span in spans]))
        return Stream(made.annexb, made.mp4, spans)

    def camera(self, name: str, shape: Shape = DEFAULT, **changes: int) -> Path:
        """A provisioned camera of its own below ``name``, without sound as the peers are; ``changes`` are lines of the default policy."""
        size: dict[str, object] = {"width": shape.width, "height": shape.height, "bitrate_bps": shape.bitrate_bps, "enabled": "false"}
        wanted = {**size, "max_bytes": shape.bitrate_bps * 75 // 16, **changes}
        lines = (ROOT / "firmware/policy/profiles/default.toml").read_text().splitlines()
        names = [line.partition("=")[0].strip() for line in lines]
        if not wanted.keys() <= set(names):
            raise ValueError(f"no such lines in the default policy: {wanted.keys() - set(names)!r}")
        policy = self.directory / f"{name}.toml"
        changed = [f"{key} = {wanted[key]}" if key in wanted else line for key, line in zip(names, lines, strict=True)]
        policy.write_text("\n".join(changed) + "\n")
        camera = self.directory / name
        make_camera(camera, self.agency, CameraOrder("BENCH-1", "oathcam", "", str(policy), "sim", KeyProtection.SIMULATED))
        run_directory = tempfile.mkdtemp(prefix=name, dir=self._volatile)
        config = camera / "oathcamd.toml"
        config.write_text(config.read_text().replace('run_directory = "run"', f"run_directory = {json.dumps(run_directory)}"))
        return camera


@contextmanager
def workshop() -> Iterator[Workshop]:
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as directory, tempfile.TemporaryDirectory(dir=MEMORY) as volatile:
        yield Workshop(Path(directory), Path(volatile))


@contextmanager
def partition(at: Path) -> Iterator[None]:
    """A small ext4 of its own at ``at``, as a camera's evidence has; where nobody may mount, what ``at`` lies on already."""
    at.mkdir(exist_ok=True)
    image = at.with_name(at.name + ".img")
    with image.open("wb") as file:
        file.truncate(PARTITION_BYTES)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", image], capture_output=True).returncode == 0
    if not (made and subprocess.run(["mount", "-o", "loop,noatime", image, at], capture_output=True).returncode == 0):
        print("bench: cannot mount a partition (root, a loop device): the cameras share this file system", file=sys.stderr)  # noqa: T201
        yield
        return
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", at], check=True)
        image.unlink()


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of all do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def result(value: float, unit: str, peer: str, peer_value: float | None, aim: float | None) -> dict[str, Any]:
    """``aim`` bounds the ratio where there is a peer, else the value; without one the figure is just told."""
    ratio = None
    if peer_value is not None:
        ratio = round(value / peer_value, 3)
        peer_value = round(peer_value, 4)
    return {"value": round(value, 4), "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio, "aim": aim}
