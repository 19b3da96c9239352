"""What belongs to entering and leaving a state, whatever the way in or out.

Responsible for everything that follows from the difference of two models: the recording's start and stop, the camera,
gaps, entries, timers, the dock's sync, the halt. Refuses to know the event: only its instant. Stands once, so that no row
of the table can forget it. Nothing changes when nothing changed.
"""

from __future__ import annotations

from dataclasses import replace

from firmware.machine import asking, holding, stealth
from firmware.machine import effects as do
from firmware.machine.actions import RETRY_NS, Acted, Call
from firmware.machine.gaps import account
from firmware.machine.indicators import CueName
from firmware.machine.model import Model, changed
from firmware.machine.states import Cause, Port, State, TimerName
from firmware.machine.supervision import Step
from firmware.timebase import Timestamp

_S = 1_000_000_000


def follow(old: Model, new: Model, at: Timestamp) -> Acted:
    """``new`` with what its difference from ``old`` entails, and the calls for it, in the order to be carried out."""
    model, calls = new, tuple[Call, ...]()
    for part in _PARTS:
        model, more = part(old, model, at)
        calls = (*calls, *more)
    return model, calls


def _entered(old: Model, new: Model, state: State) -> bool:
    return new.state is state and old.state is not state


def _left(old: Model, new: Model, state: State) -> bool:
    return old.state is state and new.state is not state


def _leave_recording(old: Model, new: Model, at: Timestamp) -> Acted:
    if not _left(old, new, State.RECORDING):
        return changed(new, ending=None), ()
    unmute = (do.Unmute(at),) if new.muted else ()
    stop = do.StopRecording(new.ending or Cause.FAULT, at)
    return replace(new, ending=None, muted=False, stop_asked_at=None), (*unmute, stop, CueName.STOP)


def _leave_and_enter(old: Model, new: Model, at: Timestamp) -> Acted:
    calls: tuple[Call, ...] = ()
    if _left(old, new, State.SLEEPING):
        calls = (do.Write("wake", at),)
    if _entered(old, new, State.SLEEPING):
        calls = (*calls, do.Write("sleep", at))
    if _entered(old, new, State.READY):
        calls = (*calls, do.Write("ready", at), CueName.READY)
    return new, calls


def _account_gap(old: Model, new: Model, at: Timestamp) -> Acted:
    gap, entries = account(new.gap, new.state, new.docked, at)
    return changed(new, gap=gap), entries


def _camera_wanted(model: Model) -> bool:
    """Never in the dock or asleep but to record; through a fault, so that the buffer is full when it is over.

    While booting it stays as the daemon left it: started first of all, or not yet. One that fails while it is wanted is
    started again at once, then every ``RETRY_NS``: each second of it is a second without a picture.
    """
    if model.state is State.BOOTING:
        return model.camera_on
    if model.state is State.FAULT:
        return model.owed is not None or not (model.docked or model.asleep or model.full or model.on_hold)
    return model.state in (State.READY, State.RECORDING)


def _camera(old: Model, new: Model, at: Timestamp) -> Acted:
    wanted = _camera_wanted(new)
    failed = Port.CAMERA in new.faults - old.faults and new.state is not State.BOOTING
    if wanted is new.camera_on and not (wanted and failed):
        return new, ()
    if wanted:
        calls: tuple[Call, ...] = (do.StartCamera(),)
        if failed:
            owed = new.owed is not None
            fields: dict[str, int | str | bool] = {
                "port": Port.CAMERA.value,
                "step": Step.REOPEN.value,
                "owed": owed,
                "reason": "after a fault",
            }
            calls = (do.Write("escalation", at, fields), *calls)
        return replace(new, camera_on=True, camera_since=at), calls
    return replace(new, camera_on=False, camera_since=None), (do.StopCamera(), do.ClearPreEvent(new.state.value))


