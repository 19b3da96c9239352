"""The container of an opened film: whatever is done to its boxes, what is called authentic plays what the camera signed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy
import pytest
from camerabench import RECORDING, make_camera_bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.errors import UnavailableError
from firmware.evidence.findings import RecordingReport, Severity, Verdict
from firmware.evidence.verify_film import Papers, verify_film
from firmware.media.boxes import box, walk
from firmware.media.fmp4_export import head_additions, original_init
from hal.interfaces import ButtonName
from tools.inputs import mp4_parts
from tools.movie import write_movie
from tools.sources import DirectorySource, load_roots

C2PA = box(b"uuid", bytes.fromhex("d8fec3d61b0e483c92975828877ec481"), bytes(20))
HARMLESS = (box(b"free", bytes(40)), C2PA)
"""What an export may hold beside head, index and fragments."""
STRANGERS = (
    box(b"free", b"hidden"),
    box(b"uuid", bytes(36)),
    box(b"skip", bytes(8)),
    box(b"meta", bytes(12)),
    box(b"mfra"),
    bytes(4) + b"free",
)


class Film:
    """An opened film by its top boxes, and the check of any bytes against its manifest."""

    def __init__(self, boxes: list[bytes], check: Callable[[bytes], RecordingReport]) -> None:
        self.boxes = tuple(boxes)
        self.check = check

    def __bytes__(self) -> bytes:
        return b"".join(self.boxes)

    def kinds(self) -> list[bytes]:
        return [one[4:8] for one in self.boxes]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, agency) -> Film:
    bench = make_camera_bench(tmp_path_factory.mktemp("camera"), agency, 0, 1, {}, 7)
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    directory = bench.card / "vault" / RECORDING
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_movie(DirectorySource(bench.card), bench.manifest(RECORDING), bench.key(), path, False, lambda: None)
    papers = [Papers("manifest.json", (directory / "manifest.json").read_bytes(), (directory / "manifest.json.p7s").read_bytes())]
    roots = load_roots(agency.directory / "root.crt")

    def check(data: bytes) -> RecordingReport:
        path.write_bytes(data)
        return verify_film(path.name, mp4_parts(path), roots, papers)

    return Film(boxes_of(path.read_bytes()), check)


def boxes_of(data: bytes) -> list[bytes]:
    return [struct.pack(">I", 8 + len(content)) + kind + bytes(content) for kind, content in walk(memoryview(data), "mp4", 1000)]


def codes(report: RecordingReport, severity: Severity) -> set[str]:
    return {one.code for one in report.findings if one.severity is severity}


def test_as_it_was_opened(film: Film) -> None:
    report = film.check(bytes(film))
    assert report.verdict is Verdict.AUTHENTIC
    assert not codes(report, Severity.NOTE) - {"key-protection"}
    assert film.kinds()[:3] == [b"ftyp", b"moov", b"sidx"]


def other_film(path: Path) -> list[bytes]:
    """``ftyp``, ``moov`` and data of a whole other film, all of its samples named in its head."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as sink:
        stream = sink.add_stream("libx264", rate=30, width=64, height=48, pix_fmt="yuv420p", options={"tune": "zerolatency"})
        for _ in range(10):
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(numpy.zeros((72, 64), numpy.uint8), format="yuv420p")))
        sink.mux(stream.encode())
    return [one for one in boxes_of(path.read_bytes()) if one[4:8] in (b"ftyp", b"moov", b"mdat")]


def test_a_head_that_plays_another_film_is_found(film: Film, tmp_path: Path) -> None:
    """A player takes the first ``moov`` and shows what lies hidden in a box that it would skip; every signed byte is still there."""
    ftyp, moov, hidden = other_film(tmp_path / "other.mp4")
    mvex = next(bytes(one) for kind, one in walk(memoryview(film.boxes[1])[8:], "mp4") if kind == b"mvex")
    moov = bytearray(box(b"moov", moov[8:], box(b"mvex", mvex)))
    at = moov.index(b"stco")
    assert struct.unpack_from(">I", moov, at + 8) == (1,)
    struct.pack_into(">I", moov, at + 12, len(ftyp) + len(moov) + 8)
    data = ftyp + moov + hidden[:4] + b"free" + hidden[8:] + bytes(film)
    with av.open(written(tmp_path, data)) as played:
        shown = next(played.decode(video=0))
    assert (shown.width, shown.height) == (64, 48)
    report = film.check(data)
    assert report.verdict is Verdict.NOT_AUTHENTIC
    assert "film-differs" in codes(report, Severity.BAD)


def written(directory: Path, data: bytes | bytearray) -> str:
    path = directory / "attack.mp4"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("place", ["front", "behind the head", "between fragments", "end"])
