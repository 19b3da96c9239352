"""What every camera and microphone owes: streams that a decoder nobody here wrote takes without a complaint."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from shutil import which

import av
import numpy as np
import pytest
from helpers_hal import CAMERAS, MICROPHONES
from rigs import SMALL, CameraRig, Heard, MicrophoneRig

from hal.errors import HalError
from hal.interfaces import AudioFrame, Picture, VideoFormat

pytestmark = pytest.mark.xdist_group("real time 2")

SECOND = 1_000_000_000


@pytest.fixture(params=CAMERAS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CameraRig]:
    with CAMERAS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=MICROPHONES)
def ears(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MicrophoneRig]:
    with MICROPHONES[request.param](tmp_path) as opened:
        yield opened


def started(rig: CameraRig, video: VideoFormat = SMALL) -> Heard:
    """A camera that has delivered its first picture: a real one takes its time."""
    heard = Heard()
    rig.camera.start(video, heard)
    for _ in range(1000):
        if heard.pictures or heard.faults:
            break
        rig.pass_time(0.01)
    assert heard.faults == []
    assert heard.pictures
    return heard


def film(rig: CameraRig, seconds: float, video: VideoFormat = SMALL) -> list[Picture]:
    heard = started(rig, video)
    rig.pass_time(seconds)
    rig.camera.stop()
    assert heard.faults == []
    return heard.pictures


def listen(ears: MicrophoneRig, seconds: float) -> list[AudioFrame]:
    heard = Heard()
    ears.microphone.start(heard)
    ears.pass_time(seconds)
    ears.microphone.stop()
    assert heard.faults == []
    return heard.frames


def nal_types(data: bytes) -> list[int]:
    """Types of the NAL units of an Annex B access unit, found by their start codes."""
    return [part[0] & 31 for part in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]


def parameter_set(data: bytes) -> bytes:
    """The sequence parameter set of an access unit."""
    return next(part for part in data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if part[:1] and part[0] & 31 == 7)


def decoded(pictures: list[Picture]) -> list[av.VideoFrame]:
    codec = av.CodecContext.create("h264", "r")
    frames: list[av.VideoFrame] = []
    for picture in pictures:
        frames += codec.decode(av.Packet(picture.data))
    return frames + codec.decode(None)


def sound(ears: MicrophoneRig, frames: list[AudioFrame]) -> np.ndarray:
    codec = av.CodecContext.create("aac", "r")
    codec.extradata = ears.microphone.format().codec_config
    parts = [part for frame in frames for part in codec.decode(av.Packet(frame.data))]
    return np.concatenate([part.to_ndarray().reshape(-1) for part in parts])


def test_every_idr_carries_its_parameter_sets_and_comes_on_the_beat(rig: CameraRig) -> None:
    pictures = film(rig, 3)
    assert [index for index, picture in enumerate(pictures) if picture.keyframe] == list(range(0, len(pictures), SMALL.gop_pictures))
    for picture in pictures:
        types = nal_types(picture.data)
        assert (5 in types) == picture.keyframe
        assert not picture.keyframe or types.index(7) < types.index(8) < types.index(5)
        assert picture.keyframe or set(types) == {1}


def test_pictures_decode_to_the_same_count_and_size(rig: CameraRig) -> None:
    pictures = film(rig, 2.2)
    frames = decoded(pictures)
    assert len(frames) == len(pictures) >= 2 * SMALL.fps
    assert {(frame.width, frame.height) for frame in frames} == {(SMALL.width, SMALL.height)}
    assert {av.video.frame.PictureType(frame.pict_type).name for frame in frames} == {"I", "P"}


def test_every_gop_decodes_alone(rig: CameraRig) -> None:
    """Closed GOPs: each is evidence by itself."""
    pictures = film(rig, 2.9)
    whole = [frame.to_ndarray() for frame in decoded(pictures)]
    start = 2 * SMALL.gop_pictures
    alone = [frame.to_ndarray() for frame in decoded(pictures[start:])]
    assert len(alone) == len(pictures) - start
    assert all(np.array_equal(one, other) for one, other in zip(alone, whole[start:], strict=True))


@pytest.mark.system
def test_ffmpeg_decodes_without_a_word(rig: CameraRig, tmp_path: Path) -> None:
    """BWC-POL-25, by a program of the machine."""
    if which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    (tmp_path / "film.h264").write_bytes(b"".join(picture.data for picture in film(rig, 2)))
    command = ["ffmpeg", "-v", "warning", "-xerror", "-f", "h264", "-i", str(tmp_path / "film.h264"), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_instants_rise_by_the_pictures_distance(rig: CameraRig) -> None:
    """BWC-POL-26: the instant is that of the exposure, on the sensor's grid."""
    begin = rig.now()
    pictures = film(rig, 2)
    times = [picture.captured.boottime_ns for picture in pictures]
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert min(steps) > 0
    assert all(abs(step - SECOND / SMALL.fps) < SECOND / SMALL.fps / 4 for step in steps)
    assert begin.boottime_ns <= times[0]
    assert times[-1] <= rig.now().boottime_ns
    # Read together: a simulated clock to the nanosecond, a kernel's two clocks within what lies between the reads, and NTP's slewing.
    apart = [picture.captured.wall_ns - picture.captured.boottime_ns - begin.wall_ns + begin.boottime_ns for picture in pictures]
    assert max(map(abs, apart)) <= rig.clock_tolerance_ns


