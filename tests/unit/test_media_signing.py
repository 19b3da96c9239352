"""ONVIF Media Signing: what is signed, where it stands, and what the validator says of a stream that was changed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.errors import FormatError
from firmware.media.differences import differences
from firmware.media.gop import Gop
from firmware.media.nal import escape, is_vcl, unescape
from firmware.media.onvif_sei import Vendor, build_document, build_sei, fixed_records, is_signing_sei, parse_sei
from firmware.media.signer import StreamSigner
from firmware.media.stream_report import GopStatus, Missing, StreamReport
from firmware.media.time_sei import PictureTime, build_time_sei, insert_time, parse_time_sei
from firmware.media.validator import validate_stream
from firmware.timebase import Timestamp, Trust
from tests.unit.helpers_media import Signer, assemble, at, fake_units, units

VENDOR = Vendor("1.0", "OC-0001", "Oathcam")
SIGNER = Signer()
Stream = list[list[bytes]]


def signed(gops: list[Gop], signer: Signer = SIGNER) -> list[Gop]:
    stream = StreamSigner(signer.chain_pem, signer.sign_digest, signer.signature_max_bytes, VENDOR)
    return [*map(stream.sign_gop, gops[:-1]), stream.finish(gops[-1])]


def pictures_of(gops: list[Gop]) -> Stream:
    return [list(unit.nals) for gop in gops for unit in gop.units]


def check(stream: Stream, signer: Signer | None = SIGNER) -> StreamReport:
    return validate_stream([tuple(nals) for nals in stream], None if signer is None else [signer.root])


@pytest.fixture(scope="module")
def five() -> Stream:
    """Five GOPs of ten pictures of two slices."""
    return pictures_of(signed(assemble(fake_units(50, 10, slices=2))))


def flip(stream: Stream, picture: int, nal: int = -1) -> Stream:
    changed = [list(nals) for nals in stream]
    old = changed[picture][nal]
    changed[picture][nal] = old[:-1] + bytes((old[-1] ^ 0x10,))
    return changed


# --- what is signed


def test_sei_is_laid_out_as_specified() -> None:
    """The hashes recomputed here from the rules, not with the signer's functions; the signature checked with the key."""
    gops = assemble(fake_units(25, 10, slices=2))
    stream = signed(gops)
    nal = stream[1].units[1].nals[0]
    assert nal[:2] == b"\x06\x05"
    raw = unescape(nal)
    sei = parse_sei(nal)
    hashed: list[bytes] = []
    for unit in gops[0].units:
        for slice_ in filter(is_vcl, unit.nals):
            digest = sha256(slice_).digest()
            hashed.append(sha256(hashed[0] + digest).digest() if hashed else digest)
    assert sei.general.gop_hash == sha256(b"".join(hashed)).digest()
    assert sei.hash_list == tuple(hashed)
    assert (sei.general.counter, sei.general.hashed_nals, sei.general.partial, sei.general.linked_hash) == (1, 20, False, bytes(32))
    assert sei.general.start == gops[0].start.wall_ns // 100 + 116_444_736_000_000_000
    assert sei.general.end == gops[1].start.wall_ns // 100 + 116_444_736_000_000_000
    assert (sei.vendor, sei.certificates_pem) == (VENDOR, SIGNER.chain_pem)
    assert sei.signature is not None
    SIGNER.leaf.public_key().verify(sei.signature, sei.document, ec.ECDSA(hashes.SHA256()))  # type: ignore[union-attr,call-arg,arg-type]
    header = raw.index(bytes.fromhex("005bc93f2d715e95ada4796f90877a6f"))
    assert sum(raw[2:header]) == len(raw) - header - 1
    assert raw[header + 16] == 0
    assert raw[header + 17 : header + 36].hex() == "040010" + "010b0609608648016503040201" + "000000"
    tail = len(raw) - 1 - 72 - 3 - 3
    assert raw[tail : tail + 4].hex() == "03004b01"
    assert raw[:tail] == sei.document
    second = parse_sei(stream[2].units[1].nals[0])
    assert (second.general.counter, second.general.linked_hash) == (2, hashed[0])


def test_placement() -> None:
    """Behind the IDR, in front of the next primary slice; the last GOP's own as trailing NAL unit."""
    stream = signed(assemble(fake_units(30, 10, slices=2)))
    places = [
        [(number, index) for number, unit in enumerate(gop.units) for index, nal in enumerate(unit.nals) if is_signing_sei(nal)]
        for gop in stream
    ]
    assert places == [[], [(1, 0)], [(1, 0), (9, 2)]]
    assert [gop.size_bytes for gop in stream] == [sum(unit.size_bytes for unit in gop.units) for gop in stream]
    lone = signed(assemble([*fake_units(10, 10), *fake_units(11, 10)[10:]]))
    assert [is_signing_sei(nal) for nal in lone[1].units[0].nals] == [False, False, False, True, True]


