"""The benchmark's own arithmetic, and that it cannot pass without having done the work."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"
ASKED = {
    *("evidence_path_cpu", "evidence_path_cpu_vs_picamera2", "press_to_durable_p99", "promise_lag_p99"),
    *("peak_memory_over_buffer_mb", "cold_start", "virtual_shift_12h_cpu_s", "verify_vs_decode"),
}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the benchmark's main module."""
    monkeypatch.syspath_prepend(str(BENCH))
    return runpy.run_path(str(BENCH / "__main__.py"), run_name="bench_main")


@pytest.fixture
def latency(program: dict[str, Any]) -> Any:
    return program["latency"]


def test_every_figure_has_one_group_and_can_be_asked_for(program: dict[str, Any]) -> None:
    names = [name for group in program["GROUPS"].values() for name in group.figures]
    assert len(names) == len(set(names))
    assert set(names) >= ASKED
    assert all(name in group.figures for name in names for group in program["selected"](name).values())
    assert program["selected"]("evidence").keys() == {"evidence"}
    assert program["selected"](None) == program["GROUPS"]
    assert program["selected"]("nothing of that name") == {}


def test_a_group_that_does_not_find_its_figures_ends_the_benchmark(program: dict[str, Any]) -> None:
    empty = program["Group"](("asked",), lambda shop, options: {})
    with pytest.raises(SystemExit, match="expected"):
        program["measured"]({"one": empty}, None)


@pytest.mark.parametrize(
    ("value", "peer", "aim", "word"),
    [(2.0, None, 2.0, "yes"), (2.1, None, 2.0, "no"), (2.0, 1.0, 2.0, "yes"), (2.0, 0.5, 2.0, "no"), (9.0, 1.0, None, "-")],
)
def test_an_aim_bounds_the_ratio_or_the_value(
    program: dict[str, Any], value: float, peer: float | None, aim: float | None, word: str
) -> None:
    assert program["reached"](program["result"](value, "s", "peer", peer, aim)) == word


def test_percentiles_are_values_that_were_measured(latency: Any) -> None:
    hundred = [float(number) for number in range(100, 0, -1)]
    assert [latency.percentile(hundred, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert latency.percentile([7.0, 3.0], 99) == 7.0


def camera_with(directory: Path, pictures: list[int]) -> Path:
    for number, count in enumerate(pictures):
        folder = directory / "card/vault" / str(number)
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"fragments": [{"pictures": count}]}))
    return directory


def facts(**changes: Any) -> bytes:
    whole = {"press_ms": [1.0, 2.0], "press_syncs": [6, 6], "picture_ms": [9.0] * 200, "fsync_ms": [0.5], "recordings": 2}
    return json.dumps({**whole, "drops": 0, "faults": 0, **changes}).encode()


def test_presses_that_became_recordings_are_counted(latency: Any, tmp_path: Path) -> None:
    times = latency.Times([], [], [], [])
    latency._add(times, facts(), camera_with(tmp_path / "camera", [100, 100]), 2)
    assert (times.press, len(times.picture), times.fsync, times.syncs) == ([1.0, 2.0], 200, [0.5], [6, 6])


@pytest.mark.parametrize(
    ("pictures", "changes"),
    [
        ([200], {}),
        ([100, 99], {}),
        ([100, 100], {"recordings": 1}),
        ([100, 100], {"press_ms": [1.0]}),
        ([100, 100], {"picture_ms": [9.0] * 179}),
        ([100, 100], {"drops": 1}),
        ([100, 100], {"faults": 1}),
    ],
)
def test_what_was_not_recorded_was_not_measured(latency: Any, tmp_path: Path, pictures: list[int], changes: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="recordings"):
        latency._add(latency.Times([], [], [], []), facts(**changes), camera_with(tmp_path / "camera", pictures), 2)
