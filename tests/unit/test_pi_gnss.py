"""What the Pi back-end takes for a place, message by message: no thread, no line, a clock that stands still."""

from __future__ import annotations

import pytest
from helpers_gnss import GGA, PVT, fixes, nmea, ubx

NAV_PVT = b"\x01\x07"


def last(*messages: bytes) -> object:
    return fixes(messages)[-1]


def test_whole_messages_are_places() -> None:
    """NAV-PVT as u-blox 8 and as u-blox 7 have it, and GGA; a line feed alone ends a sentence, too."""
    assert last(ubx(NAV_PVT, PVT)) == last(ubx(NAV_PVT, PVT[:84])) is not None
    assert last(nmea(GGA)) == last(nmea(GGA).replace(b"\r", b"")) is not None


@pytest.mark.parametrize(
    "message",
    [ubx(b"\x21\x0e", b"\0\0\xff\xff"), nmea(b"GNALC,01,01,01,999999999"), nmea(b"PUBX,03,999999999")],
    ids=["mon-patch", "alc", "pubx"],
)
def test_a_message_that_promises_many_groups_costs_nothing(message: bytes) -> None:
    """pyubx2 and pynmeagps make each group that a message says it has, though no byte of it came: seconds, or hours."""
    assert last(message * 100 + nmea(GGA)) is not None


@pytest.mark.parametrize("length", [41, 83])
def test_a_nav_pvt_that_ends_early_is_no_fix(length: int) -> None:
    """Its sums hold; what is missing would be read as zeros: another place, or an error radius of millimetres."""
    assert fixes([ubx(NAV_PVT, PVT[:length])]) == [None, None]


def test_a_place_that_the_receiver_calls_invalid_is_no_fix() -> None:
    """u-blox interface description, UBX-NAV-PVT, flags3.invalidLlh: the receiver says that it has none, so the one before goes."""
    invalid = PVT[:78] + b"\x01" + PVT[79:]
    assert fixes([ubx(NAV_PVT, PVT) + ubx(NAV_PVT, invalid)])[1:] == [None, None]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b",N,", b",,"),
        (b",N,", b",n,"),
        (b",W,", b",Q,"),
        (b"5130.5", b"5160.5"),
        (b"5130.5", b"51-9.5"),
        (b"00007.2", b"0_007.2"),
        (b"00007.2", b"0E007.2"),
        (b"0.9", b"1E-9"),
    ],
)
def test_a_place_in_another_form_is_no_fix(old: bytes, new: bytes) -> None:
    """Above all one that does not say on which half of the world it lies. A sum of eight bits is soon right by chance."""
    assert GGA.count(old) == 1
    assert last(nmea(GGA.replace(old, new))) is None


def test_a_checksum_over_characters_is_none() -> None:
    """The two bytes of an e with an acute accent are one character, U+00E9."""
    text = "GNGGA,100000.10,5130.50000,N,00007.20000,W,1,09,0.9,10,\N{LATIN SMALL LETTER E WITH ACUTE},40,M,,"
    total = 0
    for one in text:
        total ^= ord(one)
    assert last(f"${text}*{total:02X}\r\n".encode()) is None
