"""``make bench``: what the recorder costs and how fast it is, each figure against a peer in the same run.

The modules say what is measured and what is not: ``pipeline.py`` (evidence path, verification, a virtual shift), ``latency.py`` (press and
picture until durable), ``startup.py``, ``capture.py`` (the Pi's back-end beside sensor and encoder). Whole processes, start-up included
where nothing else is said, in alternating rounds; the median counts. Results go into ``bench.json``: name → {value, unit, peer,
peer_value, ratio, aim}; the aim bounds the ratio where there is a peer, else the value, and without one the figure is just told.

Options: ``--rounds N``, ``--minutes N`` of footage a round, ``--only NAME`` (a group or a figure's name), ``--profile FILE`` (one run of
the evidence path under cProfile, nothing else).
"""

from __future__ import annotations

import argparse
import json
import pstats
import shutil
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import capture, latency, pipeline, startup
from tests.bench.workshop import ROOT, Figures, Workshop, result, workshop

PROGRAMS = ("ffmpeg", "ffprobe", "age", "age-keygen")


def capture_costs(count: int) -> Figures:
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
    looks = [capture.picture_health_ms() for _ in range(count)]
    ours, theirs = (statistics.median(column) for column in zip(*looks, strict=True))
    return found | {"picture_health_cpu_ms": result(ours, "ms/look", "cv2.Laplacian(CV_64F).var()", theirs, None)}


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that are measured together."""

    figures: tuple[str, ...]
    measure: Callable[[Workshop, argparse.Namespace], Figures]


GROUPS = {
    "evidence": Group(
        (
            *("evidence_path_cpu", "evidence_path_floor", "evidence_path_floor_with_keys", "evidence_path_cpu_framed_peer"),
            *("evidence_path_cpu_vs_picamera2", "evidence_path_floor_vs_picamera2", "peak_memory_over_buffer_mb"),
        ),
        lambda shop, options: pipeline.evidence(shop, options.rounds, options.minutes),
    ),
    "verify": Group(("verify_vs_decode",), lambda shop, options: pipeline.verification(shop, min(2, options.rounds))),
    "latency": Group(
        (
            *("press_to_durable_p99", "press_to_durable_p50", "press_to_durable_p99_slow_card", "press_to_durable_fsyncs"),
            *("promise_lag_p99", "promise_lag_p99_slow_card"),
        ),
        lambda shop, options: latency.latency(shop, options.presses),
    ),
    "start": Group(("cold_start", "cold_start_cpu"), lambda shop, options: startup.cold_start(shop, options.rounds)),
    "shift": Group(("virtual_shift_12h_cpu_s",), lambda shop, options: pipeline.virtual_shift(shop)),
    "capture": Group(
        (
            "boundary_cpu",
            "boundary_cpu_capture_process",
            "boundary_cpu_recorder",
            "luma_shrink_cpu",
            "luma_stamp_cpu",
            "picture_health_cpu_ms",
        ),
        lambda shop, options: capture_costs(min(3, options.rounds)),
    ),
}


def show(results: Figures) -> None:
    table = Table("figure", "value", "peer", "ratio", "aim", "reached")
    table.columns[0].no_wrap = True
    for name, row in results.items():
        peer = "-" if row["peer_value"] is None else f"{row['peer_value']:.3f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(
            name, f"{row['value']:.3f} {row['unit']}", peer, ratio, "-" if row["aim"] is None else f"<= {row['aim']:g}", reached(row)
        )
    Console().print(table)


def reached(row: dict[str, Any]) -> str:
    if row["aim"] is None:
        return "-"
    return "yes" if (row["value"] if row["ratio"] is None else row["ratio"]) <= row["aim"] else "no"


def measured(chosen: dict[str, Group], options: argparse.Namespace) -> Figures:
    """What the groups find; a group that did not find what it is for has measured nothing."""
    results: Figures = {}
    with workshop() as shop:
        for name, group in chosen.items():
            Console(stderr=True).print(f"bench: {name}")
            found = group.measure(shop, options)
            if tuple(found) != group.figures:
                sys.exit(f"bench: {name} found {tuple(found)!r}, expected {group.figures!r}")
            results |= found
    return results


def selected(name: str | None) -> dict[str, Group]:
    """The group of that name, the one that holds the figure of that name, or all."""
    return {key: group for key, group in GROUPS.items() if name is None or name == key or name in group.figures}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--presses", type=int, default=20, help="of each of the four cameras whose latency is measured")
    parser.add_argument("--only", metavar="NAME")
    parser.add_argument("--profile", default="", metavar="FILE")
    options = parser.parse_args()
    for program in PROGRAMS:
        if shutil.which(program) is None:
            sys.exit(f"bench: {program} is missing: run .ci/bootstrap test as root, or install it")
    chosen = selected(options.only)
    if not chosen:
        parser.error(f"--only {options.only!r}: expected one of {', '.join(GROUPS)}, or a figure's name")
    if options.profile:
        with workshop() as shop:
            pipeline.Pipeline(shop, options.minutes).ours(options.profile)
        pstats.Stats(options.profile).sort_stats("tottime").print_stats(25)
        return
    results = measured(chosen, options)
    (ROOT / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    show(results)


if __name__ == "__main__":
    main()
