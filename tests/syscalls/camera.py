"""A camera whose card's system calls somebody makes fail: the real daemon and the real volume, fed with ready-made pictures as fast as it
takes them; as a program, one life that ends in order.

    python -m tests.syscalls.camera CONFIG CARD FOOTAGE LOG SHIFT TWIN

``LOG`` takes what was promised, at the moment it was (``tests.disk.log``): a pipe out of a process that may be killed in its next call.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from firmware.boot import boot
from firmware.config import load_config
from hal.directory_volume import DirectoryVolume
from hal.errors import DeviceFault, VolumeFull
from hal.interfaces import CameraSink, Hal, VideoFormat, VolumeFile
from tests.bench import device
from tests.bench.footage import FPS
from tests.disk.camera import DOUBLE_TAP, HOLD, TAP, Eye, Life, LifeTime, assemble, spans_of
from tests.disk.log import DiskLog
from tests.disk.recorder import die_with_parent
from tests.disk.witness import Witness

_STEP_NS = 100 * device.MS


@dataclass(frozen=True, slots=True)
class Shift:
    """``life``: which of this camera's lives it is, for its wall clock."""

    life: int
    hands: Life
    in_order: bool = True
    own_file_system: bool = False
    """Whether a group is made durable by one syncfs, as where the card is mounted, or file by file."""


_ONE_RECORDING = ((1.2, DOUBLE_TAP), (2.2, TAP), (2.9, HOLD))
SHIFTS = {
    "before": Shift(0, Life(((1.2, DOUBLE_TAP), (1.7, HOLD), (6.2, DOUBLE_TAP)), 8.4), in_order=False),
    "new card": Shift(0, Life(_ONE_RECORDING, 9.0), own_file_system=True),
    "after a power cut": Shift(1, Life(_ONE_RECORDING, 12.5, docked_at=8.5)),
}
"""``before`` makes the card for the last: a closed recording, an open one, and the battery is pulled."""


class Twin(Enum):
    """How the writer is made."""

    RIGHT = "right"
    DEAF_TO_WRITES = "a write that fails is taken for one that did not"
    DEAF_TO_SYNCS = "a sync that fails is taken for one that did not"
    HOARDING = "bytes stay in the process until their file is closed"


class _Deaf(VolumeFile):
    """A file that hears nothing of errors of one kind of call."""

    def __init__(self, file: VolumeFile, twin: Twin) -> None:
        self._file = file
        self._twin = twin

    def write(self, data: bytes) -> None:
        self._call(Twin.DEAF_TO_WRITES, lambda: self._file.write(data))

    def sync(self) -> None:
        self._call(Twin.DEAF_TO_SYNCS, self._file.sync)

    def close(self) -> None:
        self._file.close()

    def _call(self, deaf: Twin, call: Callable[[], None]) -> None:
        try:
            call()
        except (DeviceFault, VolumeFull):
            if self._twin is not deaf:
                raise


class _Hoarding(VolumeFile):
    """A file whose bytes a killed process takes with it."""

    def __init__(self, file: VolumeFile) -> None:
        self._file = file
        self._bytes = b""

    def write(self, data: bytes) -> None:
        self._bytes += data

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._file.write(self._bytes)
        self._file.close()


class WrongVolume(DirectoryVolume):
    """Wrong on purpose."""

    def __init__(self, root: Path, twin: Twin) -> None:
        super().__init__(root)
        self._twin = twin

    def create(self, name: str) -> VolumeFile:
        return self._wrong(super().create(name))

    def append(self, name: str) -> VolumeFile:
        return self._wrong(super().append(name))

    def _wrong(self, file: VolumeFile) -> VolumeFile:
        return _Hoarding(file) if self._twin is Twin.HOARDING else _Deaf(file, self._twin)


class Watcher(Eye):
    """Time goes on to the end of the shift whether or not the camera is wanted."""

    def __init__(self, clock: LifeTime, footage: Path, shift: Shift, log: DiskLog) -> None:
        super().__init__(clock, footage, spans_of(footage), round(shift.hands.seconds * FPS) + FPS, log)
        self._end_ns = clock.ns + round(shift.hands.seconds * 10**9)

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        super().start(video, sink)
        self._start_ns -= self._number * 10**9 // FPS

    def _deliver(self) -> bool:
        if self._clock.ns >= self._end_ns:
            return False
        if self._sink is None or not super()._deliver():
            self._clock.run_until(min(self._end_ns, self._clock.ns + _STEP_NS))
        return True


def open_body(config_path: Path, card: Path, footage: Path, log: DiskLog, shift: Shift, twin: Twin) -> Hal:
    config = replace(load_config(config_path), state_directory=card)
    clock = LifeTime(shift.life)
    volume = DirectoryVolume(card, shift.own_file_system) if twin is Twin.RIGHT else WrongVolume(card, twin)
    eye = Watcher(clock, footage, shift, log)
    return assemble(config, Witness(volume, log), clock, eye, shift.hands)


def main(config: str, card: str, footage: str, log: str, shift_name: str, twin: str) -> None:
    die_with_parent()
    marks, shift = DiskLog(Path(log)), SHIFTS[shift_name]
    marks.mark(life=shift.life)
    body = open_body(Path(config), Path(card), Path(footage), marks, shift, Twin(twin))
    daemon = boot(body, replace(load_config(Path(config)), state_directory=Path(card)))
    daemon.run()
    if not shift.in_order:
        os._exit(0)
    daemon.ask_shutdown("end of test")
    daemon.run()
    daemon.close()
    body.close()
    marks.mark(ended=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
