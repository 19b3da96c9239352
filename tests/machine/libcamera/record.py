"""Two takes of the camera that ``port`` opens, on libcamera's virtual sensor. Runs inside the sid root (``sid_root.run_inside``)."""

from __future__ import annotations

import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import virtual_camera

virtual_camera.install()

import av  # noqa: E402 - nothing may import libcamera's names before they are replaced
import libcamera  # noqa: E402
from port import open_camera  # noqa: E402

from hal.interfaces import Camera, Picture, VideoFormat  # noqa: E402

JOB = Path("/job")
VIDEO = VideoFormat(640, 360, 30, 1_000_000, 30)
SECONDS = 4.0
START_CODE = b"\x00\x00\x01"
SPS, PPS = 7, 8


@dataclass
class Sink:
    pictures: list[Picture] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    first: threading.Event = field(default_factory=threading.Event)

    def picture(self, picture: Picture) -> None:
        self.pictures.append(picture)
        self.first.set()

    def camera_fault(self, reason: str) -> None:
        self.faults.append(reason)


def kinds(data: bytes) -> set[int]:
    """NAL unit types of an access unit (ITU-T H.264, 7.3.1)."""
    return {part[0] & 0x1F for part in data.split(START_CODE)[1:] if part}


def decoded(pictures: list[Picture]) -> int:
    codec = av.CodecContext.create("h264", "r")
    frames = [frame for one in pictures for frame in codec.decode(av.Packet(one.data))]
    return len(frames) + len(codec.decode(None))


def take(camera: Camera, number: int, sink: Sink) -> dict[str, object]:
    sink.pictures.clear()
    sink.first.clear()
    began = time.monotonic()
    camera.start(VIDEO, sink)
    sink.first.wait(10)
    first_s = time.monotonic() - began
    time.sleep(SECONDS)
    stopping = time.monotonic()
    camera.stop()
    stop_s = time.monotonic() - stopping
    pictures = list(sink.pictures)
    (JOB / f"take-{number}.h264").write_bytes(b"".join(one.data for one in pictures))
    times = [one.captured.boottime_ns for one in pictures]
    return {
        "pictures": len(pictures),
        "seconds": SECONDS,
        "first_s": first_s,
        "stop_s": stop_s,
        "keyframe_first": bool(pictures) and pictures[0].keyframe,
        "idr_without_parameters": sum(not {SPS, PPS} <= kinds(one.data) for one in pictures if one.keyframe),
        "times_rise": all(later > earlier for earlier, later in itertools.pairwise(times)),
        "decoded": decoded(pictures),
    }


def main() -> None:
    sink = Sink()
    camera, close = open_camera()
    takes = [take(camera, number, sink) for number in (1, 2)]
    described = dict(camera.describe())
    close()
    clocks = virtual_camera.clocks.values()
    result = {
        "versions": f"libcamera {libcamera.CameraManager.singleton().version}, picamera2 {version('picamera2')}",
        "camera": described,
        "takes": takes,
        "faults": sink.faults,
        "delivered": sum(int(str(one["pictures"])) for one in takes),
        "sensor_lost": sum(clock.lost for clock in clocks),
    }
    (JOB / "result.json").write_text(json.dumps(result))


main()
