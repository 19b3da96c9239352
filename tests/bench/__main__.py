"""``make bench``: what the evidence path costs, against the plainest pipeline that seals a stream.

All figures are per minute of 1080p30 footage at 8 Mbit/s. Ours, after the encoder: pre-event buffer, media signing, fragments, hashing,
sealing to two recipients, durable writes, ledger with signatures, signed manifest. The peer's, on the same stream in the same run:
``ffmpeg -c copy`` into fragmented MP4, piped through ``age -r`` into a file; it neither signs nor hashes nor syncs. Both as whole
processes, start-up included, in alternating rounds; the median counts. Both read the encoder's elementary stream; a second comparison
spares ffmpeg the search for pictures in it. Then what the Pi's back-end costs beside sensor and encoder, at 720p30 and 4 Mbit/s
(``capture.py``); and ``verify_vs_decode``: ``oathcam verify`` with a recipient's key, every layer of what was recorded, against
``ffmpeg -f null`` decoding the same footage once it is opened. Results go into ``bench.json``: name → {value, unit, peer, peer_value,
ratio, aim}; without an aim it is just told.

Options: ``--rounds N``, ``--minutes N`` of footage a round, ``--only capture``, ``evidence`` or ``verify``, ``--profile FILE`` (one run
of ours under cProfile, nothing else).
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import capture
from footage import FPS, Footage, access_units, footage
from rich.console import Console
from rich.table import Table

from hal.interfaces import KeyProtection
from tools.provision import CameraOrder, make_agency, make_camera

ROOT = Path(__file__).resolve().parents[2]
PRESS_S = 31
"""Activation comes when the pre-event buffer has been full for a second."""
POLICY_LINES = {"width": "1920", "height": "1080", "bitrate_bps": "8000000", "max_bytes": "37500000"}


@dataclass(frozen=True, slots=True)
class Run:
    """One measured run. ``cpu_s`` is user and system time of all its processes."""

    cpu_s: float
    output: bytes


def run(*pipeline: Sequence[str | Path]) -> Run:
    """Run commands joined by pipes, each reaped by wait4; the last one's output is kept."""
    processes: list[subprocess.Popen[bytes]] = []
    for command in pipeline:
        source = processes[-1].stdout if processes else subprocess.DEVNULL
        processes.append(subprocess.Popen([str(part) for part in command], stdin=source, stdout=subprocess.PIPE))
        if processes[:-1]:
            assert processes[-2].stdout is not None
            processes[-2].stdout.close()
    assert processes[-1].stdout is not None
    output = processes[-1].stdout.read()
    cpu_s = 0.0
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"bench: {process.args[0]!r} ended with {process.returncode}")  # type: ignore[index]
        cpu_s += usage.ru_utime + usage.ru_stime
    processes[-1].stdout.close()
    return Run(cpu_s, output)