@pytest.mark.parametrize("kind", [b"ftyp+moov", b"moov", b"sidx"])
def test_a_second_head_or_index_is_never_authentic(film: Film, kind: bytes, place: str) -> None:
    extra = b"".join(one for one in film.boxes if one[4:8] in kind.split(b"+"))
    first = film.kinds().index(b"styp")
    at = {"front": 0, "behind the head": 2, "between fragments": first + 4, "end": len(film.boxes)}[place]
    report = film.check(b"".join((*film.boxes[:at], extra, *film.boxes[at:])))
    assert report.verdict is not Verdict.AUTHENTIC


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("at", ["front", "head", "middle", "end"])
def test_what_belongs_to_no_film_is_named(film: Film, stranger: bytes, at: str) -> None:
    where = {"front": 0, "head": 1, "middle": film.kinds().index(b"styp") + 4, "end": len(film.boxes)}[at]
    report = film.check(b"".join((*film.boxes[:where], stranger, *film.boxes[where:])))
    assert report.verdict is not Verdict.AUTHENTIC
    assert codes(report, Severity.MISSING) | codes(report, Severity.BAD)


@pytest.mark.parametrize("extra", HARMLESS)
def test_what_an_export_may_add_is_no_fault_before_the_index_only(film: Film, extra: bytes) -> None:
    assert film.check(b"".join((*film.boxes[:1], extra, *film.boxes[1:]))).verdict is Verdict.AUTHENTIC
    assert film.check(b"".join((*film.boxes[:3], extra, *film.boxes[3:]))).verdict is not Verdict.AUTHENTIC


def test_the_length_in_the_head_is_the_recordings(film: Film) -> None:
    data = bytearray(bytes(film))
    data[data.index(b"mehd") + 15] ^= 8
    report = film.check(bytes(data))
    assert (report.verdict, codes(report, Severity.BAD)) == (Verdict.NOT_AUTHENTIC, {"film-differs"})


@pytest.mark.parametrize("old", [b"activation (button)", b"Oathcam camera", b"mdirappl"])
def test_words_that_the_manifest_does_not_give_are_nobodys(film: Film, old: bytes) -> None:
    report = film.check(bytes(film).replace(old, old[::-1]))
    assert report.verdict is Verdict.AUTHENTIC
    assert "film-export" in codes(report, Severity.NOTE)


def test_an_offset_that_was_measured_is_named_as_not_the_manifests(film: Film) -> None:
    """It comes from the ledger and the dock: beside the manifest alone nobody can tell whether somebody typed it in."""
    report = film.check(bytes(film).replace(b"offset not measured", b"0ffset not measured"))
    (note,) = [one for one in report.findings if one.code == "film-export"]
    assert "system_clock_offset" in note.text


def signed(data: bytes, index: bytes) -> bytes:
    """What a player makes its pictures, sound and times of: all but padding, C2PA's box, the right index and the head's words."""
    kept = [one for one in boxes_of(data) if one not in (*HARMLESS, index)]
    head = kept[0] + kept[1]
    words = [one for one in head_additions(head) if one[0] == "mehd"]
    return original_init(head) + repr(words).encode() + b"".join(kept[2:])


edits = st.lists(
    st.tuples(st.sampled_from(["drop", "repeat", "move", "insert", "flip", "rename"]), st.integers(0, 10**6), st.integers(0, 10**6)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits)
def test_no_edit_of_its_boxes_changes_what_is_played_and_stays_authentic(film: Film, script: list[tuple[str, int, int]]) -> None:
    boxes = list(film.boxes)
    for action, first, second in script:
        at = first % len(boxes)
        match action:
            case "drop" if len(boxes) > 1:
                del boxes[at]
            case "repeat":
                boxes.insert(second % (len(boxes) + 1), boxes[at])
            case "move":
                boxes.insert(second % len(boxes), boxes.pop(at))
            case "insert":
                boxes.insert(at, (*STRANGERS, *HARMLESS)[second % 8])
            case "flip":
                bit = second % (8 * len(boxes[at]))
                altered = bytearray(boxes[at])
                altered[bit // 8] ^= 1 << bit % 8
                boxes[at] = bytes(altered)
            case "rename":
                boxes[at] = boxes[at][:4] + (b"free", b"moov", b"mdat", b"styp", b"sidx")[second % 5] + boxes[at][8:]
    data = b"".join(boxes)
    try:
        verdict = film.check(data).verdict
    except UnavailableError:  # nothing that any player reads
        return
    if verdict is Verdict.AUTHENTIC:
        assert signed(data, film.boxes[2]) == signed(bytes(film), film.boxes[2])
