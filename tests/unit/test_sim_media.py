"""The simulated camera and microphone: faults, sources, and the drawn street."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from hal.audio_file import SAMPLE_RATE, FileSound
from hal.canvas import Canvas
from hal.errors import DeviceFault, HalError
from hal.footage import FileSource
from hal.interfaces import Hal, Picture, VideoFormat
from hal.sim.boot import boot
from hal.sim.scene import DrawnStreet
from hal.sim.sound import StreetNoise
from hal.sim.timeline import MS, SECOND
from hal.sim.world import START_UP_NS, World
from tests.contract.rigs import Heard

SMALL = VideoFormat(width=160, height=96, fps=10, bitrate_bps=100_000, gop_pictures=10)


def started(tmp_path: Path, **more: object) -> tuple[World, Hal, Heard]:
    world = World(1_795_421_687_000_000_000, seed=3)
    return world, boot(world, {"volume": tmp_path / "card", "keys": tmp_path / "keys", **more}), Heard()


def lumas(pictures: list[Picture]) -> list[float]:
    """Mean brightness of each decoded picture."""
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for picture in pictures for frame in codec.decode(av.Packet(picture.data))] + codec.decode(None)
    return [float(frame.to_ndarray(format="gray").mean()) for frame in frames]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds at 5 pictures a second, 4:3: picture i has luma 30 + 20 i; sound rises second by second."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=5)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for index in range(10):
            planes = np.full((72, 64), 128, np.uint8)
            planes[:48] = 30 + 20 * index
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 5)
            container.mux(video.encode(picture))
            samples = np.full((1, SAMPLE_RATE // 5), 1000 * (index + 1), np.int16)
            sound = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE, index * SAMPLE_RATE // 5, Fraction(1, SAMPLE_RATE)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


# --- instants and faults --------------------------------------------------------------------------------------------


def test_pictures_lie_exactly_on_the_sensors_grid(tmp_path: Path) -> None:
    """BWC-POL-26."""
    world, hal, heard = started(tmp_path)
    world.run_until(123_456_789)
    hal.camera.start(VideoFormat(width=160, height=96, fps=30, gop_pictures=30), heard)
    world.run_until(123_456_789 + SECOND)
    begin = START_UP_NS + 123_456_789
    assert [picture.captured.boottime_ns for picture in heard.pictures] == [begin + i * SECOND // 30 for i in range(31)]


def test_every_picture_is_delivered_at_its_own_instant(tmp_path: Path) -> None:
    world, hal, _ = started(tmp_path)
    seen: list[tuple[int, int]] = []

    class Noting(Heard):
        def picture(self, picture: Picture) -> None:
            seen.append((hal.clock.now().boottime_ns, picture.captured.boottime_ns))

    hal.camera.start(SMALL, Noting())
    world.run_until(SECOND)
    assert len(seen) == 11
    assert all(now == captured for now, captured in seen)


def test_jitter_is_seeded_and_keeps_the_order(tmp_path: Path) -> None:
    runs = []
    for name in ("a", "b"):
        world, hal, heard = started(tmp_path / name, jitter_ns=3 * MS)
        hal.camera.start(SMALL, heard)
        world.run_until(SECOND)
        runs.append([picture.captured.boottime_ns for picture in heard.pictures])
    assert runs[0] == runs[1] == sorted(runs[0])
    assert any(at % (SECOND // 10) for at in runs[0])


def test_the_same_seed_makes_the_same_stream(tmp_path: Path) -> None:
    streams = []
    for name in ("a", "b"):
        world, hal, heard = started(tmp_path / name)
        hal.camera.start(SMALL, heard)
        world.run_until(2 * SECOND)
        streams.append(b"".join(picture.data for picture in heard.pictures))
    assert streams[0] == streams[1]


def test_dropped_pictures_leave_a_gap_that_decodes(tmp_path: Path) -> None:
    """House law 4 needs something to account for: two lost pictures, nothing broken after them."""
    world, hal, heard = started(tmp_path)
    hal.camera.start(SMALL, heard)
    world.run_until(500 * MS)
    world.camera.drop(2)
    world.run_until(3 * SECOND)
    times = [picture.captured.boottime_ns for picture in heard.pictures]
    steps = [(later - earlier) // (100 * MS) for earlier, later in pairwise(times)]
    assert (sorted(steps)[-2:], len(heard.pictures)) == ([1, 3], 29)
    assert len(lumas(heard.pictures)) == 29


@pytest.mark.parametrize("until_s", [3, 10**6])
def test_a_stall_delivers_nothing_and_ends_with_an_idr(tmp_path: Path, until_s: int) -> None:
    world, hal, heard = started(tmp_path)
    hal.camera.start(SMALL, heard)
    world.run_until(750 * MS)
    world.camera.stall_until(until_s * SECOND)
    world.run_until(2900 * MS)
    # One picture was in the encoder already when the sensor fell silent.
    assert len(heard.pictures) in (8, 9)
    world.camera.stall_until(0)
    world.run_until(6 * SECOND)
    after = [picture for picture in heard.pictures if picture.captured.boottime_ns > START_UP_NS + 2 * SECOND]
    assert after[0].keyframe
    assert len(lumas(heard.pictures)) == len(heard.pictures)


def test_a_camera_error_is_told_once_and_a_restart_works(tmp_path: Path) -> None:
    """BWC-POL-47."""
    world, hal, heard = started(tmp_path)
    hal.camera.start(SMALL, heard)
    world.run_until(SECOND)
    world.camera.fail("frontend timed out", failing_starts=1)
    world.run_until(2 * SECOND)
    count = len(heard.pictures)
    assert (heard.faults, count) == (["frontend timed out"], 11)
    with pytest.raises(DeviceFault):
        hal.camera.start(SMALL, heard)
    hal.camera.start(SMALL, heard)
    with pytest.raises(HalError):
        hal.camera.start(SMALL, heard)
    world.run_until(3 * SECOND)
    assert heard.pictures[count].keyframe
    assert heard.faults == ["frontend timed out"]


def test_a_microphone_error_is_told_once_and_a_restart_works(tmp_path: Path) -> None:
    """BWC-POL-47."""
    world, hal, heard = started(tmp_path)
    hal.microphone.start(heard)
    world.run_until(SECOND)
    world.microphone.drop(2)
    world.run_until(2 * SECOND)
    assert len(heard.frames) in range(88, 94)
    world.microphone.fail("lost", failing_starts=1)
    world.run_until(3 * SECOND)
    assert heard.faults == ["lost"]
    with pytest.raises(DeviceFault):
        hal.microphone.start(heard)
    hal.microphone.start(heard)
    with pytest.raises(HalError):
        hal.microphone.start(heard)
    world.run_until(4 * SECOND)
    assert heard.frames[-1].captured.boottime_ns > START_UP_NS + 3 * SECOND


def test_a_covered_lens_is_dark_and_a_cut_in_the_scene_makes_no_idr(tmp_path: Path) -> None:
    world, hal, heard = started(tmp_path)
    hal.camera.start(SMALL, heard)
    world.cover_lens(1050 * MS)
    world.cover_lens(1950 * MS, covered=False)
    world.run_until(3 * SECOND)
    bright = lumas(heard.pictures)
    assert bright[5] > 80
    assert bright[15] < 30
    assert bright[25] > 80
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for picture in heard.pictures for frame in codec.decode(av.Packet(picture.data))] + codec.decode(None)
    assert [index for index, frame in enumerate(frames) if frame.pict_type == av.video.frame.PictureType.I] == [0, 10, 20, 30]
    assert [index for index, picture in enumerate(heard.pictures) if picture.keyframe] == [0, 10, 20, 30]


# --- sources --------------------------------------------------------------------------------------------------------


def shown(source: FileSource, at_ns: int) -> int:
    """Luma in the middle of what a file shows at an instant."""
    planes = source.look(at_ns, 0, 0)
    return int(planes[45, 80])


def test_a_film_is_resampled_and_looped(film: Path) -> None:
    source = FileSource(str(film))
    source.aim(Canvas(160, 90), 0)
    lumas_seen = [shown(source, i * 100 * MS + 1) for i in range(45)]
    expected = [30 + 20 * (i // 2 % 10) for i in range(45)]
    assert lumas_seen == pytest.approx(expected, abs=2)
    source.close()


@pytest.mark.parametrize("at_ms", [0, 1, 950, 1999, 2000, 3350, 20_000_700])
def test_what_a_film_shows_depends_on_the_instant_alone(film: Path, at_ms: int) -> None:
    """Picture and sound meet again however late either begins."""
    source = FileSource(str(film))
    source.aim(Canvas(160, 90), at_ms * MS)
    assert shown(source, at_ms * MS) == pytest.approx(30 + 20 * (at_ms % 2000 // 200), abs=2)
    source.close()
    sound = FileSound(str(film))
    sound.listen_from(at_ms * MS)
    taken = sound.take(200)
    assert float(taken[100]) * 32768 == pytest.approx(1000 * ((at_ms + 2) % 2000 // 200 + 1), rel=0.02)
    sound.close()


def test_sound_loops_with_the_film(film: Path) -> None:
    sound = FileSound(str(film))
    heard = sound.take(SAMPLE_RATE * 5)
    assert np.array_equal(heard[: SAMPLE_RATE * 2], heard[SAMPLE_RATE * 2 : SAMPLE_RATE * 4])
    sound.close()


def test_another_shape_gets_black_beside_it(film: Path) -> None:
    source = FileSource(str(film))
    canvas = Canvas(160, 90)
    source.aim(canvas, SECOND)
    source.look(SECOND, 0, 0)
    assert set(canvas.y[:, 0]) == {16}
    assert set(canvas.y[:, 159]) == {16}
    bright = np.flatnonzero(canvas.y[45] > 100)
    assert len(bright) == 120
    assert bright[0] + bright[-1] == pytest.approx(159, abs=2)
    source.close()


def test_a_film_without_sound_gets_the_streets(film: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.mkv"
    with av.open(str(film)) as source, av.open(str(silent), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    world, hal, heard = started(tmp_path, source=str(silent))
    hal.microphone.start(heard)
    hal.camera.start(SMALL, heard)
    world.run_until(SECOND)
    assert len(heard.frames) > 40
    assert lumas(heard.pictures)[0] == pytest.approx((30 - 16) * 255 / 219 * 128 / 160, abs=2)


def test_street_noise_depends_on_the_instant_alone_and_is_never_loud() -> None:
    noise = StreetNoise(1)
    noise.listen_from(SECOND)
    late = noise.take(1000)
    noise.listen_from(0)
    whole = noise.take(SAMPLE_RATE + 1000)
    assert np.array_equal(whole[SAMPLE_RATE:], late)
    assert float(np.abs(whole).mean()) > 0.01
    assert float(np.abs(whole).max()) < 0.6


# --- the drawn street -----------------------------------------------------------------------------------------------


def test_the_street_is_a_function_of_the_instant_and_moves() -> None:
    street, canvas = DrawnStreet(5), Canvas(320, 180)
    street.aim(canvas, 0)
    first = street.look(3 * SECOND, 0, 7).copy()
    other = street.look(4 * SECOND, 0, 7).copy()
    assert np.array_equal(street.look(3 * SECOND, 0, 7), first)
    changed = np.abs(first[:166].astype(int) - other[:166]) > 40
    assert 0.01 < changed.mean() < 0.5


def test_the_burnt_in_clock_follows_wall_time_and_the_counter_the_picture() -> None:
    street, canvas = DrawnStreet(5), Canvas(1280, 720)
    street.aim(canvas, 0)
    strips = [street.look(0, wall_ns, number)[692:720, :620].copy() for wall_ns, number in ((0, 0), (MS, 0), (0, 1))]
    changed = [np.flatnonzero((strips[0] != strip).any(axis=0)) for strip in strips[1:]]
    # One figure of milliseconds, in the clock's half; one figure of the counter, at the far end.
    assert 280 < changed[0].min() < changed[0].max() < 340
    assert 590 < changed[1].min() < changed[1].max() < 620


@pytest.mark.parametrize("size", [(160, 96), (320, 240), (640, 360), (722, 1280)])
def test_the_street_is_drawn_at_any_size(size: tuple[int, int]) -> None:
    street, canvas = DrawnStreet(0), Canvas(*size)
    street.aim(canvas, 0)
    planes = street.look(SECOND, 0, 0)
    assert planes.shape == (size[1] * 3 // 2, size[0])
    assert planes[: size[1]].std() > 30
