"""Ledger leaves: every kind comes back as written, and nothing else is read."""

from __future__ import annotations

import json

import pytest
from helpers_evidence import digest

from firmware.custody.entries import KINDS, Entry, printable
from firmware.errors import FormatError
from firmware.evidence import jcs
from firmware.timebase import Timestamp, Trust

TIME = Timestamp(65_000_001_000, 1_795_421_687_123_456_000, Trust.RTC)
_H = digest("x")
_SEALED = {"plain": _H, "plain_bytes": 10, "sealed": _H, "sealed_bytes": 500}
_R = {"recording": "R-1"}
EXAMPLES = {
    "boot": {
        "counter": 7,
        "firmware": "0.1.0",
        "firmware_sha256": _H,
        "backend": "sim",
        "key_protection": "file",
        "key_sha256": _H,
        "policy_sha256": _H,
        "previous": "power-loss",
        "down_us": None,
    },
    "ready": {},
    "sleep": {},
    "wake": {},
    "begin": {**_R, "begin_sha256": _H, "cause": "button"},
    "paper": {**_R, "name": "begin.json", "content": "e30="},
    "init": {**_R, **_SEALED},
    "fragment": {
        **_R,
        "seq": 0,
        "start_us": 1,
        "start_utc": "2026-11-23T08:14:47.123456Z",
        "duration_us": 1_000_000,
        "pictures": 30,
        "audio_frames": 0,
        **_SEALED,
    },
    "mark": _R,
    "mute": {**_R, "cause": "button"},
    "unmute": {**_R, "cause": "button"},
    "annotation": {**_R, "about": "category", "sealed": "c2VhbGVk"},
    "critical": _R,
    "hold": {"entered": True, "cause": "critical"},
    "stealth": {"entered": True, "cause": "button"},
    "drop": {**_R, "after": -1, "pictures": 30, "duration_us": 1_000_000, "cause": "storage-full"},
    "end": {**_R, "manifest_sha256": _H, "cause": "button"},
    "unattested": {"recording": "what lay there", "name": "planted.m4s", "sealed": _H},
    "torn": {"bytes_sha256": _H, "bytes": 12, "unattested_leaves": 0},
    "fault": {"port": "camera", "reason": "stalled"},
    "recovered": {"port": "camera"},
    "escalation": {"port": "camera", "step": "reopen", "owed": True, "reason": "after a fault"},
    "gap": {"from_us": -5, "duration_us": 10, "cause": "off"},
    "clock": {
        "offset_us": -1_500_000,
        "uncertainty_us": 900_000,
        "source": "dock",
        "action": "set",
        "old_trust": "rtc",
        "new_trust": "synced",
    },
    "power": {"event": "low", "percent": 15},
    "policy": {"profile": "dhs", "version": 3, "sha256": _H},
    "assign": {"order_sha256": _H, "issued_utc": "2026-11-23T08:14:47.123456Z", "store": "store-1"},
    "unassign": {"order_sha256": _H, "cause": "returned"},
    "dock": {},
    "undock": {},
    "offload": {"size": 10, "root": _H},
    "receipt": {**_R, "receipt_sha256": _H, "store": "store-1"},
    "release": _R,
    "shutdown": {"reason": "held"},
    "picture": {"finding": "covered"},
    "selftest": {"go": False, "failed": ("microphone",), "duration_us": 4_500_000},
}


def entry(kind: str, **changes: object) -> Entry:
    return Entry(5, kind, TIME, 7, {**EXAMPLES[kind], **changes})


def test_every_kind_has_an_example():
    assert EXAMPLES.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_as_written(kind):
    """BWC-POL-29: what the ledger can say, it can say again, byte for byte."""
    leaf = entry(kind).to_bytes()
    assert Entry.from_bytes(leaf) == entry(kind)
    assert Entry.from_bytes(leaf).to_bytes() == leaf
    assert b"\n" not in leaf
    assert json.loads(leaf)["n"] == 5


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_needed_and_no_other_is_allowed(kind):
    whole = json.loads(entry(kind).to_bytes())
    for name in whole:
        less = {key: value for key, value in whole.items() if key != name}
        with pytest.raises(FormatError, match=name):
            Entry.from_bytes(jcs.canonical(less))
    with pytest.raises(FormatError, match="extra"):
        Entry.from_bytes(jcs.canonical({**whole, "extra": 1}))


@pytest.mark.parametrize(
    "changes",
    [{"seq": -1}, {"seq": "0"}, {"seq": True}, {"plain": "AB"}, {"recording": "../x"}, {"start_utc": "now"}, {"sealed_bytes": 0}, {"n": 3}],
)
def test_wrong_values_are_neither_written_nor_read(changes):
    with pytest.raises(FormatError):
        entry("fragment", **changes).to_bytes()
    whole = {**json.loads(entry("fragment").to_bytes()), **changes}
    if "n" not in changes:
        with pytest.raises(FormatError):
            Entry.from_bytes(jcs.canonical(whole))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"1", b'{"type":"party"}', b'{"type":[]}', b"x" * 5000])
def test_other_bytes_are_a_format_error(data):
    with pytest.raises(FormatError):
        Entry.from_bytes(data)


def test_a_clock_entry_tells_the_offset_before_the_step():
    """BWC-POL-26: measured offset, source and the trust that follows, each in the leaf."""
    found = Entry.from_bytes(entry("clock").to_bytes())
    assert (found.fields["offset_us"], found.fields["source"], found.time.trust) == (-1_500_000, "dock", Trust.RTC)


def test_text_from_outside_cannot_keep_a_leaf_from_being_written():
    """BWC-POL-40: a name planted on the card may hold anything."""
    hostile = entry("unattested", name="a\x1b[2J\n\ud800" + "x" * 5000, recording="")
    found = Entry.from_bytes(hostile.to_bytes()).fields
    assert found["name"].startswith("a\\x1b[2J\\n\\ud800xx")
    assert found["recording"] == "-"
    assert len(printable("\x00" * 300)) == 200
