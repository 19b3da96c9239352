"""HTTP heads of the dock link: what is accepted, and that nothing ambiguous is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.dock import wire
from firmware.errors import FormatError

GOOD = b"PATCH /v1/uploads/ab HTTP/1.1\r\nHost: dock\r\nContent-Length: 12\r\nUpload-Offset: 0"


def test_a_head_is_read():
    head = wire.parse_request_head(GOOD)
    assert (head.method, head.segments, head.content_length) == ("PATCH", ("v1", "uploads", "ab"), 12)
    assert head.fields["upload-offset"] == "0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /v1/ledger",
        b"GET /v1/ledger HTTP/1.0",
        b"GET  /v1/ledger HTTP/1.1",
        b"DELETE /v1/receipts/a HTTP/1.1",
        b"GET http://dock/v1/ledger HTTP/1.1",
        b"GET /v1/receipts/../../etc/passwd HTTP/1.1",
        b"GET /v1/receipts/%2e%2e/x HTTP/1.1",
        b"GET /v1//ledger HTTP/1.1",
        b"GET /v1/./ledger HTTP/1.1",
        b"GET /v1/ledger?x=1 HTTP/1.1",
        b"GET /v1/ledger HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2",
        b"GET /v1/ledger HTTP/1.1\r\nContent-Length: +1",
        b"GET /v1/ledger HTTP/1.1\r\nContent-Length: -1",
        b"GET /v1/ledger HTTP/1.1\r\nContent-Length: 1_0",
        b"GET /v1/ledger HTTP/1.1\r\nTransfer-Encoding: chunked",
        b"GET /v1/ledger HTTP/1.1\r\nA: b\r\n folded",
        b"GET /v1/ledger HTTP/1.1\r\nA : b",
        b"GET /v1/ledger HTTP/1.1\nA: b",
        b"GET /v1/ledger HTTP/1.1\r\nA: b\nB: c",
        b"GET /v1/ledger HTTP/1.1\r\nA: \xff",
        b"GET /v1/ledger HTTP/1.1\r\n" + b"\r\n".join(b"A%d: b" % n for n in range(65)),
        b"GET /v1/ledger HTTP/1.1\r\nA: " + b"b" * 20_000,
    ],
)
def test_whatever_could_be_read_in_two_ways_is_refused(data):
    """BWC-POL-39: the dock treats what a camera sends as hostile."""
    with pytest.raises(FormatError):
        wire.parse_request_head(data)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(alphabet="GET /v1.\r\n:HTP0a%", max_size=120).map(str.encode))
def test_a_head_parses_or_is_a_format_error(data):
    """BWC-POL-39."""
    try:
        head = wire.parse_request_head(data)
    except FormatError:
        return
    assert ".." not in head.segments
    assert "\n" not in head.path


def test_a_response_to_head_states_its_length_and_has_no_body():
    response = wire.Response(200, b"{}", {"Upload-Offset": "7"})
    with_body = wire.response_bytes(response, with_body=True, close=False)
    assert with_body == wire.response_bytes(response, with_body=False, close=False) + b"{}"
    assert b"Upload-Offset: 7\r\n" in with_body
    assert b"Content-Length: 2\r\n" in with_body
    assert b"Connection: close" in wire.response_bytes(response, with_body=True, close=True)
