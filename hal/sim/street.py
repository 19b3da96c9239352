"""The street that does not move: sky, houses, shops, trees, lamp posts, pavements and the road."""

from __future__ import annotations

import math
import random

import cv2
import numpy as np

from hal.canvas import Plane
from hal.sim.pen import Colour, Pen, shade

FAR_PAVEMENT, FAR_KERB, ROAD, NEAR_KERB, NEAR_PAVEMENT = 428, 464, 472, 604, 616
"""Heights in a picture of 720 lines; without the margin."""

_WALLS: tuple[Colour, ...] = ((96, 122, 178), (172, 196, 214), (150, 142, 132), (108, 150, 196), (186, 178, 160), (118, 128, 150))
_AWNINGS: tuple[Colour, ...] = ((60, 70, 170), (90, 130, 60), (150, 90, 50), (50, 140, 190))
_GLASS: Colour = (196, 176, 146)
_SIGNS = ("BAKERY", "BOOKS", "CAFE", "PHARMACY", "TAILOR", "DELI", "CLOCKS", "FLOWERS")


def draw_street(width: float, scale: float, margin: float, seed: int) -> Plane:
    """The background with ``margin`` units on every side, for a picture ``width`` units wide and 720 high. BGR."""
    dice = random.Random(f"street:{seed}")  # noqa: S311 - a drawing
    across, down = width + 2 * margin, 720 + 2 * margin
    pen = Pen(across, down, scale, (200, 200, 200))
    pen.gradient(0, 0, across, FAR_PAVEMENT + margin, (222, 178, 122), (240, 230, 214))
    _skyline(pen, across, FAR_PAVEMENT + margin, dice)
    left = -dice.uniform(0, 60)
    signs = dice.sample(_SIGNS, len(_SIGNS))
    for index in range(int(across / 170) + 2):
        house = dice.uniform(190, 270)
        _house(pen, left, house, margin, _WALLS[index % len(_WALLS)], dice)
        _sign(pen, left + 16, FAR_PAVEMENT + margin - 82, signs[index % len(signs)])
        left += house
    _ground(pen, across, margin)
    generator = np.random.default_rng(seed)
    pen.grain(FAR_PAVEMENT + margin, 720 - FAR_PAVEMENT + margin, 7, generator)
    for x in np.arange(110 + margin, across, 420):
        _tree(pen, float(x), FAR_KERB + margin, dice)
        _lamp_post(pen, float(x) + 200, FAR_KERB + margin)
    return pen.picture()


def _skyline(pen: Pen, across: float, base: float, dice: random.Random) -> None:
    x = -20.0
    while x < across:
        width, height = dice.uniform(40, 110), dice.uniform(250, 400)
        pen.rectangle(x, base - height, width, height, shade((226, 206, 184), dice.uniform(0.94, 1.02)))
        x += width + dice.uniform(0, 50)


