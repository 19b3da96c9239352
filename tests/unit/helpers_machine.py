"""A hand on the machine: seconds in, states and effects out. Plays the daemon's timers, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from firmware.machine import effects as do
from firmware.machine import events as ev
from firmware.machine.machine import Model, initial, step
from firmware.machine.states import Button, Previous, State, TimerName
from firmware.policy.model import Policy
from firmware.timebase import Timestamp, Trust

WALL_S = 1_790_000_000
_E = TypeVar("_E")


def at(seconds: float, trust: Trust = Trust.RTC) -> Timestamp:
    boot_ns = round(seconds * 1_000_000_000)
    return Timestamp(boot_ns, WALL_S * 1_000_000_000 + boot_ns, trust)


def policy(**sections: dict[str, Any]) -> Policy:
    """The default policy with some rules changed: ``policy(mute={"mode": MuteMode.HOLD})``."""
    base = Policy()
    return replace(base, **{name: replace(getattr(base, name), **rules) for name, rules in sections.items()})


@dataclass
class Hand:
    """``told`` holds every effect since the start, with the event's time in seconds."""

    model: Model
    timers: dict[TimerName, int] = field(default_factory=dict)
    told: list[tuple[float, do.Effect]] = field(default_factory=list)

    def tell(self, event: ev.Event) -> tuple[do.Effect, ...]:
        self._elapse_until(event.at.boottime_ns)
        return self._step(event)

    def wait(self, seconds: float) -> None:
        self._elapse_until(at(seconds).boottime_ns)

    def edge(self, seconds: float, pressed: bool, button: Button = Button.RECORD) -> tuple[do.Effect, ...]:
        return self.tell(ev.ButtonChanged(at(seconds), button, pressed))

    def tap(self, seconds: float, button: Button = Button.RECORD) -> None:
        self.edge(seconds, True, button)
        self.edge(seconds + 0.1, False, button)

    def double(self, seconds: float) -> None:
        """The second press-down is at ``seconds``."""
        self.tap(seconds - 0.3)
        self.tap(seconds)

    def hold(self, seconds: float, length: float = 3.2, button: Button = Button.RECORD) -> None:
        self.edge(seconds, True, button)
        self.edge(seconds + length, False, button)

    def all(self, kind: type[_E]) -> list[_E]:
        return [effect for _, effect in self.told if isinstance(effect, kind)]

    def writes(self) -> list[str]:
        return [write.kind for write in self.all(do.Write)]

    @property
    def state(self) -> State:
        return self.model.state

    def _elapse_until(self, boottime_ns: int) -> None:
        while due := [(when, name) for name, when in self.timers.items() if when < boottime_ns]:
            when, name = min(due, key=lambda pair: pair[0])
            del self.timers[name]
            self._step(ev.Elapsed(at(when / 1e9), name))

    def _step(self, event: ev.Event) -> tuple[do.Effect, ...]:
        self.model, effects = step(self.model, event)
        for effect in effects:
            self.told.append((event.at.boottime_ns / 1e9, effect))
            if isinstance(effect, do.SetTimer):
                self.timers[effect.timer] = effect.boottime_ns
            elif isinstance(effect, do.CancelTimer):
                self.timers.pop(effect.timer, None)
        return effects


def fresh(rules: Policy | None = None, start: float = 0.0, **options: bool) -> Hand:
    return Hand(initial(rules or Policy(), at(start), **options))


def ready(rules: Policy | None = None, when: float = 2.0) -> Hand:
    hand = fresh(rules)
    hand.tell(ev.Booted(at(when), Previous.CLEAN, 0))
    return hand


def recording(rules: Policy | None = None, when: float = 40.0) -> Hand:
    hand = ready(rules)
    hand.double(when)
    assert hand.state is State.RECORDING
    return hand


def pick(effects: tuple[do.Effect, ...], kind: type[_E], which: Callable[[_E], bool] = lambda _: True) -> list[_E]:
    return [effect for effect in effects if isinstance(effect, kind) and which(effect)]
