"""A shift in words: lines such as ``"12.5 press record"`` put on a world's time line.

One line is an instant in seconds, a verb and its arguments::

    5 double_press            20 press record          45 press record 3500     (hold, ms)
    60 cut_power              70 dock                  80 undock
    90 power 15               95 step_wall -120        99 cover_lens            104 uncover_lens
    110 sight dark           120 sight clear          (or covered, smeared, frozen)
"""

from __future__ import annotations

from collections.abc import Iterable

from hal.errors import HalError
from hal.interfaces import ButtonName
from hal.sim.sight import Sight
from hal.sim.timeline import SECOND
from hal.sim.world import World


def play(world: World, lines: Iterable[str]) -> None:
    """Schedule every line; ``HalError`` names the first that is not understood."""
    for line in lines:
        try:
            _schedule(world, line.split())
        except (ValueError, IndexError) as error:
            raise HalError(f"script line is not understood: {line!r}") from error


def _schedule(world: World, words: list[str]) -> None:
    at_ns, arguments = round(float(words[0]) * SECOND), words[2:]
    match words[1]:
        case "press":
            world.press(ButtonName(arguments[0]), at_ns, int(arguments[1]) if len(arguments) > 1 else 80)
        case "double_press":
            world.double_press(at_ns)
        case "cut_power":
            world.cut_power(at_ns)
        case "dock":
            world.dock(at_ns)
        case "undock":
            world.undock(at_ns)
        case "power":
            world.set_power(float(arguments[0]), at_ns=at_ns)
        case "step_wall":
            world.step_wall(round(float(arguments[0]) * SECOND), at_ns)
        case "cover_lens" | "uncover_lens":
            world.cover_lens(at_ns, covered=words[1] == "cover_lens")
        case "sight":
            world.change_sight(Sight(arguments[0]), at_ns)
        case _:
            raise ValueError(words[1])
