"""Power cuts of the recorder on a real f2fs, as ``tests/faults/test_real_disk.py`` does them on ext4, with the same judge.

The host's kernel need not have f2fs: a user-mode Linux machine runs the campaign, its own FUSE, loop device and file system included. Not
collected by a plain run of the tests; ``make torture`` names this file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import machine
import pytest

from tests.absent import need_program
from tests.disk.campaign import make_rig
from tests.disk.mounts import FILE_SYSTEMS
from tests.disk.witness import Twin

POINTS, TWIN_POINTS = 250, 60
TIMEOUT_S = 1800

pytestmark = [pytest.mark.system, pytest.mark.timeout(TIMEOUT_S + 600)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Path:
    """A job's directory with the rig in it."""
    for program in ("mkfs.f2fs", "sload.f2fs"):
        need_program(program)
    machine.require()
    machine.kernel()
    directory = tmp_path_factory.mktemp("f2fs")
    (directory / "rig").mkdir()
    make_rig(directory / "rig", agency, FILE_SYSTEMS["f2fs strict"])
    return directory


def campaign(rig: Path, wall_times: list[tuple[str, float]], system: str, twin: Twin, points: int, seed: int) -> dict[str, Any]:
    (rig / "orders.json").write_text(json.dumps([[system, twin.value, str(points), str(seed)]]))
    outcome = machine.boot(rig, "power_cuts", timeout_s=TIMEOUT_S)
    wall_times.append((f"{system}, {twin.value}, seed {seed}", outcome.seconds))
    assert outcome.code == 0, outcome.explain()
    found: dict[str, Any] = outcome.result["outcomes"][0]
    print(system, twin.value, found["facts"], len(found["found"]), "cuts found something", found["found"][:3])  # noqa: T201 - figures, for `pytest -rP`
    return found


@pytest.mark.parametrize(("system", "seed"), [("f2fs posix", 1), ("f2fs posix", 2), ("f2fs posix", 3), ("f2fs strict", 1)])
def test_no_promise_is_broken(rig: Path, wall_times: list[tuple[str, float]], system: str, seed: int) -> None:
    """BWC-POL-28, as on ext4. ``posix`` is the weakest mode that flushes; ``strict`` adds nothing that the recorder needs, and breaks
    nothing."""
    outcome = campaign(rig, wall_times, system, Twin.RIGHT, POINTS, seed)
    facts = outcome["facts"]
    assert outcome["found"] == []
    assert facts["points"] == POINTS
    assert (facts["promised"], facts["closed"]) == (23, 2)
    assert facts["flushes"] > 150


@pytest.mark.parametrize(
    ("system", "twin", "said"),
    [
        ("f2fs posix", Twin.NO_SYNC, "promised ones some are others"),
        ("f2fs posix", Twin.NO_DIRECTORY_SYNC, "No such file"),
        ("f2fs nobarrier", Twin.RIGHT, "promised ones some are others"),
    ],
)
def test_what_does_not_sync_is_caught(rig: Path, wall_times: list[tuple[str, float]], system: str, twin: Twin, said: str) -> None:
    """The judge's own test: writers that do not sync, and a mount at which an fsync ends without a flush."""
    outcome = campaign(rig, wall_times, system, twin, TWIN_POINTS, 1)
    assert len(outcome["found"]) >= TWIN_POINTS / 10
    assert any(said in lost for one in outcome["found"] for lost in one["lost"])
