"""The machine under any sequence of events: random hands, random faults. The hands alone: ``test_gesture_properties.py``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.indicators import Colour, Lamp
from firmware.machine.machine import Model, initial, step
from firmware.machine.states import Button, Cause, Port, Previous, State, TimerName
from firmware.policy.model import Activation, Categories, Indicators, Mute, MuteMode, Policy, Reasons, Sleep
from firmware.timebase import Timestamp, Trust

MS = 1_000_000
RHYTHM_MS = (1, 4, 10, 24, 25, 26, 60, 120, 250, 500, 599, 600, 601, 900, 1500, 2999, 3000, 3049, 3050, 3051, 3500, 9000)
POLICIES = [
    Policy(),
    Policy(activation=Activation(confirm_stop=True), mute=Mute(MuteMode.TOGGLE), sleep=Sleep(True)),
    Policy(mute=Mute(MuteMode.HOLD), sleep=Sleep(True)),
    Policy(
        mute=Mute(MuteMode.TOGGLE, auto_unmute_seconds=20),
        sleep=Sleep(True),
        indicators=Indicators(stealth=True, stealth_max_seconds=60),
        reasons=Reasons(ask_on_stop=True, ask_on_mute=True),
        categories=Categories(ask_on_stop=True),
    ),
    Policy(sleep=Sleep(True), categories=Categories(ask_on_stop=True, critical="SEARCH", critical_hold=True)),
]


def stamp(ms: int) -> Timestamp:
    return Timestamp(ms * MS, 1_790_000_000_000_000_000 + ms * MS, Trust.RTC)


@dataclass
class World:
    """Runs the machine and its timers; keeps every effect."""

    model: Model
    told: list[tuple[int, State, do.Effect]]
    timers: dict[TimerName, int]

    @classmethod
    def start(cls, policy: Policy) -> World:
        return cls(initial(policy, stamp(0)), [], {})

    def tell(self, event: ev.Event) -> None:
        while due := [(when, name.value) for name, when in self.timers.items() if when < event.at.boottime_ns]:
            when, value = min(due)
            del self.timers[TimerName(value)]
            self._step(ev.Elapsed(stamp(when // MS), TimerName(value)))
        self._step(event)

    def _step(self, event: ev.Event) -> None:
        before = self.model.state
        self.model, effects = step(self.model, event)
        for effect in effects:
            self.told.append((event.at.boottime_ns, before, effect))
            match effect:
                case do.SetTimer(timer, when):
                    self.timers[timer] = when
                case do.CancelTimer(timer):
                    self.timers.pop(timer, None)


# Anything at all.

FREE = [
    lambda at, r: ev.Docked(at),
    lambda at, r: ev.Undocked(at),
    lambda at, r: ev.Faulted(at, r.choice(list(Port)), "reason"),
    lambda at, r: ev.Recovered(at, r.choice(list(Port))),
    lambda at, r: ev.Recovered(at, r.choice(list(Port))),
    lambda at, r: ev.StorageFilled(at),
    lambda at, r: ev.StorageFreed(at),
    lambda at, r: ev.StorageMeasured(at, r.randrange(100)),
    lambda at, r: ev.PowerChanged(at, r.choice((3, 5, 14, 16, 19, 50, 99)) if r.random() < 0.3 else 60, r.random() < 0.5),
    lambda at, r: ev.ClockSet(at),
    lambda at, r: ev.ReceiptVerified(at, "r"),
    lambda at, r: ev.OffloadCompleted(at),
    lambda at, r: ev.Elapsed(at, r.choice(list(TimerName))),
    lambda at, r: ev.Booted(at, Previous.CRASH, None),
    lambda at, r: ev.HoldFound(at),
]


def shift(random: Random, length: int) -> Iterator[ev.Event]:
    """Taps, double presses, holds, both buttons, and everything else that can happen, in any order."""
    when, down = 100, {Button.RECORD: False, Button.FUNCTION: False}
    boots = random.randrange(6)
    for i in range(length):
        when += random.choice((0, *RHYTHM_MS))
        if i == boots:
            yield ev.Booted(stamp(when), random.choice(list(Previous)), random.choice((None, 0, 5_000_000_000)))
        elif random.random() < 0.6:
            button = Button.RECORD if random.random() < 0.8 else Button.FUNCTION
            down[button] = not down[button] if random.random() < 0.95 else down[button]
            yield ev.ButtonChanged(stamp(when), button, down[button])
        elif random.random() < 0.01:
            yield ev.ShutdownRequested(stamp(when), "asked")
        else:
            yield random.choice(FREE)(stamp(when), random)


def run(seed: int, length: int = 60) -> tuple[World, int]:
    random = Random(seed)
    world, last = World.start(random.choice(POLICIES)), 0
    for event in shift(random, length):
        world.tell(event)
        check_always(world.model)
        last = event.at.boottime_ns
    return world, last


def check_always(model: Model) -> None:
    """What holds of every model that can be reached."""
    lamps = model.shown
    assert lamps is not None
    assert (lamps[0] == Lamp(Colour.RED)) is (model.state is State.RECORDING and not model.stealth)
    assert model.ending is None
    assert not model.stealth or (model.policy.indicators.stealth and not model.docked and model.stealth_ns is not None)
    if model.state is State.RECORDING:
        assert model.camera_on
        assert not model.blocked
        assert not model.full
        assert model.owed is None
        assert model.reminder_ns is not None
    else:
        assert not model.muted
    if model.state is State.READY:
        assert model.camera_on
        assert (model.docked, model.blocked, model.full, model.asleep, model.on_hold) == (False, False, False, False, False)
    if model.state is State.HELD:
        assert model.on_hold
        assert (model.docked, model.blocked, model.full, model.owed) == (False, False, False, None)
    if model.on_hold:
        assert model.policy.categories.critical_hold
        assert model.owed is None or model.owed.cause is Cause.RECOVERY or model.docked
        assert model.state not in (State.READY, State.SLEEPING, State.DOCKED)
    if model.state in (State.DOCKED, State.SLEEPING, State.HALTED, State.HELD):
        assert not model.camera_on
    if model.state is not State.BOOTING:
        assert not model.held_back


def test_invariants_over_random_shifts() -> None:
    """Total, and the subject lamp is lit exactly while recording (BWC-POL-13) but in stealth, which the policy must allow (BWC-POL-15),
    over 1,200 shifts of anything."""
    reached, hidden = set(), 0
    for seed in range(1_200):
        world, _ = run(seed)
        reached.add(world.model.state)
        effects = [effect for _, _, effect in world.told]
        check_pairs(effects)
        hidden += sum(isinstance(one, do.Write) and one.kind == "stealth" for one in effects)
    assert hidden > 20
    assert reached == set(State) - {State.BOOTING}


def check_pairs(effects: list[do.Effect]) -> None:
    """Starts and stops alternate, marks and splits fall inside, camera and mute pair, the halt is last."""
    recording = muted = begun = False
    for i, effect in enumerate(effects):
        match effect:
            case do.StartRecording():
                assert not recording
                recording = begun = True
            case do.StopRecording(cause):
                assert recording
                assert not muted
                assert cause is not Cause.RECOVERY
                recording = False
            case do.AddMark() | do.SplitRecording():
                assert recording
            case do.Mute():
                assert recording
                assert not muted
                muted = True
            case do.Unmute():
                assert muted
                muted = False
            case do.Annotate(code=code):
                assert begun
                assert code
            case do.Halt():
                assert i == len(effects) - 1


def test_taps_and_the_dock_alone_never_stop_a_recording() -> None:
    """BWC-POL-02: no press shorter than the hold, in any number and rhythm, docked or not."""
    for seed in range(500):
        random = Random(seed)
        world, when = World.start(POLICIES[0]), 5_000
        world.tell(ev.Booted(stamp(1), Previous.CLEAN, 0))
        for _ in range(30):
            when += random.choice(RHYTHM_MS)
            world.tell(ev.ButtonChanged(stamp(when), Button.RECORD, True))
            if random.random() < 0.2:
                world.tell(random.choice((ev.Docked, ev.Undocked))(stamp(when)))
            when += random.choice([ms for ms in RHYTHM_MS if ms < 2_900])
            world.tell(ev.ButtonChanged(stamp(when), Button.RECORD, False))
            when += 26 if random.random() < 0.5 else 700
        assert not [effect for _, _, effect in world.told if isinstance(effect, do.StopRecording)], seed


def test_gaps_tile_the_run() -> None:
    """BWC-POL-05: gap entries are exactly the undocked time in which the camera could not record at once."""
    for seed in range(500):
        random = Random(seed)
        world, previous, missing = World.start(POLICIES[2]), 0, 0
        for event in shift(random, 60):
            if isinstance(event, ev.ButtonChanged | ev.Elapsed):
                event = ev.ClockSet(event.at)
            if isinstance(event, ev.Booted) and world.model.state is State.BOOTING:
                event = replace(event, down_ns=0)
            model = world.model
            if not model.docked and model.state not in (State.READY, State.RECORDING, State.HALTED):
                missing += event.at.boottime_ns - previous
            world.tell(event)
            previous = event.at.boottime_ns
        gap = world.model.gap
        entries = [effect for _, _, effect in world.told if isinstance(effect, do.Write)] + list(world.model.held_back)
        written = sum(entry.fields["duration_us"] for entry in entries if entry.kind == "gap")  # type: ignore[misc]
        still_open = (previous - gap.since.boottime_ns) // 1000 if gap else 0
        assert written + still_open == missing // 1000, seed


def test_every_activation_is_answered() -> None:
    """BWC-POL-01: a double press starts, marks, or is remembered or refused in writing; never nothing."""
    for seed in range(500):
        world, last = run(seed, 30)
        at = stamp(last // MS + 1)
        before = world.model
        if before.state is State.HALTED:
            continue
        model, effects = before, ()
        for offset, pressed in ((5_000, True), (5_100, False), (5_300, True)):
            now = replace(at, boottime_ns=at.boottime_ns + offset * MS, wall_ns=at.wall_ns + offset * MS)
            model, effects = step(model, ev.ButtonChanged(now, Button.RECORD, pressed))
        told = [effect for effect in effects if isinstance(effect, do.StartRecording | do.AddMark | do.Write)]
        remembered = model.owed is not None or model.held_back != before.held_back
        assert told or (model.state is State.BOOTING and remembered), (seed, before.state)


def test_a_camera_on_hold_begins_nothing_that_is_pressed_for() -> None:
    """BWC-POL-21: over 600 shifts of anything under a policy that holds; and a hold that is found stops nothing."""
    refused = 0
    for seed in range(600):
        world = World.start(POLICIES[-1])
        for event in shift(Random(seed), 100):
            before, told = world.model, len(world.told)
            world.tell(event)
            effects = [effect for _, _, effect in world.told[told:]]
            begun = [one.cause for one in effects if isinstance(one, do.StartRecording)]
            assert not before.on_hold or set(begun) <= {Cause.RECOVERY}, seed
            refused += sum(isinstance(one, do.Write) and one.fields.get("port") == "hold" for one in effects)
            if world.model.state is State.RECORDING:
                assert step(world.model, ev.HoldFound(event.at))[0].state is State.RECORDING
    assert refused > 50


@given(st.integers(min_value=0, max_value=2**32))
@settings(max_examples=25, deadline=None)
def test_step_is_a_function(seed: int) -> None:
    """The same events give the same effects."""
    assert run(seed, 20)[0].told == run(seed, 20)[0].told


def test_the_subject_lamp_is_lit_at_every_moment_in_which_pictures_are_kept() -> None:
    """BWC-POL-13: by the effects in their order, not by the state: lit before the first picture is kept, dark only after the last, in
    600 lives under policies without stealth."""
    for seed in range(600):
        random = Random(seed)
        world = World.start(random.choice(POLICIES[:3]))
        for event in shift(random, 60):
            world.tell(event)
        lit = keeping = False
        for _, _, effect in world.told:
            match effect:
                case do.Show(signal):
                    lit = signal.subject == Lamp(Colour.RED)
                    assert lit or not keeping, seed
                case do.StartRecording():
                    assert lit, seed
                    keeping = True
                case do.StopRecording():
                    assert lit, seed
                    keeping = False
