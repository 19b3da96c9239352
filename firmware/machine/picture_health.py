"""Whether the lens sees: covered, dark, blurred, frozen, upside down or clear, from a few numbers each second (BWC-POL-40).

Responsible for the judgement and its patience: each threshold is left further out than it was entered, and a finding holds for seconds
before it is one. Refuses to know pictures (``firmware.lens`` measures them) and what follows (the table). No shape is looked for in a
picture, no face, plate or text (BWC-POL-19): mean, spread and fineness of all pixels together are all that is known of it.

What cannot be told apart: a covered lens and complete darkness, both without any light and shade; a fogged lens and fog. Upside down is
what an accelerometer says: a picture alone does not say where down is, and a camera without one is never called so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

_S = 1_000_000_000


class Finding(Enum):
    """The worst that holds: in this order."""

    COVERED = "covered"
    DARK = "dark"
    FROZEN = "frozen"
    BLURRED = "blurred"
    UPSIDE_DOWN = "upside-down"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True)
class Measure:
    """Of one small picture, luma in video range (16 black, 235 white), taken over blocks so that noise does not pass for detail."""

    luma: float
    """Mean."""
    contrast: float
    """Standard deviation."""
    fineness: float
    """Variance of the Laplacian over the variance of the luma: how much of the light and shade is edges."""
    repeated: bool
    """Every byte as in the picture before, taken at another instant: a sensor's noise never does that."""
    up_g: float | None = None
    """Acceleration along the picture's upward edge at that time; ``None``: nothing measures it."""


FLAT, FLAT_LEFT = 3.0, 5.0
DARK, DARK_LEFT = 36.0, 44.0
BLURRED, BLURRED_LEFT = 0.04, 0.08
"""A street by day has 0.5 and more, filmed, and 1.4, drawn; seen through a smear that is 1 % of the picture high: 0.02."""
OVER, OVER_LEFT = -0.5, -0.2
"""Of g: further over than thirty degrees below the horizontal. Lying on one's side or back is not upside down."""
HOLD_NS = {
    Finding.COVERED: 5 * _S,
    Finding.FROZEN: 5 * _S,
    Finding.DARK: 10 * _S,
    Finding.BLURRED: 10 * _S,
    Finding.UPSIDE_DOWN: 10 * _S,
    Finding.CLEAR: 3 * _S,
}
"""For how long a finding is seen, in every picture, before it is told."""
HOLE_NS = 4 * _S
"""Pictures further apart than this say nothing of the time between: what was seen before is not held on to."""


@dataclass(frozen=True, slots=True)
class LensState:
    """What was told last, and what has been seen since when that is something else."""

    told: Finding = Finding.CLEAR
    seen: Finding = Finding.CLEAR
    since_ns: int = 0
    last_ns: int = 0


def glance(measure: Measure, told: Finding) -> Finding:
    """What this picture alone shows, to somebody who has ``told`` already."""
    if measure.contrast < (FLAT_LEFT if told is Finding.COVERED else FLAT):
        return Finding.COVERED
    if measure.luma < (DARK_LEFT if told is Finding.DARK else DARK):
        return Finding.DARK
    if measure.repeated:
        return Finding.FROZEN
    if measure.fineness < (BLURRED_LEFT if told is Finding.BLURRED else BLURRED):
        return Finding.BLURRED
    if measure.up_g is not None and measure.up_g < (OVER_LEFT if told is Finding.UPSIDE_DOWN else OVER):
        return Finding.UPSIDE_DOWN
    return Finding.CLEAR


def judge(state: LensState, measure: Measure, at_ns: int) -> tuple[LensState, Finding | None]:
    """Take one picture's measure, exposed at boot time ``at_ns``; the finding when it is news."""
    seen = glance(measure, state.told)
    goes_on = seen is state.seen and at_ns - state.last_ns <= HOLE_NS
    state = replace(state, seen=seen, since_ns=state.since_ns if goes_on else at_ns, last_ns=at_ns)
    if seen is state.told or at_ns - state.since_ns < HOLD_NS[seen]:
        return state, None
    return replace(state, told=seen), seen
