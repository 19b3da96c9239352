"""Whole dock sessions over real TLS on loopback: the camera's client against the station."""

import json
import sqlite3
import subprocess

import pytest
from helpers_dock import NOW_NS, Agency, Camera, station_config, tree_of

from firmware.custody.checkpoint import parse_note, verify_cosignature, verify_note
from firmware.dock.client import Outcome, Stage
from firmware.errors import UnavailableError
from firmware.evidence import primitives
from firmware.evidence.findings import Severity
from firmware.evidence.verify import verify_device
from tools.dock.cutter import Cutter
from tools.dock.station import Station


@pytest.fixture
def agency():
    return Agency()


@pytest.fixture
def station(tmp_path, agency):
    station = Station(station_config(tmp_path, agency), now_ns=lambda: NOW_NS)
    thread = station.start()
    yield station
    station.stop()
    thread.join()


@pytest.fixture
def camera(tmp_path, agency):
    return Camera(tmp_path / "camera", agency)


def test_a_shift_is_handed_over_and_receipted(tmp_path, agency, station, camera):
    """BWC-POL-41, BWC-POL-42, BWC-POL-29: everything arrives, byte for byte, oldest first, and the ledger with it."""
    camera.record("B-2")
    camera.record("A-1", fragments=0)
    seen = []
    report = camera.sync(station.address, progress=seen.append)
    assert [(one.recording, one.outcome) for one in report.recordings] == [("B-2", Outcome.RECEIPTED), ("A-1", Outcome.RECEIPTED)]
    assert report.complete
    assert (report.site, report.cuts, report.bytes_resumed, report.missing, report.alarms) == ("site-1", 0, 0, (), ())
    store = tmp_path / "store" / "CAM1"
    assert tree_of(store / "vault") == tree_of(camera.state / "vault")
    assert (store / "ledger" / "log").read_bytes() == camera.log.read_bytes()
    assert tree_of(store / "ledger" / "receipts") == tree_of(camera.state / "sync" / "receipts")
    assert tree_of(tmp_path / "store" / "incoming") == {}
    assert report.ledger_size == camera.tree.size
    assert report.bytes_sent == sum(len(data) for data in tree_of(camera.state / "vault").values())
    assert seen[-1].stage is Stage.DONE
    assert (seen[-1].bytes_done, seen[-1].files_done) == (seen[-1].bytes_total, seen[-1].files_total)
    assert not list((camera.state / "sync").rglob("*.tmp"))


def test_critical_recordings_go_first(tmp_path, agency, station, camera):
    """BWC-POL-21, BWC-POL-41: flagged in the ledger, before all that is older; the others oldest first."""
    for name in ("A-1", "B-2", "C-3", "D-4"):
        camera.record(name)
    for name in ("D-4", "C-3"):
        camera.append(("critical", {"recording": name}))
    report = camera.sync(station.address)
    assert report.complete
    assert [one.recording for one in report.recordings] == ["C-3", "D-4", "A-1", "B-2"]


def test_what_the_dock_cosigned_is_the_cameras_own_checkpoint(tmp_path, agency, station, camera):
    """BWC-POL-29: the dock is a witness (C2SP tlog-cosignature)."""
    camera.record("A-1")
    camera.sync(station.address)
    note = parse_note((tmp_path / "store" / "CAM1" / "ledger" / "checkpoint").read_bytes())
    verify_note(note, "oathcam/CAM1", camera.key.public_key())
    seed = bytes.fromhex((tmp_path / "dock" / "witness.key").read_text())
    assert verify_cosignature(note, "site-1", primitives.ed25519_public(seed)) == NOW_NS // 10**9
    assert (camera.state / "sync" / "checkpoint").read_bytes() == (tmp_path / "store" / "CAM1" / "ledger" / "checkpoint").read_bytes()


