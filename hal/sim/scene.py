"""The drawn street: what the simulated camera sees when it is given no film.

Responsible for composing the still street, what moves in it, and the burnt-in clock and picture counter. Refuses to know
any encoder. Every picture is a function of its instant alone, so a replay shows the same street.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from hal.canvas import Canvas, Plane
from hal.footage import PictureSource
from hal.sim.actors import LOOKS, PAINTS, PHASES, STRIDE, car, walker
from hal.sim.canvas import Sprite, canvas_from_bgr
from hal.sim.street import draw_street
from hal.sim.timetext import utc_text

_MARGIN = 16
"""Units around the picture, for the sway of somebody's chest."""
_SWAY = ((7.0, 3.1), (4.0, 1.9))
"""(units, period in seconds) across and down."""
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Mover:
    """Something that crosses the picture again and again. Units of 720 lines; ``speed`` in units a second."""

    pictures: tuple[Sprite, ...]
    speed: float
    ground: float
    start: float
    span: float
    cycle: float

    def draw(self, canvas: Canvas, seconds: float, scale: float, sway: tuple[float, float]) -> None:
        travelled = self.speed * seconds
        x = (self.start + travelled) % self.span - (self.span - canvas.width / scale) / 2
        sprite = self.pictures[int(abs(travelled) / self.cycle * len(self.pictures)) % len(self.pictures)]
        sprite.blend(canvas, round((x - sway[0]) * scale) - sprite.width // 2, round((self.ground - sway[1]) * scale) - sprite.height)


class DrawnStreet(PictureSource):
    """A street by day, seen by somebody who stands still and breathes."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._canvas = Canvas(32, 32)

    def aim(self, canvas: Canvas, at_ns: int) -> None:
        self._canvas = canvas
        self._scale = canvas.height / 720
        self._street = _street(canvas.width, canvas.height, self._seed)
        self._movers = _movers(canvas.width, canvas.height, self._seed)
        self._clock = _BurntIn(canvas)

    def look(self, at_ns: int, wall_ns: int, number: int) -> Plane:
        seconds = at_ns / _SECOND
        sway = _sway(seconds)
        self._still(sway)
        for mover in self._movers:
            mover.draw(self._canvas, seconds, self._scale, sway)
        self._clock.write(f"{utc_text(wall_ns)}  OATHCAM SIM  #{number:06d}")
        return self._canvas.planes

    def describe(self) -> str:
        return "drawn street"

    def close(self) -> None:
        return

    def _still(self, sway: tuple[float, float]) -> None:
        left, top = (round((_MARGIN + each) * self._scale) // 2 * 2 for each in sway)
        canvas, street = self._canvas, self._street
        canvas.y[:] = street.y[top : top + canvas.height, left : left + canvas.width]
        half = slice(top // 2, (top + canvas.height) // 2), slice(left // 2, (left + canvas.width) // 2)
        canvas.u[:], canvas.v[:] = street.u[half], street.v[half]


class _BurntIn:
    """White figures on a black strip in the lower left corner, from cells that were drawn once."""

    _CHARACTERS = "0123456789-:. #TZAOHCMSI"

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        factor = canvas.height / 720
        self._cell = max(4, round(13 * factor)), max(8, round(28 * factor / 2) * 2)
        self._cells = {each: self._draw(each, factor) for each in self._CHARACTERS}

    def write(self, text: str) -> None:
        strip = np.hstack([self._cells[each] for each in f" {text} "])
        height, width = strip.shape[0], min(strip.shape[1], self._canvas.width) // 2 * 2
        top = self._canvas.height - height
        self._canvas.y[top:, :width] = strip[:, :width]
        self._canvas.u[top // 2 :, : width // 2] = 128
        self._canvas.v[top // 2 :, : width // 2] = 128

    def _draw(self, character: str, factor: float) -> Plane:
        width, height = self._cell
        cell = np.full((height * 2, width * 2), 16, np.uint8)
        size, thick = 1.18 * factor, max(1, round(2.6 * factor))
        (across, down), _ = cv2.getTextSize(character, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        at = (width - across // 2, height + down // 2)
        cv2.putText(cell, character, at, cv2.FONT_HERSHEY_SIMPLEX, size, 235, thick, cv2.LINE_AA)
        return np.asarray(cv2.resize(cell, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _sway(seconds: float) -> tuple[float, float]:
    across, down = (size * math.sin(2 * math.pi * seconds / period) for size, period in _SWAY)
    return across, down


@lru_cache(maxsize=2)
def _street(width: int, height: int, seed: int) -> Canvas:
    scale = height / 720
    picture = draw_street(width / scale, scale, _MARGIN, seed)
    return canvas_from_bgr(np.ascontiguousarray(picture))


@lru_cache(maxsize=2)
def _movers(width: int, height: int, seed: int) -> tuple[_Mover, ...]:
    """From the far pavement to the near one: the order in which they hide each other."""
    dice = random.Random(f"movers:{seed}")  # noqa: S311 - a drawing
    scale = height / 720
    across = width / scale
    far = [_person(dice, index, 112, 456 + index, scale, across) for index in range(3)]
    cars = [_car(dice, index, scale, across, to_left=index < 2) for index in range(3)]
    near = [_person(dice, index + 2, 318, 660 + 11 * index, scale, across) for index in range(3)]
    return (*far, *cars, *near)


def _person(dice: random.Random, index: int, tall: float, ground: float, scale: float, across: float) -> _Mover:
    to_left = index % 2 == 1
    look = LOOKS[index % len(LOOKS)]
    pictures = tuple(walker(look, tall, scale, phase, to_left) for phase in range(PHASES))
    speed = tall * dice.uniform(0.62, 0.8) * (-1 if to_left else 1)
    span = across + tall * dice.uniform(1.2, 2.4)
    return _Mover(pictures, speed, ground, dice.uniform(0, span), span, tall * STRIDE)


def _car(dice: random.Random, index: int, scale: float, across: float, to_left: bool) -> _Mover:
    length = 230.0 if to_left else 290.0
    ground = 522.0 if to_left else 592.0
    span = across + length * 3
    speed = dice.uniform(150, 190) * (-1 if to_left else 1)
    return _Mover(
        (car(PAINTS[index % len(PAINTS)], length, scale, to_left),), speed, ground, span * index / 2 + dice.uniform(0, 90), span, 1.0
    )
