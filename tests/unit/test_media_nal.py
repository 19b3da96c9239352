"""NAL units, parameter sets and access units: what the door lets in and what it refuses."""

from __future__ import annotations

import pytest

from firmware.errors import FormatError
from firmware.media import nal
from firmware.media.access_unit import parse_access_unit
from firmware.media.sps import parse_sps
from tests.unit.helpers_media import PPS_NAL, annexb, at, units, x264

IDR = b"\x65\x88\x84\x21"
P = b"\x41\x9a\x22\x33"
SPS = next(n for n in units()[0].nals if n[0] & 31 == 7)


def parse(*nals: bytes, keyframe: bool = True):
    return parse_access_unit(annexb(*nals), keyframe, at(0))


def test_split_takes_both_start_codes_and_strips_trailing_zeros() -> None:
    data = b"\x00\x00\x00\x00\x01\x67\x01\x00\x00\x00\x01\x68\x02\x00\x00\x01\x65\x88\x80\x00\x00"
    assert nal.split_annexb(data) == [b"\x67\x01", b"\x68\x02", b"\x65\x88\x80"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x65\x88",
        b"x\x00\x00\x01\x65",
        b"\x00\x00\x01",
        b"\x00\x00\x01\x00\x00\x01\x65",
        b"\x00\x00\x01\x65\x00\x00\x01\x00",
    ],
)
def test_split_refuses(data: bytes) -> None:
    with pytest.raises(FormatError):
        nal.split_annexb(data)


def test_split_bounds_the_number_of_units() -> None:
    assert len(nal.split_annexb(b"\x00\x00\x01\x65" * 5, limit=5)) == 5
    with pytest.raises(FormatError):
        nal.split_annexb(b"\x00\x00\x01\x65" * 6, limit=5)


def test_emulation_prevention_known_answers() -> None:
    assert nal.escape(b"\x00\x00\x00\x00\x00\x80") == b"\x00\x00\x03\x00\x00\x03\x00\x80"
    assert nal.escape(b"\x00\x00\x01\x00\x00\x03\x00\x00\x04") == b"\x00\x00\x03\x01\x00\x00\x03\x03\x00\x00\x04"
    assert nal.unescape(b"\x00\x00\x03\x01\x00\x00\x03\x03") == b"\x00\x00\x01\x00\x00\x03"


@pytest.mark.parametrize(
    "sample", [b"\x00\x00\x00\x00", b"\x00\x00\x00\x02\x65", b"\x00\x00\x00", b"\x00\x00\x00\x01\x65\x00", b"\xff\xff\xff\xff"]
)
def test_length_prefixes_that_do_not_fit(sample: bytes) -> None:
    with pytest.raises(FormatError):
        nal.split_length_prefixed(sample)


def test_sps_of_real_stream() -> None:
    sps = parse_sps(SPS)
    assert (sps.width, sps.height, sps.profile_idc, sps.frame_mbs_only, sps.is_high) == (320, 180, 66, True, False)


def test_sps_cropped_on_both_sides() -> None:
    sps = parse_sps(split_of(x264(1, 1, 1, size=(318, 178)))[0])
    assert (sps.width, sps.height) == (318, 178)


def split_of(pictures: tuple[tuple[bytes, bool], ...]) -> list[bytes]:
    return nal.split_annexb(pictures[0][0])


def test_sps_high_profile_1080p_cropped() -> None:
    # An SPS made by x264 for 1920x1080, High, level 4.0: 1088 lines less a crop of 8, 4:2:0, 8 bits.
    sps = parse_sps(bytes.fromhex("67640028acd940780227e5c044000003000400000300c83c60c658"))
    assert (sps.width, sps.height, sps.profile_idc, sps.level_idc) == (1920, 1080, 100, 40)
    assert (sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma, sps.is_high) == (1, 8, 8, True)


def test_sps_truncated_at_every_byte_is_refused() -> None:
    whole = parse_sps(SPS)
    for length in range(len(SPS)):
        try:
            assert parse_sps(SPS[:length]) == whole  # a cut inside the VUI, which is not read
        except FormatError:
            continue
        assert length > 8


def test_access_units_of_real_stream() -> None:
    pictures = units()
    assert [unit.keyframe for unit in pictures] == [index % 10 == 0 for index in range(30)]
    assert [sum(map(nal.is_primary_slice, unit.nals)) for unit in pictures] == [1] * 30
    assert all(sum(map(nal.is_vcl, unit.nals)) >= 2 for unit in pictures)