def test_nothing_comes_after_stop_and_a_restart_begins_with_an_idr(rig: CameraRig) -> None:
    heard = started(rig)
    rig.pass_time(0.5)
    rig.camera.stop()
    rig.camera.stop()
    count = len(heard.pictures)
    rig.pass_time(1)
    assert len(heard.pictures) == count > 0
    again = film(rig, 0.5)
    assert again[0].keyframe
    assert again[0].captured.boottime_ns > heard.pictures[-1].captured.boottime_ns
    assert len(decoded(again)) == len(again)


def test_bitrate_is_kept_and_changes_while_running(rig: CameraRig) -> None:
    """BWC-POL-48: heat lowers the rate without a seam."""
    video = VideoFormat(width=320, height=180, fps=15, bitrate_bps=800_000, gop_pictures=15)
    heard = started(rig, video)
    rig.pass_time(6)
    rig.camera.set_bitrate(150_000)
    rig.pass_time(6)
    rig.camera.stop()
    before = sum(len(picture.data) for picture in heard.pictures[45:90]) * 8 / 3
    after = sum(len(picture.data) for picture in heard.pictures[-45:]) * 8 / 3
    assert 400_000 < before < 1_000_000
    assert after < 250_000
    assert len(decoded(heard.pictures)) == len(heard.pictures)
    assert [index for index, picture in enumerate(heard.pictures) if picture.keyframe] == list(range(0, len(heard.pictures), 15))
    assert len({parameter_set(picture.data) for picture in heard.pictures if picture.keyframe}) == 1


def test_an_encoder_that_was_replaced_at_a_lowered_rate_says_the_same_of_its_pictures(rig: CameraRig) -> None:
    """BWC-POL-47, BWC-POL-48: a recording has one sequence parameter set, whose level is that of the full rate."""
    heard = started(rig, VideoFormat(width=320, height=180, fps=15, bitrate_bps=12_000_000, gop_pictures=15))
    rig.camera.set_bitrate(150_000)
    rig.pass_time(1.4)
    before = len(heard.pictures)
    rig.camera.restart_encoder()
    rig.pass_time(1.4)
    rig.camera.stop()
    assert any(picture.keyframe for picture in heard.pictures[before:])
    assert len({parameter_set(picture.data) for picture in heard.pictures if picture.keyframe}) == 1


def test_progress_follows_sensor_and_encoder(rig: CameraRig) -> None:
    """BWC-POL-47: what a supervisor goes by is the pictures' own times."""
    assert rig.camera.progress().encoder_ns == 0
    begin = rig.now().boottime_ns
    heard = started(rig)
    rig.pass_time(1)
    progress = rig.camera.progress()
    rig.camera.stop()
    assert not progress.starting
    assert begin <= heard.pictures[0].captured.boottime_ns <= progress.encoder_ns <= progress.sensor_ns
    assert rig.now().boottime_ns - progress.encoder_ns < SECOND


def test_a_new_encoder_begins_with_an_idr_and_loses_little(rig: CameraRig) -> None:
    """BWC-POL-47: an encoder that stalled is replaced while the sensor goes on."""
    heard = started(rig)
    rig.pass_time(1.4)
    before = len(heard.pictures)
    rig.camera.restart_encoder()
    rig.pass_time(1.4)
    rig.camera.stop()
    after = heard.pictures[before:]
    first = next(index for index, picture in enumerate(after) if picture.keyframe)
    assert first <= 3
    assert len(decoded(after[first:])) == len(after) - first
    assert len(after) - first >= SMALL.fps * 0.8
    assert heard.faults == []


