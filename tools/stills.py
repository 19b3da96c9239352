"""Stills out of an opened recording: decoded with PyAV, written as JPEG by OpenCV, for people to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import av
import cv2

WIDTH = 560
QUALITY = 82


def stills_at(path: Path, seconds: Sequence[float]) -> list[str]:
    """One ``data:`` URI per instant (seconds from the first picture): the first picture shown at or after it, else the last."""
    wanted = sorted(range(len(seconds)), key=lambda index: seconds[index])
    found: dict[int, str] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        last = None
        for frame in container.decode(stream):
            last = frame
            while wanted and frame.time is not None and frame.time >= seconds[wanted[0]] - 1e-3:
                found[wanted.pop(0)] = _encode(frame)
            if not wanted:
                break
        for index in wanted:
            if last is not None:
                found[index] = _encode(last)
    return [found.get(index, "") for index in range(len(seconds))]


def still_in(segment: bytes, seconds: float) -> str:
    """A ``data:`` URI out of an init segment with one fragment: the first picture at or after ``seconds`` from its first one."""
    with av.open(io.BytesIO(segment), "r") as container:
        first: float | None = None
        last = None
        for frame in container.decode(container.streams.video[0]):
            last = frame
            first = frame.time if first is None else first
            if frame.time is not None and first is not None and frame.time - first >= seconds - 1e-3:
                break
        return _encode(last) if last is not None else ""


def _encode(frame: av.VideoFrame) -> str:
    picture = frame.to_ndarray(format="bgr24")
    height = round(picture.shape[0] * WIDTH / picture.shape[1])
    small = cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
