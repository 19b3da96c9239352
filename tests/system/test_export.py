"""``oathcam open`` over a real card and a real store: what leaves, what does not, and what stock players make of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import av
import pytest

from firmware.custody.exports import ExportEntry, read_exports
from firmware.errors import IntegrityError
from firmware.evidence.findings import Severity, Verdict
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import verify_device
from firmware.evidence.verify_store import with_store
from firmware.media.boxes import walk
from firmware.media.time_sei import UUID
from firmware.timebase import parse_utc
from hal.interfaces import ButtonName
from hal.sim.world import World
from tools.export_log import append_export
from tools.movie import Movie, check_movie, write_movie
from tools.sources import DirectorySource, load_key, load_roots

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe are not installed"),
]
RECORDING = "SIM-0001-000001-0001"


@pytest.fixture(scope="module")
def bench(tmp_path_factory, agency):
    """A card with one recording of a camera that knows what time it is: two marks, two seconds before the press."""
    from camerabench import make_camera_bench

    bench = make_camera_bench(tmp_path_factory.mktemp("camera"), agency, 0, 2, {}, 7)
    bench.world = World(time.time_ns() - 3_600 * 10**9, seed=7)
    bench.world.double_press(bench.at(5))
    for second in (6.5, 7.5):
        bench.world.press(ButtonName.RECORD, bench.at(second))
    bench.world.press(ButtonName.RECORD, bench.at(9), hold_ms=3300)
    bench.run(16)
    return bench


@pytest.fixture
def store(bench, tmp_path) -> Path:
    """The same as a dock's store keeps it: one directory a camera, the dock's database beside them."""
    shutil.copytree(bench.card, tmp_path / "store" / "SIM-0001")
    (tmp_path / "store" / "store.sqlite").touch()
    return tmp_path / "store" / "SIM-0001"


@pytest.fixture
def keys(agency) -> list[str]:
    return ["--key", str(agency.directory / "agency.key"), "--trust", str(agency.directory / "root.crt")]


def oathcam(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "tools.cli", *arguments], cwd=where, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def opened(store: Path, keys: list[str], where: Path, *more: str) -> Path:
    done = oathcam(where, "open", str(store), *keys, "-o", "out", *more)
    assert done.returncode == 0, done.stderr
    return where / "out" / f"{RECORDING}.mp4"


def probe(path: Path, *arguments: str) -> dict:
    command = ["ffprobe", "-v", "error", *arguments, "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return json.loads(done.stdout)


def flip(path: Path, offset: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if offset is None else offset] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


# --- what stock players make of it ------------------------------------------------------------------------------------


def test_ffmpeg_plays_it_to_the_last_picture_and_seeks(bench, store, keys, tmp_path):
    """BWC-POL-25: plain H.264 and AAC in MP4."""
    movie = opened(store, keys, tmp_path)
    manifest = bench.manifest(RECORDING)
    streams = {one["codec_name"]: one for one in probe(movie, "-count_frames", "-show_streams")["streams"]}
    assert streams.keys() == {"h264", "aac"}
    assert int(streams["h264"]["nb_read_frames"]) == manifest.pictures
    assert abs(float(streams["h264"]["duration"]) - manifest.duration_us / 1e6) < 0.1
    show = probe(movie, "-show_format")["format"]
    assert show["tags"]["title"] == RECORDING
    assert sha256(manifest.to_bytes()).hex() in show["tags"]["comment"]
    for seek in ([], ["-ss", "4"]):
        command = ["ffmpeg", "-v", "error", "-xerror", *seek, "-i", str(movie), "-f", "null", "-"]
        assert subprocess.run(command, capture_output=True, check=True, timeout=60).stderr == b""


def test_the_pre_event_boundary_and_the_marks_are_chapters(bench, store, keys, tmp_path):
    """BWC-POL-10, BWC-POL-18: at their instants, as ffprobe shows them."""
    manifest = bench.manifest(RECORDING)
    first = manifest.fragments[0].boottime_us
    chapters = probe(opened(store, keys, tmp_path), "-show_chapters")["chapters"]
    starts = [float(one["start_time"]) for one in chapters]
    wanted = [0.0, *((one - first) / 1e6 for one in (manifest.begin.boottime_us, *(mark.boottime_us for mark in manifest.marks)))]
    assert starts == pytest.approx(wanted, abs=1e-5)
    assert len(manifest.marks) == 2
    assert [one["tags"]["title"].split(",")[0] for one in chapters] == ["pre-event part", "activation (button)", "mark 1", "mark 2"]
    assert manifest.begin.utc[11:23] in chapters[1]["tags"]["title"]


def test_its_head_says_how_good_the_clock_was(bench, store, keys, tmp_path):
    """BWC-POL-26, NIST IR 8161r1: the clock's offset as metadata, read by ffprobe; nobody measured it here, and that is said."""
    tags = probe(opened(store, keys, tmp_path), "-show_format")["format"]["tags"]
    assert tags["date"] == bench.manifest(RECORDING).fragments[0].utc
    assert tags["system_clock_offset"] == "offset not measured; trust: rtc at the activation, rtc at the end"


