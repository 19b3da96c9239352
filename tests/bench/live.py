"""The measured process of ``latency.py``: the daemon in real time, with its own threads, on a real file system.

    python live.py CAMERA FOOTAGE PRESSES SYNC_MS

Real are clock, inbox, worker, key, cipher and every fsync; the pictures were coded before and come 30 a second. The button is pressed
twice, held until the recording ends, and so on. Between two recordings the file system's own fsync is timed, on the same volume: 4 kB
appended and synced. ``SYNC_MS`` makes every fsync, the file system's own too, so much longer: a card that is slow to flush.
Prints all times, as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from firmware.boot import boot
from firmware.config import load_config
from hal.directory_volume import DirectoryVolume
from hal.interfaces import (
    ButtonEdge,
    ButtonName,
    Buttons,
    Camera,
    CameraProgress,
    CameraSink,
    Clock,
    ClockReading,
    ClockTrust,
    Hal,
    LumaPicture,
    Picture,
    VideoFormat,
    Volume,
    VolumeFile,
)
from hal.posix import PosixClock, QueueInbox, ThreadWorker
from tests.bench.device import open_device
from tests.bench.footage import FPS, Span

LOG = "ledger/log"
WARM_UP_S, TAP_S, RECORDED_S, HOLD_S, SETTLED_S, PATIENCE_S = 1.5, 0.06, 1.0, 2.2, 0.2, 20.0
FSYNCS = 5
"""After every recording."""


@dataclass
class Durable:
    """What became durable in the ledger: (boot time in ns, fsyncs since the batch before, its leaves)."""

    sync_s: float
    batches: list[tuple[int, int, list[dict[str, Any]]]] = field(default_factory=list)
    syncs: int = 0

    def synced(self) -> None:
        time.sleep(self.sync_s)
        self.syncs += 1

    def logged(self, data: bytes) -> None:
        leaves = [json.loads(line) for line in data.splitlines() if line.startswith(b"{")]
        self.batches.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME), self.syncs, leaves))
        self.syncs = 0


class TimedFile(VolumeFile):
    def __init__(self, file: VolumeFile, durable: Durable, is_log: bool) -> None:
        self.file, self._durable, self._is_log = file, durable, is_log
        self._data = b""

    def write(self, data: bytes) -> None:
        self.file.write(data)
        if self._is_log:
            self._data += data

    def sync(self) -> None:
        self.file.sync()
        self._durable.synced()
        self.logged()

    def logged(self) -> None:
        if self._is_log:
            self._durable.logged(self._data)
            self._data = b""

    def close(self) -> None:
        self.file.close()


class TimedVolume(DirectoryVolume):
    """Notes when a batch of leaves is durable, and how many fsyncs that took."""

    def __init__(self, root: Path, durable: Durable) -> None:
        super().__init__(root)
        self._durable = durable

    def create(self, name: str) -> VolumeFile:
        return TimedFile(super().create(name), self._durable, False)

    def append(self, name: str) -> VolumeFile:
        return TimedFile(super().append(name), self._durable, name == LOG)

    def sync_directory(self, name: str) -> None:
        super().sync_directory(name)
        self._durable.synced()

    def sync_group(self, files: Sequence[VolumeFile], directories: Sequence[str]) -> None:
        timed = [file for file in files if isinstance(file, TimedFile)]
        if not self._flushes_whole:
            Volume.sync_group(self, timed, directories)
            return
        super().sync_group([file.file for file in timed], directories)
        self._durable.synced()
        for file in timed:
            file.logged()


class PacedCamera(Camera):
    """The pictures in real time, exposed on the sensor's grid and delivered at that instant, or as soon as this machine can."""

    def __init__(self, pictures: Iterator[tuple[bytes, bool]]) -> None:
        self._pictures = pictures
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._newest_ns = 0

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        self._thread = threading.Thread(target=self._feed, args=(sink,), daemon=True)
        self._thread.start()

    def _feed(self, sink: CameraSink) -> None:
        began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        epoch_ns = time.time_ns() - began_ns
        for number, (data, keyframe) in enumerate(self._pictures):
            due_ns = began_ns + number * 10**9 // FPS
            if self._stopping.wait(max(0, due_ns - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) / 1e9):
                return
            self._newest_ns = due_ns
            sink.picture(Picture(data, keyframe, ClockReading(due_ns, epoch_ns + due_ns, ClockTrust.UNSET)))

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def restart_encoder(self) -> None:
        raise AssertionError("the encoder never stalls")

    def progress(self) -> CameraProgress:
        return CameraProgress(False, self._newest_ns, self._newest_ns)

    def low_resolution(self) -> LumaPicture | None:
        return None

    def set_bitrate(self, bitrate_bps: int) -> None:
        raise AssertionError("nothing gets hot")

    def describe(self) -> Mapping[str, str]:
        return {"sensor": "file", "encoder": "libx264"}


