"""Footage of other encoders, signed, carried through other containers by ffmpeg, and validated."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.media.access_unit import AccessUnit
from firmware.media.gop import Gop, GopAssembler
from firmware.media.nal import is_primary_slice, is_vcl, prefix_bytes_of, split_annexb, split_packet
from firmware.media.onvif_sei import Vendor, is_signing_sei
from firmware.media.signer import StreamSigner
from firmware.media.stream_report import GopStatus, StreamReport, StreamVerdict
from firmware.media.validator import validate_stream
from tests.unit.helpers_media import Signer, annexb, at
from tests.unit.helpers_onvif import second_reader

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
]

SIGNER = Signer()
P384 = Signer(ec.SECP384R1())
COMMON = "keyint=10:min-keyint=10:scenecut=0:threads=1"
ENCODERS = {
    "zerolatency, as hardware": ("libx264", "zerolatency", f"{COMMON}:bframes=0"),
    "four slices": ("libx264", "zerolatency", f"{COMMON}:slices=4:bframes=0"),
    "B pictures, closed GOPs": ("libx264", "", f"{COMMON}:bframes=2:b-adapt=0:open-gop=0"),
    "B pictures in a pyramid, slices": ("libx264", "", f"{COMMON}:bframes=3:b-adapt=0:b-pyramid=normal:slices=2"),
    "open GOPs": ("libx264", "", f"{COMMON}:bframes=2:b-adapt=0:open-gop=1"),
    "intra refresh": ("libx264", "", f"{COMMON}:bframes=0:intra-refresh=1"),
    "delimiters, HRD and filler": ("libx264", "", f"{COMMON}:aud=1:nal-hrd=cbr:bitrate=400:vbv-maxrate=400:vbv-bufsize=400:filler=1"),
    "interlaced": ("libx264", "", f"{COMMON}:bframes=0:tff=1"),
    "OpenH264": ("libopenh264", "", ""),
}


@cache
def encoded(name: str, pictures: int = 30) -> tuple[tuple[bytes, ...], ...]:
    """Access units of a moving scene in decoding order; skips when PyAV lacks the encoder."""
    library, tune, params = ENCODERS[name]
    try:
        codec = av.CodecContext.create(library, "w")
    except (av.error.FFmpegError, ValueError):
        pytest.skip(f"PyAV has no {library}")
    codec.width, codec.height, codec.pix_fmt = 192, 128, "yuv420p"
    codec.time_base, codec.framerate, codec.gop_size = Fraction(1, 30), Fraction(30, 1), 10
    codec.options = {"preset": "ultrafast", **({"tune": tune} if tune else {}), **({"x264-params": params} if params else {})}
    made: list[tuple[bytes, ...]] = []
    for index in range(pictures):
        y, x = np.mgrid[0:128, 0:192]
        image = np.stack([(x + 5 * index) % 256, (y + 3 * index) % 256, (x * y // 50 + index) % 256], axis=2)
        frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24").reformat(format="yuv420p")
        frame.pts = index
        made += [tuple(split_annexb(bytes(packet))) for packet in codec.encode(frame)]
    return (*made, *(tuple(split_annexb(bytes(packet))) for packet in codec.encode(None)))


def assembled(units: tuple[tuple[bytes, ...], ...], step_ns: int = 33_333_333) -> list[Gop]:
    """GOPs by IDR pictures, longer ones cut after five seconds; times are those of decoding."""
    assembler = GopAssembler()
    gops = []
    for index, nals in enumerate(units):
        keyframe = any(nal[0] & 31 == 5 for nal in nals)
        gops.append(assembler.push(AccessUnit(nals, keyframe, at(index, step_ns))))
    return [gop for gop in (*gops, assembler.flush()) if gop is not None]


def signed(gops: list[Gop], signer: Signer = SIGNER, *, hash_list: bool = True) -> list[tuple[bytes, ...]]:
    stream = StreamSigner(signer.chain_pem, signer.sign_digest, signer.signature_max_bytes, Vendor("1", "2", "3"), hash_list=hash_list)
    made = [*map(stream.sign_gop, gops[:-1]), stream.finish(gops[-1])]
    return [unit.nals for gop in made for unit in gop.units]


def check(units: list[tuple[bytes, ...]], signer: Signer = SIGNER) -> StreamReport:
    return validate_stream(units, [signer.root])


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "intra refresh"])
@pytest.mark.parametrize("hash_list", [True, False])
def test_footage_of_an_encoder(name: str, hash_list: bool) -> None:
    gops = assembled(encoded(name))
    stream = signed(gops, hash_list=hash_list)
    report = check(stream)
    assert (report.verdict, report.findings()) == (StreamVerdict.AUTHENTIC, [])
    assert (report.gops, report.pictures) == (len(gops), 30)
    changed = [list(nals) for nals in stream]
    last = max(index for index, nal in enumerate(changed[7]) if is_vcl(nal))
    changed[7][last] = changed[7][last][:-2] + bytes((changed[7][last][-2] ^ 4,)) + changed[7][last][-1:]
    report = check([tuple(nals) for nals in changed])
    assert report.verdict is StreamVerdict.NOT_AUTHENTIC
    assert [one.altered for one in report.verdicts if one.status is not GopStatus.VALID] == [(7,) if hash_list else ()]


def test_open_gops_are_one_gop_that_is_signed_in_parts() -> None:
    """Only an IDR picture begins a GOP; x264 writes one, then recovery points."""
    units = encoded("open GOPs")
    assert sum(any(nal[0] & 31 == 5 for nal in nals) for nals in units) == 1
    gops = assembled(units, step_ns=600_000_000)
    assert [gop.partial for gop in gops] == [True, True, True, False]
    report = check(signed(gops))
    assert (report.verdict, report.valid_gops) == (StreamVerdict.AUTHENTIC, 4), report.findings()


def test_intra_refresh_is_signed_in_parts_and_a_clip_of_it_cannot_be_told() -> None:
    """There is one IDR picture, and all hashes hang on it: without it, a clip says so by name."""
    gops = assembled(encoded("intra refresh"), step_ns=600_000_000)
    stream = signed(gops)
    assert check(stream).verdict is StreamVerdict.AUTHENTIC
    clip = check(stream[12:])
    assert clip.verdict is StreamVerdict.CANNOT_TELL
    assert any("IDR picture" in text for text in clip.findings())


@pytest.mark.parametrize("name", ["zerolatency, as hardware", "four slices", "B pictures, closed GOPs"])
def test_the_second_reader_agrees(name: str) -> None:
    stream = signed(assembled(encoded(name)))
    nals = [nal for unit in stream for nal in unit]
    assert second_reader(nals, SIGNER.leaf) == [True] * 3
    slices = [index for index, nal in enumerate(nals) if is_vcl(nal)]
    for index in slices[::7]:
        changed = [*nals[:index], *nals[index + 1 :]]
        report = validate_stream([tuple(changed)], [SIGNER.root])
        theirs = second_reader(changed, SIGNER.leaf)
        if is_primary_slice(nals[index]) and nals[index][0] & 31 == 5:
            continue  # the GOPs that the two count are then not the same
        assert [one.status is GopStatus.VALID for one in report.verdicts] == theirs


# --- containers


def run(*command: str) -> None:
    done = subprocess.run(("ffmpeg", "-v", "error", "-y", *command), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def demuxed(path: Path) -> Iterator[tuple[bytes, ...]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        prefix = prefix_bytes_of(stream.codec_context.extradata or b"")
        for packet in container.demux(stream):
            if packet.size:
                yield split_packet(bytes(packet), prefix)


def remuxed(path: Path, units: list[tuple[bytes, ...]]) -> dict[str, list[tuple[bytes, ...]]]:
    """The stream through raw H.264, MP4, Matroska, MPEG-TS, and once through all of them."""
    raw = path / "stream.h264"
    raw.write_bytes(b"".join(annexb(*nals) for nals in units))
    run("-fflags", "+genpts", "-r", "30", "-i", str(raw), "-c", "copy", str(path / "a.mp4"))
    for source, target in (("a.mp4", "b.mkv"), ("a.mp4", "c.ts"), ("b.mkv", "d.ts"), ("d.ts", "e.mp4"), ("e.mp4", "f.mov")):
        run("-i", str(path / source), "-map", "0:v", "-c", "copy", str(path / target))
    return {one.name: list(demuxed(one)) for one in sorted(path.iterdir())}


def hashed(units: list[tuple[bytes, ...]]) -> list[bytes]:
    return [nal for unit in units for nal in unit if is_vcl(nal) or (nal[0] == 6 and is_signing_sei(nal))]


@pytest.mark.parametrize(
    ("name", "signer"), [("zerolatency, as hardware", SIGNER), ("four slices", P384), ("B pictures, closed GOPs", SIGNER)]
)
def test_every_container_carries_the_same_verdict(tmp_path: Path, name: str, signer: Signer) -> None:
    stream = signed(assembled(encoded(name)), signer)
    del stream[13]
    expected = check(stream, signer)
    assert expected.verdict is StreamVerdict.NOT_AUTHENTIC
    for container, units in remuxed(tmp_path, stream).items():
        assert hashed(units) == hashed(stream), container
        assert check(units, signer) == expected, container


def test_clips_cut_and_joined_by_ffmpeg(tmp_path: Path) -> None:
    stream = signed(assembled(encoded("zerolatency, as hardware")))
    remuxed(tmp_path, stream)
    assert check(list(demuxed(tmp_path / "a.mp4"))).verdict is StreamVerdict.AUTHENTIC
    run("-ss", "0.34", "-i", str(tmp_path / "a.mp4"), "-c", "copy", str(tmp_path / "clip.mkv"))
    clip = check(list(demuxed(tmp_path / "clip.mkv")))
    assert (clip.verdict, clip.true_beginning) == (StreamVerdict.AUTHENTIC_CLIP, False), clip.findings()
    (tmp_path / "list.txt").write_text("file a.mp4\nfile a.mp4\n")
    run("-f", "concat", "-safe", "0", "-i", str(tmp_path / "list.txt"), "-c", "copy", str(tmp_path / "joined.mp4"))
    joined = check(list(demuxed(tmp_path / "joined.mp4")))
    assert joined.verdict is StreamVerdict.NOT_AUTHENTIC
    assert {one.status for one in joined.verdicts[3:]} == {GopStatus.REPLAYED}


def test_what_was_encoded_again_is_not_signed(tmp_path: Path) -> None:
    stream = signed(assembled(encoded("zerolatency, as hardware")))
    remuxed(tmp_path, stream)
    run("-i", str(tmp_path / "a.mp4"), "-c:v", "libx264", "-preset", "ultrafast", str(tmp_path / "again.mp4"))
    assert check(list(demuxed(tmp_path / "again.mp4"))).verdict in (StreamVerdict.UNSIGNED, StreamVerdict.NOT_AUTHENTIC)
