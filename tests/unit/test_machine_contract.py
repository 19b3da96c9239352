"""What the machine says fits what the rooms around it take: entries, causes, ports, lamps."""

from __future__ import annotations

from dataclasses import fields

import pytest
from helpers_machine import at, policy, ready

from firmware.custody.entries import KINDS, Entry
from firmware.evidence.manifest import BEGIN_CAUSES, END_CAUSES
from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine import indicators, states
from firmware.machine.states import Button, Cause, Port, State
from hal import interfaces as hal


def test_every_entry_is_one_that_the_ledger_takes() -> None:
    """BWC-POL-29: every kind of entry that the machine writes, but ``boot``, to which the daemon adds what only it knows."""
    hand = ready(policy(sleep={"allowed": True}))
    hand.hold(10, button=Button.FUNCTION)
    hand.hold(20, button=Button.FUNCTION)
    for i, port in enumerate(Port):
        hand.tell(ev.Faulted(at(30 + i), port, "reason \n with anything \ud800"))
    hand.double(40)
    for i, port in enumerate(Port):
        hand.tell(ev.Recovered(at(50 + i), port))
    hand.tell(ev.StorageFilled(at(60)))
    hand.tell(ev.StorageFreed(at(61)))
    hand.tell(ev.Docked(at(70)))
    hand.tell(ev.PowerChanged(at(71), 10, charging=True))
    hand.tell(ev.Undocked(at(80)))
    hand.tell(ev.PowerChanged(at(81), 3))
    assert hand.state is State.HALTED
    boot, *entries = hand.all(do.Write)
    assert set(boot.fields) <= set(KINDS["boot"])
    for n, write in enumerate(entries):
        assert Entry.from_bytes(Entry(n, write.kind, write.at, 1, write.fields).to_bytes()).kind == write.kind
    kinds = {"ready", "gap", "sleep", "wake", "fault", "recovered", "escalation", "dock", "undock", "power", "shutdown"}
    assert {write.kind for write in entries} == kinds


def test_every_cause_is_one_that_the_manifest_takes() -> None:
    """BWC-POL-03."""
    starts = {Cause.BUTTON, Cause.RECOVERY}
    assert {cause.value for cause in starts} <= set(BEGIN_CAUSES)
    assert {cause.value for cause in Cause if cause is not Cause.RECOVERY} <= set(END_CAUSES)


@pytest.mark.parametrize("name", ["Lamp", "Cue"])
def test_value_types_have_the_fields_of_the_ports(name: str) -> None:
    ours, theirs = fields(getattr(indicators, name)), fields(getattr(hal, name))
    assert [one.name for one in ours] == [one.name for one in theirs]


def test_names_are_those_of_the_ports() -> None:
    assert {one.value for one in indicators.Colour} == {one.value for one in hal.Colour}
    assert {one.value for one in states.Button} == {one.value for one in hal.ButtonName}