def _enter_recording(old: Model, new: Model, at: Timestamp) -> Acted:
    if not _entered(old, new, State.RECORDING) or new.owed is None:
        return new, ()
    begun = at if new.owed.cause is Cause.RECOVERY else new.owed.at
    short = new.camera_since is None or begun.since(new.camera_since) < new.policy.pre_event.seconds * _S
    start = do.StartRecording(new.owed.cause, begun, short)
    cue = CueName.START_SHORT if short else CueName.START
    return replace(new, owed=None, offloaded=False), (start, cue)


def _timers(old: Model, new: Model, at: Timestamp) -> Acted:
    now, restart = at.boottime_ns, new.state is not old.state
    retrying = new.state is State.FAULT and Port.CAMERA in new.faults and _camera_wanted(new)
    longest = new.policy.recording.max_seconds * _S if new.state is State.RECORDING else None
    reminder, first = _timer(TimerName.REMINDER, new.reminder_ns, _reminder_period(new), now, restart)
    split, second = _timer(TimerName.SPLIT, new.split_ns, longest, now, restart)
    retry, third = _timer(TimerName.RETRY, new.retry_ns, RETRY_NS if retrying else None, now, False)
    return changed(new, reminder_ns=reminder, split_ns=split, retry_ns=retry), (*first, *second, *third)


def _bounds(old: Model, new: Model, at: Timestamp) -> Acted:
    """The policy's longest mute (BWC-POL-17) and longest stealth (BWC-POL-15)."""
    now, rules = at.boottime_ns, new.policy
    longest_mute = rules.mute.auto_unmute_seconds * _S if new.muted and rules.mute.auto_unmute_seconds else None
    longest_stealth = rules.indicators.stealth_max_seconds * _S if new.stealth else None
    unmute, first = _timer(TimerName.UNMUTE, new.unmute_ns, longest_mute, now, False)
    over, second = _timer(TimerName.STEALTH, new.stealth_ns, longest_stealth, now, False)
    return changed(new, unmute_ns=unmute, stealth_ns=over), (*first, *second)


def _timer(name: TimerName, deadline: int | None, period: int | None, now: int, restart: bool) -> tuple[int | None, tuple[Call, ...]]:
    """The deadline of a timer that is wanted with ``period``, or not at all (``None``)."""
    if period is None:
        return None, (do.CancelTimer(name),) if deadline is not None else ()
    if deadline is not None and not restart:
        return deadline, ()
    return now + period, (do.SetTimer(name, now + period),)


def _reminder_period(model: Model) -> int | None:
    if model.state is State.SLEEPING:
        return model.policy.sleep.reminder_seconds * _S
    hidden = model.stealth and model.state is State.READY  # a wearer who forgot is the only one who could know
    if model.state is State.RECORDING or hidden or (model.state in (State.FAULT, State.FULL, State.HELD) and not model.docked):
        return model.policy.indicators.reminder_seconds * _S
    return None


def _offers(model: Model) -> bool:
    return model.docked and model.state in (State.DOCKED, State.FAULT, State.FULL)


def _sync(old: Model, new: Model, at: Timestamp) -> Acted:
    """When the camera comes to rest in the dock; not while it records there, the vault is not complete then."""
    return new, (do.RequestSync(at),) if _offers(new) and not _offers(old) else ()


def _halt(old: Model, new: Model, at: Timestamp) -> Acted:
    if not _entered(old, new, State.HALTED):
        return new, ()
    return new, (do.Write("shutdown", at, {"reason": new.halt_reason}), do.Halt(new.halt_reason, at))


_PARTS = (
    asking.follow,
    _leave_recording,
    holding.follow,
    _leave_and_enter,
    _account_gap,
    _camera,
    _enter_recording,
    stealth.follow,
    _timers,
    _bounds,
    asking.timer,
    _sync,
    _halt,
)
"""In order: questions of the recording before are closed before the next one begins, and everything before the halt."""
