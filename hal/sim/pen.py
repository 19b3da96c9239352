"""Drawing in the units of a 720-line picture, at any size, with smooth edges; OpenCV does the work."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.canvas import Plane
from hal.sim.canvas import Sprite

Colour = tuple[int, int, int]
"""Blue, green, red."""
Point = tuple[float, float]
_SHIFT = 4
_OVERSAMPLED = 2


class Pen:
    """Draws on a BGR picture and, in step, on its coverage. ``scale`` is pixels per unit of the finished picture."""

    def __init__(self, width: float, height: float, scale: float, background: Colour | None = None) -> None:
        self.pixels_per_unit = scale * _OVERSAMPLED
        self.size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)
        shape = (self.size[1] * _OVERSAMPLED, self.size[0] * _OVERSAMPLED)
        self.bgr: Plane = np.zeros((*shape, 3), np.uint8)
        self._cover: Plane = np.zeros(shape, np.uint8)
        if background is not None:
            self.bgr[:] = background
            self._cover[:] = 255

    def rectangle(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        self.polygon([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], colour)

    def polygon(self, points: Sequence[Point], colour: Colour, cover: int = 255) -> None:
        fixed = np.array([self._fixed(each) for each in points], np.int32)
        cv2.fillPoly(self.bgr, [fixed], colour, cv2.LINE_AA, _SHIFT)
        cv2.fillPoly(self._cover, [fixed], cover, cv2.LINE_AA, _SHIFT)

    def ellipse(self, centre: Point, across: float, down: float, colour: Colour, cover: int = 255) -> None:
        axes = self._fixed((across, down))
        cv2.ellipse(self.bgr, self._fixed(centre), axes, 0, 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)
        cv2.ellipse(self._cover, self._fixed(centre), axes, 0, 0, 360, cover, -1, cv2.LINE_AA, _SHIFT)

    def line(self, points: Sequence[Point], colour: Colour, thickness: float) -> None:
        """A bent line with round ends, as limbs have them."""
        width = max(1, round(thickness * self.pixels_per_unit))
        for begin, end in pairwise(points):
            cv2.line(self.bgr, self._fixed(begin), self._fixed(end), colour, width, cv2.LINE_AA, _SHIFT)
            cv2.line(self._cover, self._fixed(begin), self._fixed(end), 255, width, cv2.LINE_AA, _SHIFT)

    def gradient(self, x: float, y: float, width: float, height: float, top: Colour, bottom: Colour) -> None:
        x0, y0, x1, y1 = (round(each * self.pixels_per_unit) for each in (x, y, x + width, y + height))
        share = np.linspace(0, 1, max(1, y1 - y0))[:, np.newaxis, np.newaxis]
        column = np.array(top) * (1 - share) + np.array(bottom) * share
        region = self.bgr[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)]
        region[:] = column[-region.shape[0] :] if region.shape[0] else 0

    def grain(self, y: float, height: float, strength: float, dice: np.random.Generator) -> None:
        """Rough a band over the whole width: asphalt, plaster."""
        y0, y1 = round(y * self.pixels_per_unit), round((y + height) * self.pixels_per_unit)
        band = self.bgr[y0:y1].astype(np.float32)
        grain = dice.normal(0, strength, band.shape[:2]).astype(np.float32)
        self.bgr[y0:y1] = np.clip(band + cv2.GaussianBlur(grain, (0, 0), 1.2)[..., np.newaxis] * 2, 0, 255).astype(np.uint8)

    def picture(self) -> Plane:
        """The finished picture."""
        return _area(self.bgr, self.size)

    def sprite(self) -> Sprite:
        """The finished picture with its coverage; half-covered pixels keep their full colour."""
        cover = self._cover[..., np.newaxis].astype(np.float32) / 255
        weighted = _area(self.bgr * cover, self.size)
        share = _area(cover, self.size)[..., np.newaxis]
        colour = np.divide(weighted, share, out=np.zeros_like(weighted), where=share > 0)
        return Sprite(np.clip(colour, 0, 255).astype(np.uint8), (share[..., 0] * 255).astype(np.uint8))

    def _fixed(self, point: Point) -> tuple[int, int]:
        factor = self.pixels_per_unit * (1 << _SHIFT)
        return round(point[0] * factor), round(point[1] * factor)


def shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (min(255, max(0, round(each * factor))) for each in colour)
    return blue, green, red


def _area(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
