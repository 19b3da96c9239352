"""Conditions of rows: yes or no of the model before the event, and the event. Their names stand in the diagram."""

from __future__ import annotations

from firmware.machine import events as ev
from firmware.machine.health import battery_level
from firmware.machine.model import Model
from firmware.machine.states import Battery, Port, State, TimerName
from firmware.machine.supervision import Step
from firmware.policy.model import MuteMode

CONFIRM_NS = 5_000_000_000
"""How long a hold waits for the press that confirms it (BWC-POL-02)."""


def exhausted(model: Model, event: ev.Booted) -> bool:
    """The battery is critical, undocked and not charging."""
    return model.battery is Battery.CRITICAL and not model.docked and not model.charging


def exhausting(model: Model, event: ev.PowerChanged) -> bool:
    """The battery is critical from now on, undocked and not charging."""
    level = battery_level(model.battery, event.percent, model.policy.battery)
    return level is Battery.CRITICAL and not model.docked and not event.charging


def stop_asked(model: Model, event: ev.Pressed) -> bool:
    """A hold asked for the stop at most five seconds before this press."""
    asked = model.stop_asked_at
    return asked is not None and 0 <= event.at.since(asked) <= CONFIRM_NS


def confirms(model: Model, event: ev.Held) -> bool:
    """The policy wants stops confirmed."""
    return model.policy.activation.confirm_stop


def may_sleep(model: Model, event: ev.SleepRequested) -> bool:
    """The policy allows sleep."""
    return model.policy.sleep.allowed


def wanted_by_it(model: Model, event: ev.Held) -> bool:
    """The press that is held is the one that asked for the recording."""
    return model.wanted_at is not None and event.pressed_at.boottime_ns == model.wanted_at.boottime_ns


def may_mute(model: Model, event: ev.FunctionHeld) -> bool:
    """The policy allows mute, and sound is being captured."""
    return model.policy.mute.mode is not MuteMode.OFF and not model.muted


def toggles_back(model: Model, event: ev.FunctionHeld) -> bool:
    """Muted, and the policy's mode is toggle."""
    return model.policy.mute.mode is MuteMode.TOGGLE and model.muted


def lets_go(model: Model, event: ev.FunctionReleased) -> bool:
    """Muted, and the policy's mode is hold."""
    return model.policy.mute.mode is MuteMode.HOLD and model.muted


def known_fault(model: Model, event: ev.Faulted) -> bool:
    """This port has failed already."""
    return event.port in model.faults


def unknown_fault(model: Model, event: ev.Recovered) -> bool:
    """This port had not failed."""
    return event.port not in model.faults


def ends_run(model: Model, event: ev.Escalated) -> bool:
    """The step is to end this run."""
    return event.step in (Step.RESTART, Step.REBOOT)


def signer_ends_run(model: Model, event: ev.Escalated) -> bool:
    """The key store hangs, and the step is to end this run."""
    return event.port is Port.SIGNER and ends_run(model, event)


def camera(model: Model, event: ev.Faulted) -> bool:
    """It is the camera that failed."""
    return event.port is Port.CAMERA


def blocking(model: Model, event: ev.Faulted) -> bool:
    """What failed is needed for recording."""
    return event.port.blocking


def full(model: Model, event: ev.StorageFilled | ev.StorageFreed) -> bool:
    """The store is known to be full."""
    return model.full


def docked(model: Model, event: ev.Docked | ev.SelfTested) -> bool:
    """Known to be docked."""
    return model.docked


def undocked(model: Model, event: ev.Undocked) -> bool:
    """Known not to be docked."""
    return not model.docked


def idle_in_dock(model: Model, event: ev.OffloadCompleted) -> bool:
    """Docked and not recording."""
    return model.docked and model.state is not State.RECORDING


def reminder_due(model: Model, event: ev.Elapsed) -> bool:
    """The reminder's deadline has passed."""
    return event.timer is TimerName.REMINDER and _passed(model.reminder_ns, event)


def split_due(model: Model, event: ev.Elapsed) -> bool:
    """The longest recording's deadline has passed."""
    return event.timer is TimerName.SPLIT and _passed(model.split_ns, event)


def retry_due(model: Model, event: ev.Elapsed) -> bool:
    """The retry's deadline has passed."""
    return event.timer is TimerName.RETRY and _passed(model.retry_ns, event)


def unmute_due(model: Model, event: ev.Elapsed) -> bool:
    """The policy's time for a mute is over."""
    return event.timer is TimerName.UNMUTE and _passed(model.unmute_ns, event)


def _passed(deadline_ns: int | None, event: ev.Elapsed) -> bool:
    return deadline_ns is not None and event.at.boottime_ns >= deadline_ns
