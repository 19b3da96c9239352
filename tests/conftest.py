"""Fixtures that every area may use: a throwaway agency, cameras of it on a bench (``camerabench``), what is closed behind a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Path:
    """A card with two closed recordings; who changes it takes a copy."""
    from camerabench import two_recordings

    return two_recordings(tmp_path_factory.mktemp("camera"), agency).card


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def clock(stack: ExitStack) -> Any:
    """This machine's."""
    from hal.posix import PosixClock

    clock = PosixClock()
    stack.callback(clock.close)
    return clock


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Groups of tests that must run in one process, in order: pytest-xdist 3.8 names them by an attribute that pytest 9.2 does not look at.

    Does what xdist means to do, and nothing once it works again.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = "_".join(sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}))
        if groups and not item.nodeid.endswith(f"@{groups}"):
            item._id = type(item._id).parse(f"{item.nodeid}@{groups}")  # type: ignore[attr-defined]