def test_a_small_picture_comes_along(rig: CameraRig) -> None:
    """For judging the lens: grey, small, fresh, and of what the big one shows."""
    assert rig.camera.low_resolution() is None
    heard = started(rig)
    rig.pass_time(1.5)
    small = rig.camera.low_resolution()
    now = rig.now().boottime_ns
    rig.camera.stop()
    assert small is not None
    assert len(small.data) == small.width * small.height
    assert 120 <= small.width <= 320
    assert abs(small.width / small.height - SMALL.width / SMALL.height) < 0.1
    assert now - small.captured.boottime_ns < 2 * SECOND
    big = min(heard.pictures, key=lambda picture: abs(picture.captured.boottime_ns - small.captured.boottime_ns))
    at = heard.pictures.index(big)
    shown = decoded(heard.pictures[: at + 1])[-1].to_ndarray(format="gray")
    grey = np.frombuffer(small.data, np.uint8).reshape(small.height, small.width)
    assert abs(float(shown.mean()) - float(grey.mean())) < 12
    assert float(grey.std()) > 2


def test_a_stamp_is_burnt_in_only_when_asked_for(rig: CameraRig) -> None:
    """Off by default: the time is in the stream already."""
    corners = []
    for stamped in (False, True):
        pictures = film(rig, 0.8, replace(SMALL, stamp=stamped))
        corners.append(decoded(pictures)[-1].to_ndarray(format="gray")[-14:, :60].astype(int))
    bright = [(corner > 180).mean() for corner in corners]
    dark = [(corner < 40).mean() for corner in corners]
    assert bright[1] > 0.04
    assert dark[1] > 0.3
    assert np.abs(corners[0] - corners[1]).mean() > 20


def test_camera_refuses_what_it_cannot_deliver(rig: CameraRig) -> None:
    for video in (VideoFormat(width=321), VideoFormat(fps=0), VideoFormat(gop_pictures=0), VideoFormat(bitrate_bps=0)):
        with pytest.raises(HalError):
            rig.camera.start(video, Heard())
    assert len(film(rig, 0.2)) > 0
    assert {"sensor", "encoder", "profile"} <= set(rig.camera.describe())


def test_sound_decodes_and_is_not_silence(ears: MicrophoneRig) -> None:
    frames = listen(ears, 1)
    heard = sound(ears, frames)
    assert len(heard) == len(frames) * ears.microphone.format().frame_samples
    assert float(np.abs(heard).mean()) > 0.001


def test_audio_configuration_says_what_is_delivered(ears: MicrophoneRig) -> None:
    """ISO/IEC 14496-3, 1.6.2.1: object type 2 (AAC-LC), frequency index, channels."""
    audio = ears.microphone.format()
    bits = int.from_bytes(audio.codec_config[:2], "big")
    rates = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
    assert bits >> 11 == 2
    assert rates[bits >> 7 & 15] == audio.sample_rate
    assert bits >> 3 & 15 == audio.channels


def test_audio_instants_are_a_frame_apart(ears: MicrophoneRig) -> None:
    audio = ears.microphone.format()
    begin = ears.now().boottime_ns
    times = [frame.captured.boottime_ns for frame in listen(ears, 2)]
    step = SECOND * audio.frame_samples / audio.sample_rate
    assert all(abs(later - earlier - step) < 2_000_000 for earlier, later in pairwise(times))
    assert begin <= times[0]
    assert times[-1] + step <= ears.now().boottime_ns


def test_nothing_is_heard_between_stop_and_start(ears: MicrophoneRig) -> None:
    """BWC-POL-17: what is muted is not captured, not even in the first frame afterwards."""
    before = listen(ears, 0.5)
    silence_began = ears.now().boottime_ns
    heard = Heard()
    ears.pass_time(3)
    silence_ended = ears.now().boottime_ns
    ears.microphone.start(heard)
    ears.pass_time(0.5)
    ears.microphone.stop()
    count = len(heard.frames)
    ears.pass_time(0.5)
    assert len(heard.frames) == count > 0
    assert before[-1].captured.boottime_ns < silence_began
    assert heard.frames[0].captured.boottime_ns >= silence_ended


@pytest.mark.system
def test_ffmpeg_decodes_the_sound(ears: MicrophoneRig, tmp_path: Path) -> None:
    """BWC-POL-25: the access units and their configuration make an MP4 that a program of the machine takes."""
    if which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    frames = listen(ears, 1)
    path = tmp_path / "sound.mp4"
    path.write_bytes(_mp4(ears, frames))
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-xerror", "-i", str(path), "-f", "null", "-"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _mp4(ears: MicrophoneRig, frames: list[AudioFrame]) -> bytes:
    audio, out = ears.microphone.format(), io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=audio.sample_rate)
        stream.codec_context.extradata = audio.codec_config
        for index, frame in enumerate(frames):
            packet = av.Packet(frame.data)
            packet.stream, packet.time_base = stream, Fraction(1, audio.sample_rate)
            packet.pts = packet.dts = index * audio.frame_samples
            container.mux(packet)
    return out.getvalue()
