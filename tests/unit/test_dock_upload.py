"""Offsets of resumable uploads (draft-ietf-httpbis-resumable-upload)."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.dock import upload
from firmware.dock.upload import Append, UploadState, judge
from firmware.errors import FormatError

SHA = hashlib.sha256(b"content").hexdigest()


def lower(fields):
    return {name.lower(): value for name, value in fields.items()}


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.booleans(), st.none() | st.integers(0, 10**12))
def test_append_fields_read_back(offset, size, completes, length):
    append = Append(offset, size, length, completes, SHA)
    assert upload.parse_append(lower(upload.append_fields(append, SHA))) == append


def test_the_digest_field_is_that_of_rfc_9530():
    """Known answer from RFC 9530, appendix B.1 ({"hello": "world"} and a newline), in sha-256."""
    value = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
    digest = hashlib.sha256(b'{"hello": "world"}\n').hexdigest()
    assert upload.digest_field(digest) == value
    assert upload.parse_digest(value) == digest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("upload-offset", "-1"),
        ("upload-offset", "01"),
        ("upload-offset", "1.0"),
        ("upload-offset", ""),
        ("upload-offset", "٣"),
        ("upload-offset", "9" * 40),
        ("upload-complete", "1"),
        ("upload-complete", "true"),
        ("upload-length", "x"),
        ("content-length", ""),
        ("content-type", "application/octet-stream"),
        ("repr-digest", "sha-512=:AAAA:"),
        ("repr-digest", "sha-256=:AAAA:"),
    ],
)
def test_a_field_that_is_not_what_the_draft_says_is_refused(name, value):
    """BWC-POL-39."""
    fields = lower(upload.append_fields(Append(0, 4, 4, True), SHA))
    with pytest.raises(FormatError):
        upload.parse_append({**fields, name: value})


def test_only_an_append_at_the_durable_end_is_accepted():
    """BWC-POL-41: the receiver's bytes decide where a transfer goes on; a conflict names them."""
    state = UploadState(100, 300, complete=False)
    assert judge(state, Append(100, 200, 300, True, SHA), SHA) is None
    assert judge(state, Append(100, 50, None, False), SHA) is None
    conflict = judge(state, Append(99, 201, 300, True), SHA)
    assert (conflict.status, conflict.expected_offset, conflict.type) == (409, 100, upload.MISMATCHING_OFFSET)
    assert judge(state, Append(101, 199, 300, True), SHA).status == 409


@pytest.mark.parametrize(
    "append",
    [
        Append(100, 201, 300, True),
        Append(100, 201, None, True),
        Append(100, 200, 301, True),
        Append(100, 200, 300, False),
        Append(100, 100, 300, True),
        Append(100, 200, 300, True, "0" * 64),
    ],
)
def test_an_append_that_contradicts_the_report_is_refused(append):
    """BWC-POL-42."""
    assert judge(UploadState(100, 300, complete=False), append, SHA).status == 400


def test_a_complete_upload_takes_nothing_more():
    assert judge(UploadState(300, 300, complete=True), Append(300, 0, 300, True), SHA).type == upload.COMPLETED_UPLOAD


@settings(max_examples=200)
@given(st.integers(1, 1000), st.lists(st.integers(0, 400), max_size=12), st.data())
def test_any_cuts_end_in_the_whole_and_never_beyond_it(length, cuts, data):
    """BWC-POL-41, as a model: whatever arrives of each attempt, the next one goes on exactly there."""
    have = 0
    for arrived in [*cuts, length]:
        state = UploadState(have, length, complete=False)
        append = Append(have, length - have, length, True, SHA)
        assert judge(state, append, SHA) is None
        have += min(arrived, append.size)
        if have == length:
            break
    assert have == length


def test_a_state_beyond_its_length_is_no_state():
    for fields in (
        {"upload-offset": "5", "upload-length": "4", "upload-complete": "?0"},
        {"upload-offset": "3", "upload-length": "4", "upload-complete": "?1"},
    ):
        with pytest.raises(FormatError):
            upload.parse_state(fields)
