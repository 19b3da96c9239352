"""GOPs and the pre-event buffer: house law 1."""

from __future__ import annotations

from itertools import pairwise

import pytest

from firmware.errors import FormatError
from firmware.media.gop import MAX_GOP_PICTURES, AudioUnit, Gop, GopAssembler
from firmware.media.preevent import PreEventBuffer, Shortfall
from tests.unit.helpers_media import BOOT_NS, PPS_NAL, SPS_NAL, assemble, at, fake_unit, fake_units

SECOND = 1_000_000_000


def seconds(gop: Gop) -> tuple[float, float]:
    assert gop.end is not None
    return (gop.start.boottime_ns - BOOT_NS) / SECOND, (gop.end.boottime_ns - BOOT_NS) / SECOND


def gops_of(first: int, count: int, size: int = 100) -> list[Gop]:
    """GOPs of one second, ten pictures each, from second ``first`` on; each ends where the next begins."""
    pictures = [fake_unit(index, index % 10 == 0, size, SECOND // 10) for index in range(10 * first, 10 * (first + count) + 1)]
    return assemble(pictures)[:count]


def test_gop_is_closed_by_the_next_idr() -> None:
    assembler = GopAssembler()
    closed = [assembler.push(unit) for unit in fake_units(21, 10)]
    assert [index for index, gop in enumerate(closed) if gop] == [10, 20]
    first = closed[10]
    assert first is not None
    assert (first.start, first.end, first.pictures, first.partial, first.continues) == (at(0), at(10), 10, False, False)
    assert (first.sps, first.pps) == (SPS_NAL, PPS_NAL)
    assert first.size_bytes == sum(unit.size_bytes for unit in first.units)
    last = assembler.flush()
    assert last is not None
    assert (last.pictures, last.end) == (1, None)
    assert assembler.flush() is None


def test_pictures_before_the_first_idr_and_after_a_flush_are_refused() -> None:
    assembler = GopAssembler()
    with pytest.raises(FormatError):
        assembler.push(fake_unit(1, keyframe=False))
    assembler.push(fake_unit(2, keyframe=True))
    assembler.flush()
    with pytest.raises(FormatError):
        assembler.push(fake_unit(3, keyframe=False))


def test_time_that_does_not_advance_is_refused_and_changes_nothing() -> None:
    assembler = GopAssembler()
    assembler.push(fake_unit(5, keyframe=True))
    for index in (5, 4):
        with pytest.raises(FormatError):
            assembler.push(fake_unit(index, keyframe=False))
    gop = assembler.flush()
    assert gop is not None
    assert gop.pictures == 1


def test_snapshot_leaves_the_gop_open() -> None:
    assembler = GopAssembler()
    assert assembler.snapshot() is None
    pictures = fake_units(11, 10)
    for unit in pictures[:4]:
        assembler.push(unit)
    assembler.push_audio(AudioUnit(b"a", at(3)))
    cut = assembler.snapshot()
    assert cut is not None
    assert (cut.pictures, len(cut.audio), cut.end) == (4, 1, None)
    whole = [assembler.push(unit) for unit in pictures[4:]][-1]
    assert whole is not None
    assert (whole.pictures, len(whole.audio)) == (10, 1)


def test_camera_without_idrs_is_cut_into_partial_gops_of_five_seconds() -> None:
    gops = assemble(fake_units(400, 400))
    assert [(gop.pictures, gop.partial, gop.continues) for gop in gops] == [(151, True, False), (151, True, True), (98, False, True)]
    assert gops[0].end == gops[1].start
    assert gops[1].sps == b""


def test_open_gop_is_bounded_in_pictures_and_bytes() -> None:
    many = assemble(fake_units(2 * MAX_GOP_PICTURES, 4 * MAX_GOP_PICTURES, step_ns=1000))
    assert [gop.pictures for gop in many] == [MAX_GOP_PICTURES] * 2
    large = assemble(fake_units(10, 10, size=7 * 1024 * 1024))
    assert [gop.pictures for gop in large] == [4, 4, 2]


def test_audio_goes_with_the_pictures_it_was_captured_with() -> None:
    assembler = GopAssembler()
    assembler.push_audio(AudioUnit(b"too early", at(0)))
    pictures = fake_units(11, 10)
    for unit in pictures[:10]:
        assembler.push(unit)
    assembler.push_audio(AudioUnit(b"mine", at(5)))
    assembler.push_audio(AudioUnit(b"the next one's", at(10)))
    gop = assembler.push(pictures[10])
    assert gop is not None
    assert [sound.data for sound in gop.audio] == [b"mine"]
    assert gop.size_bytes == sum(unit.size_bytes for unit in gop.units) + 4
    assert gop.without_audio().audio == ()
    assert gop.without_audio().size_bytes == gop.size_bytes - 4
    last = assembler.flush()
    assert last is not None
    assert [sound.data for sound in last.audio] == [b"the next one's"]


def test_discarded_audio_is_gone() -> None:
    """BWC-POL-17, BWC-POL-10: audio of the open GOP can be forgotten."""
    assembler = GopAssembler()
    assembler.push(fake_unit(0, keyframe=True))
    assembler.push_audio(AudioUnit(b"secret", at(1)))
    assembler.discard_audio()
    gop = assembler.flush()
    assert gop is not None
    assert gop.audio == ()


@pytest.mark.parametrize(("data", "index"), [(b"", 3), (b"x" * 8193, 3), (b"x", 2), (b"x", 1)])
def test_audio_that_is_refused(data: bytes, index: int) -> None:
    assembler = GopAssembler()
    assembler.push(fake_unit(0, keyframe=True))
    assembler.push_audio(AudioUnit(b"ok", at(2)))
    with pytest.raises(FormatError):
        assembler.push_audio(AudioUnit(data, at(index)))


# --- pre-event buffer


def test_press_at_60_stop_at_75_keeps_30_to_75() -> None:
    """BWC-POL-08, BWC-POL-12: the buffer's 30 s and everything after the press, nothing twice, nothing missing."""
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    recording: list[Gop] = []
    recording_since: int | None = None
    for second, gop in enumerate(gops_of(0, 75)):
        if second == 60:
            recording += buffer.take(gop.start)
            recording_since = second
        if recording_since is None:
            buffer.push(gop)
        else:
            recording.append(gop)
    assert seconds(recording[0])[0] == 30
    assert seconds(recording[-1])[1] == 75
    assert all(before.end == after.start for before, after in pairwise(recording))


@pytest.mark.parametrize("pressed_ms", [60_000, 60_100, 60_500, 60_999])
def test_length_is_within_one_gop_of_configured_and_never_shorter(pressed_ms: int) -> None:
    """BWC-POL-08."""
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    for gop in gops_of(0, 60):
        buffer.push(gop)
    press = at(pressed_ms, 1_000_000)
    assert buffer.shortfall_at(press, press) is Shortfall.NONE
    length = press.boottime_ns - buffer.take(press)[0].start.boottime_ns
    assert 30 * SECOND <= length < 31 * SECOND
    assert buffer.size_bytes == 0
    assert buffer.take() == ()


@pytest.mark.parametrize(("seen", "cause"), [(0, "just-started"), (5, "just-started"), (29, "just-started"), (30, "none"), (31, "none")])
def test_shortfall_after_boot(seen: int, cause: str) -> None:
    """BWC-POL-09: press 0, 5, 29, 31 s after boot."""
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    for gop in gops_of(0, seen):
        buffer.push(gop)
    assert buffer.span_ns == min(seen, 31) * SECOND - (SECOND if seen == 31 else 0)
    assert buffer.shortfall.value == cause


def test_bytes_bound_drops_the_oldest_and_says_so() -> None:
    """BWC-POL-09: memory as cause."""
    gops = gops_of(0, 40)
    limit = 10 * gops[0].size_bytes
    buffer = PreEventBuffer(30 * SECOND, limit)
    for gop in gops:
        buffer.push(gop)
        assert buffer.size_bytes <= limit
    assert buffer.span_ns == 10 * SECOND
    assert buffer.shortfall is Shortfall.MEMORY
    assert seconds(buffer.take()[0])[0] == 30
    assert buffer.shortfall is Shortfall.JUST_STARTED


def test_a_gop_larger_than_the_bound_is_not_kept() -> None:
    buffer = PreEventBuffer(30 * SECOND, 50)
    buffer.push(gops_of(0, 1)[0])
    assert (buffer.size_bytes, buffer.take()) == (0, ())


def test_camera_restart_inside_is_visible() -> None:
    """BWC-POL-09: an interruption as cause."""
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    before = assemble([fake_unit(index, index % 10 == 0, 100, SECOND // 10) for index in range(20)])
    for gop in (*before, *gops_of(4, 40)[:20]):
        buffer.push(gop)
    assert before[-1].end is None
    assert buffer.has_hole
    assert buffer.shortfall is Shortfall.INTERRUPTED
    for gop in gops_of(24, 20):
        buffer.push(gop)
    assert buffer.shortfall is Shortfall.NONE


@pytest.mark.parametrize(("outage_s", "kept"), [(3, [4, 5, 6]), (5, []), (30, []), (700, [])])
def test_nothing_from_before_an_outage_as_long_as_the_buffer_is_handed_over(outage_s: int, kept: list[int]) -> None:
    """BWC-POL-08, BWC-POL-09, BWC-POL-11: with 5 s configured, at the first picture after an outage, which closes no GOP."""
    buffer = PreEventBuffer(5 * SECOND, 100_000_000)
    for gop in before_outage(7):
        buffer.push(gop)
    press = at(6900 + outage_s * 1000, 1_000_000)
    assert buffer.shortfall_at(press, press) is Shortfall.INTERRUPTED
    assert [(gop.start.boottime_ns - BOOT_NS) // SECOND for gop in buffer.take(press)] == kept


@pytest.mark.parametrize(("outage_s", "first"), [(3, 6), (4, 11), (700, 707)])
def test_a_gop_after_an_outage_drops_what_is_older_than_the_buffer(outage_s: int, first: int) -> None:
    """BWC-POL-09, BWC-POL-11: also the only one; the cause is said until the buffer is full again."""
    buffer = PreEventBuffer(5 * SECOND, 100_000_000)
    for gop in before_outage(7):
        buffer.push(gop)
    for gop in gops_of(7 + outage_s, 2):
        buffer.push(gop)
    assert buffer.span_ns <= 6 * SECOND
    later = at((9 + outage_s) * 1000, 1_000_000)
    assert buffer.shortfall_at(later, later) is Shortfall.INTERRUPTED
    for gop in gops_of(9 + outage_s, 4):
        buffer.push(gop)
    full = at((13 + outage_s) * 1000, 1_000_000)
    assert buffer.shortfall_at(full, full) is Shortfall.NONE
    assert seconds(buffer.take(full)[0])[0] == 8 + outage_s


def test_a_gop_longer_than_the_buffer_is_dropped_when_the_open_one_is_as_long() -> None:
    """BWC-POL-08: the open GOP alone is the configured length, and the shortfall says so."""
    buffer = PreEventBuffer(SECOND, 100_000_000)
    pictures = [fake_unit(index, index % 30 == 0, 100, SECOND // 10) for index in range(31)]
    (gop, _) = assemble(pictures)
    buffer.push(gop)
    early, late = at(3500, 1_000_000), at(4000, 1_000_000)
    assert buffer.shortfall_at(early, gop.end) is buffer.shortfall_at(late, gop.end) is Shortfall.NONE
    assert buffer.take(late) == ()
    buffer.push(gop)
    assert buffer.take(early) == (gop,)


def test_what_the_open_gop_continues_is_not_dropped() -> None:
    """Without its head it could not be decoded."""
    pictures = [fake_unit(index, index == 0, 100, SECOND // 10) for index in range(100)]
    head = assemble(pictures)[0]
    assert head.partial
    buffer = PreEventBuffer(SECOND, 100_000_000)
    buffer.push(head)
    press = at(9900, 1_000_000)
    assert buffer.shortfall_at(press, head.end) is Shortfall.NONE
    assert buffer.take(press) == (head,)


def before_outage(count: int) -> list[Gop]:
    """GOPs of seconds 0 to ``count``; the last one has no end: the camera stops in it, a tenth before the second is over."""
    gops = assemble([fake_unit(index, index % 10 == 0, 100, SECOND // 10) for index in range(10 * count)])
    assert gops[-1].end is None
    return gops


def test_zero_keeps_nothing_and_clear_forgets() -> None:
    """BWC-POL-11."""
    nothing = PreEventBuffer(0, 100_000_000)
    nothing.push(gops_of(0, 1)[0])
    assert (nothing.take(), nothing.span_ns, nothing.shortfall) == ((), 0, Shortfall.NONE)
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    buffer.push(gops_of(0, 1)[0])
    buffer.clear()
    assert (buffer.take(), buffer.size_bytes, buffer.span_ns) == ((), 0, 0)


def test_partial_gops_are_kept_and_dropped_with_their_head() -> None:
    pictures = [fake_unit(index, index in (0, 120), 100, SECOND // 10) for index in range(200)]
    gops = assemble(pictures)
    assert [gop.continues for gop in gops] == [False, True, True, False, True]
    buffer = PreEventBuffer(30 * SECOND, 100_000_000)
    for gop in gops:
        buffer.push(gop)
    assert buffer.take() == tuple(gops)
    short = PreEventBuffer(3 * SECOND, 100_000_000)
    for gop in gops:
        short.push(gop)
    assert short.take() == tuple(gops[3:])
    headless = PreEventBuffer(30 * SECOND, 100_000_000)
    headless.push(gops[1])
    assert headless.take() == ()
