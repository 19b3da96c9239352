"""What stands between the simulated sensor and its scene: nothing, a hand, the night, a smear; or a sensor that repeats itself.

Responsible for changing a picture's planes accordingly. Refuses to know who set it and when.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np

from hal.canvas import Plane

_BLACK, _NEUTRAL = 16, 128
COVERED_LUMA = 20
NIGHT = 0.12
"""Of the light of the scene; what is left lies a few steps above black."""
SMEAR = 0.018
"""Radius of the smear, of the picture's height."""


class Sight(Enum):
    CLEAR = "clear"
    COVERED = "covered"
    DARK = "dark"
    SMEARED = "smeared"
    FROZEN = "frozen"


def seen(sight: Sight, planes: Plane, height: int, before: Plane | None) -> Plane:
    """The scene's ``planes`` (4:2:0, luma in the first ``height`` rows) as the sensor has them; ``before``: what it had last."""
    match sight:
        case Sight.CLEAR:
            return planes
        case Sight.FROZEN:
            return planes if before is None else before
        case Sight.COVERED:
            return _grey(np.full((height, planes.shape[1]), COVERED_LUMA, np.uint8), planes.shape[0])
        case Sight.DARK:
            return _grey(np.asarray(_BLACK + (np.maximum(planes[:height], _BLACK) - _BLACK) * NIGHT, np.uint8), planes.shape[0])
        case Sight.SMEARED:
            return _grey(np.asarray(cv2.GaussianBlur(planes[:height], (0, 0), SMEAR * height), np.uint8), planes.shape[0])


def turned(planes: Plane, height: int) -> Plane:
    """The same picture upside down."""
    width = planes.shape[1]
    chroma = planes[height:].reshape(2, height // 2, width // 2)[:, ::-1, ::-1]
    return np.vstack([planes[:height][::-1, ::-1], chroma.reshape(-1, width)])


def _grey(luma: Plane, rows: int) -> Plane:
    """Without colour."""
    return np.vstack([luma, np.full((rows - luma.shape[0], luma.shape[1]), _NEUTRAL, np.uint8)])
