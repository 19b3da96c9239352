"""Parsers under junk raise FormatError only; what is written is read; no flipped bit of a picture is ever valid."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.errors import FormatError
from firmware.media import nal
from firmware.media.access_unit import AccessUnit, parse_access_unit
from firmware.media.chain import parse_chain
from firmware.media.differences import differences
from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from firmware.media.fmp4_read import parse_fragment, parse_init
from firmware.media.gop import Gop, GopAssembler
from firmware.media.onvif_sei import Vendor, is_signing_sei, parse_sei
from firmware.media.preevent import PreEventBuffer, Shortfall
from firmware.media.signer import StreamSigner
from firmware.media.sps import parse_sps
from firmware.media.time_sei import parse_time_sei
from firmware.media.validator import StreamValidator, validate_stream
from firmware.timebase import Timestamp
from tests.unit.helpers_media import Signer, assemble, at, fake_unit, fake_units, sounds, x264

few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))

AUDIO = AudioTrack(48_000, 1, b"\x11\x88")
rbsp = st.binary(max_size=60).map(lambda data: data + b"\x80")
dense = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 0x80]), max_size=40).map(lambda values: bytes(values) + b"\x80")
nal_units = st.builds(lambda head, body: bytes((head,)) + nal.escape(body), st.integers(1, 127), rbsp)


@cache
def stream() -> tuple[tuple[Gop, ...], Signer]:
    signer = Signer()
    signing = StreamSigner(signer.chain_pem, signer.sign_digest, 72, Vendor("1", "2", "3"))
    gops = assemble(fake_units(30, 10, slices=2), sounds(20))
    return (*map(signing.sign_gop, gops[:-1]), signing.finish(gops[-1])), signer


@cache
def fragments() -> tuple[bytes, tuple[bytes, ...]]:
    gops = stream()[0]
    fragmenter = Fragmenter(gops[0].start, AUDIO)
    return init_segment(VideoTrack.from_gop(gops[0]), AUDIO), tuple(fragmenter.fragment(seq, gop) for seq, gop in enumerate(gops))


def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """``data`` with bytes changed, cut out or put in."""
    made = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, max(len(made) - 1, 0)))
        made[begin : begin + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(made)


@many
@given(dense | rbsp)
def test_escape_and_back(data: bytes) -> None:
    escaped = nal.escape(data)
    assert nal.unescape(escaped) == data
    assert not any(forbidden in escaped for forbidden in (b"\x00\x00\x00", b"\x00\x00\x01", b"\x00\x00\x02"))


@many
@given(st.lists(nal_units, min_size=1, max_size=6), st.data())
def test_byte_stream_and_length_prefixes_and_back(nals: list[bytes], data: st.DataObject) -> None:
    codes = [data.draw(st.sampled_from([b"\x00\x00\x01", b"\x00\x00\x00\x01", b"\x00\x00\x00\x00\x01"])) for _ in nals]
    assert nal.split_annexb(b"".join(code + unit for code, unit in zip(codes, nals, strict=True))) == nals
    assert nal.split_length_prefixed(nal.to_length_prefixed(nals)) == tuple(nals)


@many
@given(st.binary(max_size=300) | dense)
def test_parsers_under_junk(data: bytes) -> None:
    init = parse_init(fragments()[0])
    parsers = (
        nal.split_annexb,
        nal.split_length_prefixed,
        parse_sps,
        lambda junk: parse_sps(b"\x67" + junk),
        lambda junk: parse_access_unit(junk, True, at(0)),
        lambda junk: parse_access_unit(b"\x00\x00\x01" + junk, False, at(0)),
        parse_sei,
        parse_time_sei,
        parse_chain,
        parse_init,
        lambda junk: parse_fragment(junk, init),
    )
    for parse in parsers:
        try:
            parse(data)
        except FormatError:
            pass


@many
@given(st.data())
def test_parsers_under_mutation(data: st.DataObject) -> None:
    init_bytes, parts = fragments()
    init = parse_init(init_bytes)
    sei = next(unit for unit in stream()[0][1].units[1].nals if is_signing_sei(unit))
    picture, keyframe = x264()[0]
    for original, parse in (
        (init_bytes, parse_init),
        (parts[0], lambda junk: parse_fragment(junk, init)),
        (sei, parse_sei),
        (picture[:200], lambda junk: parse_access_unit(junk, keyframe, at(0))),
        (stream()[1].chain_pem, parse_chain),
    ):
        try:
            parse(mutated(data.draw, original))
        except FormatError:
            pass


@few
@given(st.lists(st.lists(st.binary(max_size=40), max_size=4), max_size=12), st.data())
def test_validator_never_raises(junk: list[list[bytes]], data: st.DataObject) -> None:
    units = [list(unit.nals) for gop in stream()[0] for unit in gop.units]
    for nals in junk:
        units.insert(data.draw(st.integers(0, len(units))), nals)
    for _ in range(data.draw(st.integers(0, 5))):
        target = units[data.draw(st.integers(0, len(units) - 1))]
        if target:
            index = data.draw(st.integers(0, len(target) - 1))
            target[index] = mutated(data.draw, target[index])
    validator = StreamValidator([stream()[1].root])
    for nals in units:
        validator.feed(nals)
    report = validator.finish()
    assert report.valid_gops <= 3
    report.problems()


@few
@given(st.data())
def test_no_flipped_bit_of_a_slice_is_valid(data: st.DataObject) -> None:
    gops, signer = stream()
    units = [list(unit.nals) for gop in gops for unit in gop.units]
    picture = data.draw(st.integers(0, 29))
    slices = [index for index, unit in enumerate(units[picture]) if nal.is_vcl(unit)]
    index = data.draw(st.sampled_from(slices))
    changed = bytearray(units[picture][index])
    bit = data.draw(st.integers(0, 8 * len(changed) - 1))
    changed[bit // 8] ^= 1 << bit % 8
    units[picture][index] = bytes(changed)
    report = validate_stream(map(tuple, units), [signer.root])
    assert report.valid_gops < report.gops or report.problems()
    assert report.valid_gops < 3
    assert report.problems()


@few
@given(st.data())
def test_any_order_of_pictures_but_the_signed_one_has_problems(data: st.DataObject) -> None:
    gops, signer = stream()
    units = [unit.nals for gop in gops for unit in gop.units]
    order = data.draw(st.lists(st.integers(0, 29), min_size=1, max_size=40))
    changed = [units[index] for index in order]
    report = validate_stream(changed, [signer.root])
    if order != list(range(len(order))):
        assert report.problems() or report.valid_gops < report.gops


@many
@given(st.lists(st.integers(0, 5), max_size=40), st.lists(st.integers(0, 5), max_size=40))
def test_differences_account_for_everything(left: list[int], right: list[int]) -> None:
    expected, received = [bytes((value,)) for value in left], [bytes((value,)) for value in right]
    found = differences(expected, received)
    gone = sum(count for _, count in found.missing)
    assert len(expected) - gone == len(received) - len(found.added)
    assert (not any((found.altered, found.added, found.moved, found.missing))) == (expected == received)


@few
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2_000_000_000)), min_size=1, max_size=40), st.integers(0, 10), st.integers(0, 3000))
def test_buffer_is_bounded_and_begins_with_an_idr(steps: list[tuple[bool, int]], limit_s: int, limit_bytes: int) -> None:
    """BWC-POL-08, BWC-POL-11: bounds hold after every push, and what is handed over is a run of what came last."""
    assembler, buffer = GopAssembler(), PreEventBuffer(limit_s * 1_000_000_000, limit_bytes)
    pushed: list[Gop] = []
    now = 0
    for index, (keyframe, step) in enumerate([(True, 1), *steps]):
        now += step
        picture = fake_unit(index, keyframe)
        gop = assembler.push(AccessUnit(picture.nals, keyframe, Timestamp(now, now)))
        if gop is not None:
            pushed.append(gop)
            buffer.push(gop)
        assert buffer.size_bytes <= limit_bytes
    span, held = buffer.span_ns, buffer.take()
    assert list(held) == pushed[len(pushed) - len(held) :]
    if held:
        assert not held[0].continues
        assert span == held[-1].last_ns - held[0].start.boottime_ns
        leads = [gop for gop in held if not gop.continues]
        assert len(leads) < 2 or held[-1].last_ns - leads[1].start.boottime_ns < limit_s * 1_000_000_000


@few
@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([40, 300, 1000, 20_000])), min_size=1, max_size=40),
    st.integers(1, 5),
    st.integers(0, 30_000),
)
def test_what_is_handed_over_is_no_older_than_the_buffer_is_long(steps: list[tuple[bool, bool, int]], limit_s: int, wait_ms: int) -> None:
    """BWC-POL-08, BWC-POL-09, BWC-POL-11: whatever stopped the camera, and for how long; and the shortfall is told of just that."""
    assembler, buffer, limit_ns = GopAssembler(), PreEventBuffer(limit_s * 1_000_000_000, 10**9), limit_s * 1_000_000_000
    now, waiting = 0, True
    for index, (keyframe, interrupted, step_ms) in enumerate(steps):
        now += step_ms * 1_000_000
        picture = fake_unit(index, keyframe or waiting)
        closed = [
            assembler.push(AccessUnit(picture.nals, picture.keyframe, Timestamp(now, now))),
            assembler.flush() if interrupted else None,
        ]
        waiting = interrupted
        for gop in filter(None, closed):
            buffer.push(gop)
    at = Timestamp(now + wait_ms * 1_000_000, now)
    open_since = assembler.open_since
    shortfall = buffer.shortfall_at(at, open_since)
    held = buffer.take(at)
    begun = held[0].start if held else open_since
    runs = [index for index, gop in enumerate(held) if not gop.partial]
    if runs:
        assert held[runs[0]].last_ns > at.boottime_ns - limit_ns
    edges = [(before.end, after.start) for before, after in pairwise(held)]
    if held:
        edges.append((held[-1].end, open_since or held[-1].end or at))
    joined = all(end == start for end, start in edges)
    length_ns = at.since(begun) if begun is not None else 0
    assert (shortfall is Shortfall.NONE) == (joined and length_ns >= limit_ns)
    assert shortfall is not Shortfall.MEMORY


@few
@given(st.lists(st.integers(1, 3_000_000_000), min_size=2, max_size=30))
def test_durations_sum_to_the_distance_of_fragments(steps: list[int]) -> None:
    now, pictures = 7, []
    for index, step in enumerate(steps):
        now += step
        picture = fake_unit(index, index % 4 == 0)
        pictures.append(AccessUnit(picture.nals, picture.keyframe, Timestamp(now, now)))
    gops = assemble(pictures)
    init = parse_init(fragments()[0])
    fragmenter = Fragmenter(gops[0].start, None)
    infos = [parse_fragment(fragmenter.fragment(seq, gop), init) for seq, gop in enumerate(gops)]
    for before, after in pairwise(infos):
        assert sum(sample.duration for sample in before.video) == after.video[0].tick - before.video[0].tick