def test_every_picture_still_says_when_it_was_taken(bench, store, keys, tmp_path):
    """BWC-POL-26, NIST IR 8161r1: read out of the decoder's side data, picture by picture, by software that nobody here wrote."""
    times = []
    with av.open(str(opened(store, keys, tmp_path))) as container:
        for frame in container.decode(video=0):
            found = [bytes(one) for one in frame.side_data if one.type.name == "SEI_UNREGISTERED" and bytes(one).startswith(UUID)]
            assert len(found) == 1
            body = found[0][len(UUID) + 1 :]
            times.append(int.from_bytes(body[:2] + body[3:5] + body[6:8] + body[9:11], "big"))
    manifest = bench.manifest(RECORDING)
    assert len(times) == manifest.pictures
    assert {33_333, 33_334} >= {after - before for before, after in pairwise(times)}
    leading = [sum(one.pictures for one in manifest.fragments[:index]) for index in range(len(manifest.fragments))]
    assert [times[index] for index in leading] == [parse_utc(one.utc) // 1000 for one in manifest.fragments]


def test_the_signed_bytes_are_in_it(bench, store, keys, tmp_path):
    """FRE 902(14): cut at its fragments, the export gives back what the manifest hashes."""
    data = opened(store, keys, tmp_path).read_bytes()
    manifest = bench.manifest(RECORDING)
    boxes = [(kind, len(content) + 8) for kind, content in walk(memoryview(data), "mp4", limit=1000)]
    assert [kind for kind, _ in boxes][:3] == [b"ftyp", b"moov", b"sidx"]
    position = sum(size for _, size in boxes[:3])
    for record in manifest.fragments:
        assert sha256(data[position : position + record.plain_bytes]).hex() == record.plain_sha256
        position += record.plain_bytes
    assert position == len(data)


@pytest.mark.skipif(shutil.which("gst-discoverer-1.0") is None, reason="GStreamer is not installed")
def test_gstreamer_plays_it(bench, store, keys, tmp_path):
    movie = opened(store, keys, tmp_path)
    shown = subprocess.run(["gst-discoverer-1.0", str(movie)], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "H.264" in shown
    assert "AAC" in shown
    pipeline = f"filesrc location={movie} ! qtdemux ! avdec_h264 ! fakesink silent=false sync=false".split()
    played = subprocess.run(["gst-launch-1.0", "-v", "-e", *pipeline], capture_output=True, text=True, check=True, timeout=60).stdout
    assert played.count("chain   *******") == bench.manifest(RECORDING).pictures


@pytest.mark.parametrize("with_store", [True, False])
def test_the_verifier_knows_an_export_again(store, agency, keys, tmp_path, with_store):
    """Beside its manifest the file is authentic; alone its pictures are, and the rest cannot be told. What the export put in front of
    the fragments is the manifest's, or nobody's word."""
    movie = opened(store, keys, tmp_path)
    given = [str(movie), *([str(store)] if with_store else [])]
    done = oathcam(tmp_path, "verify", *given, "--trust", str(agency.directory / "root.crt"), "--json")
    assert done.returncode == (0 if with_store else 3)
    device = next(one for one in json.loads(done.stdout)["devices"] if one["recordings"][0]["recording"] == movie.name)
    codes = [one["code"] for one in device["recordings"][0]["findings"]]
    assert ("film-export" in codes) != with_store
    assert ("no-manifest" in codes) != with_store


# --- what does not leave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "offset", "layer"),
    [
        ("000003.m4s.p7m", None, "seal"),
        ("manifest.json", 200, "manifest"),
        ("manifest.json.p7s", -1, "manifest"),
        ("begin.json", 30, "begin"),
    ],
)
def test_a_tampered_recording_is_refused_and_leaves_no_file(store, keys, tmp_path, name, offset, layer):
    flip(store / "vault" / RECORDING / name, offset)
    done = oathcam(tmp_path, "open", str(store), *keys, "-o", "out")
    assert done.returncode == 1
    assert list((tmp_path / "out").iterdir()) == []
    assert not (store / "ledger" / "exports").exists()
    if name != "manifest.json":  # that one does not parse any more
        assert f"{layer}:" in done.stderr


def test_a_missing_fragment_is_refused_and_named(store, keys, tmp_path):
    (store / "vault" / RECORDING / "000002.m4s.p7m").unlink()
    done = oathcam(tmp_path, "open", str(store), *keys, "-o", "out")
    assert done.returncode == 1
    assert "000002.m4s.p7m" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_another_agencys_root_opens_nothing(store, keys, tmp_path):
    from tools.provision import make_agency

    other = make_agency(tmp_path / "other", "Another Agency")
    done = oathcam(tmp_path, "open", str(store), *keys[:3], str(other.directory / "root.crt"), "-o", "out")
    assert done.returncode == 3
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_root_nothing_is_opened_unless_asked_for(store, keys, tmp_path):
    done = oathcam(tmp_path, "open", str(store), *keys[:2], "-o", "out")
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    done = oathcam(tmp_path, "open", str(store), *keys[:2], "-o", "out", "--unverified")
    assert done.returncode == 0
    assert [one.name for one in (tmp_path / "out").iterdir()] == [f"{RECORDING}.unverified.mp4"]


def test_a_damaged_recording_can_be_looked_at_as_unverified(bench, store, keys, tmp_path):
    """What does not open is left out and named; name, title and log say what the file is."""
    flip(store / "vault" / RECORDING / "000003.m4s.p7m")
    done = oathcam(tmp_path, "open", str(store), *keys, "-o", "out", "--unverified")
    assert done.returncode == 0
    assert "fragment 3 left out" in done.stderr
    movie = tmp_path / "out" / f"{RECORDING}.unverified.mp4"
    assert [one.name for one in (tmp_path / "out").iterdir()] == [movie.name]
    manifest = bench.manifest(RECORDING)
    (video,) = probe(movie, "-count_frames", "-select_streams", "v", "-show_streams")["streams"]
    assert int(video["nb_read_frames"]) == manifest.pictures - manifest.fragments[3].pictures
    assert "UNVERIFIED" in probe(movie, "-show_format")["format"]["tags"]["title"]
    assert [one.verdict for one in read_exports((store / "ledger" / "exports").read_bytes())] == ["unverified"]


def test_what_verifies_is_not_called_unverified(store, keys, tmp_path):
    assert opened(store, keys, tmp_path, "--unverified").exists()


# --- reading back -----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(bench, tmp_path) -> tuple[Path, Movie]:
    """A file as it is before it gets its name."""
    path = tmp_path / "movie.mp4.part"
    source, manifest = DirectorySource(bench.card), bench.manifest(RECORDING)
    return path, write_movie(source, manifest, bench.key(), path, False, lambda: None)


def test_what_was_written_reads_back(written):
    path, movie = written
    assert check_movie(path, movie, lambda: None) == sha256(path.read_bytes()).hex()


@pytest.mark.parametrize("damage", ["bit", "tail", "short"])
def test_a_file_that_the_disk_changed_is_not_released(written, damage):
    path, movie = written
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[-1000] ^= 1
    path.write_bytes(data + b"x" if damage == "tail" else data[:-1] if damage == "short" else data)
    with pytest.raises(IntegrityError, match="export"):
        check_movie(path, movie, lambda: None)


def with_fragment(path: Path, movie: Movie, change) -> Movie:
    """The first fragment changed, and the record that names it with it: only what is read out of the stream can tell."""
    data, first = path.read_bytes(), movie.fragments[0]
    start = len(data) - sum(one.plain_bytes for one in movie.fragments)
    fragment = change(data[start : start + first.plain_bytes])
    path.write_bytes(data[:start] + fragment + data[start + first.plain_bytes :])
    return dataclasses.replace(movie, fragments=(dataclasses.replace(first, plain_sha256=sha256(fragment).hex()), *movie.fragments[1:]))


def test_a_picture_without_its_time_is_not_released(written):
    """NIST IR 8161r1: the second picture of the first fragment says nothing of when it was taken."""
    path, movie = written

    def second(data: bytes) -> bytes:
        at = data.index(UUID, data.index(UUID) + 1)
        return data[:at] + b"X" + data[at + 1 :]

    with pytest.raises(IntegrityError, match="fragment 0, picture 1: expected its time"):
        check_movie(path, with_fragment(path, movie, second), lambda: None)


def test_a_picture_with_another_time_is_not_released(written):
    path, movie = written

    def later(data: bytes) -> bytes:
        at = data.index(UUID) + len(UUID) + 1
        return data[: at + 10] + bytes((data[at + 10] ^ 1,)) + data[at + 11 :]

    with pytest.raises(IntegrityError, match="was not taken at"):
        check_movie(path, with_fragment(path, movie, later), lambda: None)


# --- the export log ---------------------------------------------------------------------------------------------------


def report(store: Path, agency):
    source, trusted = DirectorySource(store), load_roots(agency.directory / "root.crt")
    return with_store(verify_device(source, trusted, load_key(agency.directory / "agency.key", None)), source, trusted)


def test_every_export_stands_in_the_stores_log(store, keys, agency, tmp_path):
    """PERF: who, when, what; and the verifier reads it."""
    movie = opened(store, keys, tmp_path, "--who", "clerk 12", "--reason", "case 34/56")
    oathcam(tmp_path, "open", str(store), *keys, "-o", "again")
    entries = read_exports((store / "ledger" / "exports").read_bytes())
    assert (entries[0].n, entries[0].who, entries[0].reason) == (0, "clerk 12", "case 34/56")
    assert len(entries) == 2
    assert entries[0].sha256 == sha256(movie.read_bytes()).hex()
    assert (entries[0].file, entries[0].file_bytes, entries[0].verdict) == (movie.name, movie.stat().st_size, "authentic")
    found = report(store, agency)
    assert found.verdict is Verdict.AUTHENTIC
    said = [one for one in found.findings if one.layer == "exports"]
    assert [one.severity for one in said] == [Severity.GOOD, Severity.NOTE, Severity.NOTE]
    assert "clerk 12" in said[1].text


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[1], lines[0], lines[2]],
        lambda lines: [lines[0], lines[1].replace(b"clerk", b"nobody"), lines[2]],
        lambda lines: [lines[0], lines[2]],
        lambda lines: [*lines, lines[2]],
        lambda lines: [*lines, b"{}"],
    ],
)
def test_a_changed_export_log_is_named(store, agency, change):
    path = store / "ledger" / "exports"
    for number in range(3):
        assert append_export(store, lambda n, previous, number=number: entry(n, previous, f"clerk {number}")) == ""
    assert [one for one in report(store, agency).findings if one.severity is Severity.BAD] == []
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    found = report(store, agency)
    assert found.verdict is Verdict.NOT_AUTHENTIC
    assert [one.layer for one in found.findings if one.severity is Severity.BAD] == ["exports"]
    assert append_export(store, lambda n, previous: entry(n, previous, "clerk 4")) != ""