class Bench:
    """One stream, one camera, one peer."""

    def __init__(self, directory: Path, minutes: int) -> None:
        self._directory = directory
        self._minutes = minutes
        self._footage: Footage = footage(ROOT / ".cache/bench")
        self._spans = access_units(self._footage.annexb)
        index = [(span.offset, span.size, span.keyframe) for span in self._spans]
        self._footage.annexb.with_suffix(".json").write_text(json.dumps(index))
        self._agency = make_agency(directory / "agency", "Bench")
        self._policy = self._make_policy()
        identity = directory / "peer.key"
        subprocess.run(["age-keygen", "-o", identity], capture_output=True, check=True)
        self._recipient = subprocess.run(["age-keygen", "-y", identity], capture_output=True, text=True, check=True).stdout.strip()

    def peer(self, *, framed: bool) -> float:
        """CPU seconds per minute of footage; ``framed``: from MP4, where somebody else has already found the pictures."""
        target = self._directory / "peer.age"
        source: tuple[str, ...]
        if framed:
            source = ("-stream_loop", str(self._minutes - 1), "-i", str(self._footage.mp4))
        else:
            source = ("-f", "h264", "-r", str(FPS), "-i", "concat:" + "|".join([str(self._footage.annexb)] * self._minutes))
        copy = ("ffmpeg", "-v", "error", "-nostdin", *source, "-c", "copy", "-movflags", "frag_keyframe+empty_moov+default_base_moof")
        done = run((*copy, "-f", "mp4", "-"), ("age", "-r", self._recipient, "-o", target))
        if target.stat().st_size < self._minutes * self._footage.mp4.stat().st_size * 0.99:
            sys.exit("bench: the peer's file is shorter than the footage")
        target.unlink()
        return done.cpu_s / self._minutes

    def ours(self, profile: str = "") -> tuple[float, float]:
        """CPU seconds per minute of footage, and peak memory over the pre-event buffer in MB."""
        camera = self._directory / "camera"
        done = self._record(camera, profile)
        buffered = self._check(camera)
        shutil.rmtree(camera)
        return done.cpu_s / self._minutes, (json.loads(done.output)["peak_rss_bytes"] - buffered) / 1e6

    def verification(self, rounds: int) -> tuple[float, float]:
        """CPU seconds per minute of footage: `oathcam verify` with a key, and ffmpeg decoding what `oathcam open` makes of it."""
        camera, opened = self._directory / "camera", self._directory / "opened"
        self._record(camera)
        agency = self._directory / "agency"
        oathcam = (sys.executable, "-P", "-m", "tools.cli")
        keys = ("--trust", agency / "root.crt", "--key", agency / "agency.key")
        run((*oathcam, "open", camera / "card", *keys, "--output", opened))
        (film,) = opened.glob("*.mp4")
        decode = ("ffmpeg", "-v", "error", "-nostdin", "-i", film, "-f", "null", "-")
        verify = (*oathcam, "verify", camera / "card", *keys)
        pairs = [(run(verify).cpu_s / self._minutes, run(decode).cpu_s / self._minutes) for _ in range(rounds)]
        shutil.rmtree(camera)
        shutil.rmtree(opened)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        return ours, theirs

    def _record(self, camera: Path, profile: str = "") -> Run:
        """One camera of its own, whose card then holds the footage as one recording."""
        order = CameraOrder("BENCH-1", "oathcam", "", str(self._policy), "sim", KeyProtection.SIMULATED)
        make_camera(camera, self._agency, order)
        script = Path(__file__).with_name("ours.py")
        return run((sys.executable, script, camera, self._footage.annexb, str(self._minutes), str(PRESS_S), *filter(None, [profile])))

    def _check(self, camera: Path) -> int:
        """A path that lost a picture was not measured. Returns the bytes that the buffer held at activation."""
        (manifest,) = (camera / "card/vault").glob("*/manifest.json")
        facts: dict[str, Any] = json.loads(manifest.read_text())
        kept = sum(fragment["pictures"] for fragment in facts["fragments"])
        before = facts["pre_event"]["fragments"] * FPS
        skipped = self._minutes * len(self._spans) - kept
        if facts["gaps"] or before < 29 * FPS or not 0 <= skipped <= 2 * FPS:
            sys.exit(f"bench: the recording is not whole: {kept} pictures kept, {before} before the press, gaps {facts['gaps']!r}")
        return sum(span.size for span in self._spans[skipped : skipped + before])

    def _make_policy(self) -> Path:
        lines = (ROOT / "firmware/policy/profiles/default.toml").read_text().splitlines()
        path = self._directory / "policy.toml"
        changed = [f"{name} = {POLICY_LINES[name]}" if (name := line.partition("=")[0].strip()) in POLICY_LINES else line for line in lines]
        path.write_text("\n".join(changed) + "\n")
        return path


