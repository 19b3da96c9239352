"""Fixtures that every area may use: a throwaway agency, and cameras of it on a bench (``camerabench``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from tools.provision import make_agency

    return make_agency(tmp_path_factory.mktemp("agency") / "agency", "Test Agency")


@pytest.fixture
def make_bench(tmp_path: Path, agency: Any) -> Callable[..., Any]:
    """``make_bench(pre_event=3, changes={...})``: a camera with small pictures in a world of its own."""
    from camerabench import make_camera_bench

    count = 0

    def make(pre_event: int = 3, changes: dict[str, str] | None = None, seed: int = 7) -> Any:
        nonlocal count
        count += 1
        return make_camera_bench(tmp_path, agency, count, pre_event, changes or {}, seed)

    return make
