"""The laptop's camera and its film: what is lost, what is told, and what happens to an encoder that is too slow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import a_clip, make_clip

from firmware.config import load_config, with_backend
from firmware.machine.supervision import BEHIND_NS
from hal.canvas import Canvas, Plane
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.footage import FileSource
from hal.interfaces import AudioFrame, ClockReading, KeyProtection, Picture, VideoFormat
from hal.none import NoMicrophone
from hal.pc.boot import open_feed, open_hal, open_microphone
from hal.pc.camera import PcCamera
from hal.pc.config import parse_config
from hal.pc.feed import Exposure, Feed, FileFeed
from hal.pc.file_microphone import FileMicrophone
from hal.pc.v4l2 import V4l2Feed, card_name, find_webcam
from hal.posix import PosixClock
from tools.policies import read_profile
from tools.provision import CameraOrder, hal_lines, make_camera

pytestmark = pytest.mark.xdist_group("real time 1")

SECOND = 1_000_000_000
SMALL = VideoFormat(width=320, height=180, fps=30, bitrate_bps=300_000, gop_pictures=30)
PATIENCE_S = 10
PLACES = {"volume": "card", "keys": "keys"}


class Watcher:
    """A sink that can be waited for."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.frames: list[AudioFrame] = []
        self.faults: list[str] = []
        self._changed = threading.Condition()

    def _note(self, notes: list, item: object) -> None:
        with self._changed:
            notes.append(item)
            self._changed.notify()

    def picture(self, picture: Picture) -> None:
        self._note(self.pictures, picture)

    def camera_fault(self, reason: str) -> None:
        self._note(self.faults, reason)

    def audio(self, frame: AudioFrame) -> None:
        self._note(self.frames, frame)

    def microphone_fault(self, reason: str) -> None:
        self._note(self.faults, reason)

    def wait(self, done: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(done, PATIENCE_S), (len(self.pictures), self.faults)

    def times(self) -> list[int]:
        return [picture.captured.boottime_ns for picture in self.pictures]


class Scripted(Feed):
    """Exposures at the test's word; developing them may be held up."""

    def __init__(self, clock: PosixClock) -> None:
        self._clock = clock
        self._wanted = threading.Semaphore(0)
        self.reason = ""
        self.opened = self.closed = self.shown = 0
        self.showing = threading.Event()
        self.may_show = threading.Event()
        self.may_show.set()
        self._step_ns = SECOND // 30
        self._at_ns = 0

    def open(self, video: VideoFormat) -> None:
        if self.reason == "absent":
            raise HalUnavailable("no camera")
        self.opened += 1
        self._at_ns = self._clock.now().boottime_ns

    def give(self, count: int) -> None:
        self._wanted.release(count)

    def give_slowly(self, watcher: Watcher, count: int) -> None:
        """One after the other, each delivered before the next."""
        for _ in range(count):
            before = len(watcher.pictures)
            self.give(1)
            watcher.wait(lambda before=before: len(watcher.pictures) > before)

    def expose(self) -> Exposure | None:
        if not self._wanted.acquire(timeout=0.05):
            if self.reason:
                raise DeviceFault(self.reason)
            return None
        self._at_ns += self._step_ns
        return Exposure(self._at_ns)

    def show(self, exposure: Exposure, canvas: Canvas) -> Plane:
        self.showing.set()
        assert self.may_show.wait(PATIENCE_S)
        self.shown += 1
        canvas.fill(16 + self.shown % 200)
        return canvas.planes

    def describe(self) -> str:
        return "script"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def rig() -> Iterator[tuple[PcCamera, Scripted, Watcher]]:
    clock = PosixClock()
    feed = Scripted(clock)
    camera = PcCamera(feed, clock)
    yield camera, feed, Watcher()
    feed.may_show.set()
    camera.close()


def decodes(pictures: list[Picture]) -> int:
    codec = av.CodecContext.create("h264", "r")
    return sum(len(codec.decode(av.Packet(picture.data))) for picture in pictures) + len(codec.decode(None))


def held_back(camera: PcCamera, feed: Scripted, watcher: Watcher, count: int) -> None:
    """Three pictures are delivered; in the fourth the encoder stands still until ``count`` more were exposed."""
    camera.start(SMALL, watcher)
    feed.give_slowly(watcher, 3)
    feed.may_show.clear()
    feed.showing.clear()
    feed.give(1)
    assert feed.showing.wait(PATIENCE_S)
    feed.give(count)
    while camera.progress().sensor_ns < watcher.times()[-1] + (1 + count) * (SECOND // 30):
        threading.Event().wait(0.005)
    feed.may_show.set()


def test_a_slow_encoder_loses_pictures_from_the_times_and_not_memory(rig: tuple[PcCamera, Scripted, Watcher]) -> None:
    """House law 4: ten wait, the rest is a step in the instants; what is delivered decodes; the sensor never stopped."""
    camera, feed, watcher = rig
    held_back(camera, feed, watcher, 39)
    # One was being developed, ten waited.
    watcher.wait(lambda: len(watcher.pictures) == 14)
    feed.give_slowly(watcher, 2)
    camera.stop()
    steps = [round((later - earlier) * 30 / SECOND) for earlier, later in pairwise(watcher.times())]
    assert steps == [1] * 13 + [30, 1]
    assert decodes(watcher.pictures) == len(watcher.pictures)
    assert watcher.faults == []


def test_what_supervision_allows_an_encoder_to_be_behind_costs_no_picture(rig: tuple[PcCamera, Scripted, Watcher]) -> None:
    """An encoder that was kept from its core for 200 ms, and a picture's length: all is delivered, late."""
    camera, feed, watcher = rig
    count = -(-BEHIND_NS * SMALL.fps // SECOND) + 1
    held_back(camera, feed, watcher, count)
    feed.give_slowly(watcher, 1)
    watcher.wait(lambda: len(watcher.pictures) == 5 + count)
    camera.stop()
    assert {round((later - earlier) * 30 / SECOND) for earlier, later in pairwise(watcher.times())} == {1}


def test_a_lost_source_is_told_once_and_starts_again(rig: tuple[PcCamera, Scripted, Watcher]) -> None:
    """BWC-POL-47: unplugged; still away; back: the same camera object, a fresh IDR."""
    camera, feed, watcher = rig
    camera.start(SMALL, watcher)
    feed.give_slowly(watcher, 5)
    feed.reason = "pulled out"
    watcher.wait(lambda: watcher.faults == ["pulled out"])
    assert feed.closed == 1
    assert camera.progress().sensor_ns == 0
    feed.reason = "absent"
    camera.stop()
    camera.start(SMALL, watcher)
    watcher.wait(lambda: watcher.faults == ["pulled out", "no camera"])
    feed.reason = ""
    camera.stop()
    camera.start(SMALL, watcher)
    feed.give_slowly(watcher, 3)
    camera.stop()
    assert watcher.pictures[5].keyframe
    assert (feed.opened, feed.closed) == (2, 3)


def test_a_start_is_not_yet_a_picture(rig: tuple[PcCamera, Scripted, Watcher]) -> None:
    camera, feed, watcher = rig
    camera.start(SMALL, watcher)
    assert camera.progress().starting
    with pytest.raises(HalError, match="running"):
        camera.start(SMALL, watcher)
    feed.give(1)
    watcher.wait(lambda: watcher.pictures)
    assert not camera.progress().starting


def test_what_was_exposed_before_the_stop_is_delivered(rig: tuple[PcCamera, Scripted, Watcher]) -> None:
    camera, feed, watcher = rig
    camera.start(SMALL, watcher)
    feed.give(4)
    while camera.progress().starting:
        threading.Event().wait(0.001)
    camera.stop()
    count = len(watcher.pictures)
    assert count >= 1
    threading.Event().wait(0.1)
    assert len(watcher.pictures) == count


def test_a_film_is_on_an_exact_grid_and_loops(tmp_path: Path) -> None:
    """A film of one second, watched for longer: no seam in the times, and the picture begins again."""
    clock, watcher = PosixClock(), Watcher()
    camera = PcCamera(FileFeed(str(make_clip(tmp_path / "short.mp4", 1, sound=False)), clock), clock)
    camera.start(SMALL, watcher)
    watcher.wait(lambda: len(watcher.pictures) >= 50)
    camera.stop()
    assert {later - earlier for earlier, later in pairwise(watcher.times())} <= {33_333_333, 33_333_334}
    assert camera.describe()["sensor"] == "replay of 'short.mp4'"


class HandClock(PosixClock):
    """Goes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.ns = 1000 * SECOND

    def now(self) -> ClockReading:
        return replace(super().now(), boottime_ns=self.ns)


class SlowFilm(FileSource):
    """Takes its time: 200 ms to open, then a tenth of what it winds; its last key frame lies eight seconds back."""

    def __init__(self, clock: HandClock) -> None:
        self._clock, self.at_ns = clock, 0

    def aim(self, canvas: Canvas, at_ns: int) -> None:
        self._clock.ns += SECOND // 5
        self.at_ns = at_ns - 8 * SECOND

    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        self._clock.ns += (at_ns - self.at_ns) // 10
        self.at_ns = at_ns
        return Canvas(32, 32).planes


def test_a_film_is_exposed_from_when_it_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening it and winding it to now, over however long a GOP, loses no picture: the first one is of now, and shown at once."""
    clock = HandClock()
    film = SlowFilm(clock)
    monkeypatch.setattr("hal.pc.feed.FileSource", lambda path: film)
    feed = FileFeed(str(a_clip()), clock)
    feed.open(SMALL)
    assert clock.ns > 1001 * SECOND
    first = feed.expose()
    assert first is not None
    assert first.boottime_ns == clock.ns
    feed.show(first, Canvas(32, 32))
    assert clock.ns - first.boottime_ns < SECOND // SMALL.fps
    second = feed.expose()
    assert second is not None
    assert second.boottime_ns - first.boottime_ns == SECOND // SMALL.fps


def test_a_films_sound_is_on_an_exact_grid_and_stops_at_once() -> None:
    clock, watcher = PosixClock(), Watcher()
    microphone = FileMicrophone(str(a_clip()), clock)
    began = clock.now().boottime_ns
    microphone.start(watcher)
    with pytest.raises(HalError, match="running"):
        microphone.start(watcher)
    watcher.wait(lambda: len(watcher.frames) >= 30)
    microphone.stop()
    microphone.stop()
    count = len(watcher.frames)
    times = [frame.captured.boottime_ns for frame in watcher.frames]
    assert {later - earlier for earlier, later in pairwise(times)} <= {21_333_333, 21_333_334}
    assert began <= times[0] < began + SECOND // 10
    codec = av.CodecContext.create("aac", "r")
    codec.extradata = microphone.format().codec_config
    sound = np.concatenate([part.to_ndarray().reshape(-1) for frame in watcher.frames for part in codec.decode(av.Packet(frame.data))])
    assert float(np.abs(sound).max()) > 0.2
    threading.Event().wait(0.1)
    assert len(watcher.frames) == count


def test_the_microphone_is_what_the_settings_and_the_source_say(tmp_path: Path) -> None:
    clock = PosixClock()
    silent = make_clip(tmp_path / "silent.mp4", 0.5, sound=False)

    def kind(**settings: str) -> str:
        return type(open_microphone(parse_config({**PLACES, **settings})[0], clock)).__name__

    assert kind(source=str(a_clip())) == "FileMicrophone"
    assert kind(source=str(silent)) == "NoMicrophone"
    assert kind(source=str(a_clip()), microphone="hw:1") == "AlsaMicrophone"
    assert kind(source="/dev/video0") == "AlsaMicrophone"
    assert kind(source="/dev/video0", microphone="none") == "NoMicrophone"
    nobody = NoMicrophone("no microphone here")
    nobody.stop()
    for ask in (nobody.format, lambda: nobody.start(Watcher())):
        with pytest.raises(HalUnavailable, match="no microphone here"):
            ask()


def test_what_is_not_there_is_named_with_its_remedy(tmp_path: Path) -> None:
    clock = PosixClock()
    with pytest.raises(HalUnavailable, match="ffprobe"):
        open_feed(str(tmp_path / "absent.mp4"), clock)
    with pytest.raises(HalUnavailable, match="--source"):
        find_webcam(tmp_path)
    (tmp_path / "video0").touch()
    assert card_name(tmp_path / "video0") == ""
    watcher = Watcher()
    camera = PcCamera(V4l2Feed(str(tmp_path / "video9"), clock), clock)
    camera.start(SMALL, watcher)
    watcher.wait(lambda: watcher.faults)
    assert "no camera at" in watcher.faults[0]
    camera.stop()


def test_a_text_file_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("not a film")
    clock, watcher = PosixClock(), Watcher()
    camera = PcCamera(FileFeed(str(tmp_path / "notes.mp4"), clock), clock)
    camera.start(SMALL, watcher)
    watcher.wait(lambda: watcher.faults)
    camera.stop()


def test_the_hal_opens_and_closes_whole(tmp_path: Path) -> None:
    """No thread and no descriptor stays behind, be it closed or refused half way."""
    os.mkfifo(tmp_path / "keys.fifo")
    settings = {"volume": tmp_path / "card", "keys": tmp_path / "keys", "source": str(a_clip()), "keyboard": str(tmp_path / "keys.fifo")}
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(2):
        hal = open_hal(settings)
        assert hal.backend == "pc"
        assert hal.describe["sensor"] == "replay of 'clip.mp4'"
        hal.close()
    with pytest.raises(HalUnavailable):
        open_hal({**settings, "keyboard": str(tmp_path / "absent")})
    assert len(os.listdir("/proc/self/fd")) == len(before[0])
    assert threading.active_count() == before[1]


def test_provisioning_writes_what_the_back_end_reads(tmp_path: Path, agency) -> None:
    """Source, microphone, and a hold key that presses longer than this camera's policy asks."""
    text = read_profile("default")[1].replace("hold_to_stop_ms = 3000", "hold_to_stop_ms = 5000")
    (tmp_path / "slow.toml").write_text(text)
    order = CameraOrder("PC-2", "laptop", "", str(tmp_path / "slow.toml"), "pc", KeyProtection.FILE)
    config = load_config(make_camera(tmp_path / "camera", agency, order, lambda: hal_lines(order, str(a_clip()), "none")))
    settings, _ = parse_config({**PLACES, **config.hal_options})
    assert (settings.source, settings.microphone, settings.hold_ms) == (str(a_clip()), "none", 5500)
    elsewhere = with_backend(config, "sim")
    assert (elsewhere.backend, elsewhere.hal_options) == ("sim", {})
