"""Messages of the dock link: round trips, bounds, and that hostile JSON is a FormatError and nothing else."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.dock import protocol
from firmware.dock.protocol import (
    DeviceReport,
    FileOffer,
    LedgerAnswer,
    LedgerExtension,
    LedgerMark,
    OfferAnswer,
    OfferState,
    ProblemBody,
    Progress,
    RecordingOffer,
    Refusal,
    SessionAnswer,
    SessionClose,
    SignedOrder,
    SignedPolicy,
    SignedReceipt,
    wanted,
)
from firmware.errors import FormatError
from firmware.evidence import jcs

SHA = hashlib.sha256(b"").hexdigest()
FILES = (FileOffer("begin.json", SHA, 10), FileOffer("000000.m4s.p7m", "1" * 64, 1000))
OFFER = RecordingOffer("CAM1-1-1", SHA, FILES)
REPORT = DeviceReport("CAM1", "0.1", 3, 17, (OFFER,))
MARK = LedgerMark(17, SHA, 4711)
MESSAGES = [
    REPORT,
    MARK,
    LedgerExtension(3, 99, b'{"a":"\xc3\xa4"}\n= 4 x y\n', b"= 4 x y", (bytes(32),), b"PEM"),
    SessionAnswer(
        "dock", MARK, (OfferAnswer("CAM1-1-1", OfferState.WANTED, (Progress(SHA, 4),)), OfferAnswer("b", OfferState.REFUSED, (), "why"))
    ),
    LedgerAnswer(MARK, "note\n"),
    SignedReceipt(b"{}", b"\x30\x00"),
    SignedPolicy(b"format = 1\n", b"untrusted"),
    SignedOrder(b"{}", b"\x30\x00", b""),
    SessionClose(("a",), ("something",)),
    ProblemBody(409, Refusal.OFFSET, "expected 4", 4),
    ProblemBody(422, Refusal.RECORDING, "no"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_messages_read_back(message):
    assert type(message).from_bytes(message.to_bytes()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_another_spelling_of_a_message_is_refused(message):
    """There is one form of each message: not canonical is not a message."""
    value = json.loads(message.to_bytes())
    with pytest.raises(FormatError):
        type(message).from_bytes(json.dumps(value, indent=1).encode())
    with pytest.raises(FormatError):
        type(message).from_bytes(jcs.canonical({**value, "extra": 1}))


@pytest.mark.parametrize(
    "name",
    [
        "../manifest.json",
        "manifest.json\x00",
        "a/b",
        "/etc/passwd",
        "",
        ".",
        "..",
        "begin.json.tmp",
        "0000000.m4s.p7m",
        "００００００.m4s.p7m",
        "000000.m4s.p7m\n",
    ],
)
def test_a_file_name_outside_the_vaults_grammar_is_refused(name):
    """BWC-POL-39: no name from the network reaches the file system unless the vault itself uses it."""
    report = DeviceReport("CAM1", "0.1", 3, 17, (RecordingOffer("r", SHA, (FileOffer(name, SHA, 1),)),))
    with pytest.raises(FormatError):
        DeviceReport.from_bytes(report.to_bytes())


@pytest.mark.parametrize("recording", ["..", "a..b", "../x", "a/b", ".hidden", "-x", "a" * 81, "a\nb", ""])
def test_an_id_that_is_no_directory_name_is_refused(recording):
    """BWC-POL-39."""
    report = DeviceReport("CAM1", "0.1", 3, 17, (RecordingOffer(recording, SHA, FILES),))
    with pytest.raises(FormatError):
        DeviceReport.from_bytes(report.to_bytes())
    with pytest.raises(FormatError):
        DeviceReport.from_bytes(DeviceReport(recording, "0.1", 3, 17, ()).to_bytes())


@pytest.mark.parametrize(
    "report",
    [
        DeviceReport("CAM1", "0.1", -1, 17, ()),
        DeviceReport("CAM1", "x" * 401, 1, 17, ()),
        DeviceReport("CAM1", "0.1", 1, 17, (OFFER, OFFER)),
        DeviceReport("CAM1", "0.1", 1, 17, (RecordingOffer("r", SHA, (FILES[0], FILES[0])),)),
        DeviceReport("CAM1", "0.1", 1, 17, (RecordingOffer("r", "xyz", FILES),)),
        DeviceReport("CAM1", "0.1", 1, 17, (RecordingOffer("r", SHA.upper(), FILES),)),
        DeviceReport("CAM1", "0.1", 1, 17, (RecordingOffer("r", SHA, (FileOffer("begin.json", SHA, 0),)),)),
        DeviceReport("CAM1", "0.1", 1, 17, (RecordingOffer("r", SHA, (FileOffer("begin.json", SHA, 2**40),)),)),
        DeviceReport("CAM1", "0.1", True, 17, ()),
    ],
)
def test_a_report_out_of_bounds_is_refused(report):
    """BWC-POL-39."""
    with pytest.raises(FormatError):
        DeviceReport.from_bytes(report.to_bytes())


def test_deep_and_large_json_is_a_format_error():
    """BWC-POL-39."""
    for data in (b"[" * 100_000, b'{"a":' * 5000, b"1" * 5000, b'"\\ud800"', b"\xff", b"nan", b'{"a":1,"a":1}'):
        with pytest.raises(FormatError):
            DeviceReport.from_bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.sampled_from(MESSAGES), st.data())
def test_any_field_replaced_by_any_value_is_a_message_or_a_format_error(message, data):
    """BWC-POL-39: a parser raises nothing but FormatError, whatever the input."""
    value = json.loads(message.to_bytes())
    key = data.draw(st.sampled_from(sorted(value)))
    value[key] = data.draw(JSON)
    try:
        body = jcs.canonical(value)
    except ValueError:
        return
    try:
        type(message).from_bytes(body)
    except FormatError:
        pass


@settings(max_examples=150)
@given(st.sampled_from(MESSAGES), st.binary(max_size=80))
def test_any_bytes_are_a_message_or_a_format_error(message, data):
    """BWC-POL-39."""
    try:
        type(message).from_bytes(data)
    except FormatError:
        pass


def test_what_is_whole_is_not_wanted_again():
    """BWC-POL-41: the wanted list names what is missing, with what is there already."""
    at = {"begin.json": 10, "000000.m4s.p7m": 400}
    assert wanted(OFFER, lambda file: at[file.name]) == (Progress("1" * 64, 400),)
    assert wanted(OFFER, lambda file: file.size_bytes) == ()


def test_a_problem_of_a_kind_not_known_is_shown_and_not_acted_upon():
    body = jcs.canonical({"detail": "x", "status": 418, "type": "urn:other"})
    assert ProblemBody.from_bytes(body) == ProblemBody(418, protocol.Refusal.OTHER, "x")
