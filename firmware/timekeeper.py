"""The wall clock's keeper: notices steps that others made, and steps the clock itself to a dock's time (BWC-POL-26, -27; docs/time.md).

Responsible for the order: a measured offset is durable before the clock is stepped by it, and the clock is stepped only while the camera
lies in the dock and does not record, as it does when the leaf's turn comes and again when it is durable. Refuses to judge
(``custody.clock_steps``) and to believe (``docktime``). Called from the loop only.

Invariants: nothing here can keep a recording from starting or going on; boot time, order and the media's time line never depend on it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from firmware.custodian import Custodian
from firmware.custody.clock_steps import STEP_US, Action, Bracket, Measured, frame_us, judge
from firmware.docktime import DockClock, DockTime, Published, StoreTime, by_receipt
from firmware.shellclock import read_clock
from firmware.timebase import Timestamp, Trust
from hal.errors import HalError
from hal.interfaces import Clock, ClockTrust

log = logging.getLogger("oathcamd")


@dataclass(frozen=True, slots=True)
class OffsetRecorded:
    """The leaf of a measured offset is durable: the clock may be stepped."""

    measured: Measured


class TimeKeeper:
    """``changed`` hears of each change of trust. ``booted``: the reading in the boot leaf."""

    def __init__(
        self,
        clock: Clock,
        custodian: Custodian,
        dock_clock: DockClock,
        booted: Timestamp,
        changed: Callable[[Timestamp], None],
    ) -> None:
        self._clock = clock
        self._custodian = custodian
        self._dock_clock = dock_clock
        self._changed = changed
        self._frame_us = frame_us(booted)
        self._trust = booted.trust
        self._wanted = False
        self._since: Published | None = None

    def request(self) -> None:
        """A sync is asked for: one measurement belongs to it."""
        self._wanted, self._since = True, None

    def tick(self, now: Timestamp, idle_in_dock: bool) -> None:
        """Once a second."""
        self._notice(now)
        since = self._since
        if self._wanted and since is not None and idle_in_dock:
            self._custodian.submit_errand(lambda: self._dock_clock.look(since))

    def take(self, item: object, now: Timestamp, idle_in_dock: bool) -> None:
        """What the custodian reports about time."""
        match item:
            case Published() if self._wanted and self._since is None:
                self._since = item
            case DockTime(bracket, refused) if self._wanted and idle_in_dock:
                if bracket is None:
                    self._refuse(refused, now)
                else:
                    self._measure(bracket, now)
            case StoreTime(size, received_us, store, at) if self._wanted and idle_in_dock:
                if self._since is not None and size >= self._since.size:
                    self._measure(by_receipt(received_us, store, self._since, at.boottime_ns // 1000), now)
            case OffsetRecorded(measured):
                self._step(measured, now, idle_in_dock)
            case _:
                pass

    def _notice(self, now: Timestamp) -> None:
        """A frame that moved, or a trust that changed, by nobody here."""
        moved = frame_us(now) - self._frame_us
        stepped = abs(moved) > STEP_US
        if not stepped and now.trust is self._trust:
            return
        log.warning("the wall clock was stepped by %.3f s, trust %s", moved / 1e6 if stepped else 0, now.trust.value)
        self._write(now, moved if stepped else 0, STEP_US, "system", Action.NOTICED, now.trust)
        self._settle(now, moved if stepped else 0)

    def _measure(self, found: Bracket, now: Timestamp) -> None:
        self._notice(now)  # what happened before this measurement is not part of it
        measured = judge(found, now, self._dock_clock.life, self._clock.may_set)
        if measured.action is None:
            self._refuse(measured.reason, now)
            return
        self._wanted = False
        stepping = measured.action is Action.SET
        trust = Trust.SYNCED if stepping else now.trust
        then = OffsetRecorded(measured) if stepping else None
        self._write(now, measured.offset_us, measured.uncertainty_us, "dock", measured.action, trust, then)

    def _refuse(self, reason: str, now: Timestamp) -> None:
        self._wanted = False
        if reason:
            self._fault("dock", reason, now)

    def _step(self, measured: Measured, now: Timestamp, idle_in_dock: bool) -> None:
        if not idle_in_dock:
            self._fault("clock", "not set: the camera was taken into use first", now)
            return
        try:
            wall_ns = read_clock(self._clock).wall_ns + measured.offset_us * 1000
            trouble = self._clock.set_wall(wall_ns, ClockTrust.SYNCED, measured.uncertainty_us * 1000)
        except HalError as error:
            self._fault("clock", f"not set: {error}", now)
            return
        if trouble:
            self._fault("clock", f"its chip was not set: {trouble}", now)
        log.info("the wall clock was set by %.3f s, uncertainty %.3f s", measured.offset_us / 1e6, measured.uncertainty_us / 1e6)
        self._settle(read_clock(self._clock), measured.offset_us)

    def _settle(self, now: Timestamp, moved: int) -> None:
        """What moved by nobody here between two readings stays to be noticed: the frame moves by what was told."""
        self._frame_us += moved
        if now.trust is not self._trust:
            self._trust = now.trust
            self._changed(now)

    def _write(
        self, at: Timestamp, offset_us: int, uncertainty_us: int, source: str, action: Action, trust: Trust, then: object | None = None
    ) -> None:
        fields = {
            "offset_us": offset_us,
            "uncertainty_us": uncertainty_us,
            "source": source,
            "action": action.value,
            "old_trust": self._trust.value,
            "new_trust": trust.value,
        }
        self._custodian.submit_entry("clock", at, fields, then)
        self._custodian.kick()

    def _fault(self, port: str, reason: str, at: Timestamp) -> None:
        log.error("%s: %s", port, reason)
        self._custodian.submit_entry("fault", at, {"port": port, "reason": reason})
        self._custodian.kick()
