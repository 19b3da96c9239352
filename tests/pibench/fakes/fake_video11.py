"""A FAKE of the Pi's ``/dev/video11`` and of its DMA heap, for tests: picamera2's real V4L2 encoder class talks to it.

The structures are the kernel's (videodev2); behind them is libx264, which is not the VideoCore's encoder: what is shown is the
protocol, the buffers and what happens when they do not come back. ``install`` replaces four names inside picamera2's module.
"""

from __future__ import annotations

import collections
import errno
import mmap
import os
import select
import threading
import types
from fractions import Fraction
from typing import Any, ClassVar

import bench
import videodev2 as v4l2

_NUMBER = 1_000_011
_CAPTURE_BYTES = 512 << 10
_LARGEST = 1920
_PROFILES = {
    v4l2.V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE: "baseline",
    v4l2.V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE: "baseline",
    v4l2.V4L2_MPEG_VIDEO_H264_PROFILE_MAIN: "main",
    v4l2.V4L2_MPEG_VIDEO_H264_PROFILE_HIGH: "high",
}
_LEVELS = {
    v4l2.V4L2_MPEG_VIDEO_H264_LEVEL_4_0: 40,
    v4l2.V4L2_MPEG_VIDEO_H264_LEVEL_4_1: 41,
    v4l2.V4L2_MPEG_VIDEO_H264_LEVEL_4_2: 42,
}
opened: list[Video11] = []
"""Every device that was opened, for tests that look at controls or count what was left open."""


