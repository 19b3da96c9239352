"""One officer's shift on the Pi's back-end, in real time on the bench: ``make demo-pi`` with small pictures, and what it left behind.

The battery is pulled by killing recorder and capture process: the page cache stays and boot time goes on, so the camera calls it a crash,
and because nobody had asked for the recording's end, it goes on. What it does when boot time begins anew: ``test_pi_killed.py``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pi_bench
import pytest
import soundrig
from absent import need_program
from clips import make_clip
from pi_pictures import step_times
from pi_shift import FAKES, SMALL, demo

from firmware.custody.entries import Entry
from firmware.evidence.manifest import Manifest
from tools.exhibit import read_entries
from tools.sources import DirectorySource

pytestmark = [pytest.mark.system, pytest.mark.timeout(400), pytest.mark.xdist_group("real time 3")]

FIRST, SECOND, THIRD = (f"PI-0001-{name}" for name in ("000001-0001", "000001-0002", "000002-0001"))
OATHCAM = [sys.executable, "-m", "tools.cli"]
FPS = 30


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the shift has run."""
    pi_bench.require()
    where = tmp_path_factory.mktemp("shift")
    film = make_clip(where / "film.mp4", 5, (SMALL.width, SMALL.height), FPS, sound=False)
    said: list[str] = []
    assert demo(where / "demo-pi", str(film), SMALL, said.append) == 0, said
    return where


def run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OATHCAM, *arguments], cwd=where, capture_output=True, text=True, timeout=120)


def stored(shift: Path, recording: str) -> Manifest:
    return Manifest.from_bytes((shift / f"demo-pi/store/PI-0001/vault/{recording}/manifest.json").read_bytes())


def entries(shift: Path) -> list[Entry]:
    return list(read_entries(DirectorySource(shift / "demo-pi/camera/card")))


def test_the_store_is_authentic_and_names_how_each_recording_began_and_ended(shift: Path) -> None:
    """BWC-POL-06, BWC-POL-24, BWC-POL-28: a press and a hold; a press and a dead recorder; a recording that goes on, and a hold."""
    done = run(shift, "verify", "demo-pi/store", "--trust", "demo-pi/agency/root.crt", "--key", "demo-pi/agency/agency.key", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)["devices"][0]
    assert [one["verdict"] for one in report["recordings"]] == ["authentic"] * 3
    told = {name: (one.begin.cause, one.end.cause) for name in (FIRST, SECOND, THIRD) for one in [stored(shift, name)]}
    assert told == {FIRST: ("button", "button"), SECOND: ("button", "fault"), THIRD: ("recovery", "button")}
    assert stored(shift, SECOND).recovered is not None
    assert [entry.fields["previous"] for entry in entries(shift) if entry.kind == "boot"] == ["first", "crash"]
    assert [entry.fields for entry in entries(shift) if entry.kind in ("fault", "escalation", "torn", "unattested")] == []


def test_every_promise_of_the_killed_recorder_is_kept(shift: Path) -> None:
    """BWC-POL-28: the second recording's manifest has exactly the fragments whose leaves were signed before the kill."""
    promised = [one.fields["sealed"] for one in entries(shift) if one.kind == "fragment" and one.fields["recording"] == SECOND]
    assert [one.sealed_sha256 for one in stored(shift, SECOND).fragments] == promised
    assert len(promised) >= 15


def test_the_pre_event_buffer_is_in_front_and_the_mark_inside(shift: Path) -> None:
    """BWC-POL-08, BWC-POL-18."""
    for name in (FIRST, SECOND):
        manifest = stored(shift, name)
        assert 8000 <= manifest.pre_event.actual_ms < 9100
        assert manifest.pre_event.shortfall is None
        assert len(manifest.marks) == 1
    assert stored(shift, THIRD).pre_event.shortfall == "just-started"


