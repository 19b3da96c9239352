"""What a court's expert is handed: a store, a recording alone, an opened film, one fragment. Each gives the verdict that it can carry."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from camerabench import RECORDING, make_camera_bench
from typer.testing import CliRunner

from firmware.errors import UsageError
from firmware.evidence.cms import open_sealed
from firmware.evidence.primitives import ed25519_public
from tools.cli import app
from tools.sources import load_key
from tools.verifying import parse_witnesses

Run = Callable[..., tuple[int, dict]]


@pytest.fixture
def recording(card: Path, tmp_path: Path) -> Path:
    """One recording's directory, taken out of its vault and given another name."""
    return Path(shutil.copytree(card / "vault" / RECORDING, tmp_path / "exhibit-1"))


@pytest.fixture(scope="module")
def opened(card: Path, agency, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``init.mp4`` and fragments, decrypted as by hand, in a directory without papers."""
    key = load_key(agency.directory / "agency.key", None)
    assert key is not None
    target = tmp_path_factory.mktemp("by-hand")
    for path in (card / "vault" / RECORDING).glob("*.p7m"):
        if "json" not in path.name:
            (target / path.name.removesuffix(".p7m")).write_bytes(open_sealed(path.read_bytes(), key.private_key, key.certificate))
    return target


@pytest.fixture
def film(opened: Path, tmp_path: Path) -> Path:
    """What `cat init.mp4 0*.m4s` makes, which is what `oathcam open` writes."""
    path = tmp_path / "film.mp4"
    path.write_bytes(b"".join(one.read_bytes() for one in [opened / "init.mp4", *sorted(opened.glob("0*.m4s"))]))
    return path


@pytest.fixture
def run(agency) -> Run:
    def call(*paths: Path, trust: bool = True, key: bool = False) -> tuple[int, dict]:
        arguments = ["verify", *map(str, paths), "--json"]
        arguments += ["--trust", str(agency.directory / "root.crt")] if trust else []
        arguments += ["--key", str(agency.directory / "agency.key")] if key else []
        done = CliRunner().invoke(app, arguments)
        return done.exit_code, json.loads(done.stdout)

    return call


def found(report: dict, severity: str) -> set[str]:
    devices = report["devices"]
    every = [one for device in devices for one in [*device["findings"], *(f for r in device["recordings"] for f in r["findings"])]]
    return {one["code"] for one in every if one["severity"] == severity}


def test_a_store_with_several_cameras(card: Path, run: Run, tmp_path: Path, agency) -> None:
    other = make_camera_bench(tmp_path, agency, 3, 1, {}, 9, "SIM-0002")
    other.run(3)
    store = tmp_path / "store"
    shutil.copytree(card, store / "SIM-0001")
    shutil.copytree(other.card, store / "SIM-0002")
    code, report = run(store)
    assert code == 0
    assert len(report["devices"]) == 2
    assert all(device["time"]["unaccounted_us"] == 0 for device in report["devices"])


def test_a_recording_alone_cannot_show_that_its_ledger_agrees(recording: Path, run: Run) -> None:
    code, report = run(recording, key=True)
    assert (code, found(report, "missing")) == (3, {"no-ledger"})
    assert report["devices"][0]["recordings"][0]["verdict"] == "authentic"
    path = recording / "000001.m4s.p7m"
    path.write_bytes(path.read_bytes()[:-1])
    assert run(recording)[0] == 1


def test_a_recording_in_its_vault_is_judged_without_the_others(card: Path, run: Run, tmp_path: Path) -> None:
    shutil.copytree(card, tmp_path / "card")
    shutil.rmtree(tmp_path / "card/vault/SIM-0001-000001-0002")
    assert run(tmp_path / "card/vault" / RECORDING)[0] == 0
    assert run(tmp_path / "card")[0] == 1


def test_a_film_alone_cannot_tell(film: Path, run: Run) -> None:
    """Its pictures are proven; its end, its sound and its times are not: never called authentic."""
    code, report = run(film)
    assert (code, found(report, "missing"), found(report, "bad")) == (3, {"no-manifest"}, set())
    assert any(layer["layer"] == "stream" and layer["severity"] == "good" for layer in report["devices"][0]["recordings"][0]["layers"])


def test_a_film_with_its_manifest_is_authentic(film: Path, card: Path, run: Run) -> None:
    code, report = run(film, card / "vault" / RECORDING / "manifest.json")
    assert (code, found(report, "bad")) == (0, set())
    assert report["devices"][0]["recordings"][0]["facts"]["recording"] == RECORDING
    assert run(film, card)[0] == 0
    assert run(film, card / "vault/SIM-0001-000001-0002/manifest.json")[0] == 3


def test_a_film_without_a_root_cannot_tell(film: Path, card: Path, run: Run) -> None:
    code, report = run(film, trust=False)
    assert code == 3
    assert "no-root" in found(report, "missing")


def parts(film: Path) -> list[bytes]:
    """Init segment and fragments."""
    data = film.read_bytes()
    pieces = data.split(b"\x00\x00\x00\x18styp")
    return [pieces[0], *(b"\x00\x00\x00\x18styp" + one for one in pieces[1:])]


def test_a_film_that_lost_its_end(film: Path, card: Path, run: Run) -> None:
    """The stream alone does not show it; the manifest does, by name."""
    pieces = parts(film)
    film.write_bytes(b"".join(pieces[:-2]))
    code, report = run(film)
    assert (code, found(report, "bad")) == (3, set())
    assert "stream-tail" in found(report, "unchecked")
    code, report = run(film, card / "vault" / RECORDING / "manifest.json")
    assert (code, found(report, "bad")) == (0, set())
    assert "fragment-only" in found(report, "unchecked")


@pytest.mark.parametrize("change", ["drop", "swap", "picture", "sound", "repeat"])
def test_a_changed_film_is_not_authentic(film: Path, card: Path, run: Run, change: str) -> None:
    pieces = parts(film)
    if change == "drop":
        del pieces[2]
    elif change == "swap":
        pieces[2], pieces[3] = pieces[3], pieces[2]
    elif change == "repeat":
        pieces.insert(2, pieces[2])
    else:
        altered = bytearray(pieces[2])
        altered[-3 if change == "sound" else len(altered) // 2] ^= 1
        pieces[2] = bytes(altered)
    film.write_bytes(b"".join(pieces))
    alone, with_manifest = run(film), run(film, card / "vault" / RECORDING / "manifest.json")
    assert with_manifest[0] == 1
    assert "film-differs" in found(with_manifest[1], "bad")
    assert alone[0] == (3 if change == "sound" else 1)


def test_a_film_that_is_cut_in_mid_fragment(film: Path, run: Run) -> None:
    film.write_bytes(film.read_bytes()[:-20])
    code, report = run(film)
    assert (code, found(report, "bad")) == (1, {"media-bad"})


def test_a_film_packed_by_another_program(film: Path, run: Run, tmp_path: Path) -> None:
    """A copy into an ordinary MP4 keeps the signed stream: its pictures are still proven, and no more."""
    import av

    packed = tmp_path / "packed.mp4"
    with av.open(str(film)) as source, av.open(str(packed), "w") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                sink.mux(packet)
    code, report = run(packed)
    assert (code, found(report, "bad")) == (3, set())
    assert {"no-manifest"} == found(report, "missing")


def test_one_sealed_fragment(card: Path, recording: Path, run: Run, tmp_path: Path) -> None:
    code, report = run(card / "vault" / RECORDING / "000002.m4s.p7m", key=True)
    assert (code, found(report, "bad")) == (0, set())
    assert "fragment-only" in found(report, "unchecked")
    path = recording / "000002.m4s.p7m"
    assert run(path)[0] == 3  # its ledger is not there
    path.write_bytes(path.read_bytes()[:-1])
    assert run(path)[0] == 1
    loose = tmp_path / "000002.m4s.p7m"
    shutil.copy(card / "vault" / RECORDING / "000002.m4s.p7m", loose)
    code, report = run(loose, key=True)
    assert (code, found(report, "missing")) == (3, {"no-manifest"})
    sealed = loose.read_bytes()
    loose.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    assert run(loose, key=True)[0] == 1


def test_plain_fragments(opened: Path, card: Path, run: Run, tmp_path: Path) -> None:
    manifest = card / "vault" / RECORDING / "manifest.json"
    code, report = run(opened / "000002.m4s", manifest)
    assert (code, found(report, "bad")) == (0, set())
    code, report = run(opened / "000002.m4s")
    assert (code, found(report, "missing")) == (3, {"no-manifest"})
    code, report = run(*sorted(opened.glob("0*.m4s")))
    assert (code, found(report, "bad")) == (3, set())
    shutil.copy(opened / "000002.m4s", tmp_path)
    code, report = run(tmp_path / "000002.m4s", manifest)
    assert (code, found(report, "unchecked")) == (0, {"no-init", "fragment-only"})


def test_a_checkpoint_that_no_dock_signed_is_compared_and_no_witness(card: Path, run: Run, tmp_path: Path) -> None:
    """Whoever puts back a card can make one of it."""
    mark = tmp_path / "high-water-mark"
    shutil.copy(card / "ledger/checkpoint", mark)
    code, report = run(card, mark)
    assert code == 0
    assert "no-witness" in found(report, "unchecked")


def test_witness_keys_as_provisioning_writes_them(agency) -> None:
    """The public half of a dock's witness key lies beside the seed, in hex; anything else is a usage error."""
    path = agency.directory / "dock/witness.pub"
    seed = bytes.fromhex((agency.directory / "dock/witness.key").read_text())
    assert parse_witnesses([f"dock={path}", f"other={path.read_text().strip()}"]) == dict.fromkeys(("dock", "other"), ed25519_public(seed))
    for wrong in ("dock", "dock=", "=00", "dock=zz", f"dock={agency.directory / 'root.crt'}"):
        with pytest.raises(UsageError):
            parse_witnesses([wrong])


@pytest.mark.parametrize("content", [None, b"", b"hello"])
def test_what_cannot_be_verified_is_a_usage_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "thing"
    if content is not None:
        path.write_bytes(content)
    done = CliRunner().invoke(app, ["verify", str(path)])
    assert done.exit_code != 0
    assert type(done.exception).__name__ == "UsageError"


def test_verifying_loads_no_camera_no_network_and_no_codec() -> None:
    """It runs on a lawyer's laptop: the command's own modules bring neither a back-end nor a decoder nor a socket."""
    program = "import sys, json, tools.verify, tools.expert_timeline; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"hal", "av", "cv2", "numpy", "picamera2", "gpiozero", "serial", "sqlite3"}
    assert not [name for name in json.loads(done.stdout) if name.startswith(("tools.dock", "firmware.dock", "firmware.daemon"))]
