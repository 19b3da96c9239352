"""What a dock must not take for good: each fault gives no receipt, a reason that names it, and nothing is lost."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))

from helpers_dock import NOW_NS, Agency, Camera, reasons, signer, station_config, tree_of

from firmware.custody.entries import Entry
from firmware.custody.merkle import CompactTree
from firmware.dock.client import Outcome
from firmware.errors import RefusedError
from firmware.evidence.manifest import Manifest
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


def flip(path, at=100):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def other_signature(camera, directory):
    stranger = Agency(seed=9)
    camera_key, camera.key = camera.key, stranger.key()
    (directory / "manifest.json.p7s").write_bytes(camera.sign((directory / "manifest.json").read_bytes()))
    camera.key = camera_key


def sisters_signature(camera, directory):
    sister = Camera(camera.directory.parent / "sister", camera.agency, serial="CAM2")
    (directory / "manifest.json.p7s").write_bytes(sister.sign((directory / "manifest.json").read_bytes()))


FAULTS = {
    "a fragment is missing": (lambda camera, rec: (rec / "000001.m4s.p7m").unlink(), "000001.m4s.p7m is missing"),
    "the last fragment is missing": (lambda camera, rec: (rec / "000002.m4s.p7m").unlink(), "000002.m4s.p7m is missing"),
    "the init segment is missing": (lambda camera, rec: (rec / "init.mp4.p7m").unlink(), "init.mp4.p7m is missing"),
    "the notes are missing": (lambda camera, rec: (rec / "notes.json.p7m").unlink(), "notes.json.p7m is missing"),
    "begin.json is missing": (lambda camera, rec: (rec / "begin.json").unlink(), "begin.json is missing"),
    "a fragment is one too many": (
        lambda camera, rec: (rec / "000003.m4s.p7m").write_bytes(b"x" * 99),
        "000003.m4s.p7m is not in the manifest",
    ),
    "a fragment is doubled": (
        lambda camera, rec: (rec / "000003.m4s.p7m").write_bytes((rec / "000002.m4s.p7m").read_bytes()),
        "000003.m4s.p7m is not in the manifest",
    ),
    "a byte of a fragment is flipped": (lambda camera, rec: flip(rec / "000001.m4s.p7m"), "000001.m4s.p7m does not have the hash"),
    "a fragment was cut short": (
        lambda camera, rec: (rec / "000001.m4s.p7m").write_bytes((rec / "000001.m4s.p7m").read_bytes()[:-1]),
        "000001.m4s.p7m is not what the manifest names",
    ),
    "a byte of the init segment is flipped": (
        lambda camera, rec: flip(rec / "init.mp4.p7m"),
        "init.mp4.p7m is not what the manifest names",
    ),
    "a byte of the manifest is flipped": (lambda camera, rec: flip(rec / "manifest.json"), ""),
    "a byte of the manifest's signature is flipped": (lambda camera, rec: flip(rec / "manifest.json.p7s", -8), ""),
    "a byte of begin.json is flipped": (lambda camera, rec: flip(rec / "begin.json"), ""),
    "the manifest is signed by another key": (other_signature, ""),
    "the manifest is signed by another camera": (sisters_signature, "expected the signature of 'CAM1', got that of 'CAM2'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_gives_quarantine_a_reason_and_no_receipt(tmp_path, station, camera, fault):
    """BWC-POL-42, BWC-POL-44: no receipt, the reason named, the bytes kept, and the next recording unharmed."""
    damage, expected = FAULTS[fault]
    damage(camera, camera.record("A-1"))
    camera.record("B-2")
    report = camera.sync(station.address)
    refused, good = report.recordings
    assert (refused.recording, refused.outcome, good.outcome) == ("A-1", Outcome.REFUSED, Outcome.RECEIPTED)
    assert expected in refused.reason
    assert reasons(tmp_path / "store") == [refused.reason]
    assert not (tmp_path / "store" / "CAM1" / "vault" / "A-1").exists()
    assert not (camera.state / "sync" / "receipts" / "A-1.json").exists()
    kept = tree_of(tmp_path / "store" / "quarantine" / "CAM1" / "A-1.0")
    assert {name: data for name, data in kept.items() if name != "reason.json"} == tree_of(camera.state / "vault" / "A-1")
    assert report.alarms == (f"A-1 refused: {refused.reason}",)
    assert report.missing == ("A-1",)


def test_a_refused_recording_is_not_sent_again_and_may_be_offered_better(tmp_path, station, camera):
    """BWC-POL-44: never lost, never looping; what is repaired is judged anew."""
    directory = camera.record("A-1")
    good = (directory / "000001.m4s.p7m").read_bytes()
    flip(directory / "000001.m4s.p7m")
    first = camera.sync(station.address)
    second = camera.sync(station.address)
    assert (second.bytes_sent, second.recordings) == (0, first.recordings)
    assert len(reasons(tmp_path / "store")) == 1
    (directory / "000001.m4s.p7m").write_bytes(good[:-1])
    assert "not what the manifest names" in camera.sync(station.address).recordings[0].reason
    assert len(reasons(tmp_path / "store")) == 2


MANIFEST_LIES = {
    "one fragment fewer than the ledger": lambda manifest: dataclasses.replace(manifest, fragments=manifest.fragments[:-1]),
    "another recording": lambda manifest: dataclasses.replace(manifest, recording="Z-9"),
    "another camera": lambda manifest: dataclasses.replace(manifest, device=dataclasses.replace(manifest.device, serial="CAM2")),
    "another begin": lambda manifest: dataclasses.replace(manifest, begin_sha256="4" * 64),
}


@pytest.mark.parametrize("lie", MANIFEST_LIES)
def test_a_manifest_that_its_own_camera_signed_must_still_fit(tmp_path, station, camera, lie):
    """BWC-POL-42: a signature says who, not that it is complete."""
    camera.record("A-1", forge=MANIFEST_LIES[lie])
    assert camera.sync(station.address).recordings[0].outcome is Outcome.REFUSED
    assert len(reasons(tmp_path / "store")) == 1


def test_a_manifest_signed_anew_after_the_end_leaf_gives_no_receipt(tmp_path, station, camera):
    """BWC-POL-42: who holds the device key later cannot rewrite what the ledger closed."""
    directory = camera.record("A-1")
    manifest = Manifest.from_bytes((directory / "manifest.json").read_bytes())
    data = dataclasses.replace(manifest, key_protection="tpm").to_bytes()
    (directory / "manifest.json").write_bytes(data)
    (directory / "manifest.json.p7s").write_bytes(camera.sign(data))
    camera.sync(station.address)
    assert reasons(tmp_path / "store") == ["commit: the ledger closes this recording with another manifest"]


def test_a_fragment_that_the_ledger_never_promised_gives_no_receipt(station, camera):
    """BWC-POL-42: files and manifest agree, and the ledger knows another fragment."""
    camera.record("A-1")
    entries = [Entry.from_bytes(line) for line in camera.log.read_bytes().splitlines() if not line.startswith(b"= ")]
    drafts = [(entry.kind, {**entry.fields}) for entry in entries[1:]]
    drafts[3][1]["sealed"] = "5" * 64
    camera.log.unlink()
    camera.tree = CompactTree()
    camera.append(("ready", {}), *drafts)
    result = camera.sync(station.address).recordings[0]
    assert result.outcome is Outcome.REFUSED
    assert "the ledger and the manifest differ" in result.reason


# --- the ledger


def test_a_ledger_that_was_rolled_back_is_refused_and_alarmed(tmp_path, station, camera):
    """BWC-POL-29: the dock's high-water mark catches a card that was put back to an earlier image."""
    kept = camera.keep_ledger()
    camera.record("A-1")
    camera.sync(station.address)
    camera.restore_ledger(kept)
    with pytest.raises(RefusedError, match="rolled back"):
        camera.sync(station.address)
    alarms = station.database.alarms("CAM1")
    assert any("rolled back" in one for one in alarms)
    assert any("reports a ledger of 1 leaves" in one for one in alarms)
    assert station.database.ledger("CAM1").mark.size == 7


