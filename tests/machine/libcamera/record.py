"""The product's camera on libcamera's virtual sensor, in this process and in its capture process. Runs inside the sid root
(``sid_root.run_inside``); ``result.json`` says what was seen, ``on_libcamera.py`` judges it."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import libcamera
import numpy as np

from hal.errors import HalError
from hal.interfaces import Camera, Picture, VideoFormat
from hal.pi.board import BOARDS
from hal.pi.camera import CameraOptions, PiCamera
from hal.pi.process_camera import ProcessCamera
from hal.posix import PosixClock

JOB = Path("/job")
BOARD = BOARDS["5"]  # its encoder is libx264; the other boards' is silicon
VIDEO = VideoFormat(640, 360, 30, 1_000_000, 30)
CHANGED_BPS = 700_000
SECONDS = 4.0
OPTIONS = CameraOptions(picture_format="NV12", low_resolution=False)
REFUSED = {"size": replace(VIDEO, width=800, height=600), "rate": replace(VIDEO, fps=15)}
"""What this sensor does not have."""
START_CODE = b"\x00\x00\x01"
SPS, PPS = 7, 8
DARK = 40
"""Luma of the stamp's ground, once coded. Its lowest rows have no text in them, and even the shortest text is 80 pixels wide."""


@dataclass
class Sink:
    pictures: list[Picture] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def picture(self, picture: Picture) -> None:
        with self.changed:
            self.pictures.append(picture)
            self.changed.notify_all()

    def camera_fault(self, reason: str) -> None:
        with self.changed:
            self.faults.append(reason)
            self.changed.notify_all()

    def until(self, enough: Any, seconds: float = 20) -> None:
        with self.changed:
            self.changed.wait_for(lambda: enough() or self.faults, seconds)


def kinds(data: bytes) -> set[int]:
    """NAL unit types of an access unit (ITU-T H.264, 7.3.1)."""
    return {part[0] & 0x1F for part in data.split(START_CODE)[1:] if part}


def decoded(pictures: list[Picture]) -> list[np.ndarray]:
    """Luma planes."""
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for one in pictures for frame in codec.decode(av.Packet(one.data))]
    return [frame.reformat(format="gray").to_ndarray() for frame in [*frames, *codec.decode(None)]]


def encoders(pictures: list[Picture]) -> list[int]:
    """Bit rate in kbit/s of every x264 that was opened: it says so in the SEI of its first picture."""
    return [int(found[1]) for one in pictures if (found := re.search(rb" bitrate=(\d+)", one.data))]


def facts(pictures: list[Picture], name: str) -> dict[str, Any]:
    (JOB / f"{name}.h264").write_bytes(b"".join(one.data for one in pictures))
    times = [one.captured.boottime_ns for one in pictures]
    steps = [(later - earlier) / 1e9 for earlier, later in itertools.pairwise(times)]
    planes = decoded(pictures)
    corners = [float((plane[-3:, :80] < DARK).mean()) for plane in planes]
    return {
        "pictures": len(pictures),
        "decoded": len(planes),
        "keyframe_first": bool(pictures) and pictures[0].keyframe,
        "idr_without_parameters": sum(not {SPS, PPS} <= kinds(one.data) for one in pictures if one.keyframe),
        "idr_step": sorted({b - a for a, b in itertools.pairwise(n for n, one in enumerate(pictures) if one.keyframe)}),
        "longest_step_s": max(steps, default=0.0),
        "shortest_step_s": min(steps, default=0.0),
        "lost": sum(max(0, round(step * VIDEO.fps) - 1) for step in steps),
        "dark_corner": min(corners, default=0.0),
        "encoders_kbps": encoders(pictures),
    }


def take(camera: Camera, name: str, video: VideoFormat, sink: Sink) -> dict[str, Any]:
    """Start, record, stop."""
    sink.pictures.clear()
    began = time.monotonic()
    before_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    camera.start(video, sink)
    sink.until(lambda: sink.pictures)
    first_s = time.monotonic() - began
    sink.until(lambda: len(sink.pictures) >= SECONDS * video.fps)
    age_s = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - sink.pictures[-1].captured.boottime_ns) / 1e9
    small, progress = camera.low_resolution(), camera.progress()
    stopping = time.monotonic()
    camera.stop()
    stop_s = time.monotonic() - stopping
    pictures = list(sink.pictures)
    assert small is not None
    grey = np.frombuffer(small.data, np.uint8)
    return {
        "first_s": first_s,
        "stop_s": stop_s,
        "after_start": pictures[0].captured.boottime_ns >= before_ns,
        "suspended_s": round(time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)),
        "age_s": age_s,
        "small": [small.width, small.height, len(small.data), int(grey.max()) - int(grey.min())],
        "small_age_s": (pictures[-1].captured.boottime_ns - small.captured.boottime_ns) / 1e9,
        "progress": [progress.starting, progress.sensor_ns >= progress.encoder_ns > 0],
        **facts(pictures, name),
    }


def changes(camera: Camera, name: str, sink: Sink) -> dict[str, Any]:
    """Another bit rate, then another encoder, while recording."""
    sink.pictures.clear()
    camera.start(VIDEO, sink)
    sink.until(lambda: len(sink.pictures) >= VIDEO.fps)
    camera.set_bitrate(CHANGED_BPS)
    sink.until(lambda: len(sink.pictures) >= 3 * VIDEO.fps)
    at = len(sink.pictures)
    camera.restart_encoder()
    sink.until(lambda: len(encoders(sink.pictures)) >= 3)
    sink.until(lambda: len(sink.pictures) >= at + 2 * VIDEO.fps)
    camera.stop()
    return facts(list(sink.pictures), name)


def refusal(camera: Camera, video: VideoFormat) -> str:
    """What is said to a format that the sensor does not have: at once, or from the capture process."""
    sink = Sink()
    try:
        camera.start(video, sink)
    except HalError as error:
        return str(error)
    sink.until(lambda: False, 20)
    camera.stop()
    return "".join(sink.faults)


def run(camera: Camera, name: str) -> dict[str, Any]:
    sink = Sink()
    found = {
        "refused": {what: refusal(camera, video) for what, video in REFUSED.items()},
        "takes": [take(camera, f"{name}-{number}", VIDEO, sink) for number in (1, 2)],
        "stamped": take(camera, f"{name}-stamped", replace(VIDEO, stamp=True), sink),
        "changes": changes(camera, f"{name}-changes", sink),
        "camera": dict(camera.describe()),
        "faults": sink.faults,
    }
    camera.close()
    return found


def main() -> None:
    clock = PosixClock()
    two_streams = replace(OPTIONS, low_resolution=True)
    cameras = {
        "in-process": lambda: PiCamera(BOARD, clock, OPTIONS),
        "two-streams": lambda: PiCamera(BOARD, clock, two_streams),
        "capture-process": lambda: ProcessCamera(BOARD, clock, OPTIONS),
    }
    result = {
        "versions": f"libcamera {libcamera.CameraManager.singleton().version}, picamera2 {version('picamera2')}",
        "cameras": {name: run(make(), name) for name, make in cameras.items()},
    }
    (JOB / "result.json").write_text(json.dumps(result, indent=1))
    clock.close()


main()
