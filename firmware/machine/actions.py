"""What a row of the table does beside changing the state: conditions set, entries written, cues called for.

Responsible for one small function per verb in the table. Refuses to choose a target state (``table.py``) and to do what
belongs to entering or leaving one (``transition.py``).

Every action takes the model and the event of its row and returns the model and what it calls for, in order.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.forecast import is_short
from firmware.machine.gaps import GapCause, gap_entry
from firmware.machine.guards import exhausted
from firmware.machine.health import battery_level, is_hot, room_warning
from firmware.machine.indicators import Counted, CueName
from firmware.machine.model import Model, Owed
from firmware.machine.picture_health import Finding
from firmware.machine.states import Battery, Cause, Port, State
from firmware.timebase import Timestamp, Trust

Call = do.Effect | CueName | Counted
"""An effect, or a cue: of the cues of one step only the most urgent is played, a counted one if there is no other."""

Acted = tuple[Model, tuple[Call, ...]]

RETRY_NS = 5_000_000_000
"""How often a failed camera is started again."""


def ignore(model: Model, event: Any) -> Acted:
    """Nothing; the row says why."""
    return model, ()


def boot(model: Model, event: ev.Booted) -> Acted:
    """Write how the run before ended, and the time for which no recorder ran (BWC-POL-05)."""
    fields: dict[str, int | str] = {"previous": event.previous.value}
    calls: list[Call] = []
    if event.down_ns is not None:
        fields["down_us"] = event.down_ns // 1000
        if event.down_ns > 0:
            calls.append(gap_entry(GapCause.OFF, event.down_ns, model.started_at))
    unset = event.at.trust is Trust.UNSET
    halt = "low-battery" if exhausted(model, event) else ""
    model, answer = _answer_owed(replace(model, clock_unset=unset, halt_reason=halt))
    return model, (do.Write("boot", event.at, fields), *calls, *answer, *([CueName.CLOCK_UNSET] if unset else []))


def _answer_owed(model: Model) -> Acted:
    """Say at the end of a boot that recording is not possible; what was pressed for is owed only through a fault."""
    if model.halt_reason:
        why, cue = "the battery was empty", CueName.CRITICAL_BATTERY
    elif model.blocked:
        why, cue = _NOT_WORKING, CueName.FAULT
    elif model.full:
        why, cue = _NO_ROOM, CueName.FULL
    else:
        return model, ()
    calls = (_refused(model, model.owed.at, why),) if model.owed else ()
    return replace(model, owed=model.owed if model.blocked else None), (*calls, cue)


# Presses.


def owe(model: Model, event: ev.DoublePressed) -> Acted:
    """Ask for a recording; entering the state starts it. Whoever presses is awake."""
    return replace(model, owed=Owed(Cause.BUTTON, event.at), wanted_at=event.at, asleep=False), ()


def alarm(model: Model, event: ev.DoublePressed) -> Acted:
    """Answer a press that cannot be obeyed: felt, heard and written; try the camera again (BWC-POL-01, -47)."""
    model = replace(model, wanted_at=event.at)
    if model.state is State.FULL:
        return model, (_refused(model, event.at, _NO_ROOM), CueName.FULL)
    if model.is_refusing:
        return model, (refused("hold", event.at, HELD), CueName.HELD)
    calls: tuple[Call, ...] = (_refused(model, event.at, _NOT_WORKING), CueName.FAULT)
    model = replace(model, owed=model.owed or Owed(Cause.BUTTON, event.at), asleep=False)
    if Port.CAMERA not in model.faults:
        return model, calls
    return replace(model, camera_on=True, camera_since=event.at), (*calls, do.StartCamera())


_NOT_WORKING = "it did not work"
_NO_ROOM = "the store was full"
HELD = "the camera was held after a critical recording"


def _refused(model: Model, at: Timestamp, why: str) -> do.Write:
    failed = next((port for port in Port if port.blocking and port in model.faults), Port.STORAGE)
    return refused("power" if model.halt_reason else failed.value, at, why)


def refused(port: str, at: Timestamp, why: str) -> do.Write:
    """The leaf of a press that begins no recording."""
    return do.Write("fault", at, {"port": port, "reason": f"recording asked for while {why}"})


def withdraw(model: Model, event: ev.Held) -> Acted:
    """The wearer takes back a recording that has not begun."""
    return (replace(model, owed=None), (CueName.STOP,)) if model.owed else (model, ())


def mark(model: Model, event: ev.Pressed | ev.DoublePressed) -> Acted:
    """A mark at the instant of the press-down (BWC-POL-18)."""
    return model, (do.AddMark(event.at), CueName.MARK)


def ask(model: Model, event: ev.Held) -> Acted:
    """Wait for the press that confirms the stop (BWC-POL-02)."""
    return replace(model, stop_asked_at=event.at), (CueName.CONFIRM,)


def end_by_button(model: Model, event: ev.Held | ev.Pressed) -> Acted:
    return replace(model, ending=Cause.BUTTON), ()


def sleep(model: Model, event: ev.SleepRequested) -> Acted:
    return replace(model, asleep=True), (CueName.SLEEP,)


def wake(model: Model, event: ev.SleepRequested) -> Acted:
    return replace(model, asleep=False), ()


def mute(model: Model, event: ev.FunctionHeld) -> Acted:
    """No sound is captured from here on; pictures go on (BWC-POL-17)."""
    return replace(model, muted=True), (do.Mute(event.at), CueName.MUTE)


def unmute(model: Model, event: ev.FunctionHeld | ev.FunctionReleased) -> Acted:
    return replace(model, muted=False), (do.Unmute(event.at), CueName.UNMUTE)


def unmute_by_policy(model: Model, event: ev.Elapsed) -> Acted:
    """The policy's time for a mute is over (BWC-POL-17)."""
    return replace(model, muted=False), (do.Unmute(event.at, "policy"), CueName.UNMUTE)