def result(value: float, unit: str, peer: str, peer_value: float | None, aim: float | None, ratio: float | None = None) -> dict[str, Any]:
    if peer_value is not None:
        ratio = round(value / peer_value, 3)
        peer_value = round(peer_value, 4)
    return {"value": round(value, 4), "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio, "aim": aim}


def show(results: dict[str, dict[str, Any]]) -> None:
    table = Table("figure", "value", "peer", "ratio", "aim", "reached")
    table.columns[0].no_wrap = True
    for name, row in results.items():
        reached = "-" if row["aim"] is None else "yes" if (row["value"] if row["ratio"] is None else row["ratio"]) <= row["aim"] else "no"
        peer = "-" if row["peer_value"] is None else f"{row['peer_value']:.3f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(name, f"{row['value']:.3f} {row['unit']}", peer, ratio, "-" if row["aim"] is None else f"<= {row['aim']:g}", reached)
    Console().print(table)


@contextmanager
def made_bench(minutes: int) -> Iterator[Bench]:
    """On the disk of the checkout, not in memory: a durable write is part of what is measured."""
    (ROOT / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache") as directory:
        yield Bench(Path(directory), minutes)


def evidence(bench: Bench, count: int) -> dict[str, dict[str, Any]]:
    rounds = [(*bench.ours(), bench.peer(framed=False), bench.peer(framed=True)) for _ in range(count)]
    cpu_s, memory_mb, peer_s, framed_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "evidence_path_cpu": result(cpu_s, "CPU s/min", "ffmpeg -c copy | age -r", peer_s, 1.0),
        "evidence_path_cpu_framed_peer": result(cpu_s, "CPU s/min", "the same, reading MP4", framed_s, 1.0),
        "peak_memory_over_buffer_mb": result(memory_mb, "MB", "", None, 64.0),
    }


def verification(bench: Bench, count: int) -> dict[str, dict[str, Any]]:
    verify_s, decode_s = bench.verification(count)
    return {"verify_vs_decode": result(verify_s, "CPU s/min", "ffmpeg -f null, decoding", decode_s, 0.2)}


def capture_costs(count: int) -> dict[str, dict[str, Any]]:
    boundary = [(*capture.through_the_wire(), capture.in_one_process()) for _ in range(count)]
    there_s, here_s, one_s = (statistics.median(column) for column in zip(*boundary, strict=True))
    rows = [capture.luma_ms() for _ in range(count)]
    found = {
        "boundary_cpu": result(there_s + here_s, "CPU s/min", "the same in one process", one_s, None),
        "boundary_cpu_capture_process": result(there_s, "CPU s/min", "the same in one process", one_s, None),
        "boundary_cpu_recorder": result(here_s, "CPU s/min", "the same in one process", one_s, None),
    }
    for name, peer in (("shrink", "cv2.resize INTER_AREA"), ("stamp", "cv2.putText")):
        ours, theirs = (statistics.median(row[name][side] for row in rows) for side in (0, 1))
        found[f"luma_{name}_cpu"] = result(ours, "ms/picture", peer, theirs, None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--only", choices=("evidence", "capture", "verify"))
    parser.add_argument("--profile", default="", metavar="FILE")
    options = parser.parse_args()
    for program in ("ffmpeg", "ffprobe", "age", "age-keygen"):
        if shutil.which(program) is None:
            sys.exit(f"bench: {program} is missing: run .ci/bootstrap test as root, or install it")
    if options.profile:
        with made_bench(options.minutes) as bench:
            bench.ours(options.profile)
        pstats.Stats(options.profile).sort_stats("tottime").print_stats(25)
        return
    results = {}
    if options.only != "capture":
        with made_bench(options.minutes) as bench:
            if options.only != "verify":
                results |= evidence(bench, options.rounds)
            if options.only != "evidence":
                results |= verification(bench, options.rounds)
    if options.only in (None, "capture"):
        results |= capture_costs(options.rounds)
    (ROOT / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
