"""Every system call of the camera on its card is its last, finds the card full, or fails: no promise is broken, what is lost is named.

The daemon runs one short shift in a process of its own under strace(1) (``tests/syscalls``), once on a new card and once on one that a
power cut left, with a receipt to take and a recording to release. The N-th call of each kind meets its fault; then a fresh daemon boots on
the card, and the verifier reads it. ``make test`` takes a few calls of each kind; ``make torture`` (``OATHCAM_TORTURE``) all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.absent import need_program
from tests.disk.campaign import make_rig
from tests.syscalls.camera import Twin
from tests.syscalls.rig import Sweep, card_after_a_cut, new_card, open_sweep
from tests.syscalls.trace import NAMES, QUESTIONS, WRITES, Call, Fault, Way

TORTURE = bool(os.environ.get("OATHCAM_TORTURE"))
SHIFTS = ("new card", "after a power cut")

pytestmark = [pytest.mark.system, pytest.mark.timeout(7200 if TORTURE else 300)]


@pytest.fixture(scope="module")
def open_shift(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Callable[[str], Sweep]:
    need_program("strace")
    rig = make_rig(tmp_path_factory.mktemp("rig"), agency)
    opened: dict[str, Sweep] = {}

    def open_one(shift: str) -> Sweep:
        if shift not in opened:
            start = tmp_path_factory.mktemp("start")
            start = new_card(rig, start) if shift == "new card" else card_after_a_cut(rig, start, agency.directory / "dock")
            opened[shift] = open_sweep(rig, start, shift, tmp_path_factory.mktemp("undisturbed"))
        return opened[shift]

    return open_one


def changes(call: Call) -> bool:
    return call.name in WRITES or (call.name in NAMES and (call.name != "openat" or call.creates))


def asks(call: Call) -> bool:
    return call.name in QUESTIONS or (call.name == "openat" and not call.creates)


def places(sweep: Sweep, wanted: Callable[[Call], bool], way: Way) -> list[Fault]:
    """All of them; of a sample one of each kind, for each way another."""
    found: dict[str, list[Fault]] = {}
    numbers: dict[str, int] = {}
    for call in sweep.reference.calls:
        numbers[call.name] = number = numbers.get(call.name, 0) + 1
        if wanted(call):
            found.setdefault(call.name, []).append(Fault(call.name, way, number))
    if TORTURE:
        return [fault for faults in found.values() for fault in faults]
    return [faults[len(faults) * (2 * list(Way).index(way) + 1) // 6] for faults in found.values()]


def sweep_all(sweep: Sweep, faults: list[Fault], directory: Path) -> None:
    wrong = {}
    for fault in faults:
        found = sweep.try_fault(fault, directory / "run")
        assert found is not None, f"{fault} met no call"
        if found:
            wrong[str(fault)] = found
    print(f"{sweep.shift}: {len(faults)} faults, {len(wrong)} of them found something")  # noqa: T201 - figures, for `pytest -rP`
    assert wrong == {}


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_camera_killed_in_any_system_call_breaks_no_promise(open_shift: Callable[[str], Sweep], shift: str, tmp_path: Path) -> None:
    """BWC-POL-28: the process is gone, at any instant; nobody who waits for it may have been told what the card does not hold."""
    sweep = open_shift(shift)
    sweep_all(sweep, places(sweep, changes, Way.KILLED), tmp_path)


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_card_that_is_full_for_any_system_call_loses_no_promise(open_shift: Callable[[str], Sweep], shift: str, tmp_path: Path) -> None:
    """BWC-POL-23: what finds no room is dropped by name, everything else is written when there is."""
    sweep = open_shift(shift)
    sweep_all(sweep, places(sweep, changes, Way.FULL), tmp_path)


@pytest.mark.parametrize("shift", SHIFTS)
def test_an_error_in_any_system_call_that_changes_the_card_loses_nothing(
    open_shift: Callable[[str], Sweep], shift: str, tmp_path: Path
) -> None:
    """BWC-POL-28: it is made again, and a failed sync's bytes are written again before they are synced again."""
    sweep = open_shift(shift)
    sweep_all(sweep, places(sweep, changes, Way.FAILED), tmp_path)


@pytest.mark.parametrize("shift", SHIFTS)
def test_an_error_in_any_system_call_that_asks_the_card_loses_nothing(
    open_shift: Callable[[str], Sweep], shift: str, tmp_path: Path
) -> None:
    """BWC-POL-28: directories, files and the room that is left, asked at the wrong moment."""
    sweep = open_shift(shift)
    sweep_all(sweep, places(sweep, asks, Way.FAILED), tmp_path)


@pytest.mark.parametrize("shift", SHIFTS)
def test_there_is_no_other_call(open_shift: Callable[[str], Sweep], shift: str, tmp_path: Path) -> None:
    """What "every call" means: behind the last one that was counted none meets a fault."""
    sweep = open_shift(shift)
    calls = sorted({call.name for call in sweep.reference.calls}) if TORTURE else ["write"]
    for call in calls:
        assert sweep.try_fault(Fault(call, Way.FAILED, sweep.reference.count(call) + 1), tmp_path / "run") is None, call
    assert sum(changes(call) for call in sweep.reference.calls) > 90


def nth(sweep: Sweep, name: str, path: str, way: Way) -> Fault:
    """The first call of a name on a path, by its number among the calls of that name."""
    calls = [call for call in sweep.reference.calls if call.name == name]
    return Fault(name, way, next(number for number, call in enumerate(calls, 1) if call.paths[0].endswith(path)))


@pytest.mark.parametrize(
    ("twin", "name", "way"),
    [(Twin.DEAF_TO_WRITES, "write", Way.FULL), (Twin.DEAF_TO_WRITES, "write", Way.FAILED), (Twin.DEAF_TO_SYNCS, "fsync", Way.FAILED)],
)
def test_a_writer_that_does_not_hear_of_an_error_is_caught(
    open_shift: Callable[[str], Sweep], twin: Twin, name: str, way: Way, tmp_path: Path
) -> None:
    """The judge's own test: the same fault, and a twin that promises all the same."""
    sweep = open_shift("after a power cut")
    fault = nth(sweep, name, "000002.m4s.p7m", way)
    assert sweep.try_fault(fault, tmp_path / "run") == []
    assert sweep.try_fault(fault, tmp_path / "run", twin)


def test_a_writer_that_keeps_bytes_to_itself_is_caught(open_shift: Callable[[str], Sweep], tmp_path: Path) -> None:
    """The judge's own test for a process that is killed."""
    sweep = open_shift("after a power cut")
    fault = nth(sweep, "openat", "000004.m4s.p7m", Way.KILLED)
    assert sweep.try_fault(fault, tmp_path / "run") == []
    found = sweep.try_fault(fault, tmp_path / "run", Twin.HOARDING)
    assert found is not None
    assert any("no leaf" in one for one in found)