# What fails, and what works again.


def fault(model: Model, event: ev.Faulted) -> Acted:
    """Shown, felt and written (BWC-POL-47)."""
    entry = do.Write("fault", event.at, {"port": event.port.value, "reason": event.reason})
    cue = CueName.FAULT if event.port.blocking else CueName.PARTIAL_FAULT
    return replace(model, faults=model.faults | {event.port}), (entry, cue)


def interrupt(model: Model, event: ev.Faulted) -> Acted:
    """A fault ends the recording; it goes on when the fault is over, because nobody asked for its end (BWC-POL-06)."""
    model, calls = fault(model, event)
    return replace(model, ending=Cause.FAULT, owed=Owed(Cause.RECOVERY, event.at)), calls


def recover(model: Model, event: ev.Recovered) -> Acted:
    entry = do.Write("recovered", event.at, {"port": event.port.value})
    return replace(model, faults=model.faults - {event.port}), (entry,)


def escalate(model: Model, event: ev.Escalated) -> Acted:
    """Written and felt; what the step does is the daemon's (BWC-POL-05, -47)."""
    owed = model.owed is not None or model.state is State.RECORDING
    fields = {"port": event.port.value, "step": event.step.value, "owed": owed, "reason": event.reason}
    return model, (do.Write("escalation", event.at, fields), CueName.PARTIAL_FAULT)


def leave(model: Model, event: ev.Escalated) -> Acted:
    """End this run so that another can try; what was being recorded goes on there."""
    model, calls = escalate(model, event)
    reason = f"{event.port.value}: {event.step.value}"
    return replace(model, ending=Cause.FAULT, halt_reason=reason, leaving_by=event.step), (*calls, CueName.FAULT)


def fill(model: Model, event: ev.StorageFilled) -> Acted:
    """Alarm; nothing is overwritten (BWC-POL-23)."""
    entry = do.Write("fault", event.at, {"port": Port.STORAGE.value, "reason": "full"})
    return replace(model, full=True), (entry, CueName.FULL)


def overflow(model: Model, event: ev.StorageFilled) -> Acted:
    model, calls = fill(model, event)
    return replace(model, ending=Cause.STORAGE_FULL), calls


def free(model: Model, event: ev.StorageFreed) -> Acted:
    entry = do.Write("recovered", event.at, {"port": Port.STORAGE.value})
    return replace(model, full=False), (entry,)


def measure(model: Model, event: ev.StorageMeasured) -> Acted:
    """Warn once on the way down at each of the two marks (BWC-POL-23)."""
    rules = model.policy.storage
    level = room_warning(event.minutes, rules.warn_minutes_first, rules.warn_minutes_last)
    calls = (CueName.LOW_STORAGE,) if level > model.room_warning else ()
    return replace(model, room_warning=level), calls


# Dock and power.


def dock(model: Model, event: ev.Docked) -> Acted:
    """In the dock; what a fault had interrupted is over, what the wearer pressed for is not."""
    owed = model.owed if model.state is State.BOOTING else None
    cues = () if model.state is State.RECORDING else (CueName.DOCKED,)
    return replace(model, docked=True, asleep=False, owed=owed, unfit=False), (do.Write("dock", event.at), *cues)