class Finger(Buttons):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._callback: Callable[[ButtonEdge], None] | None = None

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        self._callback = callback

    def is_pressed(self, button: ButtonName) -> bool:
        return False

    def press(self, down_s: float) -> None:
        """Down for so long, then up for :data:`TAP_S`."""
        assert self._callback is not None
        for pressed, pause_s in ((True, down_s), (False, TAP_S)):
            self._callback(ButtonEdge(ButtonName.RECORD, pressed, self._clock.now()))
            time.sleep(pause_s)


def open_live(card: Path, keys: Path, pictures: Iterator[tuple[bytes, bool]], durable: Durable) -> tuple[Hal, Finger]:
    """The benchmark's camera with the recorder's real clock, inbox and threads."""
    clock, volume = PosixClock(), TimedVolume(card, durable)
    hal, _ = open_device(card, keys, iter(()), [])
    finger = Finger(clock)
    camera = PacedCamera(pictures)
    live = replace(hal, clock=clock, inbox=QueueInbox(), camera=camera, buttons=finger, volume=volume)
    return replace(live, make_worker=ThreadWorker, closers=(clock.close,)), finger


def fsync_ms(file: int, sync_s: float) -> float:
    """The file system's own: 4 kB appended to an open file and synced."""
    before = time.perf_counter()
    os.write(file, bytes(4096))
    os.fsync(file)
    time.sleep(sync_s)
    return (time.perf_counter() - before) * 1000


def lags(durable: Durable) -> tuple[list[float], list[float], list[int]]:
    """Milliseconds from each press to its durable leaf, from each picture after a press to its promise, and the fsyncs of each press."""
    presses: list[float] = []
    pictures: list[float] = []
    syncs: list[int] = []
    pressed_us = 0
    for at_ns, count, leaves in durable.batches:
        for leaf in leaves:
            if leaf["type"] == "begin":
                pressed_us = int(leaf["boottime_us"])
                presses.append(at_ns / 1e6 - pressed_us / 1e3)
                syncs.append(count)
            elif leaf["type"] == "fragment":
                taken = [leaf["start_us"] + number * 1_000_000 // FPS for number in range(leaf["pictures"])]
                pictures += [at_ns / 1e6 - us / 1e3 for us in taken if us >= pressed_us]
    return presses, pictures, syncs


def live(camera: Path, annexb: Path, presses: int, sync_s: float) -> dict[str, object]:
    config = load_config(camera / "oathcamd.toml")
    whole = annexb.read_bytes()
    spans = [Span(*fields) for fields in json.loads(annexb.with_suffix(".json").read_text())]
    coded = [(whole[span.offset : span.offset + span.size], span.keyframe) for span in spans]
    durable = Durable(sync_s)
    hal, finger = open_live(config.state_directory, config.key_directory, itertools.cycle(coded), durable)
    daemon = boot(hal, config)
    fsyncs: list[float] = []

    def hands() -> None:
        file = os.open(config.state_directory / "fsync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        time.sleep(WARM_UP_S)
        for number in range(presses):
            finger.press(TAP_S)
            finger.press(TAP_S)
            time.sleep(RECORDED_S)
            finger.press(HOLD_S)
            end = time.monotonic() + PATIENCE_S
            while len(daemon.closed_recordings) <= number and time.monotonic() < end:
                time.sleep(0.02)
            time.sleep(SETTLED_S)
            fsyncs.extend(fsync_ms(file, sync_s) for _ in range(FSYNCS))
        os.close(file)
        daemon.ask_shutdown("end of the presses")

    thread = threading.Thread(target=hands, daemon=True)
    thread.start()
    daemon.run()
    thread.join()
    daemon.close()
    hal.close()
    pressed, promised, syncs = lags(durable)
    kinds = [leaf["type"] for _, _, leaves in durable.batches for leaf in leaves]
    facts = {"recordings": len(daemon.closed_recordings), "drops": kinds.count("drop"), "faults": kinds.count("fault")}
    return {"press_ms": pressed, "picture_ms": promised, "fsync_ms": fsyncs, "press_syncs": syncs, **facts}


def main(camera: str, annexb: str, presses: str, sync_ms: str) -> None:
    json.dump(live(Path(camera), Path(annexb), int(presses), float(sync_ms) / 1000), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
