"""What moves in the drawn street: people who walk and cars that pass, as sprites made once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hal.sim.canvas import Sprite
from hal.sim.pen import Colour, Pen, Point, shade

PHASES = 12
"""Pictures of one walking cycle (two steps)."""
STRIDE = 0.82
"""Length of a cycle in heights of the walker: feet do not slide."""


@dataclass(frozen=True, slots=True)
class Look:
    coat: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    bag: Colour | None = None
    long_coat: bool = False


LOOKS = (
    Look((120, 70, 40), (70, 60, 56), (150, 178, 222), (40, 52, 70)),
    Look((56, 60, 172), (96, 80, 60), (92, 124, 170), (26, 26, 30), bag=(60, 90, 130)),
    Look((94, 128, 70), (60, 62, 66), (166, 192, 232), (96, 150, 190), long_coat=True),
    Look((60, 172, 206), (110, 84, 58), (72, 98, 140), (22, 24, 28)),
    Look((74, 74, 78), (52, 50, 50), (158, 184, 226), (150, 156, 160), bag=(36, 40, 44)),
    Look((158, 120, 170), (84, 84, 92), (120, 152, 200), (34, 40, 58), long_coat=True),
)
PAINTS: tuple[Colour, ...] = ((60, 52, 160), (196, 190, 184), (128, 92, 44), (70, 74, 76), (70, 136, 176))


def walker(look: Look, height: float, scale: float, phase: int, to_left: bool) -> Sprite:
    """Somebody ``height`` units tall in one phase of walking; the sprite's lower middle is between the feet."""
    width = height * 0.62
    pen = Pen(width, height * 1.03, scale)
    _draw_walker(_Figure(pen, width / 2, height, -1 if to_left else 1), look, 2 * math.pi * phase / PHASES)
    return pen.sprite()


@dataclass(frozen=True, slots=True)
class _Figure:
    """Places in shares of the walker's height, x forward of the middle."""

    pen: Pen
    middle: float
    height: float
    facing: int

    def place(self, x: float, y: float) -> Point:
        return self.middle + self.facing * x * self.height, y * self.height

    def limb(self, points: list[Point], colour: Colour, thickness: float) -> None:
        self.pen.line([self.place(*each) for each in points], colour, thickness * self.height)

    def oval(self, x: float, y: float, across: float, down: float, colour: Colour, cover: int = 255) -> None:
        self.pen.ellipse(self.place(x, y), across * self.height, down * self.height, colour, cover)

    def shape(self, points: list[Point], colour: Colour) -> None:
        self.pen.polygon([self.place(*each) for each in points], colour)


def _leg(hip: Point, phase: float) -> list[Point]:
    thigh = 0.44 * math.sin(phase)
    shin = thigh - 0.12 - 0.62 * max(0.0, math.cos(phase))
    knee = (hip[0] + 0.235 * math.sin(thigh), hip[1] + 0.235 * math.cos(thigh))
    return [hip, knee, (knee[0] + 0.225 * math.sin(shin), knee[1] + 0.225 * math.cos(shin))]


def _arm(shoulder: Point, phase: float) -> list[Point]:
    upper = -0.42 * math.sin(phase)
    lower = upper + 0.38
    elbow = (shoulder[0] + 0.155 * math.sin(upper), shoulder[1] + 0.155 * math.cos(upper))
    return [shoulder, elbow, (elbow[0] + 0.14 * math.sin(lower), elbow[1] + 0.14 * math.cos(lower))]


