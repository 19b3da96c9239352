"""What goes wrong with picamera2 and the hardware under it, provoked on the bench: what the camera port does about it.

The real picamera2 runs; libcamera and the codec under it are fakes that misbehave as the real ones were seen to (the threads are named
in hardware-notes.md). Both encoders where both can be hit. What the officer feels of it is in ``test_pi_daemon.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pi_bench
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
from rigs import Heard

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import Picture, VideoFormat
from hal.pi.board import BOARDS
from hal.pi.camera import BUFFERS, CameraOptions, PiCamera
from hal.posix import PosixClock

pytestmark = pytest.mark.xdist_group("real time 2")

VIDEO = VideoFormat(width=320, height=180, fps=30, bitrate_bps=400_000, gop_pictures=15)
SECOND = 1_000_000_000
PATIENCE_S = 10


class Bench:
    """A camera of one board on the bench; ``hand`` makes things go wrong."""

    def __init__(self, board: str, hand) -> None:
        self.hand = hand
        self.clock = PosixClock()
        self.camera = PiCamera(BOARDS[board], self.clock)
        self.heard = Heard()

    def start(self, video: VideoFormat = VIDEO) -> Heard:
        self.heard = Heard()
        self.camera.start(video, self.heard)
        self.until(lambda: self.heard.pictures)
        return self.heard

    def until(self, condition, seconds: float = PATIENCE_S) -> None:
        pause = threading.Event()
        end = self.clock.now().boottime_ns + round(seconds * SECOND)
        while not condition():
            assert self.clock.now().boottime_ns < end, "it did not come"
            pause.wait(0.01)

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def comes_back(self) -> None:
        """Stop and start as the firmware does after a fault; pictures come, the first an IDR."""
        self.camera.stop()
        heard = self.start()
        self.until(lambda: len(heard.pictures) > 20)
        assert heard.pictures[0].keyframe
        assert heard.faults == []


@pytest.fixture(params=["zero2w", "5"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with pi_bench.loaded() as hand:
        made = Bench(request.param, hand)
        yield made
        hand.reset()
        made.camera.close()
        made.clock.close()


@pytest.fixture
def hardware() -> Iterator[Bench]:
    with pi_bench.loaded() as hand:
        made = Bench("zero2w", hand)
        yield made
        hand.reset()
        made.camera.close()
        made.clock.close()


def steps(pictures: list[Picture]) -> list[int]:
    """Distances of neighbouring pictures, in pictures."""
    times = [picture.captured.boottime_ns for picture in pictures]
    return [round((later - earlier) * VIDEO.fps / SECOND) for earlier, later in pairwise(times)]


def test_lost_and_faulty_pictures_show_in_the_sensors_times(bench: Bench) -> None:
    """BWC-POL-05: picamera2 drops a picture of status Error without a word or a count (0.3.38); the time stamps tell."""
    heard = bench.start()
    bench.until(lambda: len(heard.pictures) > 5)
    bench.hand.skip_next = 3
    bench.wait(0.5)
    bench.hand.error_next = 10
    bench.wait(1)
    bench.camera.stop()
    assert sorted(step for step in steps(heard.pictures) if step != 1) == [4, 11]
    assert heard.faults == []


def test_a_slow_receiver_costs_the_sensor_nothing(bench: Bench) -> None:
    """With an output of picamera2's own that stalls 400 ms in 30 pictures, a quarter was lost at the sensor (measured)."""
    heard, late = Heard(), threading.Event()

    class Slow(Heard):
        def picture(self, picture: Picture) -> None:
            if len(heard.pictures) % 30 == 0:
                late.wait(0.4)
            heard.picture(picture)

    bench.camera.start(VIDEO, Slow())
    bench.until(lambda: len(heard.pictures) >= 90)
    bench.camera.stop()
    assert set(steps(heard.pictures)) == {1}


def test_a_sink_that_blocks_for_ever_does_not_keep_the_camera_from_stopping(bench: Bench) -> None:
    blocked, release = threading.Event(), threading.Event()

    class Blocked(Heard):
        def picture(self, picture: Picture) -> None:
            blocked.set()
            release.wait(30)

    bench.camera.start(VIDEO, Blocked())
    assert blocked.wait(PATIENCE_S)
    began = bench.clock.now().boottime_ns
    bench.camera.stop()
    release.set()
    assert bench.clock.now().boottime_ns - began < 8 * SECOND
    bench.comes_back()


