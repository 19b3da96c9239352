"""A scenario without a page: the camera runs as fast as it computes, then the verifier looks at what it left.

Responsible for the directory of a run and for the order: agency, camera, world, actions, end, verdict. Refuses to judge:
``scenario_expect`` compares.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.config import DeviceConfig
from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import UnavailableError
from firmware.evidence import pki
from firmware.evidence.annotation import open_annotation
from firmware.evidence.findings import Severity
from hal.sim.timeline import SECOND
from hal.sim.world import World
from tools.inputs import find_inputs
from tools.provision import Agency, make_agency
from tools.scenario import Scenario
from tools.shift import ShiftResult, dock_station, run_sync
from tools.simulated import SERIAL, SMALL, SimulatedCamera, provision_simulated, schedule
from tools.sources import load_key, load_roots
from tools.verifying import Checked, parse_witnesses, verify_inputs, worst


@dataclass(frozen=True, slots=True)
class Place:
    """The directory of a run: ``agency``, ``camera`` (its card below it) and, once docked, ``store``."""

    directory: Path
    config: DeviceConfig

    @property
    def agency(self) -> Path:
        return self.directory / "agency"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    @property
    def card(self) -> Path:
        return self.config.state_directory


@dataclass(frozen=True, slots=True)
class Found:
    """What was found after a run; everything but ``state`` is read from the ledger and the verifier's report."""

    verdict: str
    state: str
    leaves: dict[str, int]
    ends: list[str]
    lengths: list[float]
    gaps: list[str]
    findings: list[str]
    """Codes of everything that is not simply good."""
    bad: list[str]
    """Sentences of what failed."""
    answers: list[str]
    """What the wearer said, as "stop-reason EVENT_OVER", opened with the agency's key."""

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"recordings": self.recordings, "marks": self.marks}

    @property
    def recordings(self) -> int:
        return self.leaves.get("begin", 0)

    @property
    def marks(self) -> int:
        return self.leaves.get("mark", 0)


def docks(scenario: Scenario) -> bool:
    return any(action.do == "dock" for action in scenario.actions)


def make_place(directory: Path, scenario: Scenario, source: str = "") -> Place:
    """A throwaway agency and the scenario's camera. ``UsageError`` for a profile or a rule that is none."""
    agency = make_agency(directory / "agency", "Throwaway Agency")
    return add_camera(directory, agency, scenario, source)


def add_camera(directory: Path, agency: Agency, scenario: Scenario, source: str = "") -> Place:
    changes = {name: dict(rules) for name, rules in scenario.policy.items()}
    if scenario.picture == "small":
        changes = {**SMALL, **changes, "video": {**SMALL["video"], **changes.get("video", {})}}
    return Place(directory, provision_simulated(directory, agency, scenario.profile, scenario.officer, changes, source))


def run_scenario(scenario: Scenario, directory: Path, note: Callable[[float], None] = lambda seconds: None) -> Found:
    """Everything, from provisioning to the verdict. ``note`` is told the second that has been reached. UnavailableError when the dock
    cannot be run."""
    place = make_place(directory, scenario)
    with ExitStack() as opened:
        dock = None
        if docks(scenario):
            dock = opened.enter_context(dock_station(place.agency / "dock", place.store, directory / "dock.log"))
        state = _play(scenario, place, dock, note)
    return look(place, state)


