"""A laptop as a body camera: one command on a terminal, keys, a dock, a verdict."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from clips import make_clip
from soundrig import DEVICE, sound_rig

from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.evidence import pki
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Verdict
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import verify_device
from tools.run import SERIAL
from tools.shift import dock_station
from tools.sources import DirectorySource, load_key, load_roots

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("real time 1")]
PATIENCE_S = 60


class Terminal:
    """`oathcam run --hal pc` on a pseudo-terminal, and the person before it."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        self._keyboard, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        command = [sys.executable, "-P", "-m", "tools.cli", "run", "--hal", "pc", *arguments]
        self.process = subprocess.Popen(
            command, cwd=directory, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True
        )
        self.shown = ""

    def type(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def wait(self, what: str, done: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            self.look(0.1)
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}:\n{self.shown}"
            assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}\n{self.shown[-3000:]}"

    def look(self, seconds: float) -> None:
        """Take what is on the screen for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self._keyboard], [], [], left)[0]:
            try:
                self.shown += os.read(self._keyboard, 65536).decode("utf-8", "replace")
            except OSError:
                return

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        end = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < end:
            self.look(0.1)
        self.look(0.3)
        return self.process.wait(1)

    def restored(self) -> bool:
        return termios.tcgetattr(self.slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._keyboard)
        os.close(self.slave)


@contextmanager
def laptop(directory: Path, *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(directory, *arguments)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clip") / "street.mp4")


def leaves(card: Path) -> tuple[Entry, ...]:
    chain = pki.load_certificates_pem((card / "ledger" / "device.pem").read_bytes())
    return read_log((card / "ledger" / "log").read_bytes(), f"oathcam/{SERIAL}", pki.public_key(chain[0]), verify_all=False).entries


def kinds(card: Path) -> list[str]:
    try:
        return [entry.kind for entry in leaves(card)]
    except OSError:  # not yet there
        return []


def test_one_command_a_few_keys_and_a_dock(tmp_path: Path, clip: Path) -> None:
    """Space space records, h stops, d docks; what the dock then holds is authentic, with the film's sound (BWC-POL-01, -02, -23, -24)."""
    card = tmp_path / "oathcam-pc/camera/card"
    with laptop(tmp_path, "--source", str(clip)) as terminal:
        terminal.wait("a ready camera", lambda: "ready" in kinds(card))
        terminal.look(1.5)
        terminal.type("  ")
        terminal.wait("three seconds of evidence", lambda: kinds(card).count("fragment") >= 5)
        assert "subject \x1b[1;31m● red" in terminal.shown
        terminal.type("h")
        terminal.wait("the end of the recording", lambda: "end" in kinds(card))
        agency = tmp_path / "oathcam-pc/agency"
        with dock_station(agency / "dock", tmp_path / "store", tmp_path / "dock.log") as (host, port):
            config = tmp_path / "oathcam-pc/camera/oathcamd.toml"
            # A free port, as this machine may have a dock at the usual one; the sync reads the file when it starts.
            config.write_text(re.sub(r"host = .*\nport = .*", f'host = "{host}"\nport = {port}', config.read_text()))
            terminal.type("d")
            terminal.wait("the release against the receipt", lambda: "release" in kinds(card))
        (recording,) = [path.name for path in (tmp_path / "store" / SERIAL / "vault").iterdir()]
        assert list((card / "vault").iterdir()) == []
        assert terminal.end(signal.SIGINT) == 0
        assert terminal.restored()
    assert "to check: oathcam verify oathcam-pc/camera/card" in terminal.shown
    assert f"dock: {recording} receipted" in terminal.shown
    key = load_key(agency / "agency.key", None)
    report = verify_device(DirectorySource(tmp_path / "store" / SERIAL), load_roots(agency / "root.crt"), key)
    assert report.verdict is Verdict.AUTHENTIC, report.as_dict()
    manifest = Manifest.from_bytes((tmp_path / "store" / SERIAL / "vault" / recording / "manifest.json").read_bytes())
    assert list(unexplained(manifest)) == []  # a busy machine may lose pictures; none without an entry
    assert manifest.pictures >= 3 * 30
    assert sum(fragment.audio_frames for fragment in manifest.fragments) > 100
    assert [entry.kind for entry in leaves(card)][-1] == "shutdown"