class Video11:
    """One open of the device."""

    def __init__(self) -> None:
        if bench.hand.codec_missing:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/dev/video11")
        if bench.hand.codec_busy:
            raise OSError(errno.EBUSY, "Device or resource busy", "/dev/video11")
        self.closed = False
        self.stalled = False
        self.controls: dict[int, int] = {}
        self.changed = threading.Condition()
        self.maps: dict[int, mmap.mmap] = {}
        self.size = (0, 0, 0, 0)
        self._on = False
        self._filled: collections.deque[tuple[int, int, int]] = collections.deque()
        self._emptied: collections.deque[int] = collections.deque()
        self._free: collections.deque[int] = collections.deque()
        self._coded: collections.deque[tuple[int, int, bool, int]] = collections.deque()
        self._codec: Any = None
        self._rate = self._pictures = 0
        self._encoding = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="fake-video11")
        opened.append(self)

    def fileno(self) -> int:
        return _NUMBER

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def events(self) -> int:
        """As poll(2) would give them; ``changed`` is held."""
        return (select.POLLIN if self._coded else 0) | (select.POLLOUT if self._emptied else 0)

    def ioctl(self, request: int, argument: Any) -> int:
        handler = self._HANDLERS.get(request)
        if handler is not None:
            handler(self, argument)
        return 0

    def _set_control(self, control: Any) -> None:
        self.controls[control.id] = control.value

    def _set_controls(self, group: Any) -> None:
        for index in range(group.count):
            self._set_control(group.controls[index])

    def _set_format(self, wanted: Any) -> None:
        if wanted.type != v4l2.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE:
            return
        picture = wanted.fmt.pix_mp
        if picture.width > _LARGEST or picture.height > _LARGEST:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.size = (picture.width, picture.height, picture.pixelformat, picture.plane_fmt[0].bytesperline)

    def _query_buffer(self, buffer: Any) -> None:
        buffer.m.planes[0].length = _CAPTURE_BYTES
        buffer.m.planes[0].m.mem_offset = buffer.index << 24

    def _queue_buffer(self, buffer: Any) -> None:
        with self.changed:
            if buffer.type == v4l2.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE:
                at_us = buffer.timestamp.tv_sec * 1_000_000 + buffer.timestamp.tv_usec
                self._filled.append((buffer.index, buffer.m.planes[0].m.fd, at_us))
            else:
                self._free.append(buffer.index)
            self.changed.notify_all()

    def _take_buffer(self, buffer: Any) -> None:
        with self.changed:
            if buffer.type == v4l2.V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE:
                buffer.index = self._emptied.popleft()
                return
            buffer.index, used, key, at_us = self._coded.popleft()
        buffer.flags = v4l2.V4L2_BUF_FLAG_KEYFRAME if key else 0
        buffer.timestamp.tv_sec, buffer.timestamp.tv_usec = divmod(at_us, 1_000_000)
        buffer.m.planes[0].bytesused, buffer.m.planes[0].length = used, _CAPTURE_BYTES

    def _stream_on(self, _kind: Any) -> None:
        if not self._on:
            self._on = True
            self._thread.start()

    def _stream_off(self, _kind: Any) -> None:
        """The device lets go of every buffer before this returns."""
        self.close()
        if self._on:
            self._thread.join()

    _HANDLERS: ClassVar[dict[int, Any]] = {
        v4l2.VIDIOC_S_CTRL: _set_control,
        v4l2.VIDIOC_S_EXT_CTRLS: _set_controls,
        v4l2.VIDIOC_S_FMT: _set_format,
        v4l2.VIDIOC_QUERYBUF: _query_buffer,
        v4l2.VIDIOC_QBUF: _queue_buffer,
        v4l2.VIDIOC_DQBUF: _take_buffer,
        v4l2.VIDIOC_STREAMON: _stream_on,
        v4l2.VIDIOC_STREAMOFF: _stream_off,
    }

    # The codec

    @property
    def behind(self) -> bool:
        """More pictures are here than the one that is being encoded, and it is not for want of memory to write them into."""
        with self.changed:
            return not self.closed and len(self._filled) > 0 and (self._encoding or len(self._free) > 0)

    @property
    def _gop(self) -> int:
        return self.controls.get(v4l2.V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, 60)

    def _open_codec(self) -> Any:
        import av

        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = self.size[0], self.size[1], "yuv420p"
        codec.time_base, self._rate = Fraction(1, 1_000_000), self.controls.get(v4l2.V4L2_CID_MPEG_VIDEO_BITRATE, 10_000_000)
        codec.bit_rate, codec.gop_size, codec.thread_count = self._rate, self._gop, 1
        profile = self.controls.get(v4l2.V4L2_CID_MPEG_VIDEO_H264_PROFILE, v4l2.V4L2_MPEG_VIDEO_H264_PROFILE_HIGH)
        level = _LEVELS[self.controls.get(v4l2.V4L2_CID_MPEG_VIDEO_H264_LEVEL, v4l2.V4L2_MPEG_VIDEO_H264_LEVEL_4_0)]
        # x264 paces its rate by the time base that it is told; picture numbers, and 30 a second, keep it to the asked rate.
        codec.time_base = Fraction(1, 30)
        codec.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": _PROFILES[profile],
            "x264-params": f"keyint={self._gop}:min-keyint={self._gop}:scenecut=0:repeat-headers=1:annexb=1:sliced-threads=0:level={level}",
        }
        self._pictures = 0
        return codec

    def _run(self) -> None:
        while (job := self._next()) is not None:
            index, descriptor, at_us, capture = job
            try:
                data, key = self._encode(descriptor)
            except (OSError, ValueError):
                assert self.closed or self.stalled, "the buffer was taken away"  # a real dma-buf would still be held
                return
            if bench.hand.codec_latency_s:
                threading.Event().wait(bench.hand.codec_latency_s)
            with self.changed:
                used = min(len(data), _CAPTURE_BYTES)
                memory = self.maps[capture]
                memory.seek(0)
                memory.write(data[:used])
                memory.seek(0)
                self._coded.append((capture, used, key, at_us))
                self._emptied.append(index)
                self.changed.notify_all()

    def _next(self) -> tuple[int, int, int, int] | None:
        with self.changed:
            while not self.closed:
                self.stalled = self.stalled or bench.hand.codec_stalled  # for good: only another open of the device helps
                self._encoding = bool(self._filled and self._free and not self.stalled)
                if self._encoding:
                    return (*self._filled.popleft(), self._free.popleft())
                self.changed.wait(0.05)
        return None

    def _encode(self, descriptor: int) -> tuple[bytes, bool]:
        import av
        import numpy as np

        width, height, kind, stride = self.size
        rate = self.controls.get(v4l2.V4L2_CID_MPEG_VIDEO_BITRATE, self._rate)
        if self._codec is None or (rate != self._rate and self._pictures % self._gop == 0):
            self._codec = self._open_codec()
        with mmap.mmap(descriptor, stride * height * 3 // 2, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
            flat = np.frombuffer(memory, np.uint8).copy()
        luma = flat[: stride * height].reshape(height, stride)[:, :width]
        half = flat[stride * height :].reshape(height, stride // 2)[:, : width // 2]
        planes = np.concatenate([luma.reshape(-1), half.reshape(-1)]).reshape(height * 3 // 2, width)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p" if kind == v4l2.V4L2_PIX_FMT_YUV420 else "nv12")
        frame.pts = self._pictures
        self._pictures += 1
        packets = self._codec.encode(frame)
        return b"".join(bytes(packet) for packet in packets), any(packet.is_keyframe for packet in packets)


def behind() -> bool:
    return any(device.behind for device in opened)


class _Poll:
    def register(self, device: Video11, _events: int) -> None:
        self._device = device

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        with self._device.changed:
            if not self._device.events():
                self._device.changed.wait(milliseconds / 1000)
            events = self._device.events()
        return [(self._device.fileno(), events)] if events else []


def _map(_descriptor: int, length: int, *_flags: int, offset: int = 0) -> mmap.mmap:
    memory = mmap.mmap(-1, length)
    opened[-1].maps[offset >> 24] = memory
    return memory


def install() -> None:
    """Put the fake heap and the fake device under picamera2. Called once picamera2 is being used, never imported by it."""
    import picamera2.allocators.dmaallocator as allocator
    import picamera2.dma_heap as heap
    import picamera2.encoders.v4l2_encoder as encoder

    class MemoryHeap:
        """Buffers of memfd_create(2) in place of contiguous memory."""

        isValid = True

        def alloc(self, name: str, size: int) -> Any:
            descriptor = os.memfd_create(str(name))
            os.ftruncate(descriptor, (size + 4095) & ~4095)
            return heap.UniqueFD(descriptor)

        def close(self) -> None:
            """Nothing is held."""

    heap.DmaHeap = allocator.DmaHeap = MemoryHeap
    allocator.fcntl = types.SimpleNamespace(ioctl=lambda *_: 0)
    encoder.open = lambda *_, **__: Video11()
    encoder.fcntl = types.SimpleNamespace(ioctl=lambda device, request, argument: device.ioctl(request, argument))
    encoder.select = types.SimpleNamespace(poll=_Poll, POLLIN=select.POLLIN, POLLOUT=select.POLLOUT)
    encoder.mmap = types.SimpleNamespace(mmap=_map, PROT_READ=mmap.PROT_READ, PROT_WRITE=mmap.PROT_WRITE, MAP_SHARED=mmap.MAP_SHARED)
