"""Every way to falsify a ledger has a name of its own, and each name is found when that is what was done (BWC-POL-05, -29)."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import helpers_evidence
import pytest
from camerabench import make_camera_bench, two_recordings

from firmware.evidence.codes import CODES
from firmware.evidence.copies import Copy, compare_copies
from firmware.evidence.findings import Report, Severity, Verdict
from firmware.evidence.primitives import ed25519_public
from firmware.evidence.verify import verify_device
from firmware.evidence.verify_ledger import Witnesses
from firmware.evidence.verify_recording import RecordingCheck
from hal.interfaces import ButtonName
from tests.unit.helpers_ledger import SEED, Camera, leaves_of
from tools.sources import DirectorySource, load_key, load_roots

FIRST, SECOND = "SIM-0001-000001-0001", "SIM-0001-000001-0002"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, agency):
    """Two boots; two recordings in the first, one in the second. ``early`` is the card after the first boot."""
    bench = two_recordings(tmp_path_factory.mktemp("camera"), agency)
    shutil.copytree(bench.card, bench.card.parent / "early")
    bench.world.double_press(bench.at(22))
    bench.world.press(ButtonName.RECORD, bench.at(23), hold_ms=3300)
    bench.run(30)
    return bench


@pytest.fixture
def card(bench, tmp_path: Path) -> Path:
    shutil.copytree(bench.card, tmp_path / "card")
    return tmp_path / "card"


@pytest.fixture
def early(bench, tmp_path: Path) -> Path:
    """The card as it was after the first boot."""
    shutil.copytree(bench.card.parent / "early", tmp_path / "early")
    return tmp_path / "early"


@pytest.fixture
def verify(agency) -> Callable[..., Report]:
    def run(path: Path, witnesses: Witnesses | None = None, *, with_key: bool = False) -> Report:
        key = load_key(agency.directory / "agency.key", None) if with_key else None
        roots = load_roots(agency.directory / "root.crt")
        return verify_device(DirectorySource(path), roots, key, witnesses=witnesses or Witnesses())

    return run


def codes(report: Report, severity: Severity = Severity.BAD) -> set[str]:
    found = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    assert all(one.code in CODES for one in found if one.severity is not Severity.GOOD), found
    return {one.code for one in found if one.severity is severity}


@pytest.fixture
def camera(bench) -> Camera:
    return Camera(bench)


def edit(card: Path, change: Callable[[list[bytes]], None]) -> None:
    """Change the lines of the ledger file: leaves and signed lines alike."""
    path = card / "ledger/log"
    lines = path.read_bytes().split(b"\n")[:-1]
    change(lines)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def place_of(lines: list[bytes], kind: str) -> int:
    return next(index for index, line in enumerate(lines) if f'"type":"{kind}"'.encode() in line)


def test_an_untouched_card(card: Path, verify) -> None:
    report = verify(card, with_key=True)
    assert report.verdict is Verdict.AUTHENTIC, report.as_dict()
    assert codes(report) == set()
    assert codes(report, Severity.UNCHECKED) == {"no-witness"}


# --- inside the file


def test_a_dropped_leaf(card: Path, verify) -> None:
    edit(card, lambda lines: lines.pop(place_of(lines, "fragment")))
    assert codes(verify(card)) == {"leaf-dropped"}


def test_a_dropped_batch_with_its_signature(card: Path, verify) -> None:
    def change(lines: list[bytes]) -> None:
        at = place_of(lines, "fragment")
        end = next(index for index in range(at, len(lines)) if lines[index].startswith(b"= "))
        del lines[at : end + 1]

    edit(card, change)
    assert "leaf-dropped" in codes(verify(card))


def test_reordered_leaves(card: Path, verify) -> None:
    def change(lines: list[bytes]) -> None:
        at = next(i for i in range(len(lines) - 1) if lines[i].startswith(b"{") and lines[i + 1].startswith(b"{"))
        lines[at], lines[at + 1] = lines[at + 1], lines[at]

    edit(card, change)
    assert codes(verify(card)) == {"leaf-reordered"}


def test_a_duplicated_leaf(card: Path, verify) -> None:
    edit(card, lambda lines: lines.insert(place_of(lines, "fragment"), lines[place_of(lines, "fragment")]))
    assert codes(verify(card)) == {"leaf-duplicated"}


def test_an_altered_leaf(card: Path, verify) -> None:
    def change(lines: list[bytes]) -> None:
        at = place_of(lines, "begin")
        lines[at] = lines[at].replace(b'"cause":"button"', b'"cause":"policy"')

    edit(card, change)
    assert codes(verify(card)) == {"leaf-altered"}


@pytest.mark.parametrize("line", [b"not a leaf", b'{"n":3,"type":"dock"}'])
def test_a_foreign_leaf(card: Path, verify, line: bytes) -> None:
    edit(card, lambda lines: lines.insert(place_of(lines, "fragment"), line))
    assert codes(verify(card)) == {"leaf-foreign"}


def test_a_forged_checkpoint(card: Path, verify) -> None:
    def change(lines: list[bytes]) -> None:
        at = next(index for index, line in enumerate(lines) if line.startswith(b"= "))
        parts = lines[at].split(b" ")
        parts[3] = base64.b64encode(b"\x30\x06\x02\x01\x01\x02\x01\x01")
        lines[at] = b" ".join(parts)

    edit(card, change)
    assert codes(verify(card)) == {"checkpoint-forged"}


def test_the_ledger_of_another_camera(card: Path, verify, tmp_path: Path, agency) -> None:
    other = make_camera_bench(tmp_path, agency, 5, 1, {}, 9)
    other.run(3)
    shutil.copy(other.card / "ledger/log", card / "ledger/log")
    assert codes(verify(card)) == {"ledger-foreign"}


def test_an_unsigned_tail_is_told(card: Path, verify) -> None:
    path = card / "ledger/log"
    path.write_bytes(path.read_bytes() + b"{}\n")
    assert "ledger-tail" in codes(verify(card), Severity.NOTE)


def test_an_empty_ledger_and_none(card: Path, verify) -> None:
    (card / "ledger/log").write_bytes(b"")
    assert codes(verify(card), Severity.MISSING) == {"ledger-empty"}
    (card / "ledger/log").unlink()
    report = verify(card)
    assert (report.verdict, codes(report, Severity.MISSING)) == (Verdict.CANNOT_TELL, {"no-ledger"})
    assert all(one.remedy for one in report.findings if one.severity is Severity.MISSING)


# --- against those who saw it


def test_a_rolled_back_card_against_the_docks_checkpoint(card: Path, early: Path, verify, camera: Camera) -> None:
    """BWC-POL-29: consistent with itself, and shorter than the dock's high-water mark."""
    assert verify(early).verdict is Verdict.AUTHENTIC
    mark = Witnesses({"dock/checkpoint": camera.note(leaves_of(card))}, {"dock": ed25519_public(SEED)})
    report = verify(early, mark)
    assert codes(report) == {"ledger-rolled-back"}
    assert report.verdict is Verdict.NOT_AUTHENTIC
    whole = verify(card, mark)
    assert whole.verdict is Verdict.AUTHENTIC
    assert "no-witness" not in codes(whole, Severity.UNCHECKED)