def ffprobe(movie: Path) -> dict[str, Any]:
    entries = "stream=codec_name,nb_read_frames,width,height"
    command = [need_program("ffprobe"), "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(movie)]
    streams = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["streams"]
    return {one["codec_name"]: one for one in streams}


def test_what_oathcam_open_writes_decodes_without_a_complaint_and_no_picture_is_missing(shift: Path) -> None:
    """BWC-POL-12, BWC-POL-25: ffmpeg says nothing, ffprobe counts the manifest's pictures, and each comes one thirtieth after the last.

    Where a busy machine made the bench's sensor lose some, they are told, to the picture, and few.
    """
    lost = 0
    done = run(shift, "open", "demo-pi/store", "--key", "demo-pi/agency/agency.key", "--trust", "demo-pi/agency/root.crt", "-o", "opened")
    assert done.returncode == 0, done.stderr
    for name in (FIRST, SECOND, THIRD):
        movie, manifest = shift / f"opened/{name}.mp4", stored(shift, name)
        found = ffprobe(movie)
        assert int(found["h264"]["nb_read_frames"]) == manifest.pictures
        assert (found["h264"]["width"], found["h264"]["height"]) == (SMALL.width, SMALL.height)
        decoded = subprocess.run(
            [need_program("ffmpeg"), "-v", "error", "-i", str(movie), "-f", "null", "-"], capture_output=True, text=True
        )
        assert (decoded.returncode, decoded.stderr) == (0, "")
        missing = [round(step * FPS) - 1 for step in step_times(movie) if step > 1.5 / FPS]
        assert [gap.pictures_lost for gap in manifest.gaps] == missing
        assert min(step_times(movie)) > 0.5 / FPS
        assert abs(manifest.pictures + sum(missing) - manifest.duration_us / 1e6 * FPS) <= 2
        lost += sum(missing)
        assert ("aac" in found) is (not soundrig.why_absent())
    assert lost <= 20


def test_the_sound_is_the_rigs(shift: Path) -> None:
    """BWC-POL-10: sound from the press on, none before it, and no hole in it."""
    soundrig.require()
    manifest = stored(shift, FIRST)
    heard = [one.seq for one in manifest.fragments if one.audio_frames > 0]
    first = manifest.pre_event.activation_fragment
    assert heard in ([*range(first, len(manifest.fragments))], [*range(first + 1, len(manifest.fragments))])


def test_the_cable_was_cut_once_and_the_camera_let_go_only_of_what_was_receipted(shift: Path) -> None:
    """BWC-POL-23, BWC-POL-41, BWC-POL-43: the card is empty; receipt before release; nothing was sent twice."""
    page = (shift / "demo-pi/report.html").read_text(encoding="utf-8")
    assert re.search(r"cut 1 time\(s\) in mid-transfer", page)
    assert list((shift / "demo-pi/camera/card/vault").iterdir()) == []
    for name in (FIRST, SECOND, THIRD):
        kinds = [entry.kind for entry in entries(shift) if entry.fields.get("recording") == name]
        assert kinds[-2:] == ["receipt", "release"]
    kinds = [entry.kind for entry in entries(shift)]
    assert [kind for kind in kinds if kind in ("dock", "ready", "shutdown")][-3:] == ["dock", "ready", "shutdown"]
    store = (shift / "demo-pi/store/PI-0001/ledger/log").read_bytes()
    assert (shift / "demo-pi/camera/card/ledger/log").read_bytes().startswith(store)


def test_the_page_says_what_was_faked(shift: Path) -> None:
    """In Debian's Chromium: the notice, the verdict, three recordings with their stills, and nothing from outside."""
    chromium = need_program("chromium")
    page = shift / "demo-pi/report.html"
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={shift / 'profile'}"]
    dom = subprocess.run([chromium, *quiet, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=120).stdout
    notice = re.search(r'id="fakes">(.*?)</div>', dom, re.DOTALL)
    assert notice is not None
    assert notice[1] == FAKES
    assert re.search(r'id="verdict">\s*<strong>authentic</strong>', dom)
    assert len(re.findall(r'class="card recording"', dom)) == 3
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/jpeg;base64,', dom)) == 11
    assert 'id="tampered"' in dom
    assert "goes on" in dom
    assert not re.search(r'(?:src|href)="(?:https?:)?//', dom)
