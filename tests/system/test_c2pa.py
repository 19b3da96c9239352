"""A public release: written with the C2PA library, read with another one that shares no code with it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware.custody.exports import read_exports
from firmware.evidence import cms
from firmware.evidence.pki import Role
from hal.interfaces import ButtonName
from hal.sim.world import World
from tools.sources import load_roots

pytest.importorskip("c2pa", reason="c2pa-python is not installed")
encypher_c2pa = pytest.importorskip("encypher_c2pa", reason="encypher-c2pa is not installed")

pytestmark = pytest.mark.system
RECORDING = "SIM-0001-000001-0001"


@pytest.fixture(scope="module")
def card(tmp_path_factory, agency) -> Path:
    from camerabench import make_camera_bench

    bench = make_camera_bench(tmp_path_factory.mktemp("camera"), agency, 0, 1, {}, 7)
    bench.world = World(time.time_ns() - 3_600 * 10**9, seed=7)
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    return bench.card


@pytest.fixture(scope="module")
def words(agency) -> list[str]:
    keys = {"key": "agency.key", "trust": "root.crt", "c2pa-cert": "publisher.crt", "c2pa-key": "publisher.key"}
    return ["--c2pa", *(part for option, name in keys.items() for part in (f"--{option}", str(agency.directory / name)))]


def oathcam(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "tools.cli", *arguments], cwd=where, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr + done.stdout
    return done


@pytest.fixture(scope="module")
def store(card, tmp_path_factory) -> Path:
    store = tmp_path_factory.mktemp("released") / "store"
    shutil.copytree(card, store / "SIM-0001")
    (store / "store.sqlite").touch()
    return store


@pytest.fixture(scope="module")
def released(store, words) -> Path:
    done = oathcam(store.parent, "open", str(store), *words, "-o", "out")
    assert done.returncode == 0, done.stderr
    assert [one.name for one in (store.parent / "out").iterdir()] == [f"{RECORDING}.mp4"]
    return store.parent / "out" / f"{RECORDING}.mp4"


@pytest.fixture
def read(agency, tmp_path, monkeypatch) -> Callable[..., dict]:
    """The other library's report, with the agency's root and nobody else's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def verify(path: Path, root: Path = agency.directory / "root.crt") -> dict:
        report = encypher_c2pa.verify(str(path), trust_pem=root.read_text(), no_default_trust=True, telemetry=False, online=False)
        return json.loads(json.dumps(report))

    return verify


def test_another_reader_finds_it_valid_and_trusts_the_agency(released, read):
    report = read(released)
    assert (report["present"], report["integrity"], report["signature"], report["hard_binding"]) == (True, "valid", "valid", "match")
    assert report["validation_state"] == "Trusted"
    assert report["validation_results"]["failure"] == []


def test_it_names_the_recording_and_carries_the_cameras_word(released, read, card, agency):
    """The camera's manifest and signature are in it, byte for byte, and verify as they do on the card."""
    found = read(released)["manifest_report"]
    active = found["manifests"][found["active_manifest"]]
    assert active["title"] == RECORDING
    (facts,) = [one["data"] for one in active["assertions"] if one["label"] == "org.oathcam.recording"]
    original = (card / "vault" / RECORDING / "manifest.json").read_bytes()
    signature = (card / "vault" / RECORDING / "manifest.json.p7s").read_bytes()
    assert (facts["recording"], facts["device"]["serial"]) == (RECORDING, "SIM-0001")
    assert facts["manifest_sha256"] == hashlib.sha256(original).hexdigest()
    made_of = [one["data"] for one in active["assertions"] if one["label"].startswith("c2pa.ingredient")]
    assert [(one["dc:title"], one["relationship"]) for one in made_of] == [("manifest.json", "inputTo"), ("manifest.json.p7s", "inputTo")]
    data = released.read_bytes()
    assert original in data
    assert signature in data
    cms.verify_detached(original, signature, load_roots(agency.directory / "root.crt"), Role.CAMERA)


def test_the_log_has_the_hash_of_what_left(store, released):
    (entry,) = read_exports((store / "SIM-0001" / "ledger" / "exports").read_bytes())
    assert (entry.c2pa, entry.file) == (True, released.name)
    assert entry.sha256 == hashlib.sha256(released.read_bytes()).hexdigest()


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_it_still_plays_with_its_chapters(released):
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_chapters", "-of", "json", str(released)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert [one["tags"]["title"].split(",")[0] for one in found["chapters"]] == ["pre-event part", "activation (button)"]
    assert {one["codec_name"] for one in found["streams"]} == {"h264", "aac"}


@pytest.mark.parametrize("where", ["picture", "last byte", "claim", "camera's manifest"])
def test_a_changed_release_is_rejected(released, read, tmp_path, where):
    data = bytearray(released.read_bytes())
    position = {
        "picture": len(data) // 2,
        "last byte": len(data) - 1,
        "claim": data.index(b"org.oathcam.recording") + 2,
        "camera's manifest": data.index(b'"backend":"sim"') + 12,
    }[where]
    data[position] ^= 1
    (tmp_path / "changed.mp4").write_bytes(data)
    report = read(tmp_path / "changed.mp4")
    assert report["integrity"] != "valid"
    assert report["validation_state"] == "Invalid"


def test_another_agencys_root_does_not_trust_it(released, read, tmp_path):
    from tools.provision import make_agency

    other = make_agency(tmp_path / "other", "Another Agency")
    report = read(released, other.directory / "root.crt")
    assert report["validation_state"] == "Valid"
    assert report["trust"]["status"] != "valid_for_supplied_material"


def test_a_certificate_that_is_none_for_c2pa_signs_nothing(card, words, agency, tmp_path):
    """A recipient's key opens; its certificate may not sign."""
    recipient = [word.replace("publisher", "agency") for word in words]
    done = oathcam(tmp_path, "open", str(card), *recipient, "-o", "out")
    assert done.returncode == 2
    assert "C2PA library refuses" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_tampered_recording_is_not_released(card, words, tmp_path):
    shutil.copytree(card, tmp_path / "card")
    victim = tmp_path / "card" / "vault" / RECORDING / "000001.m4s.p7m"
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    done = oathcam(tmp_path, "open", "card", *words, "-o", "out")
    assert done.returncode == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_without_the_library_it_says_what_to_install(card, words, tmp_path):
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "c2pa.py").write_text("raise ImportError('no c2pa')\n")
    command = [sys.executable, "-m", "tools.cli", "open", str(card), *words, "-o", "out"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "absent")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, (tmp_path / "out").exists()) == (3, False)
    assert ".[c2pa]" in done.stderr


@pytest.mark.parametrize(
    "given",
    [
        lambda words: words[1:],
        lambda words: words[:-2],
        lambda words: [*words, "--unverified"],
        lambda words: [word.replace("publisher.key", "oversight.key") for word in words],
    ],
)
def test_options_that_do_not_fit(card, words, tmp_path, given):
    assert oathcam(tmp_path, "open", str(card), *given(words), "-o", "out").returncode == 2
