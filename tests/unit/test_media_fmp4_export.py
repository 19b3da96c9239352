"""The head of an export: the recording's own tracks, with length, chapters and index added and nothing else changed."""

from __future__ import annotations

import struct

import pytest

from firmware.errors import FormatError
from firmware.media.boxes import VIDEO_TIMESCALE, walk
from firmware.media.fmp4 import AudioTrack, VideoTrack, init_segment
from firmware.media.fmp4_export import Chapter, Label, Reference, export_head, index, index_bytes
from tests.unit.helpers_media import aac, assemble, units

LABEL = Label("R-1", "a comment")


@pytest.fixture(scope="module")
def init() -> bytes:
    return init_segment(VideoTrack.from_gop(assemble(units())[0]), AudioTrack(48_000, 1, aac()[0]))


def children(data: bytes | memoryview) -> list[tuple[bytes, bytes]]:
    return [(kind, bytes(content)) for kind, content in walk(memoryview(data), "mp4")]


def test_the_tracks_are_those_of_the_recording(init: bytes) -> None:
    (ftyp, moov), (ours_ftyp, ours_moov) = children(init), children(export_head(init, 1234, [], LABEL))
    assert ours_ftyp == ftyp
    before, after = children(moov[1]), children(ours_moov[1])
    assert [kind for kind, _ in after] == [*(kind for kind, _ in before), b"udta"]
    assert [one for one in after if one[0] in (b"mvhd", b"trak")] == [one for one in before if one[0] in (b"mvhd", b"trak")]
    (mehd, *rest), trex = children(dict(after)[b"mvex"]), children(dict(before)[b"mvex"])
    assert (mehd, rest) == ((b"mehd", struct.pack(">IQ", 1 << 24, 1234)), trex)


def test_chapters_are_counted_in_one_byte(init: bytes) -> None:
    many = [Chapter(1_000 * number, f"{number} " + "ä" * 200) for number in range(300)]
    udta = children(dict(children(children(export_head(init, 1, many, LABEL))[1][1]))[b"udta"])
    data = dict(udta)[b"chpl"]
    assert data[8] == 255
    position = 9
    for number in range(255):
        start, size = struct.unpack_from(">QB", data, position)
        title = data[position + 9 : position + 9 + size].decode("utf-8")
        assert (start, title.startswith(f"{number} ä")) == (10_000 * number, True)
        position += 9 + size
    assert position == len(data)


@pytest.mark.parametrize("count", [0, 1, 65_535, 65_536])
def test_the_index_takes_the_space_that_was_kept_for_it(count: int) -> None:
    assert len(index([Reference(1000, VIDEO_TIMESCALE, True)] * count, 0)) == index_bytes(count)
    assert bool(index_bytes(count)) == (0 < count <= 65_535)


@pytest.mark.parametrize("data", [b"", b"\0\0\0\x08ftyp", b"\0\0\0\x08moov\0\0\0\x08ftyp", b"\0\0\0\x09ftyp"])
def test_what_is_no_init_segment_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        export_head(data, 1, [], LABEL)
