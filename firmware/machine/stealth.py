"""Stealth: nothing is seen or heard of the camera, all is felt as before (BWC-POL-15).

Responsible for entering and leaving it. Refuses to enter without the policy's leave, and by anything but the wearer's two hands: there is
no other event that leads here, so none that a network could send (BWC-POL-07). Bounded in time, ended by the dock, by sleep and
by the end of the run, and never carried over into another; each beginning and end is a signed leaf.
"""

from __future__ import annotations

from dataclasses import replace

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.actions import Acted
from firmware.machine.indicators import CueName
from firmware.machine.model import Model
from firmware.machine.states import State, TimerName
from firmware.timebase import Timestamp


def in_stealth(model: Model, event: ev.StealthRequested) -> bool:
    """Stealth is on."""
    return model.stealth


def may_hide(model: Model, event: ev.StealthRequested) -> bool:
    """The policy allows stealth, and the camera is not docked."""
    return model.policy.indicators.stealth and not model.docked


def stealth_due(model: Model, event: ev.Elapsed) -> bool:
    """The policy's time for stealth is over."""
    return event.timer is TimerName.STEALTH and model.stealth_ns is not None and event.at.boottime_ns >= model.stealth_ns


def enter(model: Model, event: ev.StealthRequested) -> Acted:
    return replace(model, stealth=True), (_leaf(True, "button", event.at), CueName.STEALTH)


def leave(model: Model, event: ev.StealthRequested) -> Acted:
    return _over(model, "button", event.at)


def run_out(model: Model, event: ev.Elapsed) -> Acted:
    return _over(model, "policy", event.at)


def follow(old: Model, new: Model, at: Timestamp) -> Acted:
    """What ends it without being asked to; called by ``transition.follow``."""
    if not new.stealth:
        return new, ()
    if new.state is State.HALTED:
        return _over(new, "shutdown", at)
    if new.docked:
        return _over(new, "docked", at)
    return _over(new, "sleep", at) if new.state is State.SLEEPING else (new, ())


def _over(model: Model, cause: str, at: Timestamp) -> Acted:
    return replace(model, stealth=False), (_leaf(False, cause, at), CueName.STEALTH_OVER)


def _leaf(entered: bool, cause: str, at: Timestamp) -> do.Write:
    return do.Write("stealth", at, {"entered": entered, "cause": cause})
