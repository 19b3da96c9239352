"""Evidence from a hostile hand: what is gone is not passed over, what was given is what is read, and nothing takes over the screen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from camerabench import RECORDING, leave, make_camera_bench, receipt_for
from typer.testing import CliRunner

from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign
from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.evidence import cms_token
from firmware.evidence.pki import Role
from firmware.evidence.primitives import ed25519_public
from hal.interfaces import ButtonName
from tests.properties.small_device import CHAIN, CHECKPOINT, LOG, SECOND, device, verify
from tests.properties.small_device import _chain_pem as chain_pem
from tests.unit import helpers_evidence as house
from tests.unit.helpers_ledger import SEED, Camera, leaves_of
from tools.cli import app

OTHER = "SIM-0001-000001-0002"
KEY = f"dock={ed25519_public(SEED).hex()}"
JUNK = b"\xe2\x80\x94 dock " + b"A" * 100 + b"AA==\n"
"""A line that looks like a cosignature."""

Run = Callable[..., tuple[int, dict]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, agency) -> tuple[Path, Path]:
    """A card that released its first recording, and the store that has it: the dock's cosigned checkpoint beside the same ledger."""
    bench = make_camera_bench(tmp_path_factory.mktemp("camera"), agency, 0, 1, {}, 7)
    for start in (2, 10):
        bench.world.double_press(bench.at(start))
        bench.world.press(ButtonName.RECORD, bench.at(start + 1), hold_ms=3300)
    bench.run(18)
    store = bench.card.parent / "store" / "SIM-0001"
    shutil.copytree(bench.card, store)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    bench.world.dock(bench.at(24))
    bench.run(30)
    assert bench.recordings() == [OTHER]
    shutil.rmtree(store / "ledger")
    shutil.copytree(bench.card / "ledger", store / "ledger")
    (store / "ledger/checkpoint").write_bytes(Camera(bench).note(leaves_of(bench.card)))
    return bench.card, store


@pytest.fixture
def card(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[0], tmp_path / "card"))


@pytest.fixture
def store(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "store" / "SIM-0001"))


@pytest.fixture
def run(agency) -> Run:
    def call(*paths: Path, witness: bool = False) -> tuple[int, dict]:
        arguments = ["verify", *map(str, paths), "--json", "--trust", str(agency.directory / "root.crt")]
        done = CliRunner().invoke(app, [*arguments, *(["--witness", KEY] if witness else [])])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.stdout)

    return call


def found(report: dict, severity: str) -> set[str]:
    every = [one for dev in report["devices"] for one in [*dev["findings"], *(f for r in dev["recordings"] for f in r["findings"])]]
    return {one["code"] for one in every if one["severity"] == severity}


# --- what is gone


def test_card_and_store_are_whole_together(card: Path, store: Path, run: Run) -> None:
    code, report = run(card, store, witness=True)
    assert (code, found(report, "bad"), found(report, "missing")) == (0, set(), set())
    assert "no-witness" not in found(report, "unchecked")
    code, report = run(card, store)
    assert (code, "no-witness" in found(report, "unchecked")) == (0, True)
    assert run(store)[0] == 0


def test_a_card_alone_does_not_speak_of_what_it_released(card: Path, run: Run) -> None:
    code, report = run(card)
    assert (code, found(report, "missing"), found(report, "bad")) == (3, {"recording-elsewhere"}, set())


@pytest.mark.parametrize("with_card", [True, False])
@pytest.mark.parametrize("receipts", [True, False])
def test_a_store_that_lost_what_it_signed_for(card: Path, store: Path, run: Run, with_card: bool, receipts: bool) -> None:
    """The store's administrator deletes a recording after the camera has released it."""
    shutil.rmtree(store / "vault" / RECORDING)
    if not receipts:
        shutil.rmtree(store / "ledger/receipts")
    code, report = run(store, *([card] if with_card else []))
    assert (code, "recording-removed" in found(report, "bad")) == (1, True)


def test_a_store_that_lost_it_and_its_dock_s_word(card: Path, store: Path, run: Run) -> None:
    """Without a cosignature it is no dock's copy: then the recording is somewhere else, and nothing can be told of it."""
    shutil.rmtree(store / "vault" / RECORDING)
    shutil.copy(card / "ledger/checkpoint", store / "ledger/checkpoint")
    code, report = run(store)
    assert (code, found(report, "missing")) == (3, {"recording-elsewhere"})


def test_a_receipt_that_its_leaf_names_is_gone(card: Path, store: Path, run: Run) -> None:
    for path in (card, store):
        (path / f"ledger/receipts/{RECORDING}.json").unlink()
    assert "receipt-missing" in found(run(card)[1], "bad")
    assert "receipt-missing" in found(run(store)[1], "unchecked")


