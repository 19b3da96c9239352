"""Canonical JSON: one text per value, and nothing else is read."""

from __future__ import annotations

import json

import pytest

from firmware.errors import FormatError
from firmware.evidence import jcs


def test_writes_sorted_compact_unescaped_json():
    assert jcs.canonical({"b": [1, True, None], "a": "é\n\x7f"}) == '{"a":"é\\n\x7f","b":[1,true,null]}'.encode()


def test_sorts_keys_by_utf_16_unit():
    # U+FB33 sorts before U+1F600 by code point and after it by UTF-16 unit (RFC 8785 §3.2.3)
    assert list(json.loads(jcs.canonical({"\ufb33": 1, "\U0001f600": 2}))) == ["\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", [2**53, -(2**53), float("nan"), object(), {1: 2}, "\ud800", b"bytes"])
def test_refuses_to_write_what_json_cannot_carry(value):
    with pytest.raises(ValueError):
        jcs.canonical(value)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b'{"a":1,"a":1}', "canonical"),
        (b'{"b":1,"a":1}', "canonical"),
        (b'{"a": 1}', "canonical"),
        (b'"\\u0041"', "canonical"),
        (b"-0", "canonical"),
        (b"01", "canonical"),
        (b"1 2", "canonical"),
        (b" 1", "JSON"),
        (b"1.0", "integer"),
        (b"1e2", "integer"),
        (b"NaN", "integer"),
        (b"9007199254740992", "integer"),
        (b"9" * 5000, "integer"),
        (b'"\\ud800"', "canonical"),
        (b'"\xff"', "UTF-8"),
        (b"\xef\xbb\xbf1", "JSON"),
        (b"", "JSON"),
        (b"1\n", "canonical"),
        (b"[" * 17 + b"]" * 17, "deep"),
        (b"[" * 200_000 + b"]" * 200_000, "canonical"),
    ],
)
def test_reads_nothing_that_is_not_canonical(data, word):
    """A document has one form, so its hash has one meaning (BWC-POL-24)."""
    with pytest.raises(FormatError, match=word):
        jcs.parse(data, "test")


def test_names_the_byte_that_differs():
    with pytest.raises(FormatError) as caught:
        jcs.parse(b'{"a":1, "b":2}', "test")
    assert (caught.value.layer, caught.value.offset) == ("test", 7)


def test_bounds_length_before_reading():
    with pytest.raises(FormatError, match="at most 4 bytes"):
        jcs.parse(b"12345", "test", 4)


def test_reads_floats_only_when_asked():
    assert jcs.parse(b'{"x":1.5}', "test", allow_floats=True) == {"x": 1.5}
    with pytest.raises(FormatError):
        jcs.parse(b'{"x":1.50}', "test", allow_floats=True)
