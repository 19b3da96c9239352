"""The picture through the lens, as JPEG stills for the page.

Responsible for drawing as few as are looked at: nothing is encoded while nobody asks. What is shown is what the sensor exposed, before
the encoder. Threads: the camera's shows, the page's ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2

from hal.canvas import Plane

FPS = 8
WIDTH = 800
_WATCHED_S = 3.0
_QUALITY = 78


class Viewer:
    """The newest still and its number, which grows."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._shown_at = self._asked_at = -_WATCHED_S
        self._number = 0
        self._still = b""

    def show(self, at_ns: int, planes: Plane) -> None:
        """I420 planes, one on top of the other, valid during the call."""
        now = self._clock()
        if now - self._shown_at < 1 / FPS or now - self._asked_at > _WATCHED_S:
            return
        self._shown_at = now
        picture = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
        if picture.shape[1] > WIDTH:
            picture = cv2.resize(picture, (WIDTH, round(picture.shape[0] * WIDTH / picture.shape[1])), interpolation=cv2.INTER_AREA)
        _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        with self._lock:
            self._number, self._still = self._number + 1, encoded.tobytes()

    def newest(self, after: int) -> tuple[int, bytes] | None:
        """The newest still, unless it is number ``after``. Asking is what keeps them coming."""
        self._asked_at = self._clock()
        with self._lock:
            return (self._number, self._still) if self._number != after and self._still else None