def cut(path: Path, camera_note: bytes, leaves: int) -> None:
    """Roll the ledger back to its first signed lines, with what is beside it."""
    lines = (path / "ledger/log").read_bytes().split(b"\n")
    marks = [at for at, line in enumerate(lines) if line.startswith(b"= ") and int(line.split(b" ")[1]) >= leaves]
    (path / "ledger/log").write_bytes(b"\n".join(lines[: marks[0] + 1]) + b"\n")
    shutil.rmtree(path / "ledger/receipts")
    shutil.rmtree(path / "vault")
    (path / "vault").mkdir()
    (path / "ledger/checkpoint").write_bytes(camera_note)


@pytest.mark.parametrize("with_junk", [True, False])
def test_a_cosignature_that_nobody_checked_excuses_nothing(card: Path, store: Path, run: Run, with_junk: bool) -> None:
    note = (card / "ledger/checkpoint").read_bytes()
    cut(card, note + JUNK * with_junk, 1)
    for paths in ((card, store), (store, card)):
        code, report = run(*paths)
        assert code == 1
        assert found(report, "bad") & {"ledger-rolled-back", "recording-removed"}


def test_a_rolled_back_card_twice_is_no_witness(store: Path, card: Path, run: Run, tmp_path: Path) -> None:
    (store / "ledger/checkpoint").unlink()
    shutil.copytree(store, tmp_path / "copy")
    for paths in ((store, store), (store, tmp_path / "copy"), (store, card / "ledger/checkpoint")):
        assert "no-witness" in found(run(*paths)[1], "unchecked")


def test_another_cameras_ledger(tmp_path: Path) -> None:
    """A camera of the same agency tells this one's leaves as its own, without those of one recording."""
    other = house.holder(house.agency().device_ca, Role.CAMERA, "OC-9999", 90)
    tree, log = CompactTree(), b""
    for line in device()[LOG].split(b"\n"):
        if not line.startswith(b"{") or SECOND.encode() in line:
            continue
        leaf = replace(Entry.from_bytes(line), n=tree.size).to_bytes()
        tree.append(leaf_hash(leaf))
        log += leaf + b"\n"
    claim = Checkpoint("oathcam/OC-9999", tree.size, tree.root())
    log += checkpoint_line(claim, house.signer(other.key)(digest_to_sign(claim.text())))
    files = {name: data for name, data in device().items() if not name.startswith((f"vault/{SECOND}", CHECKPOINT))}
    report = verify({**files, LOG: log, CHAIN: chain_pem(other)})
    assert {one.code for one in report.all_findings if one.severity.value == "bad"} >= {"ledger-foreign"}
    assert report.device == "OC-9999"


# --- what was given is what is read


def test_papers_and_checkpoints_that_belong_to_nothing_are_told(store: Path, run: Run, tmp_path: Path) -> None:
    paper = tmp_path / "manifest.json"
    for name in ("manifest.json", "manifest.json.p7s"):
        shutil.copy(store / "vault" / OTHER / name, tmp_path / name)
    assert run(store, paper)[0] == 0
    paper.write_bytes(paper.read_bytes().replace(b"SIM-0001", b"SIM-0009"))
    assert (run(store, paper)[0], found(run(store, paper)[1], "missing")) == (3, {"unused"})
    note = tmp_path / "checkpoint"
    note.write_bytes((store / "ledger/checkpoint").read_bytes().replace(b"SIM-0001\n", b"SIM-0009\n", 1))
    assert (run(store, note)[0], found(run(store, note)[1], "missing")) == (3, {"unused"})


def test_a_witness_that_nothing_carries_is_told(card: Path, store: Path, run: Run) -> None:
    (store / "ledger/checkpoint").unlink()
    assert "cosignature-unchecked" in found(run(card, store, witness=True)[1], "unchecked")


@pytest.mark.parametrize("name", ["1.m4s.p7m", "000001.edited.m4s.p7m", "²00001.m4s.p7m", "000001.m4s.p7m.p7m"])
def test_a_fragment_by_another_name_is_not_the_fragment(store: Path, run: Run, name: str) -> None:
    path = store / "vault" / OTHER / name
    path.write_bytes(b"forged")
    assert run(path)[0] != 0


def test_a_recording_in_anothers_place(store: Path, run: Run) -> None:
    shutil.rmtree(store / "vault" / RECORDING)
    shutil.copytree(store / "vault" / OTHER, store / "vault" / RECORDING)
    assert run(store / "vault" / RECORDING)[0] == 1
    assert run(store / "vault" / RECORDING / "000001.m4s.p7m")[0] == 1


