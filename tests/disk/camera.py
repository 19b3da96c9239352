"""A camera on a recorded disk: the real daemon, fed with ready-made pictures, on the real volume; as a program, one life of it.

    python -m tests.disk.camera CONFIG CARD FOOTAGE LOG LIFE TWIN

``CARD`` is a directory of the mounted disk. The life ends in mid recording as a pulled battery ends it: nothing more is written.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from firmware.boot import boot
from firmware.config import DeviceConfig, load_config
from firmware.recorder import Promise
from firmware.reports import RecordingClosed
from hal.file_key_store import FileKeyStore
from hal.interfaces import ButtonEdge, ButtonName, Buttons, ClockReading, ClockTrust, DockSense, Hal, Volume
from hal.none import NoAccelerometer
from hal.posix import SystemEntropy
from tests.bench import device
from tests.bench.footage import FPS, Span
from tests.disk.log import DiskLog
from tests.disk.recorder import die_with_parent
from tests.disk.witness import Twin, witnessed

OFF_NS = 3600 * 10**9
"""From the start of one life to the start of the next; boot time begins anew."""
TAP, DOUBLE_TAP, HOLD = ((0, 80),), ((0, 80), (200, 280)), ((0, 3300),)
"""Presses of the record button as (down, up) in milliseconds: a mark, a start, a stop."""


@dataclass(frozen=True, slots=True)
class Life:
    """What hands do, at which second, and when the battery is pulled."""

    presses: tuple[tuple[float, Sequence[tuple[int, int]]], ...]
    seconds: float
    docked_at: float | None = None
    """Then it is put into a dock, whose receipts for what was closed by then lie in the spool already."""


LIVES = (
    Life(((2.5, DOUBLE_TAP), (3.5, TAP), (4.7, HOLD), (9.1, DOUBLE_TAP), (9.9, HOLD), (14.3, DOUBLE_TAP), (15.6, TAP)), 17.6),
    Life(((1.4, DOUBLE_TAP), (2.6, TAP)), 4.7),
    Life((), 5.0, docked_at=0.5),
)


class LifeTime(device.Time):
    """Wall time goes on from life to life."""

    def __init__(self, life: int) -> None:
        super().__init__()
        self._off_ns = life * OFF_NS

    def now(self) -> ClockReading:
        return ClockReading(self.ns, device.EPOCH_NS + self._off_ns + self.ns, ClockTrust.SYNCED)


class Hands(Buttons):
    def __init__(self, clock: device.Time, life: Life | None) -> None:
        self._clock = clock
        self._life = life

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        def edge(pressed: bool) -> None:
            callback(ButtonEdge(ButtonName.RECORD, pressed, self._clock.now()))

        start_ns = self._clock.ns
        for second, presses in self._life.presses if self._life else ():
            for down_ms, up_ms in presses:
                self._clock.call_at(start_ns + round(second * 1000 + down_ms) * device.MS, partial(edge, True))
                self._clock.call_at(start_ns + round(second * 1000 + up_ms) * device.MS, partial(edge, False))

    def is_pressed(self, button: ButtonName) -> bool:
        return False


class Dock(device.Undocked):
    def __init__(self, clock: device.Time, docked_at: float | None) -> None:
        self._clock = clock
        self._docked_at = docked_at

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        if self._docked_at is not None:
            at_ns = self._clock.ns + round(self._docked_at * 1000) * device.MS
            self._clock.call_at(at_ns, lambda: callback(DockSense(True, self._clock.now())))


class Eye(device.FileCamera):
    """Marks what the daemon says of promises, and up to which instant everything that was to be done is done."""

    def __init__(self, clock: device.Time, annexb: Path, spans: Sequence[Span], pictures: int, log: DiskLog | None) -> None:
        film = device.read_again(annexb, spans, pictures // len(spans) + 1)
        self._close_film = film.close
        self._film = islice(film, pictures)
        super().__init__(clock, self._film)
        self._log = log

    def put(self, item: object, *, urgent: bool = False) -> bool:
        match item:
            case Promise(recording, seq) if self._log:
                self._log.mark(promised=recording, seq=seq)
            case RecordingClosed(recording, fragments) if self._log:
                self._log.mark(closed=recording, fragments=fragments)
        return super().put(item, urgent=urgent)

    def get(self) -> object | None:
        if not self._items and self._log:
            self._log.mark(done_ns=self._clock.ns)
        return super().get()

    def _deliver(self) -> bool:
        """In a dock the camera is off, and time goes on all the same, by a picture that nobody takes."""
        if self._sink is None and next(self._film, None) is not None:
            self._clock.run_until(self._clock.ns + 10**9 // FPS)
            return True
        return super()._deliver()

    def shut(self) -> None:
        self._close_film()


def open_body(config: DeviceConfig, volume: Volume, footage: Path, life: int, log: DiskLog | None = None) -> Hal:
    """One life's devices. A life that no hands were written for sees no pictures: it boots, and recovers."""
    hands = LIVES[life] if life < len(LIVES) else None
    clock = LifeTime(life)
    eye = Eye(clock, footage, spans_of(footage), round(hands.seconds * FPS) if hands else 0, log)
    return assemble(config, volume, clock, eye, hands)


def spans_of(footage: Path) -> list[Span]:
    """Where the pictures lie in it."""
    return [Span(*fields) for fields in json.loads(footage.with_suffix(".json").read_text())]


def assemble(config: DeviceConfig, volume: Volume, clock: LifeTime, eye: Eye, hands: Life | None) -> Hal:
    return Hal(
        backend="bench",
        clock=clock,
        inbox=eye,
        camera=eye,
        microphone=device.Silence(),
        buttons=Hands(clock, hands),
        indicators=device.Lamps(),
        key_store=FileKeyStore(config.key_directory),
        entropy=SystemEntropy(),
        volume=volume,
        power=device.FullCell(),
        positioning=device.Nowhere(),
        orientation=NoAccelerometer(),
        dock_link=Dock(clock, hands.docked_at if hands else None),
        watchdog=device.Unwatched(),
        make_worker=lambda name, depth: device.InPlace(),
        closers=(eye.shut,),
    )


def main(config: str, card: str, footage: str, log: str, life: str, twin: str) -> None:
    die_with_parent()
    settings = replace(load_config(Path(config)), state_directory=Path(card))
    marks = DiskLog(Path(log))
    marks.mark(life=int(life))
    volume = witnessed(settings.state_directory, Twin(twin), marks)
    daemon = boot(open_body(settings, volume, Path(footage), int(life), marks), settings)
    daemon.run()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
