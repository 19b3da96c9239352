"""The state machine as a drawing for the page, made from the transition table: a row that is added there is an arrow here.

Responsible for where a state stands and how an arrow bends; which arrows there are, and what leads from a state, the table says. The text
is a function of the table alone.
"""

from __future__ import annotations

import math
from html import escape

from firmware.machine.states import State
from firmware.machine.table import TABLE, Row, Target
from tools.diagram import changes, event_words, guard_words

WIDTH, HEIGHT = 640, 430
_W, _H = 104, 38
_PLACES: dict[str, tuple[float, float]] = {
    State.RECORDING.value: (320, 40),
    State.READY.value: (98, 118),
    State.SLEEPING.value: (98, 262),
    State.DOCKED.value: (542, 118),
    State.FAULT.value: (542, 220),
    State.FULL.value: (542, 322),
    State.HELD.value: (320, 318),
    State.BOOTING.value: (98, 380),
    State.HALTED.value: (452, 392),
    Target.REST.value: (320, 206),
    "any": (320, 392),
}
_BENDS = {(State.SLEEPING.value, State.RECORDING.value): -0.1, (State.READY.value, State.RECORDING.value): -0.1}
_SAID_AT = {(State.SLEEPING.value, State.RECORDING.value): 0.72}
"""Where along its arrow an event's name stands, when not in the middle."""
_COMMON = 5
"""An arrow that leads from so many states to one place is drawn once, from "any state"."""
_SHOWN = ("double pressed", "sleep requested")
"""Events that the drawing names; every arrow has all of its events as its title."""


def draw() -> str:
    """The whole ``<svg>``. Each state is a group ``state-<name>``, each arrow a path with ``data-from`` and ``data-to``."""
    arrows, common = _arrows()
    head = (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="machine-title" class="machine">'
        '<title id="machine-title">States of the camera and what leads from one to another</title>'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    lines = [_arrow(source, target, labels) for (source, target), labels in arrows.items()]
    lines += [_arrow("any", target, labels) for target, labels in common.items()]
    nodes = [_node(state.value) for state in State]
    return "".join([head, *lines, _hub(), _any(), *nodes, "</svg>"])


def ways_out() -> dict[str, list[dict[str, str]]]:
    """For each state what changes it, in the order in which the table tries it: event, guard, target, why."""
    return {
        state.value: [
            {"event": event_words(row.event), "guard": guard_words(row), "to": row.to.value, "why": row.why}
            for row in TABLE
            if state in row.when and _does_something(row)
        ]
        for state in State
    }


def _does_something(row: Row) -> bool:
    return row.act.__name__ != "ignore" and bool(row.why)


def _arrows() -> tuple[dict[tuple[str, str], list[str]], dict[str, list[str]]]:
    """Arrows by (from, to), and the ones that nearly every state has, by their target; the way from the resting choice is the table's."""
    edges = dict(changes())
    targets: dict[str, list[str]] = {}
    for source, target in edges:
        targets.setdefault(target, []).append(source)
    common = {State.HALTED.value} & {target for target, sources in targets.items() if len(sources) >= _COMMON}
    shared = {target: sorted({label for source in targets[target] for label in edges[source, target]}) for target in common}
    kept = {edge: labels for edge, labels in edges.items() if edge[1] not in common}
    return kept, shared


def _node(name: str) -> str:
    x, y = _PLACES[name]
    box = f'<rect x="{x - _W / 2:g}" y="{y - _H / 2:g}" width="{_W}" height="{_H}" rx="10"/>'
    return f'<g class="state" id="state-{name}">{box}<text x="{x:g}" y="{y + 5:g}">{name}</text></g>'


def _hub() -> str:
    x, y = _PLACES[Target.REST.value]
    points = f"{x - 62:g},{y:g} {x:g},{y - 34:g} {x + 62:g},{y:g} {x:g},{y + 34:g}"
    title = "<title>fault, else full, else recording if one is owed, else docked, else held, else sleeping, else ready</title>"
    words = f'<text x="{x:g}" y="{y - 2:g}">whatever</text><text x="{x:g}" y="{y + 13:g}">now holds</text>'
    return f'<g class="hub">{title}<polygon points="{points}"/>{words}</g>'


def _any() -> str:
    x, y = _PLACES["any"]
    return f'<g class="hub"><text x="{x:g}" y="{y + 5:g}">any state</text></g>'


def _arrow(source: str, target: str, labels: list[str]) -> str:
    (x0, y0), (x1, y1) = _PLACES[source], _PLACES[target]
    bend = _BENDS.get((source, target), 0.0)
    middle = ((x0 + x1) / 2 - (y1 - y0) * bend, (y0 + y1) / 2 + (x1 - x0) * bend)
    start, end = _edge_of(source, middle), _edge_of(target, middle)
    path = f"M{start[0]:.0f} {start[1]:.0f}Q{middle[0]:.0f} {middle[1]:.0f} {end[0]:.0f} {end[1]:.0f}"
    title = escape(f"{source} to {target}: {', '.join(labels)}")
    told = [label for label in labels if label.partition(" [")[0] in _SHOWN]
    drawn = f'<path class="arrow" data-from="{source}" data-to="{target}" d="{path}" marker-end="url(#tip)"><title>{title}</title></path>'
    if not told:
        return drawn
    at = _SAID_AT.get((source, target), 0.5)
    x, y = (sum(share * point[axis] for share, point in zip(_shares(at), (start, middle, end), strict=True)) for axis in (0, 1))
    return drawn + f'<text class="said" x="{x:.0f}" y="{y - 6:.0f}">{escape(told[0].partition(" [")[0])}</text>'


def _shares(at: float) -> tuple[float, float, float]:
    """Of a quadratic curve's three points, ``at`` of the way along it."""
    return (1 - at) ** 2, 2 * at * (1 - at), at**2


def _edge_of(name: str, towards: tuple[float, float]) -> tuple[float, float]:
    """Where a line from a node's middle leaves its outline."""
    x, y = _PLACES[name]
    dx, dy = towards[0] - x, towards[1] - y
    if not dx and not dy:
        return x, y
    if name == Target.REST.value:
        share = 1 / (abs(dx) / 64 + abs(dy) / 36)
        return x + dx * share, y + dy * share
    half_w, half_h = (34, 12) if name == "any" else (_W / 2 + 2, _H / 2 + 2)
    share = min(half_w / abs(dx) if dx else math.inf, half_h / abs(dy) if dy else math.inf)
    return x + dx * min(1, share), y + dy * min(1, share)