def _draw_walker(figure: _Figure, look: Look, phase: float) -> None:
    figure.oval(0.02, 1.0, 0.2, 0.022, (40, 42, 44), 110)
    # The lower foot stands on the ground: the body rises and falls by itself.
    lowest = max(_leg((0, 0.5), phase)[2][1], _leg((0, 0.5), phase + math.pi)[2][1])
    drop = 0.975 - lowest
    hip, shoulder = (0.0, 0.5 + drop), (0.005, 0.205 + drop)
    _one_arm(figure, look, shoulder, phase + math.pi, 0.66)
    _one_leg(figure, look, hip, phase + math.pi, 0.7)
    _one_leg(figure, look, hip, phase, 1.0)
    hem = 0.66 if look.long_coat else 0.53
    figure.shape(
        [(-0.075, 0.17 + drop), (0.07, 0.17 + drop), (0.085, 0.36 + drop), (0.085, hem + drop), (-0.09, hem + drop), (-0.085, 0.36 + drop)],
        look.coat,
    )
    figure.oval(-0.002, 0.185 + drop, 0.075, 0.03, look.coat)
    if look.bag is not None:
        figure.shape([(-0.08, 0.19 + drop), (-0.15, 0.22 + drop), (-0.155, 0.4 + drop), (-0.08, 0.41 + drop)], look.bag)
    _one_arm(figure, look, shoulder, phase, 0.86)
    figure.limb([(0.005, 0.12 + drop), (0.003, 0.165 + drop)], shade(look.skin, 0.85), 0.05)
    figure.oval(-0.006, 0.068 + drop, 0.058, 0.062, look.hair)
    figure.oval(0.014, 0.082 + drop, 0.046, 0.056, look.skin)
    figure.oval(0.06, 0.086 + drop, 0.012, 0.012, look.skin)


def _one_leg(figure: _Figure, look: Look, hip: Point, phase: float, light: float) -> None:
    points = _leg(hip, phase)
    figure.limb(points[:2], shade(look.trousers, light), 0.085)
    figure.limb(points[1:], shade(look.trousers, light), 0.068)
    ankle = points[2]
    figure.limb([(ankle[0] - 0.01, ankle[1] + 0.005), (ankle[0] + 0.058, ankle[1] + 0.012)], shade((38, 38, 42), light), 0.036)


def _one_arm(figure: _Figure, look: Look, shoulder: Point, phase: float, light: float) -> None:
    points = _arm(shoulder, phase)
    figure.limb(points, shade(look.coat, light), 0.058)
    figure.oval(points[2][0], points[2][1] + 0.012, 0.022, 0.026, shade(look.skin, light))


def car(paint: Colour, length: float, scale: float, to_left: bool) -> Sprite:
    """A car of ``length`` units; the sprite's lower edge is where its tyres stand."""
    pen = Pen(length * 1.04, length * 0.4, scale)

    def at(x: float, y: float) -> Point:
        return ((1.02 - x) if to_left else x + 0.02) * length, y * length

    def shape(points: list[Point], colour: Colour) -> None:
        pen.polygon([at(*each) for each in points], colour)

    pen.ellipse(at(0.5, 0.378), 0.5 * length, 0.018 * length, (30, 30, 32), 130)
    shape([(0.19, 0.16), (0.27, 0.06), (0.36, 0.035), (0.58, 0.035), (0.66, 0.06), (0.78, 0.16)], shade(paint, 0.82))
    shape([(0.01, 0.2), (0.05, 0.165), (0.2, 0.15), (0.78, 0.15), (0.93, 0.18), (0.985, 0.23), (0.985, 0.31), (0.01, 0.31)], paint)
    shape([(0.01, 0.25), (0.985, 0.25), (0.985, 0.32), (0.01, 0.32)], shade(paint, 0.78))
    shape([(0.23, 0.15), (0.29, 0.075), (0.36, 0.055), (0.46, 0.055), (0.46, 0.15)], (128, 112, 92))
    shape([(0.49, 0.055), (0.57, 0.055), (0.64, 0.075), (0.74, 0.15), (0.49, 0.15)], (150, 134, 112))
    pen.line([at(0.475, 0.15), at(0.475, 0.3)], shade(paint, 0.6), 0.005 * length)
    pen.line([at(0.02, 0.205), at(0.97, 0.215)], shade(paint, 1.25), 0.006 * length)
    shape([(0.955, 0.2), (0.985, 0.225), (0.985, 0.25), (0.93, 0.235)], (214, 236, 244))
    shape([(0.012, 0.2), (0.05, 0.195), (0.05, 0.235), (0.012, 0.24)], (48, 44, 190))
    for wheel in (0.19, 0.79):
        pen.ellipse(at(wheel, 0.3), 0.082 * length, 0.082 * length, (30, 30, 32))
        pen.ellipse(at(wheel, 0.3), 0.05 * length, 0.05 * length, (150, 152, 154))
        pen.ellipse(at(wheel, 0.3), 0.02 * length, 0.02 * length, (80, 82, 84))
    return pen.sprite()