@pytest.mark.parametrize("papers", [True, False])
def test_a_directory_that_can_be_read_in_two_ways(store: Path, tmp_path: Path, agency, papers: bool) -> None:
    """Genuine directories planted in a forged recording, or over a store, would be verified in their place."""
    recording = Path(shutil.copytree(store / "vault" / OTHER, tmp_path / "exhibit"))
    shutil.copytree(store / "ledger", recording / "ledger")
    if not papers:
        for path in recording.glob("*.json*"):
            path.unlink()
    shutil.copytree(store / "ledger", store.parent / "ledger")
    for path in (recording, store.parent):
        for command in (["verify", str(path)], ["open", str(path), "--key", str(agency.directory / "agency.key")]):
            done = CliRunner().invoke(app, [*command, "--trust", str(agency.directory / "root.crt")])
            assert "two ways" in str(done.exception)


def test_links_are_named_and_not_followed(store: Path, run: Run) -> None:
    (store / "vault" / OTHER / "000099.m4s.p7m").symlink_to("/etc/passwd")
    code, report = run(store)
    assert (code, found(report, "bad")) == (1, {"file-without-leaf"})
    (store / "vault" / OTHER / "000099.m4s.p7m").unlink()
    (store / "vault" / "SIM-0001-000009-0001").symlink_to(store / "vault" / OTHER)
    assert (run(store)[0], found(run(store)[1], "missing")) == (3, {"file-missing"})
    (store / "vault" / OTHER / "000001.m4s.p7m").write_bytes(b"forged")
    assert "sealed-differs" in found(run(store)[1], "bad"), "a link hides nothing beside it"


@pytest.mark.parametrize("room", ["vault", "ledger", f"vault/{OTHER}"])
def test_a_directory_that_does_not_tell_what_it_holds(store: Path, run: Run, monkeypatch: pytest.MonkeyPatch, room: str) -> None:
    listed = os.listdir

    def refuse(path: object) -> list[str]:
        if Path(str(path)) == store / room:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(os, "listdir", refuse)
    code, report = run(store)
    assert (code != 0, "file-missing" in found(report, "missing")) == (True, True)
    assert report["devices"][0]["layers"] or report["devices"][0]["recordings"]


@pytest.mark.parametrize("count", [1, 40])
def test_what_nobody_signed_beside_a_signature(store: Path, run: Run, agency, count: int) -> None:
    path = store / "vault" / OTHER / "manifest.json.p7s"
    token = b"\x30\x03\x02\x01\x05"
    signature = path.read_bytes()
    for number in range(min(count, 16)):
        signature = cms_token.add_token(signature, token[:-1] + bytes((number,)))
    if count > 16:
        big = cms_token.MAX_TOKENS
        cms_token.MAX_TOKENS = 100
        try:
            for number in range(16, count):
                signature = cms_token.add_token(signature, token[:-1] + bytes((number,)))
        finally:
            cms_token.MAX_TOKENS = big
    path.write_bytes(signature)
    assert (run(store)[0], found(run(store)[1], "bad")) == (1, {"stamp-bad"})
    begin = store / "vault" / OTHER / "begin.json.p7s"
    begin.write_bytes(cms_token.add_token(begin.read_bytes(), token))
    assert "unsigned-attribute" in found(run(store)[1], "note")


# --- what it does to the machine that looks


def test_pipes_and_endless_files_hold_nothing_up(store: Path, run: Run, tmp_path: Path) -> None:
    os.mkfifo(store / "vault" / OTHER / "pipe")
    (store / "ledger/checkpoint").unlink()
    os.mkfifo(store / "ledger/checkpoint")
    assert run(store)[0] == 1
    loose = tmp_path / "x.p7m"
    for path in (store / "vault" / OTHER / "manifest.json", loose):
        path.touch()
        os.truncate(path, 15 << 40)
        assert run(path if path is loose else path.parent)[0] in (1, 3)


def test_names_do_not_reach_the_terminal_as_they_are(store: Path, agency) -> None:
    """Escape sequences that clear the screen and write a verdict, markup, and bytes that are no UTF-8."""
    for name in (b"x\x1b[2J\x1b[Hverdict: authentic\x1b[8m", b"[bold]x", b"\xff\xfe"):
        Path(os.fsdecode(os.path.join(os.fsencode(store / "vault" / OTHER), name))).write_bytes(b"planted")
        Path(os.fsdecode(os.path.join(os.fsencode(store / "vault"), name))).mkdir()
    for more in ([], ["--json"], ["--report", str(store.parent / "page.html")]):
        command = [sys.executable, "-m", "tools.cli", "verify", str(store), "--trust", str(agency.directory / "root.crt"), *more]
        done = subprocess.run(command, capture_output=True, timeout=60, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
        assert done.returncode == 1, done.stderr
        assert b"\x1b" not in done.stdout + done.stderr
        assert b"[bold]x" in done.stdout
        done.stdout.decode("utf-8")
