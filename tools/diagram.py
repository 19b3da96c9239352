"""Draw docs/state-machine.md from the transition table, so that the drawing cannot say anything else.

Run ``python -m tools.diagram`` after every change of the table; ``--check`` says whether the file is stale (exit code 1).
Refuses to know what a state means. The text is a function of the table alone: the same table gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from firmware.machine.states import State
from firmware.machine.table import EVENTS, TABLE, Row, Target

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "state-machine.md"

_HEAD = """# The state machine

Made by `tools/diagram.py` from `firmware/machine/table.py`; do not edit.

Rows are tried in the order given, per state and event; the first whose guard holds is taken. `stay` keeps the state. `rest` goes
to the resting state that follows from the conditions, in this order: fault (something that recording needs has failed), full, recording
(if one is owed), docked, held, sleeping, ready. An event that comes from the buttons (pressed, double pressed, held, function tapped,
function held, function released, sleep requested, stealth requested) is a gesture made of edges by `firmware/machine/gestures.py` and
`firmware/machine/chords.py`.

What follows from a change whatever made it (camera, gaps, timers, the questions of `firmware/machine/asking.py`, the end of a stealth or
of a hold) is in `firmware/machine/transition.py`.
"""

_REST_TARGETS = (State.FAULT, State.FULL, State.RECORDING, State.DOCKED, State.HELD, State.SLEEPING, State.READY)
_REST_LABELS = ("needed port failed", "no room", "recording owed", "in the dock", "on hold", "asleep", "else")


def render() -> str:
    """The whole document."""
    return "\n".join([_HEAD, "## Diagram", "", "```mermaid", *_diagram(), "```", "", "## Table", "", *_table(), "", *_ignored()]) + "\n"


def event_words(event: type) -> str:
    """``DoublePressed`` -> ``double pressed``."""
    words = "".join(" " + letter.lower() if letter.isupper() else letter for letter in event.__name__)
    return words.strip()


def guard_words(row: Row) -> str:
    """What must hold for the row; empty when nothing must."""
    return row.guard.__name__.replace("_", " ") if row.guard else ""


def _guard(row: Row) -> str:
    return f" [{guard_words(row)}]" if row.guard else ""


def _moves(row: Row) -> bool:
    return row.to is not Target.STAY


def changes() -> dict[tuple[str, str], list[str]]:
    """(from, to) → what leads there: changes of state only, the ways from ``rest`` last."""
    edges: dict[tuple[str, str], list[str]] = {}
    for row in TABLE:
        for state in row.when if _moves(row) else ():
            edges.setdefault((state.value, row.to.value), []).append(event_words(row.event) + _guard(row))
    for state, label in zip(_REST_TARGETS, _REST_LABELS, strict=True):
        edges[Target.REST.value, state.value] = [label]
    return edges


def _diagram() -> list[str]:
    """What stays is in the table."""
    lines = ["stateDiagram-v2", "    state rest <<choice>>", "    [*] --> booting"]
    lines += [f"    {source} --> {target} : {', '.join(labels)}" for (source, target), labels in changes().items()]
    return [*lines, "    halted --> [*]"]


def _action(row: Row) -> str:
    return row.act.__name__.replace("_", " ")


def _table() -> list[str]:
    """Every row that does something, grouped by event in the order of the table."""
    lines = ["| event | in | guard | action | to | why |", "| --- | --- | --- | --- | --- | --- |"]
    for event in EVENTS:
        for row in TABLE:
            if row.event is event and row.act.__name__ != "ignore":
                guard = row.guard.__doc__.rstrip(".") if row.guard and row.guard.__doc__ else ""
                states = ", ".join(state.value for state in row.when)
                lines.append(f"| {event_words(event)} | {states} | {guard} | {_action(row)} | {row.to.value} | {row.why} |")
    return lines


def _ignored() -> list[str]:
    """What is ignored on purpose, with the reason."""
    lines = ["## Ignored on purpose", "", "| event | in | guard | why |", "| --- | --- | --- | --- |"]
    for row in TABLE:
        if row.act.__name__ == "ignore" and row.when != (State.HALTED,):
            guard = row.guard.__doc__.rstrip(".") if row.guard and row.guard.__doc__ else ""
            lines.append(f"| {event_words(row.event)} | {', '.join(state.value for state in row.when)} | {guard} | {row.why} |")
    return [*lines, "| every event | halted |  | shut down: nothing can be recorded or written |"]


def main() -> int:
    """Write the document, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description="Draw docs/state-machine.md from the transition table.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the file is stale")
    text = render()
    if parser.parse_args().check:
        return 0 if DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == text else 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