def test_delimiters_and_filler_are_dropped() -> None:
    unit = parse(b"\x09\xf0", SPS, PPS_NAL, b"\x06\x05\x01\xaa\x80", IDR, b"\x0c\xff\x80", b"\x0a")
    assert unit.nals == (SPS, PPS_NAL, b"\x06\x05\x01\xaa\x80", IDR)


@pytest.mark.parametrize(
    ("nals", "keyframe"),
    [
        ((P,), True),  # told keyframe, is none
        ((SPS, PPS_NAL, IDR), False),  # told none, is one
        ((IDR,), True),  # no parameter sets
        ((SPS, IDR), True),
        ((SPS, SPS, PPS_NAL, IDR), True),  # two sets
        ((SPS, PPS_NAL, P), False),  # parameter sets outside an IDR
        ((SPS, PPS_NAL), True),  # no picture
        ((SPS, PPS_NAL, IDR, IDR), True),  # two primary pictures
        ((P, P), False),
        ((b"\x41\x40\x22\x33",), False),  # first slice is not the first of the picture
        ((SPS, PPS_NAL, IDR, b"\x41\x40\x22\x33"), True),  # slices of two types
        ((b"\xc1\x9a\x22\x33",), False),  # forbidden bit
        ((b"\x42\x9a\x22\x33",), False),  # data partition A
        ((P, b"\x43\x40\x22"), False),
        ((P, b"\x44\x40\x22"), False),
        ((b"\x54\x9a\x22\x33",), False),  # coded slice extension
        ((P, b"\x06\x05\x01\xaa\x80"), False),  # SEI behind the slices begins the next access unit
        ((P, SPS), False),
        ((b"\x0c\xff\x80", P), False),
        ((b"\x06\x05\x01\xaa\x80", b"\x09\xf0", P), False),  # delimiter that delimits nothing
        ((SPS, PPS_NAL, b"\x05\x88\x84\x21"), True),  # an IDR that is no reference
        ((b"\x41\xa2\x22\x33",), False),  # slice_type 1: B
        ((b"\x41\x9c\x22\x33",), False),  # slice_type 6: B
        ((b"\x41\x9a",), False),
    ],
)
def test_hostile_access_units_are_refused(nals: tuple[bytes, ...], keyframe: bool) -> None:
    with pytest.raises(FormatError):
        parse(*nals, keyframe=keyframe)


def test_size_and_count_are_bounded() -> None:
    with pytest.raises(FormatError):
        parse(P + b"\xaa" * (8 * 1024 * 1024), keyframe=False)
    with pytest.raises(FormatError):
        parse(P, *[b"\x41\x40\x22"] * 256, keyframe=False)


def test_a_flag_that_lies_about_a_real_picture_is_refused() -> None:
    for data, keyframe in x264()[:3]:
        with pytest.raises(FormatError):
            parse_access_unit(data, not keyframe, at(0))


@pytest.mark.parametrize(("lengths", "prefix"), [(0xFC, 1), (0xFD, 2), (0xFF, 4)])
def test_packets_with_the_lengths_that_a_container_declares(lengths: int, prefix: int) -> None:
    configuration = bytes((1, 0x42, 0xC0, 0x0D, lengths, 0xE1, 0))
    assert nal.prefix_bytes_of(configuration) == prefix
    packet = b"".join(len(one).to_bytes(prefix, "big") + one for one in (b"\x09\xf0", b"\x41\x88\x80"))
    assert nal.split_packet(packet, prefix) == (b"\x09\xf0", b"\x41\x88\x80")
    with pytest.raises(FormatError):
        nal.split_packet(packet[:-1], prefix)


def test_packets_of_a_byte_stream() -> None:
    assert (nal.prefix_bytes_of(b""), nal.prefix_bytes_of(b"\x00\x00\x00\x01\x67")) == (0, 0)
    assert nal.split_packet(b"\x00\x00\x01\x09\xf0\x00\x00\x01\x41\x88\x80", 0) == (b"\x09\xf0", b"\x41\x88\x80")
    for configuration in (bytes((1, 0x42, 0xC0, 0x0D, 0xFE, 0xE1, 0)), b"\x01\x42"):
        with pytest.raises(FormatError):
            nal.prefix_bytes_of(configuration)
