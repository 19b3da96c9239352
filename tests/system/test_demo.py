"""The demo as a user runs it, the README's commands on what it made, and the page in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from itertools import pairwise
from pathlib import Path

import pytest
from absent import need_program

from tools.policies import read_profile

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("demo")]

ROOT = Path(__file__).resolve().parents[2]
OATHCAM = [sys.executable, "-m", "tools.cli"]
SMALL = {"width = 1280": "width = 320", "height = 720": "height = 240", "bitrate_bps = 4000000": "bitrate_bps = 250000"}


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which ``oathcam demo`` has run, with small pictures."""
    where = tmp_path_factory.mktemp("shift")
    _, text = read_profile("dhs")
    for old, new in SMALL.items():
        assert old in text
        text = text.replace(old, new)
    (where / "small.toml").write_text(text, encoding="utf-8")
    done = subprocess.run([*OATHCAM, "demo", "--profile", "small.toml"], cwd=where, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().splitlines()[-1] == "demo/report.html"
    return where


def run(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OATHCAM, *arguments], cwd=where, capture_output=True, text=True, timeout=120)


def manifest(where: Path, number: int) -> dict:
    path = where / f"demo/store/SIM-0001/vault/SIM-0001-000001-{number:04d}/manifest.json"
    return json.loads(path.read_text())


def test_both_recordings_are_authentic_and_the_power_loss_is_named(shift: Path) -> None:
    """BWC-POL-24, BWC-POL-28, BWC-POL-42: the store verifies; the second recording ended with the battery."""
    done = run(shift, "verify", "demo/store", "--trust", "demo/agency/root.crt", "--key", "demo/agency/agency.key", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["devices"][0]
    first, second = report["recordings"]
    assert (first["verdict"], second["verdict"]) == ("authentic", "authentic")
    assert any("power-loss" in one["text"] for one in second["findings"])
    assert not any("power-loss" in one["text"] for one in first["findings"])


def test_the_dock_and_its_store_bound_the_cameras_clock(shift: Path) -> None:
    """BWC-POL-26: in the boot that docked, from both sides; for a recording of the boot before, from one."""
    witness = "dock=demo/agency/dock/witness.pub"
    done = run(shift, "verify", "demo/store", "--trust", "demo/agency/root.crt", "--witness", witness, "--json")
    report = json.loads(done.stdout)["devices"][0]
    (measured,) = [one["text"] for one in report["findings"] if one["code"] == "clock-offset"]
    assert re.search(r"behind by [0-9.]+ s, uncertainty [0-9.]+ s, at the end of boot 2$", measured)
    for recording in report["recordings"]:
        assert recording["clock_offset"]["low_us"] is None
        assert recording["clock_offset"]["high_us"] > 0


def test_an_oversight_body_can_open_and_verify_too(shift: Path) -> None:
    """BWC-POL-33: every recipient opens on its own."""
    done = run(shift, "verify", "demo/store", "--trust", "demo/agency/root.crt", "--key", "demo/agency/oversight.key")
    assert done.returncode == 0, done.stdout


def test_without_a_root_nothing_can_be_told(shift: Path) -> None:
    done = run(shift, "verify", "demo/store")
    assert done.returncode == 3
    assert "no root certificate given" in done.stdout


def test_one_flipped_bit_names_the_fragment(shift: Path) -> None:
    """BWC-POL-24: not authentic, and which fragment."""
    done = run(shift, "verify", "demo/tampered", "--trust", "demo/agency/root.crt", "--json")
    assert done.returncode == 1
    findings = json.loads(done.stdout)["devices"][0]["recordings"][0]["findings"]
    bad = [one for one in findings if one["severity"] == "bad" and one["layer"] == "seal"]
    original, copy = shift / "demo/store/SIM-0001", shift / "demo/tampered"
    changed = [
        one for one in (copy / "vault").rglob("*") if one.is_file() and one.read_bytes() != (original / one.relative_to(copy)).read_bytes()
    ]
    assert [one["file"] for one in bad] == [one.name for one in changed]
    assert len(bad) == 1
    assert bad[0]["fragment"] == int(changed[0].name[:6])


def test_the_readmes_lines_open_a_recording_by_hand(shift: Path) -> None:
    """BWC-POL-25: openssl and cat are enough; ffprobe counts the manifest's pictures and ffmpeg decodes without a word."""
    need_program("openssl")
    ffprobe, ffmpeg = need_program("ffprobe"), need_program("ffmpeg")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"<!-- by-hand.*?-->\n```sh\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", lines], cwd=shift, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "fragment 0 is as signed" in done.stdout
    movie = str(shift / "by-hand/recording.mp4")
    probe = [ffprobe, "-v", "error", "-count_frames", "-show_entries", "stream=codec_name,nb_read_frames,width", "-of", "json", movie]
    streams = json.loads(subprocess.run(probe, capture_output=True, text=True, check=True).stdout)["streams"]
    expected = manifest(shift, 1)
    video = next(one for one in streams if one["codec_name"] == "h264")
    assert int(video["nb_read_frames"]) == sum(one["pictures"] for one in expected["fragments"])
    assert any(one["codec_name"] == "aac" for one in streams)
    decoded = subprocess.run([ffmpeg, "-v", "error", "-i", movie, "-f", "null", "-"], capture_output=True, text=True, check=True)
    assert decoded.stderr == ""


