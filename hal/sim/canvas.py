"""Sprites that are blended into a picture.

Responsible for coverage and clipping. Refuses to know what is drawn. Colours are limited range, BT.601, as OpenCV's
``COLOR_BGR2YUV_I420`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.canvas import Canvas, Plane


def canvas_from_bgr(picture: Plane) -> Canvas:
    canvas = Canvas(picture.shape[1], picture.shape[0])
    canvas.planes[:] = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    return canvas


@dataclass(frozen=True, slots=True)
class _Layer:
    """One plane of a sprite: colour times coverage, and what it leaves of what is below, both in 1/256."""

    colour: NDArray[np.uint16]
    rest: NDArray[np.uint16]

    @classmethod
    def of(cls, plane: Plane, coverage: NDArray[Any]) -> _Layer:
        cover = np.round(coverage.astype(np.float32) * (256 / 255)).astype(np.uint16)
        return cls(plane.astype(np.uint16) * cover, np.uint16(256) - cover)

    def blend(self, plane: Plane, left: int, top: int) -> None:
        height, width = self.colour.shape
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(plane.shape[1], left + width), min(plane.shape[0], top + height)
        if x0 >= x1 or y0 >= y1:
            return
        below = plane[y0:y1, x0:x1]
        cut = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        mixed = below * self.rest[cut]
        mixed += self.colour[cut]
        mixed >>= 8
        below[:] = mixed


class Sprite:
    """A small picture with coverage, made once and blended often."""

    def __init__(self, bgr: Plane, coverage: Plane) -> None:
        height, width = (each // 2 * 2 for each in coverage.shape)
        canvas = canvas_from_bgr(np.ascontiguousarray(bgr[:height, :width]))
        self.width, self.height = width, height
        self._y = _Layer.of(canvas.y, coverage[:height, :width])
        half = cv2.resize(coverage[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        self._u, self._v = _Layer.of(canvas.u, half), _Layer.of(canvas.v, half)

    def blend(self, canvas: Canvas, left: int, top: int) -> None:
        """Blend at an even place near (left, top); clipped at the edges."""
        left, top = left // 2 * 2, top // 2 * 2
        self._y.blend(canvas.y, left, top)
        self._u.blend(canvas.u, left // 2, top // 2)
        self._v.blend(canvas.v, left // 2, top // 2)
