"""What a wearer answered: one length for all answers, one form, and nothing said of another recording."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmware.custody.entries import KINDS, MAX_ANNOTATION_BYTES, MAX_LEAF_BYTES, Entry
from firmware.custody.flags import critical_recordings
from firmware.errors import FormatError
from firmware.evidence import annotation, cms, jcs
from firmware.evidence.annotation import ABOUT, PLAIN_BYTES, Annotation, seal_annotation
from firmware.machine.choices import About
from firmware.policy import lists
from firmware.policy.lists import CATEGORIES, MUTE_REASONS, STOP_REASONS, Choice, is_code, read_choices
from firmware.timebase import Timestamp, Trust

ANSWER = Annotation("SIM-0001-000001-0001", "category", "FA_INCIDENTAL", 65_000_000)
LONGEST = Annotation("R" * 64, "stop-reason", "C" * 40, 2**53 - 1)


@pytest.mark.parametrize("answer", [ANSWER, LONGEST, Annotation("R", "mute-reason", "NOT_GIVEN", 0)])
def test_every_answer_comes_back_and_is_as_long_as_every_other(answer: Annotation) -> None:
    """BWC-POL-04, BWC-POL-18: what is sealed tells nothing by its length."""
    data = answer.to_bytes()
    assert len(data) == PLAIN_BYTES
    assert Annotation.from_bytes(data) == answer
    assert Annotation.from_bytes(data).to_bytes() == data


def test_a_code_of_a_newer_list_is_read() -> None:
    """BWC-POL-18: unknown ids are preserved."""
    newer = replace(ANSWER, code="FLOOD_RESCUE_2031")
    assert newer.code not in {one.code for one in CATEGORIES}
    assert Annotation.from_bytes(newer.to_bytes()) == newer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recording", "../x"),
        ("about", "mood"),
        ("code", "not-given"),
        ("code", ""),
        ("at_us", -1),
        ("at_us", 1.0),
        ("padding", "x" * 150),
        ("format", "oathcam-annotation/2"),
        ("officer", "4711"),
    ],
)
def test_anything_else_is_refused(field: str, value: object) -> None:
    whole = json.loads(ANSWER.to_bytes())
    whole["padding"] = whole["padding"] if field != "padding" else ""
    spoilt = {**whole, field: value}
    missing = PLAIN_BYTES - len(json.dumps(spoilt, separators=(",", ":")))
    spoilt["padding"] += "." * max(0, missing)
    data = json.dumps(spoilt, separators=(",", ":"), sort_keys=True).encode()[:PLAIN_BYTES]
    with pytest.raises(FormatError, match="annotation"):
        Annotation.from_bytes(data)


def test_another_length_is_refused() -> None:
    value = json.loads(ANSWER.to_bytes())
    for padding in (value["padding"][:-1], value["padding"] + "."):
        with pytest.raises(FormatError):
            Annotation.from_bytes(jcs.canonical({**value, "padding": padding}))


def test_what_would_be_refused_is_not_written() -> None:
    for answer in (replace(ANSWER, code="x"), replace(ANSWER, recording="")):
        with pytest.raises(FormatError):
            answer.to_bytes()


@pytest.mark.parametrize("kind", ["P-384", "RSA-4096"])
def test_a_leaf_holds_an_annotation_for_as_many_recipients_as_there_may_be(kind: str) -> None:
    """BWC-POL-33: sixteen of the largest keys that agencies use fit into a leaf, longest names and numbers included."""
    public = ec.generate_private_key(ec.SECP384R1()).public_key() if kind == "P-384" else rsa.generate_private_key(65537, 4096).public_key()
    recipients = [cms.Recipient(f"{number:064x}", public) for number in range(cms.MAX_RECIPIENTS)]
    sealed = seal_annotation(LONGEST, recipients, os.urandom)
    fields = {"recording": LONGEST.recording, "about": LONGEST.about, "sealed": sealed}
    leaf = Entry(2**53 - 1, "annotation", Timestamp(0, 0, Trust.UNSET), 2**53 - 1, fields).to_bytes()
    assert len(leaf) <= MAX_LEAF_BYTES
    assert len(sealed) * 3 // 4 <= MAX_ANNOTATION_BYTES
    assert Entry.from_bytes(leaf).fields["sealed"] == sealed


def test_the_rooms_agree_on_words() -> None:
    """Evidence, policy and machine name the same things without knowing each other."""
    assert {one.value for one in About} == set(ABOUT)
    assert annotation.NOT_GIVEN == lists.NOT_GIVEN
    assert annotation.CODE.pattern == lists._CODE.pattern
    assert "reason" not in KINDS


def test_the_lists_that_every_profile_begins_with() -> None:
    """BWC-POL-19, -20, -21, -49: incidental First Amendment activity, restricted places, critical incidents, training."""
    codes = {one.code for one in CATEGORIES}
    assert {"FA_INCIDENTAL", "RESTRICTED_PLACE", "CRITICAL", "TRAINING"} <= codes
    places = {"PLACE_MEDICAL", "PLACE_ATTORNEY", "INFORMANT"}
    assert places | {"PLACE_RESTROOM"} <= {one.code for one in STOP_REASONS}
    assert places <= {one.code for one in MUTE_REASONS}
    assert all(is_code(one.code) for one in (*CATEGORIES, *STOP_REASONS, *MUTE_REASONS))


def test_the_order_of_a_list_is_that_of_the_file() -> None:
    assert read_choices({"B": "second letter", "A": "first"}) == (Choice("B", "second letter"), Choice("A", "first"))


def test_critical_recordings_are_found_in_the_log_and_nothing_else_is() -> None:
    """BWC-POL-21: words in another leaf's text, a torn line and junk flag nothing."""
    time = Timestamp(0, 0, Trust.UNSET)

    def leaf(n: int, kind: str, **fields: object) -> bytes:
        return Entry(n, kind, time, 1, fields).to_bytes() + b"\n"

    flagged = leaf(1, "critical", recording="R-2")
    log = leaf(0, "fault", port="x", reason='"type":"critical"') + flagged + leaf(2, "mark", recording="R-1") + b"= 3 x y\n"
    assert critical_recordings(log) == {"R-2"}
    assert critical_recordings(log + flagged.replace(b"R-2", b"R-3")[:-1]) == {"R-2", "R-3"}
    assert critical_recordings(log + flagged[:-5]) == {"R-2"}
    assert critical_recordings(b'"type":"critical"') == frozenset()
    assert critical_recordings(b"") == frozenset()
