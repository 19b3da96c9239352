"""The table is total, unambiguous and drawn as it stands."""

from __future__ import annotations

from helpers_machine import at

from firmware.machine.actions import ignore
from firmware.machine.machine import initial, step
from firmware.machine.states import State
from firmware.machine.table import EVENTS, STAY, TABLE, rows
from firmware.policy.model import Policy
from tools.diagram import DOCUMENT, render


def test_every_state_answers_every_event_exactly_once_without_a_guard() -> None:
    """Nothing is left undefined (BWC-POL-01): the last row that fits has no guard, and only the last."""
    for state in State:
        for event in EVENTS:
            guards = [row.guard for row in rows(state, event)]
            assert guards, (state, event)
            assert guards[-1] is None, (state, event)
            assert all(guards[:-1]), (state, event)


def test_no_row_is_dead() -> None:
    used = {id(row) for state in State for event in EVENTS for row in rows(state, event)}
    assert used == {id(row) for row in TABLE}


def test_every_row_says_why_and_what_is_ignored_stays() -> None:
    for row in TABLE:
        assert row.why
        assert row.guard is None or row.guard.__doc__
        if row.act is ignore:
            assert row.to is STAY


def test_nothing_leaves_halted() -> None:
    assert all(row.act is ignore for event in EVENTS for row in rows(State.HALTED, event))


def test_only_the_record_button_and_an_owed_recording_lead_into_recording() -> None:
    """No event that a network, a place or a clock could cause starts a recording (BWC-POL-07, BWC-POL-19)."""
    direct = {row.event.__name__ for row in TABLE if row.to is State.RECORDING}
    assert direct == {"DoublePressed"}


def test_only_named_events_end_a_recording() -> None:
    """BWC-POL-02, BWC-POL-06: a tap without a hold before it, the dock and every timer leave it running."""
    ends = {row.event.__name__ for row in TABLE if State.RECORDING in row.when and row.to is not STAY}
    assert ends == {"Held", "Pressed", "Faulted", "Escalated", "StorageFilled", "PowerChanged", "ShutdownRequested"}
    taps = [row.guard.__name__ for row in TABLE if row.event.__name__ == "Pressed" and row.to is not STAY and row.guard]
    assert taps == ["stop_asked"]
    steps = [row.guard.__name__ for row in TABLE if row.event.__name__ == "Escalated" and State.RECORDING in row.when and row.guard]
    assert steps == ["signer_ends_run"]


def test_step_is_deterministic() -> None:
    from firmware.machine.events import Booted
    from firmware.machine.states import Previous

    event = Booted(at(2), Previous.CRASH, 5)
    model = initial(Policy(), at(0))
    assert step(model, event) == step(model, event)


def test_the_drawing_is_fresh() -> None:
    """docs/state-machine.md is what tools/diagram.py draws; run ``python -m tools.diagram`` when this fails."""
    assert DOCUMENT.read_text(encoding="utf-8") == render()
