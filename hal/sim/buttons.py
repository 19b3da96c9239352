"""Two worn contacts and the debouncing that a real back-end owes.

Invariant: an edge is reported once, after the contact was quiet for :data:`QUIET_NS`, with the instant of its first
change; a glitch that returns within that time is no edge. A change has the instant that the world gave it, as a kernel stamps an
interrupt: a process that was held up finds each press where it was, and not all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable

from hal.interfaces import ButtonEdge, ButtonName, Buttons
from hal.sim.timeline import MS, Event
from hal.sim.world import Life
from hal.subscribers import Subscribers

QUIET_NS = 15 * MS


class _Contact:
    """One debounced contact."""

    def __init__(self, life: Life, name: ButtonName, report: Callable[[ButtonEdge], None]) -> None:
        self._life = life
        self._name = name
        self._report = report
        self.level = life.world.contacts[name]
        self._first_ns: int | None = None
        self._check: Event | None = None

    def changed(self) -> None:
        if self._check is not None:
            self._check.cancel()
        changed_ns = self._life.world.event_ns
        if self._first_ns is None:
            self._first_ns = changed_ns
        self._check = self._life.at(changed_ns + QUIET_NS, self._settled)

    def _settled(self) -> None:
        first_ns, self._first_ns = self._first_ns, None
        if (level := self._life.world.contacts[self._name]) != self.level:
            self.level = level
            self._report(ButtonEdge(self._name, level, self._life.reading(first_ns)))


class SimButtons(Buttons):
    def __init__(self, life: Life) -> None:
        self._subscribers: Subscribers[ButtonEdge] = Subscribers()
        self._contacts = {name: _Contact(life, name, self._report) for name in ButtonName}
        life.world.contact_changed.connect(lambda name: self._contacts[name].changed())

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        self._subscribers.subscribe(callback)

    def is_pressed(self, button: ButtonName) -> bool:
        return self._contacts[button].level

    def _report(self, edge: ButtonEdge) -> None:
        self._subscribers.tell(edge)