def test_a_stalled_codec_is_replaced_while_the_sensor_goes_on(hardware: Bench) -> None:
    """picamera2#1392, #1090: no exception, ``running`` stays true. The buffers that the codec keeps stop the sensor too, after a third of
    a second; a new encoder object works at once."""
    heard = hardware.start()
    hardware.until(lambda: len(heard.pictures) > 20)
    hardware.hand.codec_stalled = True
    hardware.wait(0.75)
    count = len(heard.pictures)
    progress = hardware.camera.progress()
    assert 0.2 * SECOND < progress.sensor_ns - progress.encoder_ns <= BUFFERS * SECOND / VIDEO.fps
    hardware.hand.codec_stalled = False  # what was open stays stalled; what is opened from now on works
    hardware.wait(0.2)
    assert len(heard.pictures) == count
    hardware.camera.restart_encoder()
    hardware.until(lambda: len(heard.pictures) > count + 20, 3)
    assert heard.pictures[count].keyframe
    assert heard.faults == []
    hardware.camera.stop()


@pytest.mark.parametrize("what", ["codec_busy", "codec_missing"])
def test_a_codec_that_cannot_be_opened_is_an_error_and_the_next_start_is_clean(hardware: Bench, what: str) -> None:
    """picamera2 0.3.38 believes for ever that an encoder runs whose start raised: the object is thrown away."""
    setattr(hardware.hand, what, True)
    with pytest.raises(DeviceFault, match="encoder start"):
        hardware.camera.start(VIDEO, Heard())
    setattr(hardware.hand, what, False)
    hardware.comes_back()
    setattr(hardware.hand, what, True)
    hardware.camera.restart_encoder()
    hardware.until(lambda: hardware.heard.faults)
    assert "encoder start" in hardware.heard.faults[0]
    setattr(hardware.hand, what, False)
    hardware.comes_back()


def test_a_slow_codec_loses_pictures_at_the_sensor_and_nowhere_else(hardware: Bench) -> None:
    """Slack is the number of buffers; beyond it the sensor loses pictures, and what is delivered still is in order and on the grid."""
    heard = hardware.start()
    hardware.hand.codec_latency_s = 0.06
    hardware.wait(1.5)
    hardware.hand.codec_latency_s = 0
    hardware.camera.stop()
    assert hardware.hand.lost > 0
    assert "codec" in hardware.hand.losses  # what a soak must not hold against the recorder
    assert min(steps(heard.pictures)) == 1
    assert max(steps(heard.pictures)) >= 2
    assert heard.faults == []


def test_the_bench_tells_whose_a_lost_picture_is(hardware: Bench) -> None:
    hardware.start()
    with hardware.camera._device.lock:  # as a callback of ours that takes too long
        hardware.until(lambda: hardware.hand.lost > 3)
    assert {"product", "starved"} & set(hardware.hand.losses)  # the second on a machine whose processors are taken


def test_a_sensor_that_stops_is_told_by_its_progress_and_comes_back(bench: Bench) -> None:
    """picamera2#883, #1275: the camera's threads are alive and nothing comes; stop and close return all the same."""
    heard = bench.start()
    bench.until(lambda: len(heard.pictures) > 5)
    bench.hand.stall_until = 1e12
    bench.wait(1.2)
    progress = bench.camera.progress()
    now = bench.clock.now().boottime_ns
    assert now - progress.sensor_ns > SECOND
    assert abs(progress.sensor_ns - progress.encoder_ns) < 0.1 * SECOND
    bench.hand.stall_until = 0
    bench.comes_back()


def test_an_exception_in_the_cameras_loop_is_a_fault_and_not_the_end(bench: Bench) -> None:
    """In picamera2's own loop an exception of a callback ends the thread: no picture ever after, and nobody is told (measured)."""
    heard = bench.start()
    bench.until(lambda: len(heard.pictures) > 5)
    bench.hand.without_timestamp = 1
    bench.until(lambda: heard.faults)
    assert heard.faults == ["camera loop: KeyError('SensorTimestamp')"]
    count = len(heard.pictures)
    bench.wait(0.3)
    assert len(heard.pictures) == count
    bench.comes_back()


