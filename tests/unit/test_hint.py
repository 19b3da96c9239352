"""Lines of the dock's hint channel: known answers, and everything else is refused."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.hint import LINES_PER_SECOND, MAX_LINE_BYTES, BadHint, Bay, Hello, LineReader, State, decode, encode

KNOWN = [
    (Hello("T-1", "0.1.0", 7), b'{"type":"HELLO","serial":"T-1","firmware":"0.1.0","boot":7}*7F46\n'),
    (State("docked"), b'{"type":"STATE","state":"docked"}*0D96\n'),
    (Bay("dock-1", 3, "fe80::1%usb0", 8443), b'{"type":"BAY","dock":"dock-1","bay":3,"host":"fe80::1%usb0","port":8443}*C4F7\n'),
]


def line(body: bytes) -> bytes:
    return body + b"*%04X" % binascii.crc_hqx(body, 0xFFFF)


def test_the_checksum_is_crc_16_ccitt_false() -> None:
    """Its check value (reveng's catalogue)."""
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1


@pytest.mark.parametrize(("message", "expected"), KNOWN, ids=lambda one: type(one).__name__)
def test_known_answers(message, expected: bytes) -> None:
    assert encode(message) == expected
    assert decode(expected) == decode(expected.rstrip(b"\n") + b"\r\n") == message


@pytest.mark.parametrize(("message", "expected"), KNOWN, ids=lambda one: type(one).__name__)
def test_any_changed_byte_is_refused(message, expected: bytes) -> None:
    for index in range(len(expected) - 1):
        for change in (0x01, 0x20, 0x80):
            changed = bytearray(expected)
            changed[index] ^= change
            with pytest.raises(BadHint):
                decode(bytes(changed))
    for length in range(len(expected) - 1):
        with pytest.raises(BadHint):
            decode(expected[:length])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 400,
        b'{"type":"STATE"}',
        b'{"type":"STATE","state":""}',
        b'{"type":"STATE","state":"\\u001b[2J"}',
        b'{"type":"STATE","state":"' + b"x" * 65 + b'"}',
        b'{"type":"STATE","state":"a","more":1}',
        b'{"type":"START","state":"a"}',
        b'{"state":"a"}',
        b'{"type":"HELLO","serial":"T","firmware":"1","boot":-1}',
        b'{"type":"HELLO","serial":"T","firmware":"1","boot":true}',
        b'{"type":"HELLO","serial":"T","firmware":"1","boot":1e3}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"evil.example","port":1}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"10.0.0.1/8","port":1}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"fe80::1%' + b"x" * 16 + b'","port":1}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"fe80::1%a b","port":1}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"10.0.0.1","port":0}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"10.0.0.1","port":65536}',
        b'{"type":"BAY","dock":"d","bay":1,"host":"10.0.0.1","port":' + b"9" * 400 + b"}",
        b"\xff\xfe",
    ],
)
def test_what_is_no_message_is_refused(body: bytes) -> None:
    """With a checksum that fits: there is no message that starts, stops or mutes (BWC-POL-07), and no name to look up."""
    with pytest.raises(BadHint):
        decode(line(body))


def test_values_out_of_bounds_are_not_sent() -> None:
    for message in (Hello("T\n1", "1", 1), State("x" * 600), Bay("d", 1, "dock.local", 1), Bay("d", 1, "::1", 70_000), State("ä")):
        with pytest.raises(BadHint):
            encode(message)


@given(st.binary(max_size=600))
def test_any_bytes_raise_nothing_else(data: bytes) -> None:
    for candidate in (data, line(data)):
        try:
            decode(candidate)
        except BadHint:
            pass


@given(st.lists(st.binary(max_size=700), max_size=12), st.integers(0, 12))
def test_garbage_between_pieces_loses_no_whole_line(noise: list[bytes], at: int) -> None:
    """Whatever comes, in whatever pieces: nothing raises, memory is bounded, and a whole line on its own is heard."""
    reader = LineReader()
    for piece in [*noise[:at], b"\n"]:
        reader.feed(piece, 0.0)
    good = KNOWN[0][1]
    heard = [message for index in range(0, len(good), 7) for message in reader.feed(good[index : index + 7], 1000.0)]
    assert heard == [KNOWN[0][0]]
    for piece in noise[at:]:
        reader.feed(piece, 1001.0)
        assert len(reader._buffer) <= MAX_LINE_BYTES


def test_an_endless_line_costs_only_itself() -> None:
    reader = LineReader()
    for _ in range(100):
        assert reader.feed(b"x" * 1000, 0.0) == []
        assert len(reader._buffer) <= MAX_LINE_BYTES
    assert reader.feed(KNOWN[0][1] + KNOWN[1][1], 0.0) == [KNOWN[1][0]]
    assert reader.rejected == 1


def test_more_than_the_rate_is_not_looked_at() -> None:
    reader = LineReader()
    flood = KNOWN[1][1] * 1000
    assert len(reader.feed(flood, 0.0)) == LINES_PER_SECOND
    assert reader.feed(flood, 0.0) == []
    assert len(reader.feed(flood, 0.5)) == LINES_PER_SECOND // 2
    assert len(reader.feed(flood, 60.0)) == LINES_PER_SECOND
