"""What cutting, joining, repeating and moving do to a signed stream: each has its name, and none is ever authentic."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.media.access_unit import AccessUnit
from firmware.media.gop import Gop
from firmware.media.onvif_sei import Vendor, is_signing_sei, parse_sei
from firmware.media.signer import StreamSigner
from firmware.media.stream_report import GopStatus, Missing, StreamReport, StreamVerdict
from firmware.media.validator import WINDOW, validate_stream
from tests.unit.helpers_media import Signer, assemble, fake_units

VENDOR = Vendor("1.0", "OC-0001", "Oathcam")
SIGNER = Signer()
Stream = list[list[bytes]]


def signed(gops: list[Gop], signer: Signer = SIGNER, *, hash_list: bool = True) -> Stream:
    stream = StreamSigner(signer.chain_pem, signer.sign_digest, signer.signature_max_bytes, VENDOR, hash_list=hash_list)
    made = [*map(stream.sign_gop, gops[:-1]), stream.finish(gops[-1])]
    return [list(unit.nals) for gop in made for unit in gop.units]


def recording(size: int = 100, gops: int = 6, *, hash_list: bool = True, signer: Signer = SIGNER) -> Stream:
    """GOPs of five pictures of two slices; another ``size`` is another scene."""
    return signed(assemble(fake_units(5 * gops, 5, slices=2, size=size)), signer, hash_list=hash_list)


def check(stream: Stream, *signers: Signer) -> StreamReport:
    return validate_stream(map(tuple, stream), [signer.root for signer in signers or (SIGNER,)])


def copied(stream: Stream) -> Stream:
    return [list(nals) for nals in stream]


def without_seis(stream: Stream, pictures: range) -> Stream:
    return [[nal for nal in nals if not (at in pictures and is_signing_sei(nal))] for at, nals in enumerate(stream)]


@pytest.fixture(scope="module")
def six() -> Stream:
    return recording()


# --- clips


def test_a_whole_recording_is_authentic(six: Stream) -> None:
    report = check(six)
    assert (report.verdict, report.findings(), len(report.sessions)) == (StreamVerdict.AUTHENTIC, [], 1)
    session = report.sessions[0]
    assert (session.first_gop, session.last_gop, session.first_counter, session.last_counter) == (0, 5, 1, 6)


@pytest.mark.parametrize(("begin", "end"), [(0, 17), (10, 22), (10, 30), (5, 12)])
def test_a_clip_cut_at_an_idr_is_authentic_and_says_what_it_lacks(six: Stream, begin: int, end: int) -> None:
    report = check(six[begin:end])
    assert report.verdict is (StreamVerdict.UNSIGNED_ENDS if end < 30 else StreamVerdict.AUTHENTIC_CLIP)
    assert report.findings()
    assert report.valid_gops == report.gops - (end < 30)
    assert report.unsigned_tail is (end < 30)
    assert report.true_beginning is (begin == 0)


@pytest.mark.parametrize("begin", [2, 7, 9, 13])
def test_a_clip_cut_in_a_gop_knows_every_picture_of_it(six: Stream, begin: int) -> None:
    report = check(six[begin:])
    assert report.verdict is StreamVerdict.AUTHENTIC_CLIP, report.findings()
    assert (report.verdicts[0].status, report.verdicts[0].missing) == (GopStatus.CUT, (Missing(0, 2 * (begin % 5)),))
    changed = copied(six[begin:])
    changed[0][-1] = changed[0][-1][:-1] + b"\xab"
    report = check(changed)
    assert (report.verdict, report.verdicts[0].altered) == (StreamVerdict.NOT_AUTHENTIC, (0,))


def test_a_clip_cut_in_a_gop_without_list_cannot_tell_that_gop() -> None:
    report = check(recording(hash_list=False)[7:])
    assert [one.status for one in report.verdicts] == [GopStatus.CANNOT_TELL, *[GopStatus.VALID] * 4]
    assert report.verdict is StreamVerdict.CANNOT_TELL


def test_a_clip_that_holds_no_whole_gop(six: Stream) -> None:
    for begin, end in ((2, 4), (5, 8), (6, 6)):
        report = check(six[begin:end])
        assert report.verdict in (StreamVerdict.CANNOT_TELL, StreamVerdict.UNSIGNED)
        assert report.valid_gops == 0


def test_one_of_several_partial_gops_cannot_be_told_without_its_idr() -> None:
    stream = signed(assemble(fake_units(700, 700)))
    assert check(stream).verdict is StreamVerdict.AUTHENTIC
    report = check(stream[170:])
    assert GopStatus.VALID not in {one.status for one in report.verdicts}
    assert report.verdict in (StreamVerdict.CANNOT_TELL, StreamVerdict.NOT_AUTHENTIC)


def test_nothing_vouches_for_what_stands_at_unsigned_ends(six: Stream) -> None:
    """Strange pictures behind the last SEI, or in front of the first IDR, never pass for a clip."""
    strange = recording(120)
    for stream in ([*six, *strange[15:18]], [*strange[17:19], *six]):
        report = check(stream)
        assert report.verdict is not StreamVerdict.AUTHENTIC
        assert report.verdict is not StreamVerdict.AUTHENTIC_CLIP
        assert any("is unsigned" in text for text in report.findings()), report.findings()


# --- joined


def test_two_recordings_joined_are_two_sessions(six: Stream) -> None:
    report = check([*six, *recording(120)])
    assert (report.verdict, report.valid_gops) == (StreamVerdict.NOT_AUTHENTIC, 12)
    assert [(one.first_gop, one.last_gop, one.first_counter) for one in report.sessions] == [(0, 5, 1), (6, 11, 1)]
    assert report.problems() == ["GOP 6 begins another signing session: streams were joined"]


def test_the_same_recording_twice_is_a_repetition(six: Stream) -> None:
    report = check([*six, *six])
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert [one.status for one in report.verdicts] == [GopStatus.VALID] * 6 + [GopStatus.REPLAYED] * 6


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (slice(10, 22), slice(10, 30), "belongs to another clip"),
        (slice(0, 12), slice(15, 30), "is not linked to the GOP before it"),
        (slice(0, 12), slice(10, 30), "is not linked to the GOP before it"),
    ],
)
def test_clips_joined(six: Stream, first: slice, second: slice, said: str) -> None:
    report = check([*six[first], *recording(120)[second]])
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert any(said in text for text in report.problems()), report.problems()


def test_clips_of_one_recording_joined_name_the_gap(six: Stream) -> None:
    report = check([*six[:10], *six[20:]])
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert any("1 signed GOP is missing" in text or "is missing before picture 10" in text for text in report.problems())


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_two_cameras_joined(six: Stream, curve: ec.EllipticCurve) -> None:
    """Whoever may sign cannot go on with another's recording: the GOPs are named as another's."""
    other = Signer(curve)
    report = check([*six, *recording(120, signer=other)], SIGNER, other)
    assert [one.status for one in report.verdicts] == [GopStatus.VALID] * 6 + [GopStatus.OTHER_SIGNER] * 6
    assert any("by another signer" in text and "joined" in text for text in report.problems())
    assert report.sessions[1].signer == other.leaf
    unknown = check([*six, *recording(120, signer=other)])
    assert {one.status for one in unknown.verdicts[6:]} == {GopStatus.BAD_SIGNATURE}


def test_a_sei_of_another_recording_is_named_and_counted(six: Stream) -> None:
    """The verifiers count ``broken_links``: a sentence without its counter would be lost to them."""
    stranger = recording(120)
    stream = [*six[:21], [stranger[6][0], *six[21]], *six[22:]]
    report = check(stream)
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert any("belongs to another stream" in text for text in report.problems()), report.problems()
    assert len(report.broken_links) == len(report.breaks)


# --- moved, repeated, removed


def changes() -> dict[str, tuple[Callable[[Stream], Stream], str]]:
    def moved_sei(stream: Stream, made: int, to: int) -> Stream:
        changed = copied(stream)
        sei = next(nal for nal in changed[made] if is_signing_sei(nal))
        changed[made].remove(sei)
        changed[to].insert(0, sei)
        return changed

    def swapped_seis(stream: Stream) -> Stream:
        changed = copied(stream)
        changed[11][0], changed[16][0] = changed[16][0], changed[11][0]
        return changed

    def lost_idr(stream: Stream) -> Stream:
        changed = copied(stream)
        changed[10] = [nal for nal in changed[10] if nal[0] & 31 != 5]
        return changed

    return {
        "SEI removed": (lambda s: without_seis(s, range(11, 12)), "GOP 1 (pictures 5 to 9) is unsigned"),
        "all SEIs but one removed": (lambda s: without_seis(s, range(12, 30)), "GOP 2 (pictures 10 to 14) is unsigned"),
        "SEI in front of its GOP": (lambda s: moved_sei(s, 16, 8), "its SEI stands in front of pictures that it signs"),
        "SEI inside its GOP": (lambda s: moved_sei(s, 16, 12), "its SEI stands in front of pictures that it signs"),
        "SEIs swapped": (swapped_seis, "its SEI stands in front of pictures that it signs"),
        "SEI of another GOP again": (lambda s: [*s[:16], [s[11][0], *s[16]], *s[17:]], "counter 2 again"),
        "GOP moved behind": (lambda s: [*s[:10], *s[15:20], *s[10:15], *s[20:]], "GOP with counter 3 is not linked"),
        "GOP repeated": (lambda s: [*s[:15], *s[10:15], *s[15:]], "it repeats GOP 2"),
        "GOP repeated without SEI": (lambda s: [*s[:15], *without_seis(s[10:15], range(5)), *s[15:]], "it repeats GOP 2"),
        "GOP repeated far behind": (lambda s: [*s[:25], *s[5:10], *s[25:]], "it repeats GOP 1"),
        "IDR picture lost": (lost_idr, "GOP 2 (pictures 10 to 13) is altered; 2 slices missing before picture 10"),
        "counter gap": (lambda s: [*s[:10], *s[20:]], "GOP with counter 4 is not linked"),
        "picture added": (lambda s: [*s[:13], [b"\x41\x9a\x01\x02\x03\x80"], *s[13:]], "added: picture 13"),
        "pictures swapped": (lambda s: [*s[:12], s[13], s[12], *s[14:]], "moved: picture"),
    }  # fmt: skip


@pytest.mark.parametrize("hash_list", [True, False])
@pytest.mark.parametrize("name", sorted(changes()))
def test_a_change_is_named(name: str, hash_list: bool) -> None:
    change, said = changes()[name]
    report = check(change(recording(hash_list=hash_list)))
    assert report.verdict in (StreamVerdict.NOT_AUTHENTIC, StreamVerdict.CANNOT_TELL), report.findings()
    assert report.problems()
    if hash_list:
        assert report.verdict is StreamVerdict.NOT_AUTHENTIC
        assert any(said in text for text in report.problems()), report.problems()


def test_without_list_the_gop_is_named_and_no_other() -> None:
    stream = recording(hash_list=False)
    assert all(parse_sei(nal).hash_list is None for nals in stream for nal in nals if is_signing_sei(nal))
    assert check(stream).verdict is StreamVerdict.AUTHENTIC
    for change in (lambda s: s[:12] + s[13:], lambda s: s[:12] + s[11:], lambda s: [*s[:12], s[13], s[12], *s[14:]]):
        report = check(change(copied(stream)))
        assert [one.gop for one in report.verdicts if one.status is not GopStatus.VALID] == [2]
        assert "no list tells which" in report.problems()[0]


@pytest.mark.parametrize("picture", [0, 5, 10, 25])
def test_without_list_an_altered_first_slice_costs_its_gop_and_the_link_behind_it(picture: int) -> None:
    stream = copied(recording(hash_list=False))
    stream[picture][2] = stream[picture][2][:-1] + b"\xab"
    report = check(stream)
    assert [one.gop for one in report.verdicts if one.status is not GopStatus.VALID] == [picture // 5]


def test_a_sei_sent_twice_for_safety_is_remarked_and_no_fault(six: Stream) -> None:
    """ONVIF: "to add redundancy by transmitting the SEI twice"."""
    twice = copied(six)
    for at in (6, 11, 16):
        twice[at].insert(0, twice[at][0])
    report = check(twice)
    assert (report.verdict, report.problems(), len(report.remarks)) == (StreamVerdict.AUTHENTIC, [], 3)


def test_late_seis_are_placed_as_long_as_gops_wait() -> None:
    stream = recording(gops=WINDOW + 8)
    late = copied(stream)
    seis = [next(nal for nal in late[5 * at + 1] if is_signing_sei(nal)) for at in range(1, WINDOW + 8)]
    late = without_seis(late, range(5 * (WINDOW + 8) - 1))
    late[5 * 20 + 1][:0] = seis[:20]
    for at in range(21, WINDOW + 8):
        late[5 * at + 1].insert(0, seis[at - 1])
    assert check(late).verdict is StreamVerdict.AUTHENTIC
    too_late = without_seis(copied(stream), range(5 * (WINDOW + 8) - 1))
    too_late[-1][:0] = seis
    report = check(too_late)
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert GopStatus.UNSIGNED in {one.status for one in report.verdicts}


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()])
def test_verdicts_depend_on_nal_units_and_not_on_how_they_are_cut(curve: ec.EllipticCurve) -> None:
    signer = Signer(curve)
    stream = recording(signer=signer)
    del stream[12]
    nals = [nal for picture in stream for nal in picture]
    whole, single = check([nals], signer), check([[nal] for nal in nals], signer)
    assert whole == single == check(stream, signer)
    assert whole.verdicts[2].missing == (Missing(12, 2),)
    padded = [nal + bytes(at % 3) for at, nal in enumerate(nals)]
    delimited = [part for nal in padded for part in ((b"\x09\xf0", nal) if nal[0] & 31 in (7, 1) and nal[1] >= 0x80 else (nal,))]
    assert check([delimited, [b"\x0c\xff\x80", b"\x0a", b"\x0b"]], signer) == whole
    bare = [nal for nal in nals if nal[0] & 31 not in (7, 8)]
    assert check([bare], signer) == whole


@pytest.mark.parametrize("hash_list", [True, False])
def test_a_covered_lens_whose_gops_are_the_same_bytes_is_authentic(hash_list: bool) -> None:
    units = fake_units(30, 5, slices=2)
    same = [AccessUnit(units[at % 5].nals, unit.keyframe, unit.time) for at, unit in enumerate(units)]
    report = check(signed(assemble(same), hash_list=hash_list))
    assert (report.verdict, report.findings()) == (StreamVerdict.AUTHENTIC, [])


def test_what_was_cut_out_is_counted(six: Stream) -> None:
    report = check([*six[:10], *six[25:]])
    assert any("2 signed GOPs are missing, or clips were joined" in text for text in report.problems()), report.problems()
