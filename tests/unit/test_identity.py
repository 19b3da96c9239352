"""A camera whose names and texts its own papers cannot hold is refused at provisioning or at boot, never at the first press."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from firmware.errors import UsageError
from firmware.identity import _check_papers
from firmware.policy.model import Policy
from hal.interfaces import KeyProtection
from tools.provision import CameraOrder, make_camera


@pytest.mark.parametrize("serial", ["UNIT.7", "UNIT 7", "A" * 41, "", "-A", "../A", "É1"])
def test_a_serial_that_no_recording_can_be_named_after(agency: Any, make_bench: Callable, tmp_path: Path, serial: str) -> None:
    """BWC-POL-01: such a camera booted, and died at the press."""
    with pytest.raises(UsageError, match="serial"):
        make_camera(tmp_path / "camera", agency, CameraOrder(serial, "m", "", "default", "sim", KeyProtection.SIMULATED))
    assert not (tmp_path / "camera").exists()
    with make_bench().life() as daemon:
        context = daemon._orders._context
    with pytest.raises(UsageError, match="serial"):
        _check_papers(replace(context, device=replace(context.device, serial=serial)), Policy())


def test_the_longest_serial_names_recordings_for_ever(make_bench: Callable) -> None:
    with make_bench().life() as daemon:
        context = daemon._orders._context
    _check_papers(replace(context, device=replace(context.device, serial="A" * 40), boot=10**12), Policy())


def test_a_policy_that_no_begin_document_can_name(make_bench: Callable) -> None:
    bench = make_bench(changes={'profile = "default"': f'profile = "{"p" * 65}"'})
    with pytest.raises(UsageError, match=r"policy\.profile"), bench.life():
        pass


def test_a_recipient_that_is_there_twice(make_bench: Callable) -> None:
    bench = make_bench()
    recipients = bench.config.trust_directory / "recipients"
    shutil.copy(recipients / "agency.crt", recipients / "again.crt")
    with pytest.raises(UsageError, match="twice"), bench.life():
        pass
