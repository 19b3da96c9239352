"""The lines of docs/custody.md that check a ledger by hand, run as they stand there; and that they notice what was changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from camerabench import RECORDING, leave, receipt_for

from hal.interfaces import ButtonName
from tools.provision import make_agency

ROOT = Path(__file__).resolve().parents[2]
LINES = re.findall(r"<!-- by-hand -->\n```sh\n(.*?)```", (ROOT / "docs" / "custody.md").read_text(encoding="utf-8"), re.DOTALL)

pytestmark = [pytest.mark.system, pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")]


@pytest.fixture
def bench(make_bench: Callable) -> Any:
    """A card with one recording and the receipt for it."""
    bench = make_bench(pre_event=1, changes={"grace_days = 0": "grace_days = 2"})
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    bench.world.dock(bench.at(13))
    bench.run(20)
    return bench


def by_hand(bench: Any, place: Path, root: Path | None = None) -> subprocess.CompletedProcess[str]:
    place.mkdir(exist_ok=True)
    (lines,) = LINES
    names = {"card": str(bench.card), "root": str(root or bench.agency.directory / "root.crt"), "rec": RECORDING}
    command = ["bash", "-uo", "pipefail", "-c", lines]
    return subprocess.run(command, cwd=place, env={**os.environ, **names}, capture_output=True, text=True, check=False, timeout=60)


def test_an_untouched_card_passes(bench: Any, tmp_path: Path) -> None:
    done = by_hand(bench, tmp_path / "hand")
    assert done.returncode == 0, done.stderr
    assert "the leaves are those that the camera signed" in done.stdout
    assert "every fragment is promised" in done.stdout


@pytest.mark.parametrize("name", ["ledger/log", f"vault/{RECORDING}/000001.m4s.p7m", f"vault/{RECORDING}/manifest.json"])
def test_a_changed_byte_is_noticed(bench: Any, tmp_path: Path, name: str) -> None:
    path = bench.card / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert by_hand(bench, tmp_path / "hand").returncode != 0


def test_another_agencys_root_is_noticed(bench: Any, tmp_path: Path) -> None:
    other = make_agency(tmp_path / "other", "Other Agency")
    assert by_hand(bench, tmp_path / "hand", other.directory / "root.crt").returncode != 0