def _house(pen: Pen, x: float, width: float, margin: float, wall: Colour, dice: random.Random) -> None:
    base = FAR_PAVEMENT + margin
    height = dice.uniform(250, 390)
    top = base - height
    pen.gradient(x, top, width, height, shade(wall, 1.06), shade(wall, 0.9))
    pen.rectangle(x - 3, top - 8, width + 6, 12, shade(wall, 0.72))
    pen.rectangle(x, top + 4, width, 4, shade(wall, 0.6))
    columns = int(width // 52)
    step = width / columns
    for row in range(int((height - 120) // 66)):
        for column in range(columns):
            _window(pen, x + column * step + step / 2, top + 28 + row * 66, wall, dice)
    pen.rectangle(x + width - 2, top, 3, height, shade(wall, 0.55))
    _shop(pen, x, width, base, wall, dice)


def _window(pen: Pen, centre: float, top: float, wall: Colour, dice: random.Random) -> None:
    pen.rectangle(centre - 15, top - 2, 30, 46, shade(wall, 1.22))
    pen.gradient(centre - 12, top, 24, 40, shade(_GLASS, dice.uniform(0.75, 1.1)), shade(_GLASS, 0.5))
    if dice.random() < 0.4:
        pen.rectangle(centre - 12, top, 24, dice.uniform(8, 22), (214, 222, 226))
    pen.rectangle(centre - 1, top, 2, 40, (224, 228, 230))
    pen.rectangle(centre - 12, top + 18, 24, 2, (224, 228, 230))
    pen.rectangle(centre - 18, top + 42, 36, 5, shade(wall, 0.7))


def _shop(pen: Pen, x: float, width: float, base: float, wall: Colour, dice: random.Random) -> None:
    colour = dice.choice(_AWNINGS)
    pen.rectangle(x, base - 100, width, 100, shade(wall, 0.62))
    pen.rectangle(x + 8, base - 98, width - 16, 22, shade(colour, 0.55))
    pen.gradient(x + 12, base - 62, width - 78, 56, (150, 140, 126), (92, 96, 98))
    for shelf in range(3):
        goods = x + 18 + shelf * (width - 90) / 3
        pen.rectangle(goods, base - 30, (width - 110) / 4, 22, shade(dice.choice(_WALLS), 0.9))
    pen.rectangle(x + width - 56, base - 70, 40, 70, shade(colour, 0.7))
    pen.gradient(x + width - 51, base - 64, 30, 40, (176, 160, 140), (110, 104, 98))
    stripes = int((width - 16) // 16)
    for index in range(stripes):
        left = x + 8 + index * (width - 16) / stripes
        right = left + (width - 16) / stripes
        pen.polygon(
            [(left, base - 78), (right, base - 78), (right + 3, base - 56), (left - 3, base - 56)],
            colour if index % 2 else (230, 234, 236),
        )


def _sign(pen: Pen, x: float, y: float, text: str) -> None:
    factor = pen.pixels_per_unit
    at = (round(x * pen.pixels_per_unit), round(y * pen.pixels_per_unit))
    cv2.putText(pen.bgr, text, at, cv2.FONT_HERSHEY_DUPLEX, 0.44 * factor, (236, 240, 242), max(1, round(factor)), cv2.LINE_AA)


def _ground(pen: Pen, across: float, margin: float) -> None:
    pen.gradient(0, FAR_PAVEMENT + margin, across, FAR_KERB - FAR_PAVEMENT, (168, 176, 182), (182, 190, 196))
    for x in np.arange(0, across, 46):
        pen.line([(float(x), FAR_PAVEMENT + margin), (float(x) - 8, FAR_KERB + margin)], (150, 158, 164), 1)
    pen.rectangle(0, FAR_KERB + margin, across, ROAD - FAR_KERB, (132, 138, 142))
    pen.gradient(0, ROAD + margin, across, NEAR_KERB - ROAD, (92, 90, 88), (74, 72, 70))
    for x in np.arange(20, across, 120):
        pen.polygon(
            [(float(x), 534 + margin), (float(x) + 62, 534 + margin), (float(x) + 60, 540 + margin), (float(x) - 2, 540 + margin)],
            (206, 212, 214),
        )
    pen.rectangle(0, NEAR_KERB + margin, across, NEAR_PAVEMENT - NEAR_KERB, (150, 156, 160))
    pen.gradient(0, NEAR_PAVEMENT + margin, across, 720 - NEAR_PAVEMENT + margin, (158, 168, 176), (132, 142, 150))
    for x in np.arange(-60, across + 120, 116):
        pen.line([(float(x), NEAR_PAVEMENT + margin), (float(x) - 46, 720 + 2 * margin)], (122, 130, 138), 2)
    pen.line([(0, 662 + margin), (across, 662 + margin)], (122, 130, 138), 2)


def _tree(pen: Pen, x: float, base: float, dice: random.Random) -> None:
    pen.ellipse((x + 6, base - 2), 44, 7, (128, 138, 142))
    pen.line([(x, base - 4), (x + 2, base - 130)], (58, 74, 92), 12)
    for _ in range(34):
        angle, reach = dice.uniform(0, 2 * math.pi), math.sqrt(dice.random())
        place = (x + 62 * reach * math.cos(angle), base - 176 + 56 * reach * math.sin(angle))
        light = 1.25 - (place[1] - (base - 250)) / 200
        pen.ellipse(place, dice.uniform(16, 30), dice.uniform(14, 24), shade((62, 118, 84), max(0.6, light)))


def _lamp_post(pen: Pen, x: float, base: float) -> None:
    pen.rectangle(x - 7, base - 30, 14, 28, (66, 70, 66))
    pen.rectangle(x - 3, base - 262, 6, 236, (72, 76, 72))
    pen.line([(x, base - 260), (x + 34, base - 274), (x + 52, base - 270)], (72, 76, 72), 5)
    pen.polygon([(x + 40, base - 274), (x + 74, base - 272), (x + 68, base - 260), (x + 46, base - 260)], (60, 64, 60))
    pen.ellipse((x + 57, base - 259), 10, 4, (214, 236, 242))