def test_a_newer_checkpoint_that_was_left_on_the_card(card: Path, early: Path, verify) -> None:
    shutil.copy(card / "ledger/checkpoint", early / "ledger/checkpoint")
    assert codes(verify(early)) == {"ledger-rolled-back"}


def test_a_recording_removed_together_with_its_leaves(card: Path, verify, camera: Camera) -> None:
    """The ledger is cut before it and its files are gone: another copy of the ledger knows it by name."""
    shutil.copytree(card, card.parent / "whole")
    leaves = leaves_of(card)
    at = next(index for index, leaf in enumerate(leaves) if SECOND.encode() in leaf)
    (card / "ledger/log").write_bytes(camera.log(leaves[:at]))
    (card / "ledger/checkpoint").unlink()
    for name in (SECOND, "SIM-0001-000002-0001"):
        shutil.rmtree(card / "vault" / name)
    cut, whole = verify(card), verify(card.parent / "whole")
    assert cut.verdict is Verdict.AUTHENTIC  # alone it cannot be seen, and says so
    assert "no-witness" in codes(cut, Severity.UNCHECKED)
    cut, whole = compare_copies([Copy("card", cut), Copy("store", whole)])
    assert codes(cut) == {"ledger-rolled-back", "recording-vanished"}
    assert {one.recording for one in cut.findings if one.code == "recording-vanished"} == {SECOND, "SIM-0001-000002-0001"}
    assert whole.verdict is Verdict.AUTHENTIC


