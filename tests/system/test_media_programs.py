"""What ffmpeg and openssl, which nobody here wrote, make of our files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from firmware.media.gop import Gop
from firmware.media.onvif_sei import Vendor
from firmware.media.signer import StreamSigner
from firmware.media.time_sei import insert_time
from tests.unit.helpers_media import Signer, aac, annexb, assemble, sounds, units

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None, reason="ffmpeg and ffprobe are not installed"),
]


@pytest.fixture(scope="module")
def signed() -> list[Gop]:
    signer = Signer()
    stream = StreamSigner(signer.chain_pem, signer.sign_digest, 72, Vendor("1.0", "OC-1", "Oathcam"))
    gops = assemble([insert_time(unit) for unit in units()], sounds())
    return [*map(stream.sign_gop, gops[:-1]), stream.finish(gops[-1])]


def written(path: Path, gops: list[Gop], audio: AudioTrack | None) -> Path:
    fragmenter = Fragmenter(gops[0].start, audio)
    parts = [init_segment(VideoTrack.from_gop(gops[0]), audio), *(fragmenter.fragment(seq, gop) for seq, gop in enumerate(gops))]
    path.write_bytes(b"".join(parts))
    return path


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def probe(path: Path) -> list[dict[str, str]]:
    entries = "stream=codec_name,profile,width,height,nb_read_frames,start_time,duration,sample_rate,channels"
    text = run("ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", str(path))
    streams: list[dict[str, str]] = json.loads(text)["streams"]
    return streams


@pytest.mark.parametrize("with_audio", [False, True])
def test_init_and_fragments_joined_play(signed: list[Gop], tmp_path: Path, with_audio: bool) -> None:
    """Plain concatenation is a file that plays: every picture, no message."""
    audio = AudioTrack(48_000, 1, aac()[0]) if with_audio else None
    path = written(tmp_path / "r.mp4", signed, audio)
    streams = probe(path)
    assert [stream["codec_name"] for stream in streams] == (["h264", "aac"] if with_audio else ["h264"])
    video = streams[0]
    assert (video["width"], video["height"], video["nb_read_frames"], video["start_time"]) == (320, 180, "30", "0.000000")
    assert abs(float(video["duration"]) - 1.0) < 0.001
    if with_audio:
        assert (streams[1]["sample_rate"], streams[1]["channels"]) == ("48000", 1)
        # The decoder turns the encoder's first unit into nothing; the others are frames.
        assert int(streams[1]["nb_read_frames"]) >= sum(len(gop.audio) for gop in signed) - 1
    assert run("ffmpeg", "-v", "error", "-xerror", "-i", str(path), "-f", "null", "-") == ""


def test_pictures_decode_to_what_the_encoder_made(signed: list[Gop], tmp_path: Path) -> None:
    raw = tmp_path / "raw.h264"
    raw.write_bytes(b"".join(annexb(*unit.nals) for unit in units()))
    ours = run("ffmpeg", "-v", "error", "-i", str(written(tmp_path / "r.mp4", signed, None)), "-map", "0:v", "-f", "framemd5", "-")
    theirs = run("ffmpeg", "-v", "error", "-i", str(raw), "-f", "framemd5", "-")
    hashes = [[line.split(",")[-1].strip() for line in text.splitlines() if line[:1] != "#"] for text in (ours, theirs)]
    assert len(hashes[0]) == 30
    assert hashes[0] == hashes[1]


def test_presentation_times_are_the_capture_times(signed: list[Gop], tmp_path: Path) -> None:
    text = run(
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "packet=pts,duration,flags",
        "-of",
        "csv=p=0",
        str(written(tmp_path / "r.mp4", signed, None)),
    )
    rows = [line.split(",") for line in text.split()]
    assert [int(row[0]) for row in rows] == [round(index * 33_333_333 * 9 / 100_000) for index in range(30)]
    assert [row[2].startswith("K") for row in rows] == [index % 10 == 0 for index in range(30)]


def test_a_recording_missing_a_fragment_still_plays(signed: list[Gop], tmp_path: Path) -> None:
    path = written(tmp_path / "r.mp4", [signed[0], signed[2]], None)
    assert probe(path)[0]["nb_read_frames"] == "20"


def test_picture_times_in_the_stream_are_understood(signed: list[Gop], tmp_path: Path) -> None:
    """BWC-POL-26: time of every picture in the stream; ffmpeg passes user data of each picture on."""
    text = run("ffprobe", "-v", "error", "-show_frames", "-of", "json", str(written(tmp_path / "r.mp4", signed, None)))
    frames = json.loads(text)["frames"]
    kinds = [[side["side_data_type"] for side in frame.get("side_data_list", [])] for frame in frames]
    assert all(any("Unregistered" in kind for kind in found) for found in kinds), kinds[:2]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_signature_in_the_stream_is_one_that_openssl_verifies(tmp_path: Path) -> None:
    """The document cut out of the NAL unit by hand: header to signature record, emulation prevention removed."""
    signer = Signer()
    stream = StreamSigner(signer.chain_pem, signer.sign_digest, 72, Vendor("1.0", "OC-1", "Oathcam"))
    last = [stream.sign_gop(gop) for gop in assemble(units())][1]
    raw = last.units[1].nals[0].replace(b"\x00\x00\x03", b"\x00\x00")
    record = len(raw) - 1 - 72 - 6
    size = int.from_bytes(raw[record + 4 : record + 6], "big")
    for name, data in (("document", raw[:record]), ("signature", raw[record + 6 : record + 6 + size]), ("leaf.pem", signer.chain_pem)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "key.pem").write_text(run("openssl", "x509", "-in", str(tmp_path / "leaf.pem"), "-noout", "-pubkey"))
    verify = ("openssl", "dgst", "-sha256", "-verify", str(tmp_path / "key.pem"), "-signature", str(tmp_path / "signature"))
    assert "Verified OK" in run(*verify, str(tmp_path / "document"))
