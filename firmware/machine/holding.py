"""The supervisor's hold: after a recording that its wearer called critical no new one, until the camera is in a dock (BWC-POL-21).

Responsible for when the hold that the policy wants begins, is taken over from the run before, and ends. Refuses to stop anything: a
recording that runs goes on, and one that a fault or a crash interrupted is not over and goes on first. The wearer has no way to end it,
nor has a network (BWC-POL-07). Each beginning, taking over and end is a signed leaf; the beginning is written with the answer.
"""

from __future__ import annotations

from dataclasses import replace

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.actions import HELD, Acted, Call, refused
from firmware.machine.indicators import CueName
from firmware.machine.model import Model
from firmware.machine.states import Cause, State
from firmware.timebase import Timestamp


def wanted(model: Model, critical: bool) -> bool:
    """An answer given now begins a hold. None begins of a recording that is over in the dock already."""
    return critical and model.policy.categories.critical_hold and not model.on_hold and not _rests_in_dock(model)


def _rests_in_dock(model: Model) -> bool:
    return model.docked and model.state is not State.RECORDING


# Guards: their names stand in the diagram.


def refuses(model: Model, event: ev.DoublePressed) -> bool:
    """On hold, and nothing that was interrupted is to go on."""
    return model.is_refusing


def on_hold(model: Model, event: ev.DoublePressed | ev.HoldFound) -> bool:
    """On hold."""
    return model.on_hold


def unwanted(model: Model, event: ev.HoldFound) -> bool:
    """The policy in force wants no hold."""
    return not model.policy.categories.critical_hold


# Actions.


def want(model: Model, event: ev.DoublePressed) -> Acted:
    """What is about to go on is what was asked for; this press, held on, does not end it."""
    return replace(model, wanted_at=event.at), ()


def take_over(model: Model, event: ev.HoldFound) -> Acted:
    """Held again after a boot. In the dock nothing begins: it ends there (:func:`follow`)."""
    return replace(model, on_hold=True), () if _rests_in_dock(model) else (_leaf(True, "boot", event.at),)


def drop(model: Model, event: ev.HoldFound) -> Acted:
    return model, (_leaf(False, "policy", event.at),)


# What follows from a change, whatever made it; called by ``transition.follow``.


def follow(old: Model, new: Model, at: Timestamp) -> Acted:
    """The dock ends it; out of the dock what was pressed for before it was known is refused, aloud."""
    if not new.on_hold or new.state is State.RECORDING:
        return new, ()
    if new.docked and not new.is_interrupted and new.leaving_by is None:
        return replace(new, on_hold=False), (_leaf(False, "docked", at),)
    calls: tuple[Call, ...] = ()
    if new.owed is not None and new.owed.cause is Cause.BUTTON and not new.docked:
        calls = (refused("hold", new.owed.at, HELD), CueName.HELD)
        new = replace(new, owed=None)
    if new.state is State.HELD and old.state is not State.HELD:
        calls = (*calls, CueName.HELD)
    return new, calls


def _leaf(entered: bool, cause: str, at: Timestamp) -> do.Write:
    return do.Write("hold", at, {"entered": entered, "cause": cause})
