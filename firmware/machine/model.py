"""All that the machine remembers, as one frozen value.

Refuses to know the table. Invariant: ``state`` is set by the table's target alone; every other field is a condition that
actions set, and the resting state is a function of them (:func:`resting`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from firmware.machine.choices import About, Question
from firmware.machine.effects import Write
from firmware.machine.gaps import GapCause, OpenGap
from firmware.machine.gestures import Finger
from firmware.machine.indicators import Lamp
from firmware.machine.states import Battery, Cause, Port, State
from firmware.machine.supervision import Step
from firmware.policy.model import Policy
from firmware.timebase import Timestamp, Trust


@dataclass(frozen=True, slots=True)
class Owed:
    """A recording that was asked for and is to start as soon as it can (BWC-POL-01)."""

    cause: Cause
    at: Timestamp


@dataclass(frozen=True, slots=True)
class Model:
    policy: Policy
    started_at: Timestamp
    """When this run of the machine began."""
    state: State = State.BOOTING
    docked: bool = False
    asleep: bool = False
    full: bool = False
    faults: frozenset[Port] = frozenset()
    battery: Battery = Battery.OK
    percent: int = 0
    """0 until told: a battery nobody has read is not charged."""
    charging: bool = False
    hot: bool = False
    battery_short: bool = False
    """The cell will not last for the policy's minutes, whatever its percent."""
    clock_unset: bool = False
    on_hold: bool = False
    """A recording was called critical and the policy wants no other before the dock: HELD as soon as none is open (BWC-POL-21)."""
    room_warning: int = 0
    """0 to 2, as ``health.room_warning``."""
    offloaded: bool = False
    up_to_date: bool = True
    """Until somebody who knows says otherwise."""
    unfit: bool = False
    """The self-test at undocking said no-go; until the dock."""
    owed: Owed | None = None
    ending: Cause | None = None
    """Set by the action that ends a recording, taken when the state is left."""
    stop_asked_at: Timestamp | None = None
    wanted_at: Timestamp | None = None
    """The press-down that asked for a recording: held on, it does not end what it began."""
    muted: bool = False
    question: Question | None = None
    to_ask: tuple[About, ...] = ()
    """What is asked when the question is settled."""
    recorded: bool = False
    """A recording was begun in this run: there is something to annotate."""
    categorised: bool = False
    """The newest recording has a category."""
    stealth: bool = False
    camera_on: bool = False
    camera_since: Timestamp | None = None
    halt_reason: str = ""
    leaving_by: Step | None = None
    """The step of the supervisor's ladder that ends this run."""
    record: Finger = field(default_factory=Finger)
    function: Finger = field(default_factory=Finger)
    gap: OpenGap | None = None
    reminder_ns: int | None = None
    retry_ns: int | None = None
    split_ns: int | None = None
    unmute_ns: int | None = None
    stealth_ns: int | None = None
    """Deadlines in boot time; ``None``: no such timer."""
    shown: tuple[Lamp, Lamp] | None = None
    held_back: tuple[Write, ...] = ()
    """Entries of what happened while booting; the boot entry goes before them."""

    @property
    def blocked(self) -> bool:
        """Something that a recording needs has failed."""
        return any(port.blocking for port in self.faults)

    @property
    def is_interrupted(self) -> bool:
        """A recording whose end nobody asked for is to go on (BWC-POL-06)."""
        return self.owed is not None and self.owed.cause is Cause.RECOVERY

    @property
    def is_refusing(self) -> bool:
        """On hold; what was interrupted is not over yet, and goes on first."""
        return self.on_hold and not self.is_interrupted

    def has_fault(self, port: Port) -> bool:
        """``port`` has failed and not recovered."""
        return port in self.faults


def changed(model: Model, **fields: Any) -> Model:
    """``replace``, but the same model where nothing differs: most events change little, and a model has many fields to copy."""
    return replace(model, **fields) if any(getattr(model, name) != value for name, value in fields.items()) else model


def initial(policy: Policy, at: Timestamp, *, docked: bool = False, camera_on: bool = False) -> Model:
    """The machine at power-on or at the daemon's start.

    ``docked``: in the dock since before ``at``, which the ledger is told; else a ``Docked`` event says so later. ``camera_on``: the
    daemon started the camera before anything else, so that the pre-event buffer fills while it boots; the machine will not start it again.
    """
    gap = None if docked else OpenGap(GapCause.BOOT, at)
    since = at if camera_on else None
    unset = at.trust is Trust.UNSET
    told = (Write("dock", at),) if docked else ()
    return Model(policy, at, docked=docked, clock_unset=unset, gap=gap, camera_on=camera_on, camera_since=since, held_back=told)


def resumed(model: Model) -> Model:
    """The run before died, or ended itself, in a recording whose end nobody asked for: it goes on (BWC-POL-06). Known while booting;
    what the wearer has pressed for since comes first."""
    return replace(model, owed=model.owed or Owed(Cause.RECOVERY, model.started_at))


def resting(model: Model) -> State:
    """Where a camera belongs that was not told to record: the first whose condition holds."""
    if model.blocked:
        return State.FAULT
    if model.full:
        return State.FULL
    if model.owed is not None:
        return State.RECORDING
    if model.docked:
        return State.DOCKED
    if model.on_hold:
        return State.HELD
    return State.SLEEPING if model.asleep else State.READY
