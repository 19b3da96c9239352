"""A webcam: V4L2 through PyAV.

Responsible for finding one, for agreeing on a format with it, for the driver's own time stamps, and for noticing that it is gone.
Refuses to know H.264: pictures leave here as they came.

Formats: the policy's size and rate are asked for; what the device makes of it is taken and scaled. Uncompressed pictures are
preferred, MJPEG is taken where only that is fast enough (USB 2 carries 720p in YUYV at 10 pictures a second).
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
from av.container import InputContainer
from av.video.frame import VideoFrame

from hal.canvas import Canvas, Plane
from hal.errors import DeviceFault, HalUnavailable
from hal.footage import Fit, shape_of
from hal.instants import MonotonicStamps
from hal.interfaces import Clock, VideoFormat
from hal.pc.feed import PATIENCE_S, Exposure, Feed

REMEDY = "plug one in, join the group `video`, close the program that uses it, or give a video file with --source"
_FORMATS = ("yuyv422", "mjpeg", "")
"""'' takes whatever libav finds first."""
_SILENT_S = 3.0
_NS = 1_000_000_000
# linux/videodev2.h, linux/v4l2-controls.h
_VIDIOC_QUERYCAP = 0x80685600
_VIDIOC_S_CTRL = 0xC008561C
_CID_EXPOSURE_DYNAMIC_FRAMERATE = 0x009A0903
_CAP_VIDEO_CAPTURE, _CAP_STREAMING = 0x1, 0x04000000


def find_webcam(directory: Path = Path("/dev")) -> str:
    """The first device that captures; ``HalUnavailable`` names the remedy when there is none."""
    for path in sorted(directory.glob("video*"), key=lambda path: (len(path.name), path.name)):
        if card_name(path):
            return str(path)
    raise HalUnavailable(f"no webcam below {str(directory)!r}; {REMEDY}")


def card_name(path: Path) -> str:
    """What the driver calls the device; empty for what is not a camera (a webcam has a second node for metadata)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        answer = fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, bytes(104))
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    (flags,) = struct.unpack_from("=I", answer, 88)
    wanted = _CAP_VIDEO_CAPTURE | _CAP_STREAMING
    return answer[16:48].split(b"\0")[0].decode("utf-8", "replace") if flags & wanted == wanted else ""