def test_pictures_follow_one_another_without_a_seam(shift: Path) -> None:
    """BWC-POL-12: as ffprobe sees the opened file, every picture comes one thirtieth of a second after the one before."""
    ffprobe = need_program("ffprobe")
    movie = str(shift / "demo/SIM-0001-000001-0001.mp4")
    command = [ffprobe, "-v", "error", "-select_streams", "v", "-show_entries", "packet=pts", "-of", "csv=p=0", movie]
    stamps = [int(one.strip(",")) for one in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]
    assert {after - before for before, after in pairwise(stamps)} == {3000}
    expected = manifest(shift, 1)
    begun, first = expected["begin"]["boottime_us"], expected["fragments"][0]["boottime_us"]
    assert 30_000_000 <= begun - first <= 31_000_000
    assert abs(len(stamps) / 30 - (expected["end"]["boottime_us"] - first) / 1e6) < 0.05


def test_open_writes_what_any_player_plays(shift: Path) -> None:
    done = run(shift, "open", "demo/store", "--key", "demo/agency/agency.key", "--trust", "demo/agency/root.crt", "-o", "opened")
    assert done.returncode == 0, done.stderr
    files = sorted(one.name for one in (shift / "opened").iterdir())
    assert files == ["SIM-0001-000001-0001.mp4", "SIM-0001-000001-0002.mp4"]
    again = run(shift, "open", "demo/store", "--key", "demo/agency/agency.key", "--trust", "demo/agency/root.crt", "-o", "opened")
    assert again.returncode == 2
    assert "exists" in again.stderr


def test_a_camera_deletes_only_what_was_receipted(shift: Path) -> None:
    """BWC-POL-23, BWC-POL-43: the card is empty, and the ledger says receipt before release for each recording."""
    assert list((shift / "demo/camera/card/vault").iterdir()) == []
    log = (shift / "demo/camera/card/ledger/log").read_text()
    leaves = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    for recording in ("SIM-0001-000001-0001", "SIM-0001-000001-0002"):
        kinds = [one["type"] for one in leaves if one.get("recording") == recording]
        assert kinds[-2:] == ["receipt", "release"]
        assert (shift / f"demo/camera/card/ledger/receipts/{recording}.json.p7s").exists()


def test_nothing_personal_lies_on_the_card_or_in_the_store_in_clear(shift: Path) -> None:
    """BWC-POL-33, BWC-POL-30: neither the officer nor the place can be read without a recipient's key; the officer's name is not even in
    the camera's own memory, where the sealed object is that a dock made."""
    words = (b"officer 4711", b"latitude")
    for folder in ("demo/camera", "demo/store"):
        for path in (shift / folder).rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                assert not any(word in data for word in words), path
    command = [need_program("openssl"), "cms", "-decrypt", "-inform", "DER"]
    command += ["-inkey", "demo/agency/oversight.key", "-recip", "demo/agency/oversight.crt"]

    def opened(sealed: bytes) -> dict[str, str]:
        return json.loads(subprocess.run(command, cwd=shift, input=sealed, capture_output=True, check=True).stdout)

    notes = opened((shift / "demo/store/SIM-0001/vault/SIM-0001-000001-0001/notes.json.p7m").read_bytes())
    assert opened(b64decode(notes["officer_sealed"]))["officer"] == "officer 4711"


def test_the_cable_was_cut_and_the_transfer_resumed(shift: Path) -> None:
    """BWC-POL-41: the page tells of one cut, and of bytes that were not sent twice."""
    page = (shift / "demo/report.html").read_text(encoding="utf-8")
    assert re.search(r"cut 1 time\(s\) in mid-transfer", page)


def test_the_page_in_a_browser(shift: Path) -> None:
    """Self-contained, and it shows the verdict, both recordings, their stills and the time line."""
    chromium = need_program("chromium")
    page = shift / "demo/report.html"
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    quiet += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={shift / 'profile'}"]
    shot = shift / "page.png"
    command = [chromium, *quiet, "--window-size=1200,2400", f"--screenshot={shot}", "--virtual-time-budget=2000", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert shot.stat().st_size > 50_000
    dom = subprocess.run([chromium, *quiet, "--dump-dom", page.as_uri()], check=True, capture_output=True, text=True, timeout=120).stdout
    assert len(re.findall(r'class="card recording"', dom)) == 2
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/jpeg;base64,', dom)) >= 7
    assert re.search(r'id="verdict">\s*<strong>authentic</strong>', dom)
    assert 'id="tampered"' in dom
    assert "power loss" in dom
    assert not re.search(r'(?:src|href)="(?:https?:)?//', dom)
