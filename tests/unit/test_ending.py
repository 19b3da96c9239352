"""A signal ends the recorder in order whenever it comes: booting, ready, or in the moment between."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import firmware.boot
import hal.backends
from firmware.__main__ import run


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """As they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("moment", ["opening", "booting", "running"])
def test_a_signal_is_never_lost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str) -> None:
    asked: list[str] = []

    def reach(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGTERM)

    def open_hal(backend: str, options: object) -> SimpleNamespace:
        reach("opening")
        return SimpleNamespace(close=lambda: asked.append("hal closed"))

    def boot(opened: object, config: object) -> SimpleNamespace:
        reach("booting")

        def close() -> bool:
            asked.append("daemon closed")
            return True

        return SimpleNamespace(
            run=lambda: reach("running"), close=close, ask_shutdown=asked.append, exit_code=0, status=SimpleNamespace(memory="")
        )

    monkeypatch.setattr(hal.backends, "open_hal", open_hal)
    monkeypatch.setattr(firmware.boot, "boot", boot)
    places = dict.fromkeys(("state_directory", "key_directory", "run_directory"), tmp_path)
    assert run(SimpleNamespace(backend="sim", hal_options={}, **places)) == 0  # type: ignore[arg-type]
    assert asked == ["SIGTERM", "daemon closed", "hal closed"]