def test_a_key_store_that_fails_changes_nothing() -> None:
    fail = [True]

    def sometimes(digest: bytes) -> bytes:
        if fail:
            raise RuntimeError(fail.pop())
        return SIGNER.sign_digest(digest)

    stream = StreamSigner(SIGNER.chain_pem, sometimes, 72, VENDOR)
    gops = assemble(fake_units(20, 10))
    with pytest.raises(RuntimeError):
        stream.sign_gop(gops[0])
    report = check(pictures_of([stream.sign_gop(gops[0]), stream.finish(gops[1])]))
    assert (report.valid_gops, report.problems()) == (2, [])


def test_signature_longer_than_reserved_is_refused() -> None:
    stream = StreamSigner(SIGNER.chain_pem, lambda digest: bytes(73), 72, VENDOR)
    with pytest.raises(FormatError):
        stream.sign_gop(assemble(fake_units(2, 2))[0])


def test_signer_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="certificates"):
        StreamSigner(b"", SIGNER.sign_digest, 72, VENDOR)
    with pytest.raises(ValueError, match="certificates"):
        StreamSigner(SIGNER.chain_pem * 5, SIGNER.sign_digest, 72, VENDOR)
    with pytest.raises(ValueError, match="vendor"):
        StreamSigner(SIGNER.chain_pem, SIGNER.sign_digest, 72, Vendor("v" * 256, "", ""))
    with pytest.raises(FormatError):
        StreamSigner(SIGNER.chain_pem, SIGNER.sign_digest, 72, VENDOR).sign_gop(assemble(fake_units(400, 400))[1])


# --- what the validator says


def test_whole_stream_is_valid(five: Stream) -> None:
    report = check(five)
    assert (report.valid_gops, report.gops, report.pictures, report.first_counter, report.last_counter) == (5, 5, 50, 1, 5)
    assert (report.true_beginning, report.chain_checked, report.unsigned_tail, report.problems()) == (True, True, False, [])
    assert (report.signer, report.vendor) == (SIGNER.leaf, VENDOR)
    assert check(five, None).chain_checked is None


def test_real_pictures_with_times_and_p384_are_valid() -> None:
    signer = Signer(ec.SECP384R1())
    stream = pictures_of(signed(assemble([insert_time(unit) for unit in units()]), signer))
    report = check(stream, signer)
    assert (report.valid_gops, report.gops, report.problems()) == (3, 3, [])
    altered = check(flip(stream, 17), signer)
    assert altered.verdicts[1].altered == (17,)


