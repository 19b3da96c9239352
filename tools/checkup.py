"""What a check-up of a camera says: one row per port, a light that is also a word, and a remedy where something is to be done.

Responsible for the values and for turning an error of a port into a red row. Refuses to know any port.

Invariant: a row that is not green carries a remedy, one imperative sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from firmware.errors import OathcamError
from hal.errors import HalError


class Light(Enum):
    """Green: works. Amber: records, but somebody should look. Red: must not go out like this."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


_ORDER = (Light.GREEN, Light.AMBER, Light.RED)


@dataclass(frozen=True, slots=True)
class Row:
    """What was found at one port."""

    port: str
    light: Light
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if (self.light is Light.GREEN) != (self.remedy == ""):
            raise ValueError(f"a row has a remedy if and only if it is not green, got {self!r}")

    def as_dict(self) -> dict[str, str]:
        return {"port": self.port, "light": self.light.value, "found": self.found, "remedy": self.remedy}


@dataclass(frozen=True, slots=True)
class Check:
    """One port's check. ``remedy`` is for an error that brings none of its own."""

    port: str
    run: Callable[[], Row]
    remedy: str


def green(port: str, found: str) -> Row:
    return Row(port, Light.GREEN, found)


def amber(port: str, found: str, remedy: str) -> Row:
    return Row(port, Light.AMBER, found, remedy)


def red(port: str, found: str, remedy: str) -> Row:
    return Row(port, Light.RED, found, remedy)


def examine(checks: Sequence[Check], begun: Callable[[str], None] = lambda port: None) -> list[Row]:
    """Every check in turn; an error of a port is a red row, and the next port is still looked at."""
    rows = []
    for check in checks:
        begun(check.port)
        try:
            rows.append(check.run())
        except (HalError, OathcamError) as error:
            rows.append(red(check.port, str(error), getattr(error, "remedy", "") or check.remedy))
    return rows


def worst(rows: Sequence[Row]) -> Light:
    return max((row.light for row in rows), key=_ORDER.index, default=Light.RED)
