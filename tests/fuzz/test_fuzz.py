"""Every fuzz target for a fixed number of runs; `make fuzz` runs the same functions for long, led by coverage."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.fuzz.mutator import inputs

RUNS = 400
NAMES = sorted(path.stem for path in Path(__file__).parent.glob("fuzz_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_the_invariant_holds(name: str) -> None:
    module = importlib.import_module(f"tests.fuzz.{name}")
    for data in inputs(module.SEEDS, RUNS):
        module.target(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_invariant_stands_in_the_first_line(name: str) -> None:
    assert importlib.import_module(f"tests.fuzz.{name}").__doc__.endswith(".")
