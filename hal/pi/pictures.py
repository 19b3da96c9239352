"""Between the encoder's thread and ours: coded pictures in order, bounded in bytes.

Responsible for taking a picture without ever blocking or raising (the camera's own threads call), for whole GOPs when there is no
room, and for parameter sets before every IDR. Refuses to know picamera2 and what a picture shows.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

LIMIT_BYTES = 8 << 20
"""Some seconds at the highest rate; what is not taken by then is taken by nobody."""
_START_CODE = b"\x00\x00\x01"
_SPS, _PPS, _IDR = 7, 8, 5


@dataclass(frozen=True, slots=True)
class Coded:
    """One access unit; ``sensor_us`` is the sensor's time stamp of its exposure."""

    data: bytes
    keyframe: bool
    sensor_us: int


class PictureQueue:
    """One producer, one consumer. ``dropped`` counts pictures for which there was no room."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._items: deque[Coded] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._dropping = False
        self._closed = False
        self.dropped = 0

    def offer(self, picture: Coded) -> None:
        """Append, or drop up to the next IDR when there is no room."""
        with self._changed:
            if self._closed:
                return
            full = self._bytes + len(picture.data) > self._limit
            if full or (self._dropping and not picture.keyframe):
                self._dropping = True
                self.dropped += 1
                return
            self._dropping = False
            self._items.append(picture)
            self._bytes += len(picture.data)
            self._changed.notify()

    def take(self) -> Coded | None:
        """The next picture; waits for it. ``None`` once closed: what was still inside is nobody's any more."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            picture = self._items.popleft()
            self._bytes -= len(picture.data)
            return picture

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class ParameterSets:
    """SPS and PPS before every IDR, whatever the encoder does.

    picamera2 leaves out a buffer that holds nothing but them (``V4L2Encoder._check_for_picture``); the IDR behind it would then
    be of no use to anybody who starts there.
    """

    def __init__(self) -> None:
        self._sets = b""

    def complete(self, data: bytes) -> bytes:
        """An IDR access unit, with the last seen parameter sets in front if it has none of its own."""
        first = nal_type(data)
        if first not in (_IDR, _SPS):
            return data
        if first == _IDR:
            return self._sets + data
        end = _picture_start(data)
        if end > 0:
            self._sets = data[:end]
        return data


def nal_type(data: bytes) -> int:
    """``nal_unit_type`` of the first NAL unit of an Annex B stream (ITU-T H.264, 7.3.1); -1 without one."""
    at = data.find(_START_CODE)
    return data[at + 3] & 0x1F if 0 <= at < len(data) - 3 else -1


def _picture_start(data: bytes) -> int:
    """Where the start code of the first NAL unit that is neither SPS nor PPS begins; 0 when there is none."""
    at = data.find(_START_CODE)
    while 0 <= at < len(data) - 3:
        if data[at + 3] & 0x1F not in (_SPS, _PPS):
            return at - 1 if at > 0 and data[at - 1] == 0 else at
        at = data.find(_START_CODE, at + 3)
    return 0