class V4l2Feed(Feed):
    """One V4L2 device. The instant of a picture is the driver's: CLOCK_MONOTONIC at its capture."""

    def __init__(self, device: str, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._stamps = MonotonicStamps()
        self._container: InputContainer | None = None
        self._packets: Iterator[av.Packet[av.VideoStream]] = iter(())
        self._poll = select.poll()
        self._seen_s = 0.0
        self._fit: tuple[Canvas, Fit] | None = None

    def open(self, video: VideoFormat) -> None:
        with ExitStack() as undo:
            container = undo.enter_context(self._negotiate(video))
            descriptor = _descriptor_of(self._device)
            # Nothing here may block for ever: a device that stalls must not keep its thread, nor itself.
            os.set_blocking(descriptor, False)
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLIN)
            _keep_rate(descriptor)
            container.streams.video[0].codec_context.thread_count = 1  # threads would hold pictures back
            undo.pop_all()
        self._container = container
        self._packets = container.demux(video=0)
        self._seen_s = time.monotonic()

    def expose(self) -> Exposure | None:
        assert self._container is not None
        frame = self._read()
        if frame is None:
            events = self._poll.poll(PATIENCE_S * 1000)
            if time.monotonic() - self._seen_s > _SILENT_S:
                raise DeviceFault(f"camera {self._device!r} gives no picture for {_SILENT_S:.0f} s; {REMEDY}")
            if not events:
                return None
            frame = self._read()
            if frame is None:
                if events[0][1] & (select.POLLERR | select.POLLHUP):
                    raise DeviceFault(f"camera {self._device!r} is lost; {REMEDY}")
                return None
        self._seen_s = time.monotonic()
        return Exposure(self._instant(frame), frame)

    def show(self, exposure: Exposure, canvas: Canvas) -> Plane:
        assert exposure.frame is not None
        if self._fit is None or self._fit[0] is not canvas:
            self._fit = (canvas, Fit(canvas))
        return self._fit[1].put(exposure.frame, shape_of(exposure.frame))

    def describe(self) -> str:
        return f"V4L2 {self._device!r} ({card_name(Path(self._device)) or 'absent'})"

    def close(self) -> None:
        container, self._container = self._container, None
        self._packets = iter(())
        if container is not None:
            container.close()

    def _read(self) -> VideoFrame | None:
        """The next picture that is waiting; ``None`` when none is, or one was damaged on its way."""
        assert self._container is not None
        try:
            packet = next(self._packets, None)
            if packet is None or packet.size == 0:
                # libav ends the stream of a device that was pulled as if it were a file: never success.
                raise DeviceFault(f"camera {self._device!r} ended; {REMEDY}")
            return next(iter(packet.decode()), None)
        except av.error.BlockingIOError:
            pass
        except av.error.InvalidDataError:
            pass
        except (av.FFmpegError, OSError) as error:
            raise DeviceFault(f"camera {self._device!r} is lost: {error.strerror or error}; {REMEDY}") from error
        self._packets = self._container.demux(video=0)  # an exception ends a generator
        return None

    def _instant(self, frame: VideoFrame) -> int:
        stamped = None
        if frame.pts is not None and frame.time_base is not None:
            stamped = self._stamps.boottime_ns(int(frame.pts * frame.time_base * _NS))
        return self._clock.now().boottime_ns if stamped is None else stamped

    def _negotiate(self, video: VideoFormat) -> InputContainer:
        """The first format that is fast enough, else the fastest."""
        if not Path(self._device).exists():
            raise HalUnavailable(f"no camera at {self._device!r}; {REMEDY}")
        rates: dict[str, float] = {}
        trouble: Exception | None = None
        for form in _FORMATS:
            try:
                container = _open(self._device, form, video)
            except (av.FFmpegError, OSError) as error:
                trouble = error
                continue
            rates[form] = float(container.streams.video[0].average_rate or 0)
            if rates[form] >= video.fps * 0.95:
                return container
            container.close()
        if not rates:
            reason = getattr(trouble, "strerror", None) or trouble
            raise HalUnavailable(f"camera {self._device!r} cannot be used: {reason}; {REMEDY}") from trouble
        try:
            return _open(self._device, max(rates, key=lambda form: rates[form]), video)
        except (av.FFmpegError, OSError) as error:
            raise HalUnavailable(f"camera {self._device!r} cannot be used: {error}; {REMEDY}") from error


def _open(device: str, form: str, video: VideoFormat) -> InputContainer:
    options = {"video_size": f"{video.width}x{video.height}", "framerate": str(video.fps)}
    if form:
        options["input_format"] = form
    return av.open(device, format="v4l2", options=options)


def _descriptor_of(device: str) -> int:
    """libav's own descriptor of the device: the newest that leads there."""
    real = os.path.realpath(device)
    found = [int(link.name) for link in Path("/proc/self/fd").iterdir() if _leads_to(link, real)]
    if not found:
        raise DeviceFault(f"camera {device!r} is lost; {REMEDY}")
    return max(found)


def _leads_to(link: Path, real: str) -> bool:
    try:
        return os.readlink(link) == real
    except OSError:
        return False


def _keep_rate(descriptor: int) -> None:
    """Ask a webcam not to halve its rate in the dark; one that has no such control goes on as it likes."""
    try:
        fcntl.ioctl(descriptor, _VIDIOC_S_CTRL, struct.pack("=Ii", _CID_EXPOSURE_DYNAMIC_FRAMERATE, 0))
    except OSError:
        return