def test_a_microphone_that_is_pulled_in_mid_recording(tmp_path: Path, clip: Path) -> None:
    """BWC-POL-47: the film goes on without a gap, the loss and the return of the sound are in the ledger, the sound track has a hole."""
    card = tmp_path / "oathcam-pc/camera/card"
    with sound_rig(tmp_path / "sound") as rig, laptop(tmp_path, "--source", str(clip), "--microphone", DEVICE) as terminal:
        terminal.wait("a ready camera", lambda: "ready" in kinds(card))
        terminal.type("  ")
        terminal.wait("evidence", lambda: kinds(card).count("fragment") >= 4)
        rig.pull()
        terminal.wait("the fault's leaf", lambda: "fault" in kinds(card))
        rig.plug()
        terminal.wait("the recovery's leaf", lambda: "recovered" in kinds(card))
        count = kinds(card).count("fragment")
        terminal.wait("sound again", lambda: kinds(card).count("fragment") >= count + 3)
        terminal.type("h")
        terminal.wait("the end of the recording", lambda: "end" in kinds(card))
        assert terminal.end(signal.SIGTERM) == 0
    told = [(entry.kind, entry.fields["port"]) for entry in leaves(card) if entry.kind in ("fault", "recovered")]
    assert told == [("fault", "microphone"), ("recovered", "microphone")]
    (recording,) = [path.name for path in (card / "vault").iterdir()]
    manifest = Manifest.from_bytes((card / "vault" / recording / "manifest.json").read_bytes())
    assert list(unexplained(manifest)) == []  # a busy machine may lose pictures; none without an entry
    heard = [fragment.audio_frames > 0 for fragment in manifest.fragments][manifest.pre_event.activation_fragment + 1 :]
    assert heard[0]
    assert False in heard
    assert heard[-2]
    agency = tmp_path / "oathcam-pc/agency"
    report = verify_device(DirectorySource(card), load_roots(agency / "root.crt"), load_key(agency / "agency.key", None))
    assert report.verdict is Verdict.AUTHENTIC, report.as_dict()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_terminal_is_as_it_was_whatever_the_end(tmp_path: Path, clip: Path, number: signal.Signals) -> None:
    card = tmp_path / "oathcam-pc/camera/card"
    with laptop(tmp_path, "--source", str(clip)) as terminal:
        terminal.wait("a ready camera", lambda: "ready" in kinds(card))
        assert not terminal.restored()
        code = terminal.end(number)
        end = time.monotonic() + 5
        while not terminal.restored() and time.monotonic() < end:
            terminal.look(0.05)
        assert terminal.restored()
        assert code == (0 if number is signal.SIGTERM else -signal.SIGKILL)


def test_the_camera_is_found_again_and_the_doctor_likes_it(tmp_path: Path, clip: Path) -> None:
    """The second run is the same camera's next boot; keys come through a pipe, the log is plain lines; then the check-up."""
    card = tmp_path / "oathcam-pc/camera/card"
    command = [sys.executable, "-P", "-m", "tools.cli", "run", "--hal", "pc", "--source", str(clip)]
    for boot in (1, 2):
        process = subprocess.Popen(
            command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdin is not None
        end = time.monotonic() + PATIENCE_S
        while kinds(card).count("ready") < boot and time.monotonic() < end:
            time.sleep(0.1)
        process.stdin.write("  ")
        process.stdin.flush()
        while kinds(card).count("begin") < boot and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        shown, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, shown
        assert "subject lamp: red" in shown
        assert "\x1b" not in shown
    assert [entry.boot for entry in leaves(card) if entry.kind == "boot"] == [1, 2]
    config = tmp_path / "oathcam-pc/camera/oathcamd.toml"
    config.write_text(config.read_text().replace("hold_ms", f'source = "{clip}"\nhold_ms'))
    doctor = [sys.executable, "-P", "-m", "tools.cli", "doctor", str(config)]
    done = subprocess.run(doctor, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for port in ("camera", "microphone", "buttons", "lamps", "power", "key store"):
        assert re.search(rf"{port} +│ green", done.stdout), done.stdout


def test_nothing_to_look_at_names_the_remedy(tmp_path: Path) -> None:
    """Exit code 3, one sentence of remedy, and no terminal was touched."""
    command = [sys.executable, "-P", "-m", "tools.cli", "run", "--hal", "pc", "--source", "no-such.mp4"]
    done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 3
    assert "no-such.mp4" in done.stderr
    assert "give one that ffprobe reads" in done.stderr
