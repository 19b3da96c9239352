"""Whatever is done to a signed stream has a name, is never authentic, and raises nothing; a naive second reader agrees."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from firmware.errors import FormatError, IntegrityError
from firmware.media.gop import Gop
from firmware.media.nal import is_primary_slice, is_vcl, split_packet
from firmware.media.onvif_records import read_records, split_records
from firmware.media.onvif_sei import Vendor, is_signing_sei, parse_sei
from firmware.media.signer import StreamSigner
from firmware.media.stream_report import GopStatus, StreamReport, StreamVerdict
from firmware.media.validator import validate_stream
from tests.unit.helpers_media import Signer, assemble, at, fake_units
from tests.unit.helpers_onvif import second_reader, tags, tlv

few = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
SIGNER = Signer()
INTACT = frozenset({StreamVerdict.AUTHENTIC, StreamVerdict.AUTHENTIC_CLIP, StreamVerdict.UNCHANGED})


def sign(gops: list[Gop], *, hash_list: bool = True) -> tuple[bytes, ...]:
    signing = StreamSigner(SIGNER.chain_pem, SIGNER.sign_digest, 72, Vendor("1", "2", "3"), hash_list=hash_list)
    made = [*map(signing.sign_gop, gops[:-1]), signing.finish(gops[-1])]
    return tuple(nal for gop in made for unit in gop.units for nal in unit.nals)


@cache
def stream(hash_list: bool, partial: bool = False) -> tuple[bytes, ...]:
    """Five GOPs of four pictures of two slices; or one GOP in partial ones and a second."""
    units = fake_units(24, 16, slices=2, step_ns=900_000_000) if partial else fake_units(20, 4, slices=2)
    return sign(assemble(units), hash_list=hash_list)


streams = st.builds(stream, st.booleans(), st.booleans())


def check(nals: list[bytes]) -> StreamReport:
    return validate_stream([tuple(nals)], [SIGNER.root])


def counts(nal: bytes) -> bool:
    """Whether a signature, or the want of one, hangs on the NAL unit."""
    return is_vcl(nal) or (nal[0] & 31 == 6 and is_signing_sei(nal))


@st.composite
def places(draw: st.DrawFn) -> tuple[list[bytes], int]:
    nals = list(draw(streams))
    return nals, draw(st.sampled_from([index for index, nal in enumerate(nals) if counts(nal)]))


def test_the_streams_themselves_are_authentic() -> None:
    for hash_list in (True, False):
        for partial in (True, False):
            assert check(list(stream(hash_list, partial))).verdict is StreamVerdict.AUTHENTIC


@many
@given(places(), st.data())
def test_a_flipped_bit_is_found(where: tuple[list[bytes], int], data: st.DataObject) -> None:
    nals, index = where
    bit = data.draw(st.integers(0, 8 * len(nals[index]) - 1))
    changed = bytearray(nals[index])
    changed[bit // 8] ^= 1 << bit % 8
    report = check([*nals[:index], bytes(changed), *nals[index + 1 :]])
    assert report.findings()
    assert report.verdict not in INTACT
    assert report.valid_gops < check(nals).valid_gops or report.problems()


def test_every_flip_of_a_nal_units_type_is_found() -> None:
    """All of them, as one in hundreds is hard to find by chance: the first slice of the first picture is then a parameter set."""
    for hash_list in (True, False):
        for partial in (True, False):
            nals = list(stream(hash_list, partial))
            for index in (index for index, nal in enumerate(nals) if counts(nal)):
                for bit in range(8):
                    changed = bytes((nals[index][0] ^ 1 << bit,)) + nals[index][1:]
                    report = check([*nals[:index], changed, *nals[index + 1 :]])
                    assert report.findings()
                    assert report.verdict not in INTACT


def test_a_picture_without_its_first_slice_is_no_clip() -> None:
    """A cut falls between pictures."""
    nals = list(stream(True))
    first = next(index for index, nal in enumerate(nals) if is_vcl(nal))
    report = check([*nals[:first], *nals[first + 1 :]])
    assert (report.verdict, report.verdicts[0].status) == (StreamVerdict.NOT_AUTHENTIC, GopStatus.ALTERED)
    assert check([*nals[:first], *nals[first + 2 :]]).verdict is StreamVerdict.AUTHENTIC_CLIP


def test_signatures_without_a_picture_are_told() -> None:
    seis = [nal for nal in stream(True) if nal[0] & 31 == 6]
    report = check(seis[-1:])
    assert (report.verdict, report.findings()) == (StreamVerdict.CANNOT_TELL, ["there is no picture: signatures alone"])


@many
@given(places(), st.integers(0, 200))
def test_a_truncated_nal_unit_is_found(where: tuple[list[bytes], int], cut: int) -> None:
    nals, index = where
    short = nals[index][: max(len(nals[index]) - 1 - cut, 0)]
    report = check([*nals[:index], short, *nals[index + 1 :]])
    assert report.findings()
    assert report.verdict is not StreamVerdict.AUTHENTIC


@many
@given(places())
def test_a_dropped_nal_unit_is_found(where: tuple[list[bytes], int]) -> None:
    nals, index = where
    report = check([*nals[:index], *nals[index + 1 :]])
    assert report.findings()
    assert report.verdict is not StreamVerdict.AUTHENTIC


@many
@given(places(), st.integers(1, 60))
def test_a_dropped_run_is_found(where: tuple[list[bytes], int], length: int) -> None:
    """All but a run at the end behind an SEI, which no stream can tell: see docs/media-signing.md."""
    nals, index = where
    kept = [*nals[:index], *nals[index + length :]]
    assume(index + length < len(nals))
    report = check(kept)
    assert report.findings() or [nal for nal in nals if counts(nal)] == [nal for nal in kept if counts(nal)]
    assert report.verdict is not StreamVerdict.AUTHENTIC


@many
@given(places(), st.data())
def test_a_nal_unit_once_more_is_found(where: tuple[list[bytes], int], data: st.DataObject) -> None:
    nals, index = where
    to = data.draw(st.integers(0, len(nals)))
    report = check([*nals[:to], nals[index], *nals[to:]])
    assert report.findings()
    # The one exception is the specification's own: an SEI sent twice within a GOP.
    assert report.verdict is not StreamVerdict.AUTHENTIC or (report.remarks and not is_vcl(nals[index]))


def test_a_last_sei_that_also_came_early_is_found() -> None:
    """Without a hash list it fits nothing until its pictures are complete; then it came twice."""
    nals = list(stream(False))
    for to in range(len(nals) - 7, len(nals)):
        report = check([*nals[:to], nals[-1], *nals[to:]])
        assert [one for one in report.findings() if one.endswith("counter 5 again")], to


@many
@given(places(), st.data())
def test_slices_in_another_order_are_found(where: tuple[list[bytes], int], data: st.DataObject) -> None:
    nals, index = where
    other = data.draw(st.sampled_from([at for at, nal in enumerate(nals) if is_vcl(nal)]))
    assume(is_vcl(nals[index]) and nals[index] != nals[other])
    changed = list(nals)
    changed[index], changed[other] = nals[other], nals[index]
    report = check(changed)
    assert report.problems()
    assert report.verdict is not StreamVerdict.AUTHENTIC


@many
@given(streams, st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(0, 60)), min_size=1, max_size=3), st.booleans())
def test_only_a_run_of_the_signed_slices_is_ever_a_clip(nals: tuple[bytes, ...], edits: list[tuple[int, int, int]], copy: bool) -> None:
    """Runs cut out, put elsewhere, or put in again: what passes holds nothing but what was signed, in order, without a hole."""
    made = list(nals)
    for begin, length, to in edits:
        run = made[begin : begin + length]
        made = made if copy else [*made[:begin], *made[begin + length :]]
        made[to:to] = run if length % 3 else []
    report = check(made)
    report.findings()
    if report.verdict in INTACT:
        ours = [nal for nal in made if is_vcl(nal)]
        signed = [nal for nal in nals if is_vcl(nal)]
        assert any(signed[at : at + len(ours)] == ours for at in range(len(signed)))


@few
@given(streams, st.lists(st.binary(min_size=1, max_size=60), max_size=12), st.data())
def test_junk_between_nal_units_raises_nothing(nals: tuple[bytes, ...], junk: list[bytes], data: st.DataObject) -> None:
    made = list(nals)
    for one in junk:
        made.insert(data.draw(st.integers(0, len(made))), one)
    report = check(made)
    report.findings()
    if any(is_vcl(one.rstrip(b"\x00") or b"\x00") for one in junk):
        assert report.verdict is not StreamVerdict.AUTHENTIC


@few
@given(st.lists(st.binary(max_size=80), max_size=20), st.booleans())
def test_arbitrary_bytes_are_not_signed(junk: list[bytes], has_roots: bool) -> None:
    report = validate_stream([tuple(junk)], [SIGNER.root] if has_roots else None)
    assert report.verdict not in INTACT
    report.findings()


@many
@given(st.binary(max_size=400), st.booleans())
def test_parsers_raise_two_errors_and_no_other(data: bytes, certificate_sei: bool) -> None:
    seis = [nal for nal in stream(True) if counts(nal) and not is_vcl(nal)]
    spliced = seis[0][: len(data)] + data + seis[0][2 * len(data) :]
    for junk in (data, seis[0][:40] + data, spliced, seis[0][: len(data)]):
        try:
            parse_sei(junk)
        except (FormatError, IntegrityError):
            pass
    try:
        read_records(split_records(data, 0, len(data))[0], certificate_sei)
    except (FormatError, IntegrityError):
        pass
    for prefix in (0, 1, 2, 4):
        try:
            split_packet(data, prefix)
        except FormatError:
            pass


@many
@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=30)), max_size=8, unique_by=lambda one: one[0]))
def test_records_and_back(records: list[tuple[int, bytes]]) -> None:
    records.sort(key=lambda one: one[0] == 3)
    data = b"".join(tlv(tag, value) for tag, value in records)
    found, signature_at = split_records(data, 0, len(data))
    assert found == records
    assert signature_at == len(data) - (3 + len(records[-1][1]) if records and records[-1][0] == 3 else 0)


@few
@given(st.booleans(), st.integers(1, 3), st.integers(2, 6), st.integers(1, 5), st.data())
def test_a_naive_second_reader_agrees(hash_list: bool, slices: int, pictures: int, gops: int, data: st.DataObject) -> None:
    """On which GOPs are as signed, whatever slice is changed, lost, or there twice (IDR slices apart: GOPs are then counted anew)."""
    units = fake_units(pictures * gops, pictures, slices=slices, size=data.draw(st.integers(20, 200)))
    nals = list(sign(assemble(units), hash_list=hash_list))
    assert all(1 in tags(nal) for nal in nals if counts(nal) and not is_vcl(nal))
    plain = [at for at, nal in enumerate(nals) if is_vcl(nal) and not (nal[0] & 31 == 5 and is_primary_slice(nal))]
    for index in data.draw(st.lists(st.sampled_from(plain), max_size=3, unique=True)) if plain else ():
        old = nals[index]
        nals[index] = data.draw(st.sampled_from([old[:-1] + bytes((old[-1] ^ 1,)), b"", old]))
        if data.draw(st.booleans()):
            nals[index] = old[:-2] + b"\x55\x80"
    ours = [one.status is GopStatus.VALID for one in check([nal for nal in nals if nal]).verdicts]
    assert ours == second_reader([nal for nal in nals if nal], SIGNER.leaf)


def test_a_last_gop_that_had_no_time_to_be_signed_may_look_like_another() -> None:
    """A camera on a still picture makes the same bytes again: a power loss then must not look like a repetition. In the middle it does."""
    units = fake_units(4, 4)
    still = [replace(unit, time=at(number)) for number, unit in enumerate(units * 5)]
    signing = StreamSigner(SIGNER.chain_pem, SIGNER.sign_digest, 72, Vendor("1", "2", "3"))
    gops = [signing.sign_gop(gop) for gop in assemble(still)]
    nals = [nal for gop in gops for unit in gop.units for nal in unit.nals]
    report = check(nals)
    assert (report.verdict, report.unsigned_tail) == (StreamVerdict.UNSIGNED_ENDS, True)
    assert [one.status for one in report.verdicts] == [GopStatus.VALID] * 4 + [GopStatus.UNSIGNED]
    seis = [number for number, nal in enumerate(nals) if nal[0] & 31 == 6 and is_signing_sei(nal)]
    assert check([*nals[: seis[-2]], *nals[seis[-2] + 1 :]]).verdict is StreamVerdict.NOT_AUTHENTIC
