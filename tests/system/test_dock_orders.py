"""A policy that the stock tool signed, and an officer assigned at the command line: from a dock station over real TLS to the recorder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from camerabench import Bench

from firmware.custody.merkle import root_of
from firmware.dock.client import SyncReport, sync
from firmware.dock.command import link_identity
from firmware.errors import UsageError
from firmware.evidence.findings import Verdict
from firmware.installed import choose_policy
from firmware.timebase import Timestamp, Trust
from hal.interfaces import ButtonName
from hal.sim.timeline import SECOND
from tests.absent import need_program
from tools.dock.config import Identity, Limits, StationConfig
from tools.dock.orders import check_policy_file
from tools.dock.station import Station
from tools.opening import read_notes
from tools.provision import make_agency

pytestmark = pytest.mark.system
OATHCAM = [sys.executable, "-P", "-m", "tools.cli"]


def minisign(folder: Path, *arguments: str) -> None:
    subprocess.run([need_program("minisign"), *arguments], cwd=folder, capture_output=True, timeout=60, check=True)


class Dock:
    """A station of the bench's agency that offers ``policy.toml`` of its own directory, and the camera's visits to it."""

    def __init__(self, bench: Bench, directory: Path) -> None:
        self.bench, self.directory, self.policy = bench, directory, directory / "policy.toml"
        self.store = directory / "store"
        directory.mkdir()
        identity = Identity.in_directory(bench.agency.directory / "dock")
        limits = Limits(reserve_bytes=0, idle_s=5.0, handshake_s=5.0)
        config = StationConfig(self.store, identity, site="site-1", policy=self.policy, limits=limits)
        self.station = Station(config, now_ns=bench.world.true_wall_ns)
        self._thread = self.station.start()

    def close(self) -> None:
        self.station.stop()
        self._thread.join()

    def sync(self) -> SyncReport:
        """The dock-sync process's work, as it stands on the card now."""
        now = Timestamp(self.bench.world.now_ns, self.bench.world.true_wall_ns(), Trust.RTC)
        config = self.bench.config
        return sync(config.state_directory, link_identity(config), self.station.address, now=now, sleep=lambda seconds: None)

    def visit(self) -> SyncReport:
        """One life of the recorder: into the dock, handed over, what came taken in, until it ends its run or is ended."""
        bench = self.bench
        start = bench.world.now_ns / SECOND
        bench.world.dock(bench.at(start + 2))
        with bench.life() as daemon:
            for until in (5, 10, 20):
                bench.world.horizon_ns = bench.at(start + until)
                daemon.run()
                if until == 5:
                    report = self.sync()
            daemon.ask_shutdown("end of visit")
            bench.world.horizon_ns = None
            daemon.run()
        bench.world.undock(bench.world.now_ns + SECOND)
        return report

    def oathcam(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*OATHCAM, "dock", arguments[0], str(self.bench.agency.directory / "dock"), *arguments[1:], "--store", str(self.store)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A camera of an agency whose policy key was made by minisign itself."""
    from camerabench import make_camera_bench

    agency = make_agency(tmp_path / "agency", "Test Agency")
    made = make_camera_bench(tmp_path, agency, 1, 1, {}, 7)
    (tmp_path / "tool").mkdir()
    minisign(tmp_path / "tool", "-G", "-W", "-p", "policy.pub", "-s", "policy.key")
    shutil.copy(tmp_path / "tool" / "policy.pub", made.config.trust_directory / "policy.pub")
    shutil.copy(tmp_path / "tool" / "policy.pub", agency.directory / "policy.pub")
    sign(made.config.policy)
    return made


def sign(policy: Path) -> None:
    tool = next(parent / "tool" for parent in policy.parents if (parent / "tool").is_dir())
    minisign(tool, "-S", "-W", "-s", "policy.key", "-m", str(policy), "-x", f"{policy}.minisig", "-t", "policy of a test")


@pytest.fixture
def dock(bench: Bench, tmp_path: Path, stack: ExitStack) -> Dock:
    made = Dock(bench, tmp_path / "dock")
    stack.callback(made.close)
    return made


def offer(dock: Dock, version: int, *, signed: bool = True) -> None:
    text = dock.bench.config.policy.read_text(encoding="utf-8")
    dock.policy.write_text(text.replace("version = 1 ", f"version = {version} "), encoding="utf-8")
    if signed:
        sign(dock.policy)


def record(bench: Bench) -> str:
    now, before = bench.world.now_ns / SECOND, set(bench.recordings())
    bench.world.double_press(bench.at(now + 3))
    bench.world.press(ButtonName.RECORD, bench.at(now + 4), hold_ms=3300)
    bench.run(now + 10)
    (made,) = set(bench.recordings()) - before
    return made


def test_a_policy_signed_by_the_stock_tool_comes_by_the_dock(bench: Bench, dock: Dock) -> None:
    """BWC-POL-29: minisign signs it, minisign verifies it, the dock offers it, the camera takes it in once and records under it."""
    offer(dock, 7)
    tool = bench.config.path.parent.parent / "tool"
    minisign(tool, "-V", "-p", "policy.pub", "-m", str(dock.policy), "-x", f"{dock.policy}.minisig")
    assert check_policy_file(dock.policy, bench.agency.directory / "policy.pub")[0].version == 7
    record(bench)
    assert dock.visit().complete
    leaves = {one.kind: one.fields for one in bench.entries()}
    assert leaves["policy"]["version"] == 7
    assert leaves["shutdown"]["reason"] == "policy"
    assert bench.manifest(record(bench)).policy.version == 7
    dock.visit()
    assert bench.kinds().count("policy") == 1
    assert bench.entries()[-1].fields["reason"] == "end of visit"
    assert [event for event in dock.station.database.custody_log() if b"policy offered" in event]


def test_an_older_policy_at_the_dock_changes_nothing(bench: Bench, dock: Dock) -> None:
    """BWC-POL-29: signed by the agency as it is; the camera says so, and keeps the one that it has."""
    offer(dock, 7)
    dock.visit()
    offer(dock, 6)
    dock.visit()
    faults = [one.fields["reason"] for one in bench.entries() if one.kind == "fault"]
    assert faults == ["refused: policy: expected a version above 7, got 6"]
    assert choose_policy(bench.config)[0].policy.version == 7


def test_a_dock_does_not_begin_to_offer_a_policy_that_nobody_signed(bench: Bench, dock: Dock) -> None:
    """BWC-POL-29: the operator hears of it, not each camera in turn."""
    offer(dock, 2, signed=False)
    with pytest.raises(UsageError, match=r"minisig"):
        check_policy_file(dock.policy, bench.agency.directory / "policy.pub")
    run = dock.oathcam("run", "--policy", str(dock.policy), "--port", "0")
    assert run.returncode == 2
    assert "minisign -S" in " ".join(run.stderr.split())


def test_an_officer_assigned_at_the_dock_reaches_the_recorder(bench: Bench, dock: Dock) -> None:
    """BWC-POL-30: assigned by command, taken at the next visit, sealed in the next recording; unassigned again, and that is seen."""
    before = record(bench)
    words = read_notes(bench.source(), bench.manifest(before), bench.key())
    assert words["officer"] == "officer 4711"  # as it was provisioned
    done = dock.oathcam("assign", "SIM-0001", "--officer", "officer 4712", "--tag", "badge 12")
    assert done.returncode == 0, done.stderr
    assert b"officer 4712" not in (dock.store / "orders" / "SIM-0001.json").read_bytes()
    dock.visit()
    made = record(bench)
    words = read_notes(bench.source(), bench.manifest(made), bench.key())
    assert (words["officer"], words["tag"]) == ("officer 4712", "badge 12")
    assert bench.verify().verdict is Verdict.AUTHENTIC
    assert dock.oathcam("unassign", "SIM-0001").returncode == 0
    dock.visit()
    assert read_notes(bench.source(), bench.manifest(record(bench)), bench.key())["officer"] == "UNASSIGNED"
    assert [one for one in bench.kinds() if one in ("assign", "unassign")] == ["assign", "unassign"]


def test_the_end_of_an_offload_names_what_the_store_had_accepted(bench: Bench, dock: Dock) -> None:
    """BWC-POL-29: one leaf when everything is receipted, with the tree that the stores signed for; none for a visit without news."""
    record(bench)
    record(bench)
    dock.visit()
    (leaf,) = [one for one in bench.entries() if one.kind == "offload"]
    hashes = bench.ledger().hashes
    assert 0 < leaf.fields["size"] < leaf.n
    assert leaf.fields["root"] == root_of(hashes[: leaf.fields["size"]]).hex()
    dock.visit()
    assert bench.kinds().count("offload") == 1


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("assign", "../x", "--officer", "a"), "serial"),
        (("assign", "orders", "--officer", "a"), "serial"),
        (("assign", "SIM-0001", "--officer", " "), "officer"),
        (("assign", "SIM-0001", "--officer", "x" * 200), "characters"),
    ],
)
def test_an_order_that_cannot_be_given(dock: Dock, arguments: tuple[str, ...], word: str) -> None:
    """One line, exit code 2, no file."""
    done = dock.oathcam(*arguments)
    assert done.returncode == 2
    assert word in done.stderr
    assert not (dock.store / "orders").exists()


def test_a_dock_that_has_neither_gets_the_recordings_all_the_same(
    make_bench: Callable[..., Bench], tmp_path: Path, stack: ExitStack
) -> None:
    """BWC-POL-41: 404 to both questions is no trouble."""
    bench = make_bench(pre_event=1)
    dock = Dock(bench, tmp_path / "dock")
    stack.callback(dock.close)
    record(bench)
    assert dock.visit().complete
    assert bench.recordings() == []
    assert list((bench.card / "sync").rglob("*.json")) == []
