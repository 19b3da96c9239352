"""What a sensor that is not there sees: a file that is replayed for ever, or a V4L2 device.

Responsible for decoding, for the place in the file that an instant shows, and for fitting a picture into the frame.
Refuses to know who asks, and what time it is.

Invariant: what a file shows at an instant depends on that instant alone, so picture and sound of one file
stay together however often either was stopped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.frame import Frame
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from hal.canvas import Canvas, Plane
from hal.errors import DeviceFault, HalUnavailable

_NS = 1_000_000_000


class PictureSource(ABC):
    """What the sensor sees. ``aim`` comes before the first :meth:`look`, and again after every restart."""

    @abstractmethod
    def aim(self, canvas: Canvas, at_ns: int) -> None:
        """Look into ``canvas`` from ``at_ns`` (boot time) on."""

    @abstractmethod
    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        """The planes that are seen at ``at_ns``; instants do not go back. ``DeviceFault`` when nothing can be seen."""

    @abstractmethod
    def describe(self) -> str: ...

    @abstractmethod
    def close(self) -> None: ...


def open_container(path: str, kind: str) -> InputContainer:
    """Open a file or device that has a ``kind`` ("video" or "audio") stream; ``HalUnavailable`` names it otherwise."""
    try:
        if path.startswith("/dev/"):
            container = av.open(path, format="v4l2")
        else:
            # "file:" and the whitelist: neither a name nor a playlist inside a file may reach for the network.
            container = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HalUnavailable(f"source {path!r} cannot be played: {reason.lower()}; give a video file that ffprobe reads") from error
    if not getattr(container.streams, kind):
        container.close()
        raise HalUnavailable(f"source {path!r} has no {kind}; give a video file that ffprobe reads")
    return container


def frame_offset_s(container: InputContainer, frame: Frame) -> float:
    """Where a frame lies in its file, seconds from the file's beginning; 0 when the container does not tell."""
    if frame.time is None or container.start_time is None:
        return 0.0
    return frame.time - container.start_time / 1e6


def seek(container: InputContainer, offset_ns: int) -> None:
    """Go to a key frame at or before ``offset_ns`` where the container can; stay at the beginning otherwise."""
    if offset_ns <= 0 or container.start_time is None:
        return
    try:
        container.seek(container.start_time + offset_ns // 1000, backward=True)
    except av.FFmpegError:
        return


class Fit:
    """Scales a picture into a canvas, keeping its shape, with black beside it."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas

    def put(self, frame: VideoFrame, shape: float) -> Plane:
        canvas = self._canvas
        width = min(canvas.width, round(canvas.height * shape)) // 2 * 2
        height = min(canvas.height, round(canvas.width / shape)) // 2 * 2
        scaled = np.asarray(frame.reformat(width, height, "yuv420p", dst_color_range=ColorRange.MPEG).to_ndarray(), np.uint8)
        flat, luma = scaled.reshape(-1), width * height
        canvas.paste(
            flat[:luma].reshape(height, width),
            flat[luma : luma * 5 // 4].reshape(height // 2, width // 2),
            flat[luma * 5 // 4 :].reshape(height // 2, width // 2),
            (canvas.width - width) // 4 * 2,
            (canvas.height - height) // 4 * 2,
        )
        return canvas.planes


class FileSource(PictureSource):
    """A video file, from its beginning at instant 0, looped. ``HalUnavailable`` when it is no video."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._container = open_container(path, "video")
        self._began_ns = 0
        self._length_ns = (self._container.duration or 0) * 1000
        """Of one round; learnt at the end of the file where the container does not tell."""
        self._next: tuple[int, VideoFrame] | None = None
        self._fit = Fit(Canvas(32, 32))
        self._shown: Plane | None = None
        self._step_ns = self._seen_ns = 0
        self._frames = self._decode()
        if (first := next(self._frames, None)) is None:
            self._container.close()
            raise HalUnavailable(f"source {path!r} has no picture that decodes; give a video file that ffprobe reads")
        self._shape = shape_of(first[1])

    def aim(self, canvas: Canvas, at_ns: int) -> None:
        self._fit = Fit(canvas)
        offset_ns = at_ns % self._length_ns if self._length_ns else 0
        self._began_ns = at_ns - offset_ns
        self._rewind(offset_ns)
        self._shown = None

    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        newest: VideoFrame | None = None
        while self._next is None or self._next[0] <= at_ns:
            if self._next is not None:
                newest = self._next[1]
            self._next = self._following()
            if self._shown is None and newest is None:
                newest = self._next[1]
        if newest is not None:
            self._shown = self._fit.put(newest, self._shape)
        assert self._shown is not None
        return self._shown

    def describe(self) -> str:
        return f"replay of {Path(self._path).name!r}"

    def close(self) -> None:
        self._container.close()

    def _following(self) -> tuple[int, VideoFrame]:
        """The next picture and the instant from which it is seen; begins again at the end of the file."""
        for _ in range(2):
            found = next(self._frames, None)
            if found is not None and not 0 < self._length_ns <= found[0]:
                self._seen_ns = found[0] + self._step_ns
                return self._began_ns + found[0], found[1]
            self._length_ns = self._length_ns or self._seen_ns
            self._began_ns += self._length_ns
            self._rewind(0)
        raise DeviceFault(f"source {self._path!r} has no picture that decodes")

    def _rewind(self, offset_ns: int) -> None:
        """Open again, at ``offset_ns`` or a key frame before it."""
        self._container.close()
        self._container = open_container(self._path, "video")
        seek(self._container, offset_ns)
        self._frames = self._decode()
        self._next = None

    def _decode(self) -> Iterator[tuple[int, VideoFrame]]:
        """(offset in the file in ns, picture); ends at the end, and at damage."""
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self._step_ns = round(_NS / (stream.average_rate or 25))
        offset_ns = -self._step_ns
        try:
            for frame in self._container.decode(stream):
                # Without time stamps, or with one that goes back, the nominal rate is what there is.
                told = round(frame_offset_s(self._container, frame) * _NS)
                offset_ns = told if told > offset_ns else offset_ns + self._step_ns
                yield offset_ns, frame
        except av.FFmpegError:
            return


class DeviceSource(PictureSource):
    """A V4L2 device; its own pace, the newest picture it gives."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._container = open_container(path, "video")
        self._fit = Fit(Canvas(32, 32))

    def aim(self, canvas: Canvas, at_ns: int) -> None:
        self._fit = Fit(canvas)

    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        try:
            frame = next(self._container.decode(video=0))
        except (av.FFmpegError, StopIteration) as error:
            raise DeviceFault(f"source {self._path!r} gives no picture any more") from error
        return self._fit.put(frame, shape_of(frame))

    def describe(self) -> str:
        return f"V4L2 device {self._path!r}"

    def close(self) -> None:
        self._container.close()


def shape_of(frame: VideoFrame) -> float:
    """Width over height as it is to be seen."""
    pixel = getattr(frame, "sample_aspect_ratio", None) or 1
    return float(frame.width * pixel / frame.height)