def test_a_docks_copy_may_end_earlier(card: Path, early: Path, verify, camera: Camera) -> None:
    (early / "ledger/checkpoint").write_bytes(camera.note(leaves_of(early)))
    docks = Witnesses(docks={"dock": ed25519_public(SEED)})
    reports = compare_copies([Copy("store", verify(early, docks)), Copy("card", verify(card))])
    assert [report.verdict for report in reports] == [Verdict.AUTHENTIC, Verdict.AUTHENTIC]
    reports = compare_copies([Copy("store", verify(early)), Copy("card", verify(card))])
    assert [report.verdict for report in reports] == [Verdict.CANNOT_TELL, Verdict.AUTHENTIC]
    assert codes(reports[0], Severity.MISSING) == {"copy-older"}


def test_a_forked_ledger(card: Path, verify, camera: Camera) -> None:
    """Two histories of one camera: the same beginning, and different leaves from some point on, both signed."""
    shutil.copytree(card, card.parent / "other")
    leaves = leaves_of(card)
    changed = [*leaves[:-1], leaves[-1].replace(b"end of test", b"end of rest")]
    (card.parent / "other/ledger/log").write_bytes(camera.log(changed))
    mark = Witnesses({"dock/checkpoint": camera.note(leaves)})
    assert codes(verify(card.parent / "other", mark)) == {"ledger-forked"}
    (card.parent / "other/ledger/checkpoint").unlink()
    (card / "ledger/checkpoint").unlink()
    reports = compare_copies([Copy("card", verify(card)), Copy("other", verify(card.parent / "other"))])
    assert [codes(report) for report in reports] == [{"ledger-forked"}, {"ledger-forked"}]
    assert any(f"from leaf {len(leaves) - 1} on" in one.text for one in reports[0].findings)


def test_a_witness_that_nobody_signed(card: Path, verify, camera: Camera) -> None:
    note = camera.note(leaves_of(card))
    lines = note.split(b"\n")
    lines[1] = b"99999"
    assert "witness-bad" in codes(verify(card, Witnesses({"x": b"\n".join(lines)})))
    assert codes(verify(card, Witnesses({"x": note}, {"dock": bytes(32)}))) == {"cosignature-bad"}
    assert "cosignature-unchecked" in codes(verify(card, Witnesses({"x": note})), Severity.UNCHECKED)


# --- leaves and files


def test_a_leaf_without_a_file(card: Path, verify) -> None:
    (card / "vault" / FIRST / "000001.m4s.p7m").unlink()
    report = verify(card)
    assert codes(report) == {"leaf-without-file"}
    (found,) = [one for one in report.recordings[0].findings if one.code == "leaf-without-file"]
    assert (found.file, found.fragment, found.gop) == ("000001.m4s.p7m", 1, 1)
    assert found.utc


def test_a_file_without_a_leaf(card: Path, verify) -> None:
    (card / "vault" / FIRST / "000099.m4s.p7m").write_bytes(b"planted")
    assert codes(verify(card)) == {"file-without-leaf"}


def test_a_recording_without_leaves(card: Path, early: Path, verify) -> None:
    shutil.copytree(card / "vault/SIM-0001-000002-0001", early / "vault/SIM-0001-000002-0001")
    assert codes(verify(early)) == {"recording-without-leaf"}


def test_a_recording_whose_files_are_gone(card: Path, verify) -> None:
    shutil.rmtree(card / "vault" / FIRST)
    assert codes(verify(card)) == {"recording-removed"}


def open_card(card: Path, camera: Camera, recording: str, until: str) -> None:
    """Cut the ledger before the recording's end, and take its closing papers away."""
    leaves = leaves_of(card)
    end = next(i for i, leaf in enumerate(leaves) if f'"type":"{until}"'.encode() in leaf and recording.encode() in leaf)
    (card / "ledger/log").write_bytes(camera.log(leaves[:end]))
    (card / "ledger/checkpoint").unlink()
    for name in ("manifest.json", "manifest.json.p7s", "notes.json.p7m"):
        (card / "vault" / recording / name).unlink()


def test_a_recording_that_was_not_closed(card: Path, verify, camera: Camera) -> None:
    """Power went, and the card was taken out before the next boot: its leaves vouch for what is there, not for its end."""
    open_card(card, camera, "SIM-0001-000002-0001", "end")
    report = verify(card, with_key=True)
    assert report.verdict is Verdict.CANNOT_TELL
    assert codes(report, Severity.MISSING) == {"recording-open"}
    (found,) = [one for one in report.recordings[-1].findings if one.code == "recording-open"]
    assert found.remedy.startswith("Boot the camera")
    path = card / "vault/SIM-0001-000002-0001/000000.m4s.p7m"
    path.write_bytes(path.read_bytes()[:-1])
    assert "sealed-differs" in codes(verify(card))