@pytest.mark.parametrize("picture", [0, 5, 9, 10, 14, 20, 49])
def test_an_altered_picture_is_named(five: Stream, picture: int) -> None:
    nal = -2 if picture == 49 else -1  # the last NAL unit of all is the SEI
    report = check(flip(five, picture, nal))
    verdict = report.verdicts[picture // 10]
    assert (verdict.status, verdict.altered, verdict.added, verdict.missing) == (GopStatus.ALTERED, (picture,), (), ())
    assert (report.valid_gops, len(report.problems())) == (4, 1)


@pytest.mark.parametrize("picture", [0, 20])
def test_an_altered_first_slice_is_named_although_all_hashes_hang_on_it(five: Stream, picture: int) -> None:
    report = check(flip(five, picture, 2))
    assert report.verdicts[picture // 10].altered == (picture,)
    assert report.valid_gops == 4


def changes() -> dict[str, tuple[Callable[[Stream], Stream], str]]:
    return {
        "missing": (lambda s: s[:15] + s[16:], "2 slices missing before picture 15"),
        "missing last of a GOP": (lambda s: s[:19] + s[20:], "2 slices missing before picture 19"),
        "doubled": (lambda s: s[:16] + s[15:], "added: picture 16"),
        "swapped": (lambda s: [*s[:15], s[16], s[15], *s[17:]], "moved: picture 15"),
        "GOP missing": (lambda s: s[:20] + s[30:], "GOP with counter 3 is missing before picture 20"),
        "two GOPs missing": (lambda s: s[:20] + s[40:], "GOP with counter 4 is not linked"),
        "GOPs swapped": (lambda s: s[:20] + s[30:40] + s[20:30] + s[40:], "is not linked"),
        "GOP doubled": (lambda s: s[:30] + s[20:30] + s[30:], "is repeated; it repeats GOP 2"),
        "two GOPs doubled": (lambda s: s[:40] + s[20:40] + s[40:], "is repeated; it repeats"),
        "head cut": (lambda s: s[20:], "the beginning is missing"),
        "first GOP cut": (lambda s: s[10:], "the beginning is missing"),
        "SEI removed": (lambda s: [*s[:21], [n for n in s[21] if not is_signing_sei(n)], *s[22:]], "GOP 1 (pictures 10 to 19) is unsigned"),
        "foreign slice": (lambda s: [*s[:15], [*s[15], b"\x42\x88\x21"], *s[16:]], "type 2, which no signature covers"),
        "tail extended": (lambda s: [*s, [b"\x41\x88\x99\x21"]], "added: picture 50"),
    }


@pytest.mark.parametrize("name", sorted(changes()))
def test_changes_are_named(five: Stream, name: str) -> None:
    change, expected = changes()[name]
    report = check(change([list(nals) for nals in five]))
    assert any(expected in problem for problem in report.problems()), report.problems()


def test_tail_cut_leaves_an_unsigned_last_gop_and_no_problem(five: Stream) -> None:
    """A power cut: the SEI of the last promised GOP was to travel in the next; manifest and leaf cover it."""
    for kept in (40, 45):
        report = check(five[:kept])
        assert (report.unsigned_tail, report.valid_gops, report.problems()) == (True, report.gops - 1, [])


def test_unsigned_stream(five: Stream) -> None:
    report = check([[nal for nal in nals if not is_signing_sei(nal)] for nals in five])
    assert (report.valid_gops, report.signer, [v.status for v in report.verdicts]) == (0, None, [GopStatus.UNSIGNED] * 5)
    assert len(report.problems()) == 4


def test_wrong_root_and_wrong_time(five: Stream) -> None:
    report = check(five, Signer())
    assert (report.valid_gops, report.chain_checked) == (0, False)
    assert {verdict.status for verdict in report.verdicts} == {GopStatus.BAD_SIGNATURE}
    late = validate_stream(map(tuple, five), [SIGNER.root], dt.datetime(2060, 1, 1, tzinfo=dt.UTC))
    assert late.valid_gops == 0
    now = validate_stream(map(tuple, five), [SIGNER.root], dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    assert now.valid_gops == 5


def test_a_second_signer_is_not_accepted(five: Stream) -> None:
    """Somebody with another certificate of the same root cannot append."""
    other = Signer()
    rest = pictures_of(signed(assemble(fake_units(80, 10))[5:], other))
    report = validate_stream(map(tuple, [*five, *rest]), [SIGNER.root, other.root])
    assert report.valid_gops == 5
    assert report.problems()


def test_two_recordings_of_one_camera_spliced_at_an_idr() -> None:
    """Every GOP is signed by the right key and the counters fit; only the link tells."""
    first = pictures_of(signed(assemble(fake_units(60, 10, size=90))))
    second = pictures_of(signed(assemble(fake_units(60, 10, size=120))))
    spliced = [*first[:30], second[30], [first[31][0], *second[31][1:]], *second[32:]]
    report = check(spliced)
    assert (report.valid_gops, report.gops, report.broken_links) == (6, 6, (4,))
    assert report.problems() == ["GOP with counter 4 is not linked to the GOP before it"]


def test_partial_gops() -> None:
    gops = assemble(fake_units(400, 400))
    stream = pictures_of(signed(gops))
    report = check(stream)
    assert (report.gops, report.valid_gops, report.problems()) == (3, 3, [])
    counters = [parse_sei(nal).general for nals in stream for nal in nals if is_signing_sei(nal)]
    assert [(general.counter, general.partial) for general in counters] == [(1, True), (2, True), (3, False)]
    gone = check(stream[:200] + stream[201:])
    assert [verdict.status.value for verdict in gone.verdicts] == ["valid", "altered", "valid"]
    assert gone.verdicts[1].missing == (Missing(200, 1),)
    head = check(flip(stream, 0))
    assert [verdict.altered for verdict in head.verdicts] == [(0,), (), ()]
    assert head.valid_gops == 2


def test_long_gops_have_no_list_and_are_still_judged() -> None:
    stream = pictures_of(signed(assemble(fake_units(1302, 651, step_ns=1_000_000))))
    assert all(parse_sei(nal).hash_list is None for nals in stream for nal in nals if is_signing_sei(nal))
    assert check(stream).problems() == []
    assert [verdict.status.value for verdict in check(flip(stream, 7)).verdicts] == ["altered", "valid"]


def test_a_list_counts_more_than_the_hash_beside_it(five: Stream) -> None:
    """ONVIF's signer library ends a stream with a list of the last GOP beside the GOP hash of the one before."""
    last, before = parse_sei(five[49][-1]), parse_sei(five[41][0])
    assert last.hash_list is not None
    stale = replace(last.general, gop_hash=before.general.gop_hash, hashed_nals=7)
    document = build_document(fixed_records(VENDOR, SIGNER.chain_pem), stale, list(last.hash_list), 72)
    made = build_sei(document, SIGNER.sign_digest(sha256(document).digest()), 72)
    report = check([*five[:49], [*five[49][:-1], made]])
    assert (report.valid_gops, report.problems()) == (5, [])
    assert check(flip([*five[:49], [*five[49][:-1], made]], 45)).verdicts[4].altered == (45,)


def test_late_sei_of_a_slow_signer_is_placed(five: Stream) -> None:
    late = [list(nals) for nals in five]
    for made, arrives in ((11, 24), (21, 34), (31, 40)):
        late[arrives].insert(0, late[made].pop(0))
    assert check(late).problems() == []


def test_every_bit_of_a_sei_counts(five: Stream) -> None:
    for position in range(0, len(five[11][0]), 7):
        changed = [list(nals) for nals in five]
        old = changed[11][0]
        changed[11][0] = old[:position] + bytes((old[position] ^ 0x01,)) + old[position + 1 :]
        report = check(changed)
        assert report.valid_gops == 4, position
        assert report.verdicts[0].status is not GopStatus.VALID


def test_padding_of_the_signature_is_not_free(five: Stream) -> None:
    nal = five[11][0]
    document, signature = parse_sei(nal).document, parse_sei(nal).signature
    assert signature is not None
    padded = document + b"\x03" + (3 + 72).to_bytes(2, "big") + b"\x01" + len(signature).to_bytes(2, "big") + signature
    good = escape(padded + b"\x01" * (72 - len(signature)) + b"\x80")
    assert good == nal
    short = SIGNER.sign_digest(sha256(document).digest())
    while len(short) > 71:
        short = SIGNER.sign_digest(sha256(document).digest())
    head = document + b"\x03" + (3 + 72).to_bytes(2, "big") + b"\x01" + len(short).to_bytes(2, "big") + short
    assert parse_sei(escape(head + b"\x01" * (72 - len(short)) + b"\x80")).signature == short
    with pytest.raises(FormatError):
        parse_sei(escape(head + b"\x02" * (72 - len(short)) + b"\x80"))


def test_differences_known_answers() -> None:
    a, b, c, d, e, x, y = (bytes((value,)) for value in range(7))
    assert differences([a, b, c], [a, b, c]) == differences([], [])
    found = differences([a, b, c, d], [a, x, d, y])
    assert (found.altered, found.added, found.moved, found.missing) == ((1,), (3,), (), ((2, 1),))
    assert differences([a, b, c, d, e], [a, b, c, e, d]).moved == (3,)
    assert differences([a, a, b], [a, b]).missing == ((1, 1),)
    assert differences([a, b], []).missing == ((0, 2),)


# --- time in the stream


def test_time_sei_golden() -> None:
    """BWC-POL-26."""
    time = Timestamp(1, 0x0005_F5E1_00AB_CDEF * 1000, Trust.SYNCED)
    assert build_time_sei(time).hex() == "06051c4d4953506d6963726f73656374696d65" + "1f" + "0005fff5e1ff00abffcdef" + "80"
    assert parse_time_sei(build_time_sei(time)) == PictureTime(0x0005_F5E1_00AB_CDEF, True)
    for trust in (Trust.RTC, Trust.UNSET):
        assert parse_time_sei(build_time_sei(Timestamp(1, 5000, trust))) == PictureTime(5, False)


def test_time_sei_stands_in_front_of_the_first_slice() -> None:
    for unit in units()[:2]:
        kinds = [nal[0] & 31 for nal in insert_time(unit).nals]
        assert kinds == ([7, 8, 6, 6, 5, 5] if unit.keyframe else [6, 1, 1])


@pytest.mark.parametrize("position", [0, 1, 2, 3, 18, 19, 22, 25, 28, 31])
def test_time_sei_with_a_wrong_byte_is_refused(position: int) -> None:
    data = bytearray(build_time_sei(at(0)))
    data[position] ^= 0x11
    with pytest.raises(FormatError):
        parse_time_sei(bytes(data))