def test_a_camera_that_does_not_start_says_why(bench: Bench) -> None:
    bench.hand.fail_start = "Failed to start camera: Input/output error"
    with pytest.raises(DeviceFault, match="Failed to start camera"):
        bench.camera.start(VIDEO, Heard())
    bench.hand.fail_start = ""
    bench.comes_back()


def test_a_camera_that_is_not_there_is_named_with_the_remedy(bench: Bench) -> None:
    bench.hand.absent = True
    with pytest.raises(HalUnavailable, match="no camera 0, 0 found; check the ribbon"):
        bench.camera.start(VIDEO, Heard())
    bench.hand.absent = False
    bench.comes_back()


def test_what_the_encoder_cannot_do_is_refused_before_it_is_tried(hardware: Bench) -> None:
    """The VideoCore's encoder: 1920 wide, level 4 (245,760 macroblocks a second)."""
    for video in (VideoFormat(width=2048, height=1080), VideoFormat(width=1920, height=1080, fps=60)):
        with pytest.raises(HalError):
            hardware.camera.start(video, Heard())


def test_what_the_sensor_would_do_otherwise_is_refused(bench: Bench) -> None:
    """libcamera adjusts, picamera2 records that: seen on real libcamera's virtual sensor. Evidence must not differ from its policy."""
    bench.hand.only_size = (640, 360)
    with pytest.raises(HalError, match="delivers 640x360 instead of 320x180"):
        bench.camera.start(VIDEO, Heard())
    bench.hand.only_size = None
    bench.hand.least_duration_us = 40_000
    with pytest.raises(HalError, match="to 25 pictures a second in this mode, not 30"):
        bench.camera.start(VIDEO, Heard())
    bench.hand.least_duration_us = 0
    bench.comes_back()


def test_the_stamps_library_is_there_before_the_camera_runs() -> None:
    """Its import takes longer than the sensor's buffers last on a small board; the first picture must not wait for it."""
    code = "import sys, hal.luma; assert 'cv2' not in sys.modules; hal.luma.Stamp(720); assert 'cv2' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_opening_and_closing_leaves_nothing_behind(bench: Bench) -> None:
    """Descriptors are contiguous memory on a Pi: what leaks here is an ENOMEM after some hours there (picamera2#887, #1102)."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def cycle(*, close: bool, fault: bool) -> None:
        heard = bench.start()
        if fault:
            bench.hand.without_timestamp = 1
            bench.until(lambda: heard.faults)
        bench.camera.stop()
        if close:
            bench.camera.close()

    cycle(close=True, fault=False)
    before, threads = descriptors(), threading.active_count()
    for _ in range(8):
        cycle(close=False, fault=False)
    for _ in range(3):
        cycle(close=False, fault=True)
        cycle(close=True, fault=False)
    bench.camera.close()
    assert descriptors() <= before
    assert threading.active_count() <= threads


def test_settings_reach_the_sensor_and_the_codec(hardware: Bench) -> None:
    """Fixed focus and a fixed rate; closed GOPs, repeated headers and the board's profile (linux#5360)."""
    import fake_video11
    import videodev2

    hardware.camera = PiCamera(BOARDS["zero2w"], hardware.clock, CameraOptions(lens_position=0.8, rotate=180))
    hardware.start()
    hardware.camera.stop()
    controls = fake_video11.opened[-1].controls
    assert hardware.hand.controls["LensPosition"] == pytest.approx(0.8)
    assert hardware.hand.controls["AfMode"] == 0
    assert tuple(hardware.hand.controls["FrameDurationLimits"]) == (33_333, 33_333)
    assert controls[videodev2.V4L2_CID_MPEG_VIDEO_H264_I_PERIOD] == VIDEO.gop_pictures
    assert controls[videodev2.V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER] == 1
    assert controls[videodev2.V4L2_CID_MPEG_VIDEO_H264_PROFILE] == videodev2.V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE
    assert controls[videodev2.V4L2_CID_MPEG_VIDEO_BITRATE] == VIDEO.bitrate_bps


def test_the_bit_rate_has_a_floor(hardware: Bench) -> None:
    """picamera2#1228: below it the encoder freezes on busy scenes, worst in small pictures."""
    import fake_video11
    import videodev2

    hardware.start()
    hardware.camera.set_bitrate(1)
    hardware.camera.stop()
    assert fake_video11.opened[-1].controls[videodev2.V4L2_CID_MPEG_VIDEO_BITRATE] == 125_000
