"""The station process is killed with SIGKILL in mid-upload, again and again; and a commit is interrupted before its receipt."""

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))

from helpers_dock import NOW_NS, Agency, Camera, station_config, tree_of

from firmware.dock.client import Outcome
from tools.dock.commit import Committer, Store
from tools.dock.station import Station

RUN = "import typer; from tools.dock.command import dock; typer.run(dock)"


class Process:
    """A station in a process of its own, restartable on the same port."""

    def __init__(self, tmp_path, agency):
        self.arguments = [str(agency.dock(tmp_path / "dock")), "--store", str(tmp_path / "store")]
        self.port = "0"
        self.kills = 0
        self.start()

    def start(self):
        command = [sys.executable, "-P", "-c", RUN, *self.arguments, "--port", self.port]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        self.port = line.strip().rpartition(":")[2]

    def kill(self):
        self.kills += 1
        self.end(signal.SIGKILL)

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait()
        self.process.stdout.close()


def test_a_station_killed_in_mid_upload_resumes_with_the_right_bytes(tmp_path):
    """BWC-POL-41, BWC-POL-42: kill -9 at four points of one upload; the file is right and there is exactly one receipt."""
    agency = Agency()
    camera = Camera(tmp_path / "camera", agency)
    camera.record("A-1", fragments=2, size=6_000_000)
    station = Process(tmp_path, agency)
    thresholds = [1_000_000, 2_500_000, 5_000_000, 9_000_000]

    def cut(progress):
        if station.kills < len(thresholds) and progress.bytes_done > thresholds[station.kills] and station.process.returncode is None:
            station.kill()

    def restart(_seconds):
        if station.process.returncode is not None:
            station.start()

    try:
        report = camera.sync(("127.0.0.1", int(station.port)), progress=cut, sleep=restart)
    finally:
        station.end(signal.SIGTERM)
    assert station.process.returncode == 0
    assert station.kills == len(thresholds)
    assert [one.outcome for one in report.recordings] == [Outcome.RECEIPTED]
    assert report.bytes_resumed > 0
    assert tree_of(tmp_path / "store" / "CAM1" / "vault") == tree_of(camera.state / "vault")
    assert len(list((tmp_path / "store" / "CAM1" / "ledger" / "receipts").iterdir())) == 2


def test_a_part_with_wrong_bytes_on_disk_is_found_and_sent_again(tmp_path):
    """BWC-POL-42: after a power cut a part may hold zeros; its length is believed, its bytes are not."""
    agency = Agency()
    camera = Camera(tmp_path / "camera", agency)
    directory = camera.record("A-1", fragments=1, size=500_000)
    station = Station(station_config(tmp_path, agency), now_ns=lambda: NOW_NS)
    thread = station.start()
    try:
        camera.sync(station.address, stopped=lambda: True)
        digest = hashlib.sha256((directory / "000000.m4s.p7m").read_bytes()).hexdigest()
        part = tmp_path / "store" / "incoming" / "CAM1" / f"{digest}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(bytes(300_000))
        report = camera.sync(station.address)
    finally:
        station.stop()
        thread.join()
    assert report.complete
    assert report.bytes_sent > 700_000 - 300_000
    assert tree_of(tmp_path / "store" / "CAM1" / "vault") == tree_of(camera.state / "vault")


@pytest.mark.parametrize("moment", ["before the directory", "after the directory"])
def test_a_commit_that_died_before_its_receipt_is_taken_up_again(tmp_path, moment):
    """BWC-POL-42: between the stored directory and the receipt the dock may die; asked again, it checks again and gives one."""
    agency = Agency()
    camera = Camera(tmp_path / "camera", agency)
    camera.record("A-1")
    config = station_config(tmp_path, agency)
    station = Station(config, now_ns=lambda: NOW_NS)
    thread = station.start()
    calls = []

    def die(digest):
        calls.append(digest)
        raise OSError("the key is gone")

    committer: Committer = station.routes.committer
    sound = committer.store
    committer.store = Store(sound.name, sound.chain, die)
    try:
        report = camera.sync(station.address)
        assert [one.outcome for one in report.recordings] == [Outcome.DEFERRED]
        assert calls
        assert station.database.receipt("CAM1", "A-1") is None
        if moment == "before the directory":
            (tmp_path / "store" / "CAM1" / "vault" / "A-1").rename(tmp_path / "store" / "CAM1" / "vault" / ".A-1.tmp")
        committer.store = sound
        assert camera.sync(station.address).complete
    finally:
        station.stop()
        thread.join()
    assert tree_of(tmp_path / "store" / "CAM1" / "vault") == tree_of(camera.state / "vault")
    assert tree_of(tmp_path / "store" / "incoming") == {}
