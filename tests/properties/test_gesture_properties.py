"""Two buttons under 10,000 random hands, against a naive model of the manual's sentences that shares no code with the machine.

Bounces, lost edges, both buttons at once, presses while booting, around the dock, at splits and at steps of the clock: what was pressed for
happens, and nothing else does (BWC-POL-01, BWC-POL-02, BWC-POL-04, BWC-POL-17, BWC-POL-18).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from random import Random

from test_machine_properties import World, stamp

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.states import Button, Previous
from firmware.policy.model import Activation, Mute, MuteMode, Policy, Recording

POLICIES = [
    Policy(mute=Mute(MuteMode.TOGGLE), recording=Recording(max_seconds=60)),
    Policy(mute=Mute(MuteMode.TOGGLE), activation=Activation(confirm_stop=True)),
]
CODES = [one.code for one in Policy().categories.choices]
LENGTHS_MS = (26, 60, 120, 250, 500, 799, 800, 849, 850, 851, 1500, 2500, 2999, 3000, 3001, 3049, 3050, 3051, 3500, 6000)
PAUSES_MS = (26, 60, 120, 250, 400, 599, 600, 601, 900, 2000, 2600, 5000, 9000)
SETTLE_MS, BOUNCE_MS = 50, 25
Edges = list[tuple[int, bool]]


# The naive model: a wearer's view, over a finished list of edges.


@dataclass
class Press:
    """One press as the finger meant it. ``broke``: the contact opened for a moment, so a short press was told before it went on."""

    down: int
    up: int | None = None
    broke: int | None = None


def presses(edges: Edges) -> list[Press]:
    """A press-down within 25 ms of the edge before it goes on with that press; any other one while it is down: the release was lost."""
    found: list[Press] = []
    for when, pressed in edges:
        last = found[-1] if found else None
        if not pressed:
            if last is not None and last.up is None:
                last.up = when
        elif last is not None and when - (last.down if last.up is None else last.up) < BOUNCE_MS:
            last.broke, last.up = last.broke or last.up, None
        else:
            found.append(Press(when))
    return found


def told(one: Press, following: Press | None, hold_ms: int) -> list[tuple[int, str]]:
    """What is to be told of a press, and when: ``tap`` at its first release, ``hold`` when it has lasted, ``off`` after a hold."""
    end = one.up if one.up is not None else following.down if following is not None else one.down + 60_000
    lost = one.up is None and following is not None
    length = end - one.down
    held = length > hold_ms + SETTLE_MS if lost else length >= hold_ms
    found = []
    if one.broke is not None and one.broke - one.down < hold_ms:
        found.append((one.broke, "tap"))
    if held:
        at = min(end, one.down + hold_ms + SETTLE_MS) if not lost else one.down + hold_ms + SETTLE_MS
        return [*found, (at, "hold"), (end, "off")]
    return found or [(end, "tap")]


def paired(found: list[Press]) -> Iterator[tuple[Press, Press | None]]:
    """Each press with the one that follows it."""
    yield from zip_longest(found, found[1:])


@dataclass
class Wearer:
    """What the manual's sentences make of it. Instants in ms."""

    confirm: bool
    booted_at: int
    recording: bool = False
    wanted: bool = False
    recorded: bool = False
    asked_at: int = -99_999
    first: int = -99_999
    began: int = -1
    """The press that asked for a recording."""
    place: int | None = None
    """In the open list; -1: nothing stepped to. ``None``: no list is open."""
    due: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("start", "stop", "mark", "mute", "unmute"), 0))
    answers: list[str] = field(default_factory=list)
    muted: bool = False

    def double(self, when: int) -> None:
        if self.recording:
            self.counts["mark"] += 1
            return
        self.began = when
        if self.booted_at > when:
            self.wanted = True
        else:
            self.start()

    def start(self) -> None:
        self._close()
        self.counts["start"] += 1
        self.recording = self.recorded = True

    def tap(self, down: int) -> None:
        if not self.recording:
            return
        if self.confirm and 0 <= down - self.asked_at <= 5000:
            self._stop()
        else:
            self.counts["mark"] += 1

    def hold(self, down: int) -> None:
        if down == self.began:
            return
        self.wanted = False
        if self.recording and self.confirm:
            self.asked_at = down + 3000
        elif self.recording:
            self._stop()

    def function_tap(self, down: int) -> None:
        if self.place is not None:
            self.place, self.due = (self.place + 1) % len(CODES), down + 2500
        elif self.recorded:
            self.place, self.due = -1, down + 8000

    def function_hold(self) -> None:
        if self.place is not None and self.place >= 0:
            self._close()
        elif self.recording:
            self.muted = not self.muted
            self.counts["mute" if self.muted else "unmute"] += 1

    def wait(self, until: int) -> None:
        if self.place is not None and self.due < until:
            self._close()

    def _close(self) -> None:
        if self.place is not None and self.place >= 0:
            self.answers.append(CODES[self.place])
        self.place = None

    def _stop(self) -> None:
        self.counts["stop"] += 1
        self.counts["unmute"] += self.muted
        self.recording = self.muted = False
        self.asked_at = -99_999


