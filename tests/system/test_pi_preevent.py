"""The pre-event rule (house law 1) on picamera2's own output thread, at full length; and what picamera2's ring keeps in its place.

A 30 s buffer, a press at 60 s, a stop at 75 s: ours holds 30 s to 75 s. picamera2's CircularOutput2 is a delay line: a picture is written
when it leaves the buffer, and closing the output ends that, so the same press and stop would keep 30 s to 45 s and nothing of
what came after the press. The last test here measures it on the real class, scaled down.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pi_bench
import pytest
from pi_daemon import PiDaemon, pi_daemon, seconds_now
from pi_pictures import numbers_shown, opened, period, step_times, steps_shown

from firmware.evidence.findings import Verdict
from tools.provision import Agency

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("real time 3")]

FPS = 15
BUFFER_S, PRESS_S, STOP_S, HOLD_S = 30, 60.0, 75.0, 3.0
GOP_S = 1.0
PATIENCE_S = 20.0


def wait_until(second: float, camera: PiDaemon) -> None:
    camera.wait(max(0.0, second - seconds_now()))


def pressed_and_stopped(camera: PiDaemon) -> tuple[float, float]:
    """The instants of the press that counts and of the stop, in boot time."""
    camera.start()
    begun = camera.leaves("boot")[0].time.boottime_ns / 1e9
    wait_until(begun + PRESS_S, camera)
    press = camera.double_press()
    wait_until(begun + STOP_S - HOLD_S, camera)
    stop = camera.hold() + HOLD_S
    camera.until("the end", lambda: camera.leaves("end"))
    assert camera.stop() == 0
    return press, stop


def check(camera: PiDaemon, press: float, stop: float, movie: Path) -> None:
    """Everything from 30 s before the press to the stop, by the manifest, by the file's times and by what the pictures show."""
    (recording,) = camera.recordings()
    manifest = camera.manifest(recording)
    first = manifest.fragments[0].boottime_us / 1e6
    last = manifest.fragments[-1]
    assert stop - press == pytest.approx(STOP_S - PRESS_S, abs=1.0)
    assert manifest.begin.boottime_us / 1e6 == pytest.approx(press, abs=0.1)
    assert press - BUFFER_S - GOP_S - 0.1 <= first <= press - BUFFER_S
    assert (last.boottime_us + last.duration_us) / 1e6 == pytest.approx(stop, abs=0.2)
    assert manifest.gaps == ()
    assert manifest.pre_event.shortfall is None
    opened(camera.card, recording, camera.agency.directory, movie)
    assert steps_shown(movie) == {1}
    assert all(abs(step - 1 / FPS) < 0.002 for step in step_times(movie))
    shown = len(numbers_shown(movie))
    assert shown == manifest.pictures
    assert abs(shown - (stop - first) * FPS) <= 3, "as many as the sensor took"
    assert camera.verify().verdict is Verdict.AUTHENTIC


def test_a_recording_holds_what_came_before_the_press_and_all_that_came_after(tmp_path: Path, agency: Agency) -> None:
    """BWC-POL-08, BWC-POL-12: both of picamera2's encoders side by side, in real time. 30 s to 75 s, where CircularOutput2 would hold
    30 s to 45 s."""
    options = {"seconds": BUFFER_S, "fps": FPS}
    with (
        pi_daemon(tmp_path / "v4l2", agency, board="zero2w", **options) as hardware,
        pi_daemon(tmp_path / "libav", agency, board="5", **options) as software,
        ThreadPoolExecutor(2) as hands,
    ):
        cameras = (hardware, software)
        instants = list(hands.map(pressed_and_stopped, cameras))
        for camera, (press, stop) in zip(cameras, instants, strict=True):
            check(camera, press, stop, camera.directory / "movie.mp4")
        encoders = [camera.log() for camera in cameras]
    assert "encoder v4l2-m2m" in encoders[0]
    assert "encoder libx264" in encoders[1]


WIDE = (640, 120)
"""The numbers that its pictures show repeat after ten seconds."""


def peer_encoder(name: str) -> Any:
    from picamera2.encoders.h264_encoder import H264Encoder
    from picamera2.encoders.libav_h264_encoder import LibavH264Encoder

    kind = {"hardware": H264Encoder, "software": LibavH264Encoder}[name]
    return kind(bitrate=500_000, repeat=True, iperiod=FPS, framerate=FPS)


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    pause, end = threading.Event(), seconds_now() + seconds
    while not condition():
        assert seconds_now() < end
        pause.wait(0.002)


@pytest.mark.parametrize("encoder", ["hardware", "software"])
def test_picamera2s_ring_ends_a_buffer_before_its_close(tmp_path: Path, encoder: str) -> None:
    """The peer, measured: buffer 2 s, opened after 3 s, closed after 6 s. The file holds second 1 to second 4: of the three seconds in
    which it was open, the last two are missing. Ours would hold 1 to 6, as the test above shows."""
    buffer, opening, closing = 2 * FPS, 3 * FPS, 6 * FPS
    movie = tmp_path / "ring.mp4"
    with pi_bench.loaded() as hand:
        from picamera2 import Picamera2
        from picamera2.outputs import CircularOutput2, PyavOutput

        assert period(*WIDE) > closing
        camera = Picamera2()
        duration_us = round(1e6 / FPS)
        main = {"size": WIDE, "format": "YUV420"}
        limits = {"FrameDurationLimits": (duration_us, duration_us)}
        camera.configure(camera.create_video_configuration(main=main, raw=None, controls=limits, display=None))
        ring = CircularOutput2(buffer_duration_ms=2000)
        camera.start_recording(peer_encoder(encoder), ring)
        wait_for(lambda: hand.delivered >= opening)
        ring.open_output(PyavOutput(str(movie)))
        wait_for(lambda: hand.delivered >= closing)
        ring.close_output()
        camera.stop_recording()
        camera.close()
        assert hand.lost == 0
    shown = numbers_shown(movie)
    assert steps_shown(movie) == {1}
    assert opening - buffer <= shown[0] <= opening - buffer + FPS, "from the first IDR in the buffer"
    assert shown[-1] == pytest.approx(closing - buffer, abs=4)
    assert shown[-1] <= closing - buffer