def entry(n: int, previous: str, who: str) -> ExportEntry:
    digest = "0" * 64
    return ExportEntry(
        n, previous, "2026-11-23T08:14:47.123456Z", who, None, RECORDING, digest, "authentic", "x.mp4", digest, 1, digest, False, "x"
    )


@pytest.mark.parametrize("words", [("--who", "x" * 201), ("--reason", "a\nb")])
def test_words_that_the_log_cannot_hold_open_nothing(store, keys, tmp_path, words):
    """Nobody keeps an export out of the log by what he says of himself."""
    done = oathcam(tmp_path, "open", str(store), *keys, "-o", "out", *words)
    assert (done.returncode, (tmp_path / "out").exists(), (store / "ledger" / "exports").exists()) == (2, False, False)


def test_a_card_is_not_written_to(bench, keys, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in bench.card.rglob("*")}
    done = oathcam(tmp_path, "open", str(bench.card), *keys, "-o", "out")
    assert done.returncode == 0
    assert "not in an export log: this is no dock's store" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in bench.card.rglob("*")} == before


def test_a_store_that_cannot_be_written_is_opened_all_the_same(store, keys, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system read-only")
    if subprocess.run(["mount", "--bind", str(store), str(store)], capture_output=True).returncode != 0:
        pytest.skip("no mounting here: a read-only store was not tried")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(store)], check=True)
        done = oathcam(tmp_path, "open", str(store), *keys, "-o", "out")
    finally:
        subprocess.run(["umount", str(store)], check=True)
    assert done.returncode == 0
    assert "Read-only file system" in done.stderr