def test_a_forked_ledger_is_refused_and_alarmed(tmp_path, station, camera):
    """BWC-POL-29: the same device key, another history: a longer one, and one of the same length."""
    kept = camera.keep_ledger()
    camera.record("A-1")
    camera.sync(station.address)
    size = camera.tree.size
    camera.restore_ledger(kept)
    for extra in (size - 1, 5):
        camera.append(*[("ready", {})] * extra)
        with pytest.raises(RefusedError, match="ledger refused"):
            camera.sync(station.address)
    assert (tmp_path / "store" / "CAM1" / "ledger" / "log").read_bytes() != camera.log.read_bytes()
    assert len(station.database.alarms("CAM1")) >= 1
    assert station.database.ledger("CAM1").mark.size == size


def test_a_checkpoint_by_another_key_is_refused(station, camera):
    """BWC-POL-29."""
    camera.append(("ready", {}), sign=signer(camera.agency.key()))
    with pytest.raises(RefusedError, match="ledger refused"):
        camera.sync(station.address)
    assert station.database.ledger("CAM1").mark.size == 0


def test_a_leaf_changed_after_signing_is_refused(station, camera):
    """BWC-POL-29: a leaf that does not hash to the signed root."""
    camera.append(("ready", {}))
    camera.log.write_bytes(camera.log.read_bytes().replace(b'"n":1', b'"n":1', 1).replace(b'"ready"', b'"sleep"', 1))
    with pytest.raises(RefusedError, match="ledger refused"):
        camera.sync(station.address)