def live(record: Edges, function: Edges, confirm: bool, booted_at: int) -> Wearer:
    """Everything that is told, in order of its telling."""
    wearer = Wearer(confirm, booted_at)
    moments: list[tuple[int, int, str, int]] = [(booted_at, 0, "boot", 0)]
    first = -99_999
    for one, following in paired(presses(record)):
        happened = told(one, following, 3000)
        if one.down - first <= 600:
            moments.append((one.down, 1, "double", one.down))
            happened, first = [this for this in happened if this[1] != "tap"], -99_999
        else:
            first = -99_999 if "hold" in [kind for _, kind in happened] else one.down
        moments += [(when, 1, kind, one.down) for when, kind in happened]
    for one, following in paired(presses(function)):
        moments += [(when, 2, f"function {kind}", one.down) for when, kind in told(one, following, 800)]
    for when, _, kind, down in sorted(moments, key=lambda moment: moment[:2]):
        wearer.wait(when)
        match kind:
            case "boot" if wearer.wanted:
                wearer.start()
            case "double":
                wearer.double(down)
            case "tap":
                wearer.tap(down)
            case "hold":
                wearer.hold(down)
            case "function tap":
                wearer.function_tap(down)
            case "function hold":
                wearer.function_hold()
    wearer.wait(10**9)
    return wearer


# The dice.


def rhythm(dice: Random, first: int) -> Edges:
    """Presses of any length at any pace, some bouncing, some edges lost."""
    edges: Edges = []
    when = first
    for _ in range(dice.randrange(1, 12)):
        when += dice.choice(PAUSES_MS) + dice.randrange(3)
        length = dice.choice(LENGTHS_MS)
        mine = [(when, True)]
        if dice.random() < 0.15 and length > 200:  # opens for a moment in the middle
            middle = when + dice.randrange(60, length - 60)
            mine += [(middle, False), (middle + dice.randrange(1, BOUNCE_MS), True)]
        if dice.random() < 0.15:  # bounces on its way down
            mine += [(when + 3, False), (when + 7, True)]
        mine.append((when + length, False))
        if dice.random() < 0.05:
            mine.pop(dice.randrange(len(mine)))
        edges += sorted(mine)
        when += length
    return edges


def disturbances(dice: Random, until: int) -> list[ev.Event]:
    """What must not touch a press: the dock, receipts, measurements, a clock that is set forward and back."""
    kinds = (ev.Docked, ev.Undocked, ev.ClockSet, ev.OffloadCompleted)
    found: list[ev.Event] = [dice.choice(kinds)(stamp(dice.randrange(until))) for _ in range(6)]
    found += [ev.StorageMeasured(stamp(dice.randrange(until)), 90), ev.ReceiptVerified(stamp(dice.randrange(until)), "r")]
    return found


def stepped(event: ev.Event, at_ms: int, step_ns: int) -> ev.Event:
    """``event`` with the wall clock stepped from an instant on."""
    if event.at.boottime_ns < at_ms * 1_000_000:
        return event
    return replace(event, at=replace(event.at, wall_ns=event.at.wall_ns + step_ns))


def test_ten_thousand_hands_do_what_the_manual_says() -> None:
    """BWC-POL-01, -02, -04, -17, -18: starts, stops, marks, mutes and answers are those of the naive model, whatever else happens."""
    dice, totals, answered = Random(20261126), dict.fromkeys(("start", "stop", "mark", "mute", "unmute"), 0), 0
    for number in range(10_000):
        record, function = rhythm(dice, 1_000), rhythm(dice, 1_000) if number % 3 else []
        policy = dice.choice(POLICIES)
        busy = {when + late for when, _ in (*record, *function) for late in (0, 850, 3050)}
        booted_at = next(when for when in iter(lambda: dice.randrange(1, 9_000), None) if when not in busy)
        wearer = live(record, function, policy.activation.confirm_stop, booted_at)
        end = max(when for when, _ in (*record, *function)) + 60_000
        events: list[ev.Event] = [ev.Booted(stamp(booted_at), Previous.CLEAN, 0)]
        events += [ev.ButtonChanged(stamp(when), Button.RECORD, pressed) for when, pressed in record]
        events += [ev.ButtonChanged(stamp(when), Button.FUNCTION, pressed) for when, pressed in function]
        if number % 2:
            events += [one for one in disturbances(dice, end) if one.at.boottime_ns // 1_000_000 not in busy]
        world, step_ns = World.start(policy), dice.choice((0, 3_600_000_000_000, -3_600_000_000_000))
        for event in sorted(events, key=lambda one: (one.at.boottime_ns, not isinstance(one, ev.Booted))):
            world.tell(stepped(event, 5_000, step_ns))
        world.tell(ev.ClockSet(stamp(end)))
        found = [effect for _, _, effect in world.told]
        kinds = {"start": do.StartRecording, "stop": do.StopRecording, "mark": do.AddMark, "mute": do.Mute, "unmute": do.Unmute}
        counts = {name: sum(isinstance(effect, kind) for effect in found) for name, kind in kinds.items()}
        assert counts == wearer.counts, (number, booted_at, record, function)
        assert [one.code for one in found if isinstance(one, do.Annotate)] == wearer.answers, (number, record, function)
        totals = {name: totals[name] + count for name, count in counts.items()}
        answered += len(wearer.answers)
    assert min(*totals.values(), answered) > 700, (totals, answered)  # the hands did say something


def test_no_tap_and_no_double_press_ever_stops_whatever_bounces() -> None:
    """BWC-POL-02: 2,000 rhythms of presses shorter than the hold, with lost edges and bounces, never end a recording."""
    dice = Random(7)
    for _ in range(2_000):
        world, when = World.start(POLICIES[0]), 5_000
        world.tell(ev.Booted(stamp(1), Previous.CLEAN, 0))
        for _ in range(20):
            when += dice.choice(PAUSES_MS)
            length = dice.choice([one for one in LENGTHS_MS if one < 2_500])
            for at, pressed in ((when, True), (when + 4, False), (when + 9, True), (when + length, False)):
                if dice.random() < 0.95:
                    world.tell(ev.ButtonChanged(stamp(at), Button.RECORD, pressed))
            world.tell(ev.ButtonChanged(stamp(when + length + 1), Button.RECORD, False))
            when += length
        assert not [effect for _, _, effect in world.told if isinstance(effect, do.StopRecording)]
