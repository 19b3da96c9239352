"""The verifier over a real card, changed in one way at a time: each change is named, and none is called authentic."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware.custody.checkpoint import read_log
from firmware.evidence.findings import Report, Severity, Verdict, key_words
from firmware.evidence.manifest import KEY_PROTECTIONS
from firmware.evidence.pki import load_certificates_pem, public_key
from firmware.evidence.verify import LedgerView, verify_device
from firmware.evidence.verify_recording import RecordingCheck
from hal.interfaces import KeyProtection
from tools.cli import app
from tools.sources import DirectorySource, load_key, load_roots


@pytest.fixture
def copy(card: Path, tmp_path: Path) -> Path:
    shutil.copytree(card, tmp_path / "card")
    return tmp_path / "card"


@pytest.fixture
def verify(agency) -> Callable[..., Report]:
    def run(path: Path, with_key: bool = True) -> Report:
        key = load_key(agency.directory / "agency.key", None) if with_key else None
        return verify_device(DirectorySource(path), load_roots(agency.directory / "root.crt"), key)

    return run


def first(copy: Path) -> Path:
    return copy / "vault" / "SIM-0001-000001-0001"


def flip(path: Path, offset: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 1
    path.write_bytes(data)


def bad(report: Report) -> list[str]:
    findings = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    return [one.sentence() for one in findings if one.severity is Severity.BAD]


def test_an_untouched_card_is_authentic(copy: Path, verify: Callable) -> None:
    report = verify(copy)
    assert report.verdict is Verdict.AUTHENTIC
    assert report.device == "SIM-0001"
    assert bad(report) == []
    assert verify(copy, with_key=False).verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize(
    "name", ["000002.m4s.p7m", "init.mp4.p7m", "notes.json.p7m", "assignment.json.p7m", "begin.json", "manifest.json", "manifest.json.p7s"]
)
def test_a_flipped_bit_anywhere_is_named(copy: Path, verify: Callable, name: str, with_key: bool) -> None:
    """BWC-POL-24: whichever file it lies in, the finding names that file."""
    flip(first(copy) / name)
    report = verify(copy, with_key)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert any(name.removesuffix(".p7s") in one for one in bad(report))


@pytest.mark.parametrize("seq", [0, 3])
def test_a_dropped_fragment_is_named(copy: Path, verify: Callable, seq: int) -> None:
    """BWC-POL-24: drop."""
    (first(copy) / f"{seq:06d}.m4s.p7m").unlink()
    report = verify(copy)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert any("missing" in one and f"fragment {seq}" in one for one in bad(report))


def test_swapped_fragments_are_both_named(copy: Path, verify: Callable) -> None:
    """BWC-POL-24: reorder."""
    one, other, aside = (first(copy) / name for name in ("000001.m4s.p7m", "000002.m4s.p7m", "aside"))
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    found = " ".join(bad(verify(copy)))
    assert "fragment 1" in found
    assert "fragment 2" in found


def test_a_truncated_fragment_is_named(copy: Path, verify: Callable) -> None:
    """BWC-POL-24: truncate."""
    path = first(copy) / "000001.m4s.p7m"
    path.write_bytes(path.read_bytes()[:-1])
    assert any("fragment 1" in one for one in bad(verify(copy)))


def test_an_added_file_is_named(copy: Path, verify: Callable) -> None:
    shutil.copy(first(copy) / "000001.m4s.p7m", first(copy) / "000050.m4s.p7m")
    assert any("no signed object names" in one and "000050" in one for one in bad(verify(copy)))


def test_a_recording_with_another_ones_papers_is_refused(copy: Path, verify: Callable) -> None:
    for name in ("manifest.json", "manifest.json.p7s"):
        shutil.copy(copy / "vault" / "SIM-0001-000001-0002" / name, first(copy) / name)
    assert any("it is the manifest of 'SIM-0001-000001-0002'" in one for one in bad(verify(copy)))


def test_a_vanished_recording_leaves_its_leaves_behind(copy: Path, verify: Callable) -> None:
    """BWC-POL-29: removing the whole directory does not remove what the ledger says of it."""
    shutil.rmtree(first(copy))
    report = verify(copy)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert any("SIM-0001-000001-0001" in one for one in bad(report))


def test_a_changed_leaf_breaks_the_ledger(copy: Path, verify: Callable) -> None:
    """BWC-POL-29: the signed root does not fit any more."""
    log = copy / "ledger" / "log"
    text = log.read_bytes()
    log.write_bytes(text.replace(b'"cause":"button"', b'"cause":"policy"', 1))
    report = verify(copy)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert any(one.startswith("ledger") for one in bad(report))


def test_without_its_ledger_nothing_can_be_told(copy: Path, verify: Callable) -> None:
    """What a ledger would have said is missing: never called valid."""
    shutil.rmtree(copy / "ledger")
    report = verify(copy)
    assert report.verdict is Verdict.CANNOT_TELL
    assert any("no ledger" in one.text for one in report.findings if one.severity is Severity.MISSING)


def test_an_unsigned_tail_is_not_used(copy: Path, verify: Callable) -> None:
    log = copy / "ledger" / "log"
    log.write_bytes(log.read_bytes() + b'{"a planted":"leaf"}\n')
    report = verify(copy)
    assert report.verdict is Verdict.AUTHENTIC
    assert any("nobody's word" in one.text for one in report.findings)


def test_every_bit_of_a_small_document_matters(copy: Path, verify: Callable) -> None:
    """No byte of begin.json or its signature can change unnoticed (a sample of offsets)."""
    path = first(copy) / "begin.json"
    for target in (path, path.with_name("begin.json.p7s")):
        whole = target.read_bytes()
        for offset in range(0, len(whole), max(1, len(whole) // 40)):
            flip(target, offset)
            assert verify(copy, with_key=False).verdict is not Verdict.AUTHENTIC, (target.name, offset)
            target.write_bytes(whole)


def test_a_symbolic_link_is_not_followed(copy: Path, verify: Callable, tmp_path: Path) -> None:
    """A copy on a stick must not make the verifier read another file."""
    path = first(copy) / "000001.m4s.p7m"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert any("fragment 1" in one for one in bad(verify(copy)))


@pytest.mark.parametrize(
    ("protection", "words"),
    [("file", "in a file"), ("tpm", "in a TPM 2.0"), ("pkcs11", "in a PKCS#11 token"), ("simulated", "belongs to the simulator")],
)
def test_the_verdict_says_where_the_key_was(protection: str, words: str) -> None:
    assert words in key_words(protection)
    assert set(KEY_PROTECTIONS) == {each.value for each in KeyProtection}


def test_a_manifest_that_boasts_is_caught_by_the_boot_leaf(copy: Path, agency) -> None:
    """Manifest and ledger speak of one key: a recording cannot claim a better one than the camera had when it booted."""
    source, roots = DirectorySource(copy), load_roots(agency.directory / "root.crt")
    chain = load_certificates_pem((copy / "ledger" / "device.pem").read_bytes())
    entries = read_log((copy / "ledger" / "log").read_bytes(), "oathcam/SIM-0001", public_key(chain[0])).entries
    leaves = LedgerView(entries).of(first(copy).name)
    assert leaves[0].kind == "boot"
    for protection, severity in (("simulated", Severity.GOOD), ("tpm", Severity.BAD)):
        boot = dataclasses.replace(leaves[0], fields={**leaves[0].fields, "key_protection": protection})
        findings, facts = RecordingCheck(source, first(copy).name, roots, None, (boot, *leaves[1:]), None).run()
        assert facts["key_protection"] == "simulated"
        assert [one.severity for one in findings if one.text.startswith("key protection")] == [severity]


def test_the_command_says_where_the_key_was(copy: Path, agency) -> None:
    """In words for people, and in words for programs."""
    arguments = ["verify", str(copy), "--trust", str(agency.directory / "root.crt")]
    said = CliRunner().invoke(app, arguments)
    assert "the camera states that its signing key belongs to the simulator" in " ".join(said.output.split("verdict:")[-1].split())
    found = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    for recording in found["devices"][0]["recordings"]:
        assert recording["signing_key"] == key_words("simulated")
        assert recording["facts"]["key_protection"] == "simulated"