def _play(scenario: Scenario, place: Place, dock: tuple[str, int] | None, note: Callable[[float], None]) -> str:
    """The camera's lives; returns the state in which the end found it."""
    # Faster than time: the world begins so long ago that its clock and the dock's agree when the camera docks.
    docked = next((action.at for action in scenario.actions if action.do == "dock"), scenario.end)
    world = World(time.time_ns() - round(docked * SECOND), scenario.seed)
    syncs = ShiftResult()
    late_ns = 0

    def offload() -> None:
        """The dock is a real one: while it works, time goes by for the camera, and what is still to be done waits for it."""
        nonlocal late_ns
        assert dock is not None
        took_ns = _sync(place.config, dock, syncs)
        late_ns += took_ns
        world.pass_time(took_ns)
        if world.horizon_ns is not None:
            world.horizon_ns += took_ns

    camera = SimulatedCamera(world, place.config, offload)
    schedule(camera, scenario.actions, lambda: late_ns)
    states: list[str] = []
    world.at(round(scenario.end * SECOND), lambda: states.append(camera.state))
    for second in range(1, int(scenario.end) + 1):
        world.at(second * SECOND, lambda second=second: note(second))  # type: ignore[misc]
    world.horizon_ns = round(scenario.end * SECOND)
    camera.run()
    return states[-1] if states else "off"


def _sync(config: DeviceConfig, dock: tuple[str, int], syncs: ShiftResult) -> int:
    before_s = syncs.offload_s
    try:
        run_sync(config.path, dock, syncs)
    except json.JSONDecodeError as error:
        raise UnavailableError(f"the dock-sync process said {error.doc!r}") from None
    return round((syncs.offload_s - before_s) * SECOND)


def read_entries(card: Path) -> tuple[Entry, ...]:
    """The ledger's signed leaves, as a boot would read them."""
    chain = pki.load_certificates_pem((card / "ledger" / "device.pem").read_bytes())
    return read_log((card / "ledger" / "log").read_bytes(), f"oathcam/{SERIAL}", pki.public_key(chain[0])).entries


def check(place: Place, paths: list[Path]) -> list[Checked]:
    """What ``oathcam verify`` finds, with the agency's key and, where the dock's store is among the paths, the dock's witness key."""
    inside = any(path.is_relative_to(place.store) for path in paths)
    witness = parse_witnesses([f"dock={place.agency / 'dock' / 'witness.pub'}"]) if inside else {}
    key = load_key(place.agency / "agency.key", None)
    return verify_inputs(find_inputs(paths), load_roots(place.agency / "root.crt"), key, witness)


def look(place: Place, state: str) -> Found:
    """Ledger and verdict of a camera that is off."""
    entries = read_entries(place.card)
    paths = [place.card, *([place.store] if (place.store / SERIAL).is_dir() else [])]
    checked = check(place, paths)
    findings = [finding for one in checked for finding in one.report.all_findings if finding.severity is not Severity.GOOD]
    leaves: dict[str, int] = {}
    for entry in entries:
        leaves[entry.kind] = leaves.get(entry.kind, 0) + 1
    return Found(
        verdict=worst([one.report.verdict for one in checked]).value,
        state=state,
        leaves=leaves,
        ends=[entry.fields["cause"] for entry in entries if entry.kind == "end"],
        lengths=_lengths(entries),
        gaps=[entry.fields["cause"] for entry in entries if entry.kind == "gap"],
        findings=sorted({finding.code for finding in findings if finding.code}),
        answers=_answers(entries, place),
        bad=[finding.sentence() for finding in findings if finding.severity in (Severity.BAD, Severity.MISSING)],
    )


def _answers(entries: tuple[Entry, ...], place: Place) -> list[str]:
    key = load_key(place.agency / "agency.key", None)
    assert key is not None
    told = [entry.fields for entry in entries if entry.kind == "annotation"]
    opened = [open_annotation(one["sealed"], one["recording"], one["about"], key.private_key, key.certificate) for one in told]
    return [f"{one.about} {one.code}" for one in opened]


def _lengths(entries: tuple[Entry, ...]) -> list[float]:
    """Seconds of picture in each recording that was begun, pre-event part included."""
    lengths = {entry.fields["recording"]: 0 for entry in entries if entry.kind == "begin"}
    for entry in entries:
        if entry.kind == "fragment":
            lengths[entry.fields["recording"]] += entry.fields["duration_us"]
    return [round(microseconds / 1e6, 2) for microseconds in lengths.values()]
