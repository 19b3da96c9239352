"""Looks at the camera's small picture once a second and measures it, beside the loop.

Responsible for OpenCV: a mean, a deviation and a Laplacian over blocks of pixels. It is imported by the first measurement, on the worker's
thread, when the recorder has long been ready; its library is loaded before that without the interpreter's lock, or every thread of the
recorder would stand still meanwhile. Refuses to judge (``machine.picture_health``). What it sees never leaves it: the picture is
forgotten with the next one. Recording does not wait for it and is not changed by it.

Threads: :meth:`LensWatch.look` is called from the loop; the worker owns the state of the judgement and posts what is news.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from firmware.machine.events import PictureJudged
from firmware.machine.picture_health import LensState, Measure, judge
from firmware.shellclock import stamp
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Camera, LumaPicture, Orientation, Worker
from hal.library import load_beside

log = logging.getLogger("oathcamd")

FIRST_NS = 10_000_000_000
"""After the start: OpenCV's import costs a small board a second of processor time that the start needs."""
BLOCKS = 160, 90
"""Columns and rows that a picture is averaged to before it is measured: half of what most cameras give."""


def measure(picture: LumaPicture, before: LumaPicture | None, up_g: float | None = None) -> Measure:
    """A fortieth of a millisecond for 320x180 on a PC (``make bench``: ``picture_health_cpu_ms``)."""
    load_beside("cv2")
    import cv2
    import numpy as np

    luma = np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width)
    columns, rows = min(BLOCKS[0], picture.width), min(BLOCKS[1], picture.height)
    coarse = cv2.resize(luma, (columns, rows), interpolation=cv2.INTER_AREA)
    mean, deviation = (float(one[0, 0]) for one in cv2.meanStdDev(coarse))
    edges = float(cv2.meanStdDev(cv2.Laplacian(coarse, cv2.CV_16S))[1][0, 0])
    repeated = before is not None and before.captured != picture.captured and before.data == picture.data
    return Measure(mean, deviation, edges**2 / max(1.0, deviation**2), repeated, up_g)


class LensWatch:
    """Of one run. ``post`` puts an item into the inbox."""

    def __init__(self, camera: Camera, orientation: Orientation, worker: Worker, post: Callable[[object], None], began: Timestamp) -> None:
        self._camera = camera
        self._orientation = orientation
        self._worker = worker
        self._post = post
        self._began = began
        self._seen_ns = 0
        self._before: LumaPicture | None = None
        self._state = LensState()

    def look(self, now: Timestamp) -> None:
        """Once a second while the camera is on. A picture that was seen is not looked at again: a sensor that stands still is the
        supervisor's matter."""
        if now.since(self._began) < FIRST_NS:
            return
        try:
            picture = self._camera.low_resolution()
        except HalError as error:
            log.debug("lens: %s", error)
            return
        if picture is not None and picture.captured.boottime_ns != self._seen_ns:
            self._seen_ns = picture.captured.boottime_ns
            self._worker.submit(lambda: self._judge(picture))

    def _judge(self, picture: LumaPicture) -> None:
        found = measure(picture, self._before, self._up_g())
        self._before = picture
        self._state, news = judge(self._state, found, picture.captured.boottime_ns)
        if news is not None:
            log.warning("picture: %s (luma %.0f, contrast %.1f, fineness %.3f)", news.value, found.luma, found.contrast, found.fineness)
            self._post(PictureJudged(stamp(picture.captured), news))

    def _up_g(self) -> float | None:
        try:
            return self._orientation.up_g()
        except HalError as error:
            log.debug("lens: %s", error)
            return None

    def close(self) -> None:
        self._worker.close()
