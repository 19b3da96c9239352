"""A picture in YUV 4:2:0 as x264 takes it.

Responsible for planes and their sizes. Refuses to know what is drawn, or who films.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hal.errors import HalError

Plane = NDArray[np.uint8]


class Canvas:
    """``planes`` is one array of (height * 3 / 2, width); ``y``, ``u`` and ``v`` are views of it. Sizes are even."""

    def __init__(self, width: int, height: int) -> None:
        if width % 2 or height % 2 or width < 2 or height < 2:
            raise HalError(f"picture size must be even, got {width}x{height}")
        self.width, self.height = width, height
        self.planes: Plane = np.empty((height * 3 // 2, width), np.uint8)
        flat, luma = self.planes.reshape(-1), width * height
        self.y: Plane = flat[:luma].reshape(height, width)
        self.u: Plane = flat[luma : luma * 5 // 4].reshape(height // 2, width // 2)
        self.v: Plane = flat[luma * 5 // 4 :].reshape(height // 2, width // 2)
        self.fill(16)

    def fill(self, luma: int) -> None:
        """One grey all over; 16 is black."""
        self.y[:], self.u[:], self.v[:] = luma, 128, 128

    def paste(self, y: Plane, u: Plane, v: Plane, left: int, top: int) -> None:
        """Opaque planes at an even place where they fit."""
        height, width = y.shape
        self.y[top : top + height, left : left + width] = y
        self.u[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = u
        self.v[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2] = v
