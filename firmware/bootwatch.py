"""While a boot waits for the key store, somebody else tells the wearer (BWC-POL-47).

Responsible for looking, from the clock's thread, at the calls that the loop's own thread makes before there is a loop (the boot's counter),
and for one alarm. Refuses to end anything: that is the service manager's (TimeoutStartSec). Once the loop runs, the supervisor looks
(``firmware.watching``).
"""

from __future__ import annotations

import logging
from types import TracebackType

from firmware.callwatch import WatchedKeyStore
from firmware.devices import WATCH_NS
from firmware.machine.indicators import CUES, CueName, View, lamps
from firmware.machine.states import State
from firmware.machine.supervision import SIGNER_SLOW_NS
from hal.errors import HalError
from hal.interfaces import Colour, Cue, Hal, Lamp, LampName, Timer

log = logging.getLogger("oathcamd")


class BootWatch:
    """Around the part of a boot that comes before the loop."""

    def __init__(self, hal: Hal, keys: WatchedKeyStore) -> None:
        self._hal = hal
        self._keys = keys
        self._timer: Timer | None = None
        self._over = False

    def __enter__(self) -> None:
        self._schedule()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self) -> None:
        self._timer = self._hal.clock.call_at(self._hal.clock.now().boottime_ns + WATCH_NS, self._look)

    def _look(self) -> None:
        waiting_ns = self._keys.waiting_ns(self._hal.clock.now().boottime_ns)
        if self._over:
            return
        if waiting_ns <= SIGNER_SLOW_NS:
            self._schedule()
            return
        log.error("boot: the key store has not answered for %.1f s", waiting_ns / 1e9)
        try:
            alarm(self._hal)
        except HalError as error:
            log.error("boot: %s", error)


def alarm(hal: Hal) -> None:
    """The fault signal, without a daemon to give it."""
    subject, status = lamps(State.FAULT, View())
    for name, lamp in ((LampName.SUBJECT, subject), (LampName.STATUS, status)):
        hal.indicators.set_lamp(name, Lamp(Colour(lamp.colour.value), lamp.blink_ms))
    cue = CUES[CueName.FAULT]
    hal.indicators.play(Cue(cue.tones, cue.pulses))
