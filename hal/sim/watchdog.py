"""The service manager as a notebook; passes everything on to a real one when the daemon runs under systemd."""

from __future__ import annotations

from hal.interfaces import Watchdog
from hal.sim.world import Life


class SimWatchdog(Watchdog):
    def __init__(self, life: Life, real: Watchdog) -> None:
        self._life = life
        self._real = real

    def ready(self) -> None:
        self._note("ready")
        self._real.ready()

    def feed(self) -> None:
        self._life.check()
        self._life.world.seen.feeds.append(self._life.world.now_ns)
        self._real.feed()

    def status(self, text: str) -> None:
        self._note(f"status: {text}")
        self._real.status(text)

    def stopping(self) -> None:
        self._note("stopping")
        self._real.stopping()

    def _note(self, text: str) -> None:
        self._life.check()
        self._life.world.seen.notices.append((self._life.world.now_ns, text))
