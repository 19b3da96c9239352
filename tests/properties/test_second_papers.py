"""Papers that the camera did sign, and that are not the ones its ledger tells of: each check that finds them is asked for by its words.

What a thief of a file key could do (docs/threat-model.md), and what shows that no check rests on another that happens to stand before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from firmware.evidence import manifest as m
from firmware.evidence import pki
from firmware.evidence.findings import RecordingReport, Severity, Verdict
from tests.properties.small_device import FIRST, Files, device, verify
from tests.unit.helpers_evidence import SERIAL, Holder, agency, holder

FOLDER = f"vault/{FIRST}"
FRAGMENT = f"{FOLDER}/{m.fragment_name(1)}"


def begin() -> m.Begin:
    return m.Begin.from_bytes(device()[f"{FOLDER}/begin.json"])


def manifest() -> m.Manifest:
    return m.Manifest.from_bytes(device()[f"{FOLDER}/manifest.json"])


def signed(name: str, data: bytes) -> Files:
    """A document in its place, with a signature by this camera."""
    return {f"{FOLDER}/{name}": data, f"{FOLDER}/{name}.p7s": agency().camera.sign(data)}


def judged(changed: Files, *removed: str) -> RecordingReport:
    files = {name: data for name, data in {**device(), **changed}.items() if name not in removed}
    report = next(one for one in verify(files).recordings if one.recording == FIRST)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    return report


def bad(report: RecordingReport) -> set[tuple[str, str]]:
    return {(one.layer, one.text.partition(":")[0]) for one in report.findings if one.severity is Severity.BAD}


@pytest.mark.parametrize(
    "changed",
    [
        lambda: replace(begin(), utc="2026-11-23T09:14:47.123456Z"),
        lambda: replace(begin(), cause="policy"),
        lambda: replace(begin(), recording=FIRST[:-1] + "9"),
    ],
)
def test_another_begin_of_this_camera(changed: Callable[[], m.Begin]) -> None:
    found = bad(judged(signed("begin.json", changed().to_bytes())))
    assert ("begin", "begin.json is not the one that the manifest names") in found


def test_another_begin_that_another_manifest_names() -> None:
    """Both papers made anew, in agreement: the leaves know the hashes of those that were."""
    data = replace(begin(), utc="2026-11-23T09:14:47.123456Z").to_bytes()
    second = replace(manifest(), begin_sha256=hashlib.sha256(data).hexdigest()).to_bytes()
    found = bad(judged(signed("begin.json", data) | signed("manifest.json", second)))
    assert {("ledger", "begin leaf"), ("ledger", "end leaf")} <= found
    assert not [one for one in found if one[0] == "begin"]


def test_begin_and_manifest_that_speak_of_different_devices() -> None:
    data = replace(begin(), key_protection="tpm").to_bytes()
    second = replace(manifest(), begin_sha256=hashlib.sha256(data).hexdigest()).to_bytes()
    found = bad(judged(signed("begin.json", data) | signed("manifest.json", second)))
    assert ("begin", "begin.json and manifest.json speak of different recordings") in found


def test_a_manifest_without_its_last_fragment() -> None:
    second = replace(manifest(), fragments=manifest().fragments[:-1]).to_bytes()
    found = bad(judged(signed("manifest.json", second), FRAGMENT))
    assert {("ledger", "end leaf"), ("ledger", "promised by a leaf, and not in the manifest")} <= found


def test_a_manifest_that_names_another_fragment() -> None:
    record = replace(manifest().fragments[1], plain_sha256="0" * 64)
    second = replace(manifest(), fragments=(manifest().fragments[0], record)).to_bytes()
    found = bad(judged(signed("manifest.json", second)))
    assert {("ledger", "end leaf"), ("ledger", "manifest and leaf differ")} <= found


@pytest.mark.parametrize(("field", "word"), [("gaps", "gaps"), ("marks", "marks")])
def test_a_manifest_that_tells_more_than_its_leaves(field: str, word: str) -> None:
    more = {"gaps": (m.Gap(0, 6_000_000, 1, 1, "camera"),), "marks": (m.Mark(6_000_000, begin().utc, 0),)}[field]
    found = bad(judged(signed("manifest.json", replace(manifest(), **{field: more}).to_bytes())))
    assert {("ledger", "end leaf"), ("ledger", word)} <= found


def test_a_manifest_that_says_of_another_camera() -> None:
    other = replace(manifest(), device=replace(manifest().device, serial="OC-9999")).to_bytes()
    ((layer, text),) = bad(judged(signed("manifest.json", other)))
    assert layer == "manifest"
    assert text.startswith("it speaks of camera 'OC-9999'")


def another_camera() -> Holder:
    return holder(agency().device_ca, pki.Role.CAMERA, "OC-9999", 90)


def test_a_stream_of_another_camera_of_the_agency() -> None:
    """A good signature by a good camera, which is not the one whose papers these are."""
    (report,) = [one for one in verify(device(another_camera())).recordings if one.recording == FIRST]
    assert bad(report) == {("stream", f"signed by 'OC-9999', in a recording of camera '{SERIAL}'")}


def test_a_begin_that_another_camera_of_the_agency_signed() -> None:
    data = device()[f"{FOLDER}/begin.json"]
    found = bad(judged({f"{FOLDER}/begin.json.p7s": another_camera().sign(data)}))
    assert ("begin", f"signed by another camera than '{SERIAL}'") in found