@pytest.mark.system
def test_openssl_verifies_the_receipt(tmp_path, agency, station, camera):
    """BWC-POL-42: the receipt is plain CMS over plain JSON; software that nobody here wrote checks it."""
    camera.record("A-1")
    camera.sync(station.address)
    receipt = camera.state / "sync" / "receipts" / "A-1.json"
    arguments = [
        "-binary",
        "-inform",
        "DER",
        "-in",
        f"{receipt}.p7s",
        "-content",
        str(receipt),
        "-CAfile",
        str(tmp_path / "dock" / "root.crt"),
    ]
    command = ["openssl", "cms", "-verify", *arguments, "-purpose", "any", "-attime", str(NOW_NS // 10**9)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    named = {file["name"]: file["bytes"] for file in json.loads(receipt.read_bytes())["files"]}
    assert named == {path.name: path.stat().st_size for path in (camera.state / "vault" / "A-1").iterdir()}


class Store:
    """One camera's directory in the store, as the verifier's source."""

    def __init__(self, directory):
        self.directory = directory

    def names(self, directory):
        path = self.directory / directory
        return sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []

    def read(self, name):
        try:
            return (self.directory / name).read_bytes()
        except OSError as error:
            raise UnavailableError(str(error)) from None


def test_the_verifier_runs_over_the_store_as_over_the_card(tmp_path, agency, station, camera):
    """BWC-POL-29, BWC-POL-42: the store keeps the camera's own layout and adds its receipts; nothing bad is found in it."""
    camera.record("A-1")
    camera.sync(station.address)
    report = verify_device(Store(tmp_path / "store" / "CAM1"), [agency.root.certificate])
    findings = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    assert [one for one in findings if one.severity is Severity.BAD and one.layer in ("ledger", "receipt", "certificate", "manifest")] == []
    assert {one.layer for one in findings if one.severity is Severity.GOOD} >= {"ledger", "receipt", "certificate"}


def test_a_second_session_sends_nothing_again(station, camera):
    """BWC-POL-41, BWC-POL-42: duplicates are idempotent; a lost receipt is fetched again, the same one."""
    camera.record("A-1")
    camera.sync(station.address)
    first = tree_of(camera.state / "sync" / "receipts")
    assert camera.sync(station.address).recordings == ()
    for path in (camera.state / "sync" / "receipts").iterdir():
        path.unlink()
    again = camera.sync(station.address)
    assert (again.bytes_sent, again.complete, len(again.recordings)) == (0, True, 1)
    assert tree_of(camera.state / "sync" / "receipts") == first


def test_the_ledger_grows_from_session_to_session(tmp_path, station, camera):
    """BWC-POL-29: release leaves reach the dock at the next visit; what was released is not missing."""
    camera.record("A-1")
    camera.sync(station.address)
    camera.release("A-1")
    camera.record("B-2")
    report = camera.sync(station.address)
    assert [one.recording for one in report.recordings] == ["B-2"]
    assert (report.missing, report.alarms) == ((), ())
    assert (tmp_path / "store" / "CAM1" / "ledger" / "log").read_bytes() == camera.log.read_bytes()


def test_a_recording_that_vanished_is_a_leaf_without_a_file(station, camera):
    """BWC-POL-29, BWC-POL-22: who takes a recording off the card leaves its begin leaf behind."""
    for path in camera.record("A-1").iterdir():
        path.unlink()
    camera.record("B-2")
    report = camera.sync(station.address)
    assert report.missing == ("A-1",)
    assert [row[0] for row in station.database._rows("SELECT recording FROM missing")] == ["A-1"]


def test_a_release_that_this_store_never_receipted_is_an_alarm(station, camera):
    """BWC-POL-23."""
    camera.append(("begin", {"recording": "A-1", "begin_sha256": "0" * 64, "cause": "button"}), ("release", {"recording": "A-1"}))
    report = camera.sync(station.address)
    assert report.missing == ()
    assert len(report.alarms) == 1
    assert "A-1" in report.alarms[0]


def test_an_open_recording_is_not_offered(station, camera):
    """BWC-POL-42: what has no signed manifest yet is the recorder's."""
    (camera.record("A-1", leaves=False) / "manifest.json.p7s").unlink()
    assert camera.sync(station.address).recordings == ()


def test_a_recording_whose_end_leaf_is_not_there_yet_waits(station, camera):
    """BWC-POL-42: between manifest and end leaf the camera is still writing."""
    camera.record("A-1", leaves=False)
    report = camera.sync(station.address)
    assert [one.outcome for one in report.recordings] == [Outcome.DEFERRED]
    assert tree_of(camera.state / "sync" / "receipts") == {}


@pytest.mark.parametrize("cuts", [[1], [2500], [9_000], [30_000], [70_000], [25_000, 30_000, 45_000], [6_000] * 5])
def test_a_cut_link_resumes_where_the_dock_stands(tmp_path, station, camera, cuts):
    """BWC-POL-41: real cuts of a real connection; what was synced is not sent again."""
    camera.record("A-1", fragments=2, size=40_000)
    with Cutter(station.address, cuts) as cutter:
        report = camera.sync(cutter.address)
        assert cutter.cuts == len(cuts)
    assert report.complete
    assert report.cuts == len(cuts)
    assert tree_of(tmp_path / "store" / "CAM1" / "vault") == tree_of(camera.state / "vault")


def test_the_report_says_how_much_was_not_sent_again(station, camera):
    """BWC-POL-41."""
    camera.record("A-1", fragments=1, size=3_000_000)
    with Cutter(station.address, [2_000_000]) as cutter:
        report = camera.sync(cutter.address)
    assert report.complete
    assert report.bytes_resumed > 1_000_000
    assert report.bytes_sent < 5_000_000  # part of what went into the cut connection never left it


def test_a_stopped_session_goes_on_at_the_next_visit(station, camera):
    """BWC-POL-41: taking the camera off the dock loses nothing that was sent."""
    camera.record("A-1", fragments=4, size=600_000)
    seen = []
    report = camera.sync(station.address, progress=seen.append, stopped=lambda: any(one.bytes_done > 1_000_000 for one in seen))
    assert [one.outcome for one in report.recordings] == [Outcome.DEFERRED]
    again = camera.sync(station.address)
    assert again.complete
    assert again.bytes_sent + report.bytes_sent < 4 * 600_000 + 600_000


def test_the_custody_log_is_a_chain(tmp_path, station, camera):
    """BWC-POL-42: the store's own log is evidence too; a changed row shows."""
    camera.record("A-1")
    camera.sync(station.address)
    kinds = [json.loads(event)["event"] for event in station.database.custody_log()]
    assert kinds == ["session", "ledger", "receipt", "session end"]
    with sqlite3.connect(tmp_path / "store" / "store.sqlite") as other:
        other.execute("UPDATE custody SET event = replace(event, 'A-1', 'B-1') WHERE number = 3")
    other.close()
    with pytest.raises(Exception, match="does not continue"):
        station.database.custody_log()


@pytest.mark.parametrize("damage", ["short", "gone"])
def test_a_file_that_the_card_does_not_give_keeps_back_only_its_recording(tmp_path, agency, station, camera, damage):
    """BWC-POL-41: a bad sector in one recording must not keep the others on the camera."""
    camera.record("A-1")
    camera.record("B-2")
    victim = camera.state / "vault" / "A-1" / "000001.m4s.p7m"

    def spoil(progress):
        if progress.stage is Stage.UPLOADING and victim.exists() and victim.stat().st_size > 1:
            victim.unlink()
            if damage == "short":
                victim.write_bytes(b"x")

    report = camera.sync(station.address, progress=spoil)
    assert [(one.recording, one.outcome) for one in report.recordings] == [("A-1", Outcome.DEFERRED), ("B-2", Outcome.RECEIPTED)]
    assert "000001.m4s.p7m cannot be read" in report.recordings[0].reason
    assert not report.complete
