"""Begin and manifest: strict both ways, and every error names its field."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers_evidence import begin, closed_later, digest, fragment, manifest

from firmware.errors import FormatError
from firmware.evidence import fields, jcs
from firmware.evidence.manifest import Begin, Manifest, Mark, fragment_name
from firmware.timebase import parse_utc


def changed(document: bytes, path: str, value: object) -> bytes:
    """The document with one value replaced, or removed (``...``), canonical again."""
    whole = json.loads(document)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    inner = whole
    for part in parents:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return jcs.canonical(whole)


def test_begin_and_manifest_come_back_as_written():
    """BWC-POL-03, BWC-POL-09, BWC-POL-10: cause, times with trust, and the pre-event facts survive the round trip."""
    assert Begin.from_bytes(begin().to_bytes()) == begin()
    for whole in (manifest(), closed_later(manifest()), manifest(3)):
        assert Manifest.from_bytes(whole.to_bytes()) == whole
        assert Manifest.from_bytes(whole.to_bytes()).to_bytes() == whole.to_bytes()


def test_documents_are_the_known_bytes():
    """Known answers: another implementation must write the same bytes."""
    assert begin().to_bytes().startswith(b'{"assignment":null,"audio":{"channels":1,"sample_rate":48000},"boot":7,')
    assert b'"format":"oathcam-manifest/1"' in manifest().to_bytes()
    assert [digest(begin().to_bytes().decode()), digest(manifest().to_bytes().decode())] == [
        "d3255163fe544dff13f2d38b2a03199dbd0d27da3902a694811425a3b9f7787d",
        "9afae507e39d425bab206f4ba5773cb22d8676e65d9a995022631b1b043d620d",
    ]


def test_a_begin_says_nothing_personal():
    """BWC-POL-33: what a stolen card shows unsealed has no officer, no place, no category."""
    assert not {"officer", "category", "location", "notes"} & set(json.loads(begin().to_bytes()))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("recording", "../x", "recording"),
        ("recording", ..., "recording"),
        ("extra", 1, "extra"),
        ("format", "oathcam-manifest/2", "format"),
        ("key_protection", "paper", "key_protection"),
        ("device.serial", "", "device.serial"),
        ("device.firmware_sha256", "A" * 64, "device.firmware_sha256"),
        ("policy.version", -1, "policy.version"),
        ("policy.version", True, "policy.version"),
        ("begin.utc", "2026-02-30T08:14:47.123456Z", "begin.utc"),
        ("begin.utc", "2026-11-23T08:14:47Z", "begin.utc"),
        ("begin.trust", "sure", "begin.trust"),
        ("end.cause", "because", "end.cause"),
        ("end.cause", "power-loss", "recovered"),
        ("recovered", {"boot": 8, "utc": "2026-11-23T08:14:47.123456Z"}, "recovered"),
        ("init", None, "init"),
        ("video.width", 0, "video.width"),
        ("audio.channels", "1", "audio.channels"),
        ("fragments.1.seq", 2, r"fragments.\[1\].seq"),
        ("fragments.1.pictures", None, r"fragments.\[1\].pictures"),
        ("fragments.2.boottime_us", 0, r"fragments.\[2\].boottime_us"),
        ("fragments.0.sealed_sha256", "00", r"fragments.\[0\].sealed_sha256"),
        ("fragments", {}, "fragments"),
        ("marks.0.fragment", 5, r"marks.\[0\].fragment"),
        ("gaps.0.after_fragment", 4, r"gaps.\[0\].after_fragment"),
        ("gaps.0.cause", "Full!", r"gaps.\[0\].cause"),
        ("mutes.0.to_us", 1, r"mutes.\[0\].to_us"),
        ("pre_event.fragments", 9, "pre_event.fragments"),
        ("pre_event.activation_fragment", 0, "pre_event.activation_fragment"),
        ("recipients", [], "recipients"),
        ("ledger.last_index", 0, "ledger.last_index"),
        ("unattested", ["a\nb"], "unattested"),
    ],
)
def test_an_error_names_its_field(path, value, named):
    """BWC-POL-24: nothing half-understood is taken for a manifest."""
    with pytest.raises(FormatError, match=named):
        Manifest.from_bytes(changed(manifest().to_bytes(), path, value))


def test_recipients_are_not_repeated():
    with pytest.raises(FormatError, match="recipients"):
        replace(manifest(), recipients=(digest("one"), digest("one"))).to_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(manifest(), fragments=(fragment(0), fragment(2))),
        replace(manifest(), marks=(Mark(0, "yesterday", 0),)),
        replace(manifest(), recording="a/b"),
    ],
)
def test_what_would_be_refused_is_not_written(wrong):
    with pytest.raises(FormatError):
        wrong.to_bytes()


def test_a_recording_cut_before_its_first_fragment_has_a_manifest():
    """BWC-POL-28: power may go before anything was promised."""
    whole = closed_later(manifest(0))
    empty = replace(
        whole, init=None, marks=(), gaps=(), mutes=(), notes=None, pre_event=replace(whole.pre_event, fragments=0, activation_fragment=0)
    )
    assert Manifest.from_bytes(empty.to_bytes()) == empty


def test_fragment_names_sort_as_they_play():
    assert [fragment_name(0), fragment_name(12)] == ["000000.m4s.p7m", "000012.m4s.p7m"]


@pytest.mark.parametrize("text", ["2026-11-23T08:14:47.123456Z", "1970-01-01T00:00:00.000000Z", "2099-12-31T23:59:59.999999Z"])
def test_the_fast_reading_of_a_time_agrees_with_the_time_base(text):
    assert fields.utc_ns(text) == parse_utc(text)
