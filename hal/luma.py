"""What is done with the luma plane of a picture: a small copy for judging the lens, and the time burnt in where a policy wants it.

Responsible for a few hundred microseconds of work a picture at most, since it stands in the way of the next one. Refuses to know
where a picture comes from and who looks at it. OpenCV is imported when a stamp is made, which most cameras never do, and not when
the first one is burnt: the import takes longer than the sensor waits.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hal.canvas import Plane
from hal.interfaces import ClockReading, ClockTrust, LumaPicture

SMALL_WIDTH = 320
_SECOND = 1_000_000_000
_NARROW = 16
"""The sum over a block of so many lines and columns fits 16 bits."""
_SPARE = 8
"""Pixels around the text, of a picture 720 lines high."""


def shrink(luma: Plane, captured: ClockReading) -> LumaPicture:
    """At most :data:`SMALL_WIDTH` wide: the mean over whole blocks, so that noise does not pass for detail."""
    height, width = luma.shape
    factor = max(1, -(-width // SMALL_WIDTH))
    rows, columns = height // factor, width // factor
    if factor == 1:
        return LumaPicture(columns, rows, luma.tobytes(), captured)
    # Lines first, then columns: each step adds long rows. A mean over both axes at once takes twenty times as long (make bench).
    wide = np.uint16 if factor <= _NARROW else np.uint32
    lines = luma[: rows * factor, : columns * factor].reshape(rows, factor, columns * factor).sum(axis=1, dtype=wide)
    total = lines[:, ::factor].copy()
    for column in range(1, factor):
        total += lines[:, column::factor]
    return LumaPicture(columns, rows, (total // factor**2).astype(np.uint8).tobytes(), captured)


class Stamp:
    """UTC in the lower left corner, white on black, drawn once a second and copied into each picture."""

    def __init__(self, height: int) -> None:
        import cv2  # noqa: F401 - here, before the camera runs

        self._scale = height / 720
        self._text = ""
        self._patch: NDArray[np.uint8] = np.empty((0, 0), np.uint8)

    def burn(self, luma: Plane, captured: ClockReading) -> None:
        """Write into ``luma`` in place; a plane smaller than the text gets what fits."""
        text = stamp_text(captured)
        if text != self._text:
            self._text, self._patch = text, _render(text, self._scale)
        rows, columns = min(self._patch.shape[0], luma.shape[0]), min(self._patch.shape[1], luma.shape[1])
        luma[luma.shape[0] - rows :, :columns] = self._patch[:rows, :columns]


def stamp_text(captured: ClockReading) -> str:
    """Whole seconds; a clock that was never set is not dressed up as a time (BWC-POL-27)."""
    if captured.trust is ClockTrust.UNSET:
        return "UTC UNKNOWN"
    return datetime.fromtimestamp(captured.wall_ns // _SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _render(text: str, scale: float) -> NDArray[np.uint8]:
    import cv2

    font, size, weight = cv2.FONT_HERSHEY_SIMPLEX, max(0.3, 0.8 * scale), max(1, round(2 * scale))
    (width, height), below = cv2.getTextSize(text, font, size, weight)
    spare = max(2, round(_SPARE * scale))
    patch: Any = np.full((height + below + 2 * spare, width + 2 * spare), 16, np.uint8)
    cv2.putText(patch, text, (spare, spare + height), font, size, (235,), weight, cv2.LINE_AA)
    return np.asarray(patch, np.uint8)