def undock(model: Model, event: ev.Undocked) -> Acted:
    return replace(model, docked=False, offloaded=False), (do.Write("undock", event.at),)


def power(model: Model, event: ev.PowerChanged) -> Acted:
    """Follow the level; an entry when it, or charging, changes (BWC-POL-48)."""
    level = battery_level(model.battery, event.percent, model.policy.battery)
    news: list[str] = [level.value] if level is not model.battery else []
    if event.charging is not model.charging:
        news.append("charging" if event.charging else "discharging")
    calls: list[Call] = [do.Write("power", event.at, {"event": name, "percent": event.percent}) for name in news]
    if level is not model.battery and level is not Battery.OK:
        calls.append(CueName.LOW_BATTERY if level is Battery.LOW else CueName.CRITICAL_BATTERY)
    hot = is_hot(model.hot, event.celsius, event.throttled, model.policy.heat)
    if hot is not model.hot:
        calls += _heat(model, event, hot)
    return replace(model, battery=level, percent=event.percent, charging=event.charging, hot=hot), tuple(calls)


def _heat(model: Model, event: ev.PowerChanged, hot: bool) -> list[Call]:
    """Fewer bits while the board is hot, rather than fewer pictures."""
    full = model.policy.video.bitrate_bps
    wanted = full * model.policy.heat.bitrate_percent // 100 if hot else full
    entry = do.Write("power", event.at, {"event": "hot" if hot else "cooled", "percent": event.percent})
    return [entry, do.SetBitrate(wanted)]


def exhaust(model: Model, event: ev.PowerChanged) -> Acted:
    """Close everything cleanly while there is charge to do it with (BWC-POL-48)."""
    model, calls = power(model, event)
    return replace(model, ending=Cause.LOW_BATTERY, halt_reason="low-battery"), calls


def shutdown(model: Model, event: ev.ShutdownRequested) -> Acted:
    return replace(model, ending=Cause.SHUTDOWN, halt_reason=event.reason), ()


def trust_clock(model: Model, event: ev.ClockSet) -> Acted:
    return replace(model, clock_unset=event.at.trust is Trust.UNSET), ()


def release(model: Model, event: ev.ReceiptVerified) -> Acted:
    return model, (do.Release(event.recording, event.at),)


def finish_offload(model: Model, event: ev.OffloadCompleted) -> Acted:
    return replace(model, offloaded=True), (CueName.SAFE_TO_REMOVE,)


# What the recorder finds of itself.


def judge_picture(model: Model, event: ev.PictureJudged) -> Acted:
    """Written, and felt when the lens does not see any more; nothing else changes (BWC-POL-40)."""
    cues = () if event.finding is Finding.CLEAR else (CueName.LENS,)
    return model, (do.Write("picture", event.at, {"finding": event.finding.value}), *cues)


def measure_battery(model: Model, event: ev.BatteryForecast) -> Acted:
    """Alarm once when the cell will not last for the policy's minutes (BWC-POL-48)."""
    short = is_short(model.battery_short, event.minutes, model.policy.battery)
    fresh = short and not model.battery_short
    told: tuple[Call, ...] = (do.Write("power", event.at, {"event": "short", "percent": model.percent}), CueName.LOW_BATTERY)
    return replace(model, battery_short=short), told if fresh else ()


def finish_selftest(model: Model, event: ev.SelfTested) -> Acted:
    """Go or no-go, told and written; a camera that is not fit records all the same (BWC-POL-46)."""
    go = not event.failed
    fields: dict[str, int | str | bool | tuple[str, ...]] = {"go": go, "failed": event.failed, "duration_us": event.duration_ns // 1000}
    return replace(model, unfit=not go), (do.Write("selftest", event.at, fields), CueName.GO if go else CueName.NO_GO)


def note_update(model: Model, event: ev.UpdateChecked) -> Acted:
    return replace(model, up_to_date=event.up_to_date), ()


# Timers.


def remind(model: Model, event: ev.Elapsed) -> Acted:
    """Tell the wearer again what the camera does, or cannot do (BWC-POL-14)."""
    cue = {State.FAULT: CueName.FAULT, State.FULL: CueName.FULL, State.HELD: CueName.HELD}.get(model.state, CueName.REMINDER)
    return replace(model, reminder_ns=None), (cue,)


def split(model: Model, event: ev.Elapsed) -> Acted:
    """The recording that goes on is another one, and has no category yet."""
    return replace(model, split_ns=None, categorised=False), (do.SplitRecording(event.at),)


def retry(model: Model, event: ev.Elapsed) -> Acted:
    return replace(model, retry_ns=None, camera_since=event.at), (do.StartCamera(),)