def test_a_camera_cannot_extend_the_ledger_with_another_cameras(tmp_path, station, camera, agency):
    """BWC-POL-29: the session's serial is that of the link certificate, and the ledger must be that serial's."""
    other = Camera(tmp_path / "other", agency, serial="CAM2")
    other.record("X-1")
    camera.log.write_bytes(other.log.read_bytes())
    (camera.directory / "keys" / "device.crt").write_bytes((other.directory / "keys" / "device.crt").read_bytes())
    with pytest.raises(RefusedError, match="ledger refused"):
        camera.sync(station.address)
    assert station.database.ledger("CAM1").mark.size == 0


def test_another_camera_of_the_agency_cannot_sign_this_ones_ledger(tmp_path, station, camera, agency):
    """BWC-POL-29, -36: one stolen device key speaks for one serial."""
    other = Camera(tmp_path / "other", agency, serial="CAM2")
    (camera.directory / "keys" / "device.crt").write_bytes((other.directory / "keys" / "device.crt").read_bytes())
    camera.log.unlink()
    camera.tree, camera.key = CompactTree(), other.key
    camera.append(("ready", {}))
    with pytest.raises(RefusedError, match="expected the certificate of 'CAM1', got 'CAM2'"):
        camera.sync(station.address)


def test_an_unsigned_claim_of_a_shorter_ledger_is_not_taken_for_a_rollback(station, camera):
    """BWC-POL-29: what an alarm says rests on what the camera signed."""
    kept = camera.keep_ledger()
    camera.record("A-1")
    camera.sync(station.address)
    camera.restore_ledger(kept)
    lines = camera.log.read_bytes().splitlines(keepends=True)
    size, root = lines[-1].split()[1:3]
    camera.log.write_bytes(b"".join(lines[:-1]) + b"= %s %s %s\n" % (size, root, b"MAYCAQECAQE="))
    with pytest.raises(RefusedError) as caught:
        camera.sync(station.address)
    assert "rolled back" not in str(caught.value)


def test_a_torn_tail_is_not_sent(tmp_path, station, camera):
    """BWC-POL-29: what follows the last signed line is nobody's word yet."""
    camera.record("A-1")
    whole = camera.log.read_bytes()
    camera.log.write_bytes(whole + b'{"half a leaf')
    assert camera.sync(station.address).complete
    assert (tmp_path / "store" / "CAM1" / "ledger" / "log").read_bytes() == whole