def test_a_recording_that_a_later_boot_did_not_close(card: Path, verify, camera: Camera) -> None:
    leaves = leaves_of(card)
    kept = [json.loads(leaf) for leaf in leaves if not (SECOND.encode() in leaf and b'"type":"end"' in leaf)]
    renumbered = [leaf_bytes({**leaf, "n": index}) for index, leaf in enumerate(kept)]
    (card / "ledger/log").write_bytes(camera.log(renumbered))
    (card / "ledger/checkpoint").unlink()
    for name in ("manifest.json", "manifest.json.p7s", "notes.json.p7m"):
        (card / "vault" / SECOND / name).unlink()
    assert "recording-open" in codes(verify(card))


def leaf_bytes(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


# --- boots


@pytest.mark.parametrize(
    ("counter", "boot", "code", "severity"),
    [
        (1, 1, "boot-counter-backwards", Severity.BAD),
        (4, 4, "boot-counter-skipped", Severity.UNCHECKED),
        (3, 2, "boot-counter-differs", Severity.BAD),
    ],
)
def test_the_boot_counter(card: Path, verify, camera: Camera, counter: int, boot: int, code: str, severity: Severity) -> None:
    values = [json.loads(leaf) for leaf in leaves_of(card)]
    second = [index for index, one in enumerate(values) if one["type"] == "boot"][1]
    values[second] |= {"counter": counter, "boot": boot}
    (card / "ledger/log").write_bytes(camera.log([leaf_bytes(one) for one in values]))
    (card / "ledger/checkpoint").unlink()
    assert code in codes(verify(card), severity)


def test_a_ledger_that_begins_after_the_first_boot(card: Path, verify, camera: Camera) -> None:
    """A card whose ledger was lost as a whole is consistent with itself; the key store's counter knows better."""
    assert "boot-counter-skipped" not in codes(verify(card))
    values = [json.loads(leaf) for leaf in leaves_of(card)]
    for one in values:
        one["boot"] += 2
        if one["type"] == "boot":
            one["counter"] += 2
    (card / "ledger/log").write_bytes(camera.log([leaf_bytes(one) for one in values]))
    (card / "ledger/checkpoint").unlink()
    (found,) = [one for one in verify(card).findings if one.code == "boot-counter-skipped"]
    assert found.severity is Severity.UNCHECKED
    assert found.text.startswith("2 boot(s) before 3 left no leaf")


# --- the account of time


def test_a_shift_is_accounted_for(card: Path, verify) -> None:
    """BWC-POL-05: ready, recording and signed gaps are all the time there was, per boot and in all."""
    report = verify(card)
    accounting = report.accounting
    assert accounting is not None
    assert accounting.unaccounted() == ()
    assert [run.boot for run in accounting.runs] == [1, 2]
    for run in accounting.runs:
        parts = sum(run.total_us(kind) for kind in ("ready", "recording", "docked", "gap", "unaccounted"))
        assert parts == run.length_us
    assert accounting.total_us("recording") > 10_000_000
    assert any(one.layer == "time" and one.severity is Severity.GOOD for one in report.findings)


# --- whose papers


class Shelf:
    """One recording's papers in a dict."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files

    def names(self, directory: str) -> list[str]:
        return sorted(self._files) if directory.startswith("vault/") else []

    def read(self, name: str) -> bytes:
        return self._files[name.rpartition("/")[2]]


def test_a_camera_cannot_sign_for_another() -> None:
    """A manifest that speaks of a serial number which is not its signer's is not believed, however genuine the signature is."""
    house = helpers_evidence.agency()
    told = helpers_evidence.manifest()
    for serial, expected in (("OC-000001", set()), ("OC-000002", {"paper-differs"})):
        data = replace(told, device=replace(told.device, serial=serial)).to_bytes()
        files = {"manifest.json": data, "manifest.json.p7s": house.camera.sign(data)}

        findings, _ = RecordingCheck(Shelf(files), told.recording, house.roots, None, None, None).run()
        assert {one.code for one in findings if one.code == "paper-differs"} == expected


# --- the table of codes


def test_the_documents_name_every_code() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/verifying.md").read_text(encoding="utf-8")
    rows = dict(line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `"))
    told = {name.strip("`"): meaning for name, meaning in rows.items()}
    assert told == dict(CODES)


def test_every_code_in_the_source_is_in_the_table() -> None:
    """And every one of the table is used: a code that nothing gives would promise a check that is not made."""
    root = Path(__file__).resolve().parents[2]
    sources = [*(root / "firmware").rglob("*.py"), *(root / "tools").glob("*.py")]
    text = "".join(path.read_text(encoding="utf-8") for path in sources if path.name != "codes.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []
