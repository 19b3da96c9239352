"""Fragments written and read back: times, flags, samples, and what is refused."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from firmware.errors import FormatError
from firmware.media.access_unit import AccessUnit
from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from firmware.media.fmp4_read import FragmentInfo, InitInfo, parse_fragment, parse_init
from firmware.media.gop import AudioUnit, Gop
from firmware.media.nal import split_length_prefixed
from firmware.timebase import Timestamp
from tests.unit.helpers_media import BOOT_NS, WALL_NS, aac, assemble, at, fake_units, sounds, units

AUDIO = AudioTrack(48_000, 1, b"\x11\x88")


def made(gops: list[Gop], audio: AudioTrack | None = None) -> tuple[InitInfo, list[FragmentInfo], list[bytes]]:
    init = parse_init(init_segment(VideoTrack.from_gop(gops[0]), audio))
    fragmenter = Fragmenter(gops[0].start, audio)
    fragments = [fragmenter.fragment(seq, gop) for seq, gop in enumerate(gops)]
    return init, [parse_fragment(fragment, init) for fragment in fragments], fragments


@pytest.fixture(scope="module")
def real() -> list[Gop]:
    return assemble(units(), sounds())


def test_init_segment_reads_back(real: list[Gop]) -> None:
    video = VideoTrack.from_gop(real[0])
    audio = AudioTrack(48_000, 1, aac()[0])
    assert (video.width, video.height) == (320, 180)
    assert parse_init(init_segment(video, audio)) == InitInfo(video, audio)
    assert parse_init(memoryview(init_segment(video, None))) == InitInfo(video, None)


def test_pictures_and_audio_read_back(real: list[Gop]) -> None:
    _, infos, _ = made(real, AUDIO)
    for seq, (gop, info) in enumerate(zip(real, infos, strict=True)):
        assert (info.sequence, info.wall_ns) == (seq, gop.start.wall_ns)
        without_sets = [tuple(nal for nal in unit.nals if nal[0] & 31 not in (7, 8)) for unit in gop.units]
        assert [split_length_prefixed(sample.data) for sample in info.video] == without_sets
        assert [sample.sync for sample in info.video] == [True] + [False] * 9
        assert [bytes(sample.data) for sample in info.audio] == [sound.data for sound in gop.audio]
        assert info.samples == info.video + info.audio


def test_times_come_from_capture_and_do_not_drift() -> None:
    # 33.333333 ms is no whole number of 1/90000 s: the sum of durations must still be the distance of the fragments.
    gops = assemble(fake_units(900, 30))
    _, infos, _ = made(gops)
    for before, after in pairwise(infos):
        assert before.video[-1].tick + before.video[-1].duration == after.video[0].tick
        assert sum(sample.duration for sample in before.video) == after.video[0].tick - before.video[0].tick
    for gop, info in zip(gops, infos, strict=True):
        for unit, sample in zip(gop.units, info.video, strict=True):
            assert abs(sample.tick * 100_000 / 9 - (unit.time.boottime_ns - BOOT_NS)) <= 100_000 / 18 + 1e-3
            assert abs(sample.time_ns - (unit.time.boottime_ns - BOOT_NS)) <= 5_557


def test_a_hole_in_the_recording_is_a_hole_in_the_time_line() -> None:
    first, second = assemble(fake_units(10, 10)), assemble(fake_units(60, 10))[5:]
    _, infos, _ = made([*first, *second])
    assert infos[0].video[-1].duration == infos[0].video[-2].duration
    assert infos[1].video[0].tick == 150_000


def test_fragments_out_of_order_are_refused() -> None:
    gops = assemble(fake_units(30, 10))
    fragmenter = Fragmenter(gops[0].start, None)
    fragmenter.fragment(0, gops[1])
    with pytest.raises(FormatError):
        fragmenter.fragment(1, gops[0])
    with pytest.raises(FormatError):
        Fragmenter(gops[1].start, None).fragment(0, gops[0])


def test_changed_parameter_sets_are_refused() -> None:
    gops = assemble(fake_units(20, 10))
    lead = gops[1].units[0]
    changed = AccessUnit((lead.nals[0], lead.nals[1] + b"\x01", *lead.nals[2:]), lead.keyframe, lead.time)
    fragmenter = Fragmenter(gops[0].start, None)
    fragmenter.fragment(0, gops[0])
    with pytest.raises(FormatError, match="parameter sets"):
        fragmenter.fragment(1, Gop((changed, *gops[1].units[1:]), (), gops[1].end, 0))


def test_partial_gops_continue_without_a_sync_sample() -> None:
    gops = assemble(fake_units(400, 400))
    _, infos, _ = made(gops)
    assert [[sample.sync for sample in info.video].count(True) for info in infos] == [1, 0, 0]
    with pytest.raises(FormatError):
        Fragmenter(gops[1].start, None).fragment(0, gops[1])


def sound_at(index: int, ns: int) -> AudioUnit:
    return AudioUnit(b"frame %d" % index, Timestamp(BOOT_NS + ns, WALL_NS + ns))


def audio_of(times_ns: list[int]) -> list[tuple[int, int]]:
    """(tick, duration) of audio captured at these times after the first picture, in GOPs of one third of a second."""
    pending = [sound_at(index, ns) for index, ns in enumerate(times_ns)]
    gops = assemble(fake_units(60, 10))
    with_audio: list[Gop] = []
    for gop in gops:
        mine = tuple(s for s in pending if gop.end is None or s.time.boottime_ns < gop.end.boottime_ns)
        pending = pending[len(mine) :]
        with_audio.append(Gop(gop.units, mine, gop.end, 0))
    _, infos, _ = made(with_audio, AUDIO)
    return [(sample.tick, sample.duration) for info in infos for sample in info.audio]


def test_audio_stays_contiguous_under_jitter() -> None:
    exact = [index * 1024 * 1_000_000_000 // 48_000 for index in range(60)]
    jittered = [ns + (index % 3 - 1) * 5_000_000 + 6_000_000 for index, ns in enumerate(exact)]
    placed = audio_of(jittered)
    assert [duration for _, duration in placed] == [1024] * 60
    assert [after - before for (before, _), (after, _) in pairwise(placed)] == [1024] * 59


def test_audio_is_anchored_anew_after_a_mute() -> None:
    """BWC-POL-17: what was not captured leaves a hole where it was not captured."""
    times = [index * 1024 * 1_000_000_000 // 48_000 for index in range(60) if not 20 <= index < 40]
    placed = audio_of(times)
    assert placed[20][0] == 40 * 1024
    assert all(duration == 1024 for tick, duration in placed if tick != 19 * 1024)


def test_slow_audio_clock_is_followed_after_20_ms() -> None:
    drifting = [index * 1024 * 1_000_000_000 // 47_000 for index in range(70)]
    placed = audio_of(drifting)
    assert all(abs(tick / 48_000 - ns / 1e9) <= 0.0201 for (tick, _), ns in zip(placed, drifting, strict=True))
    assert all(duration > 0 for _, duration in placed)


def test_audio_from_before_the_first_picture_is_kept_and_never_negative() -> None:
    placed = audio_of([-40_000_000, -19_000_000, 2_000_000, 23_333_333])
    assert [tick for tick, _ in placed][:2] == [0, 1]
    assert len(placed) == 4
    assert [tick for tick, _ in placed] == sorted(tick for tick, _ in placed)


@pytest.mark.parametrize(
    "wall_ns", [17, 999_999_999, WALL_NS + 1, 2_085_978_496 * 10**9 - 1, 2_085_978_496 * 10**9 + 1, 4_000_000_000 * 10**9 + 3]
)
def test_wall_time_survives_the_turn_of_the_ntp_era(wall_ns: int) -> None:
    gop = assemble(fake_units(2, 2))[0]
    early = tuple(
        AccessUnit(unit.nals, unit.keyframe, Timestamp(unit.time.boottime_ns, wall_ns + index)) for index, unit in enumerate(gop.units)
    )
    _, infos, _ = made([Gop(early, (), None, 0)])
    assert infos[0].wall_ns == wall_ns


@pytest.mark.parametrize("width", [321, 0])
def test_a_track_that_contradicts_its_sps_is_refused(real: list[Gop], width: int) -> None:
    with pytest.raises(FormatError):
        init_segment(VideoTrack(real[0].sps, real[0].pps, width, 180), None)


def test_fragment_truncated_or_extended_is_refused(real: list[Gop]) -> None:
    init, _, fragments = made(real, AUDIO)
    data = fragments[0]
    for length in [*range(600), *range(600, len(data), 997), len(data) - 1]:
        with pytest.raises(FormatError):
            parse_fragment(data[:length], init)
    with pytest.raises(FormatError):
        parse_fragment(data + b"\x00", init)
    with pytest.raises(FormatError):
        parse_fragment(data + data, init)


def test_init_segment_truncated_at_every_byte_is_refused(real: list[Gop]) -> None:
    data = init_segment(VideoTrack.from_gop(real[0]), AUDIO)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            parse_init(data[:length])


def test_every_changed_byte_in_front_of_the_samples_is_seen(real: list[Gop]) -> None:
    """A byte of the boxes is either refused or tells something else: none is free to carry a message."""
    init, infos, fragments = made(real, AUDIO)
    data = bytearray(fragments[1])
    end = data.index(b"mdat") + 4
    for position in range(end):
        data[position] ^= 0x01
        try:
            assert parse_fragment(bytes(data), init) != infos[1], position
        except FormatError:
            pass
        data[position] ^= 0x01


def test_bytes_that_no_sample_owns_are_refused(real: list[Gop]) -> None:
    init, _, fragments = made(real)
    at_mdat = fragments[0].index(b"mdat") - 4
    size = int.from_bytes(fragments[0][at_mdat : at_mdat + 4], "big")
    longer = fragments[0][:at_mdat] + struct.pack(">I", size + 5) + fragments[0][at_mdat + 4 :] + b"hello"
    with pytest.raises(FormatError, match="fill"):
        parse_fragment(longer, init)


def test_box_sizes_of_zero_and_64_bits_are_refused(real: list[Gop]) -> None:
    init, _, fragments = made(real)
    for size in (0, 1, 7, 0xFFFFFFFF):
        with pytest.raises(FormatError):
            parse_fragment(struct.pack(">I", size) + fragments[0][4:], init)


def test_sequence_number_is_checked() -> None:
    gop = assemble(fake_units(3, 3))[0]
    with pytest.raises(ValueError, match="sequence"):
        Fragmenter(gop.start, None).fragment(-1, gop)


def test_fragment_of_two_pictures_is_this() -> None:
    """Golden vector: the boxes in front of the samples, byte by byte."""
    gop = assemble(fake_units(2, 2, size=8))[0]
    data = Fragmenter(gop.start, None).fragment(7, gop)
    head = (
        "00000018 73747970 636d6673 00000000 69736f36 636d6673"
        "00000020 70726674 01000018 00000001" + f"{(WALL_NS // 10**9 + 2208988800) & 0xFFFFFFFF:08x}" + "00000000 0000000000000000"
        "0000006c 6d6f6f66 00000010 6d666864 00000000 00000007"
        "00000054 74726166 00000010 74666864 00020000 00000001"
        "00000014 74666474 01000000 0000000000000000"
        "00000028 7472756e 00000305 00000002 00000074 02000000"
        "00000bb8 0000000d 00000bb8 0000000d"
    )
    assert data[: data.index(b"mdat") - 4].hex() == head.replace(" ", "")
    assert data[data.index(b"mdat") - 4 :].startswith(bytes.fromhex("00000022 6d646174 00000009 6588"))


def test_audio_track_bounds() -> None:
    with pytest.raises(ValueError, match="AAC"):
        AudioTrack(4000, 1, b"\x11\x88")


def test_gop_before_its_time() -> None:
    gop = assemble(fake_units(3, 3))[0]
    with pytest.raises(FormatError):
        Fragmenter(at(1), None).fragment(0, gop)
