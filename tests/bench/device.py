"""A camera body for measuring: real key store, real directory, real entropy; pictures from a file, time as fast as it goes.

What is left out is what a benchmark of the path after the encoder must not count: encoding, drawing, waiting. Background work runs
in place, so that feeding faster than life cannot overrun the writer and every picture is really kept.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from hal.directory_volume import DirectoryVolume
from hal.file_key_store import FileKeyStore
from hal.interfaces import (
    AudioFormat,
    AudioSink,
    ButtonEdge,
    ButtonName,
    Buttons,
    Camera,
    CameraProgress,
    CameraSink,
    Clock,
    ClockReading,
    ClockTrust,
    Colour,
    Cue,
    DockLink,
    DockSense,
    Fix,
    Hal,
    Inbox,
    Indicators,
    Lamp,
    LampName,
    LumaPicture,
    Microphone,
    Picture,
    Positioning,
    Power,
    PowerState,
    Timer,
    VideoFormat,
    Watchdog,
    Worker,
)
from hal.none import NoAccelerometer
from hal.posix import SystemEntropy
from tests.bench.footage import FPS, Span

EPOCH_NS = 1_790_000_000 * 10**9
MS = 1_000_000
HOLD_S = 3
"""Of the default policy."""


class Call(Timer):
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class Time(Clock):
    """Stands still until the inbox moves it."""

    def __init__(self) -> None:
        self.ns = 10**9
        self._heap: list[tuple[int, int, Call]] = []
        self._numbers = itertools.count()

    def now(self) -> ClockReading:
        return ClockReading(self.ns, EPOCH_NS + self.ns, ClockTrust.SYNCED)

    def call_at(self, boottime_ns: int, callback: Callable[[], None]) -> Timer:
        call = Call(callback)
        heapq.heappush(self._heap, (boottime_ns, next(self._numbers), call))
        return call

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        raise AssertionError("nothing steps this clock")

    def run_until(self, at_ns: int) -> None:
        while self._heap and self._heap[0][0] <= at_ns:
            due, _, call = heapq.heappop(self._heap)
            self.ns = max(self.ns, due)
            if call.callback is not None:
                call.callback()
        self.ns = max(self.ns, at_ns)


class FileCamera(Camera, Inbox):
    """Camera and inbox in one: asking for the next item makes the next picture arrive.

    ``pictures``: each coded, and whether it is an IDR. ``second_ns``: how long the sensor's second is by the board's clock.
    """

    def __init__(self, clock: Time, pictures: Iterator[tuple[bytes, bool]], second_ns: int = 10**9) -> None:
        self._second_ns = second_ns
        self._clock = clock
        self._pictures = pictures
        self._items: deque[object] = deque()
        self._sink: CameraSink | None = None
        self._number = 0
        self._start_ns = 0
        self.at_end: Callable[[], None] | None = None

    @property
    def delivered(self) -> int:
        """Pictures so far."""
        return self._number

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        self._start_ns = self._clock.ns
        self._sink = sink

    def stop(self) -> None:
        self._sink = None

    def restart_encoder(self) -> None:
        raise AssertionError("the encoder never stalls")

    def progress(self) -> CameraProgress:
        return CameraProgress(False, self._clock.ns, self._clock.ns)

    def low_resolution(self) -> LumaPicture | None:
        return None

    def set_bitrate(self, bitrate_bps: int) -> None:
        pass

    def describe(self) -> Mapping[str, str]:
        return {"sensor": "file", "encoder": "libx264"}

    def depth(self) -> tuple[int, int]:
        return len(self._items), 256

    def put(self, item: object, *, urgent: bool = False) -> bool:
        self._items.append(item)
        return True

    def close(self) -> None:
        self._items.clear()

    def get(self) -> object | None:
        while not self._items and self._deliver():
            pass
        return self._items.popleft() if self._items else None

    def _deliver(self) -> bool:
        coded = next(self._pictures, None) if self._sink is not None else None
        if coded is None or self._sink is None:
            callback, self.at_end = self.at_end, None
            if callback is not None:
                callback()
            return callback is not None
        captured_ns = self._start_ns + self._number * self._second_ns // FPS
        self._number += 1
        self._clock.run_until(captured_ns)
        self._sink.picture(Picture(coded[0], coded[1], self._clock.now()))
        return True


def read_again(annexb: Path, spans: Sequence[Span], rounds: int) -> Generator[tuple[bytes, bool]]:
    """The file's pictures ``rounds`` times, each read when it is its turn: none waits in memory."""
    file = os.open(annexb, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for span in itertools.chain.from_iterable(itertools.repeat(spans, rounds)):
            yield os.pread(file, span.size, span.offset), span.keyframe
    finally:
        os.close(file)


class Hands(Buttons):
    """Presses twice at each ``begin_s``, has held the button long enough at each ``end_s`` (``None``: never); seconds after the start."""

    def __init__(self, clock: Time, presses: Sequence[tuple[float, float | None]]) -> None:
        self._clock = clock
        self._presses = presses
        self._began_ns = clock.ns

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        def edge(pressed: bool) -> None:
            callback(ButtonEdge(ButtonName.RECORD, pressed, self._clock.now()))

        def plan(at_s: float, edges_ms: Sequence[int]) -> None:
            for number, offset_ms in enumerate(edges_ms):
                self._clock.call_at(self._began_ns + round(at_s * 10**9) + offset_ms * MS, partial(edge, number % 2 == 0))

        for begin_s, end_s in self._presses:
            plan(begin_s, (0, 80, 200, 280))
            if end_s is not None:
                plan(end_s - HOLD_S, (0, 3300))

    def is_pressed(self, button: ButtonName) -> bool:
        return False


class Silence(Microphone):
    """A microphone that delivers nothing; the peer has no sound either."""

    def format(self) -> AudioFormat:
        return AudioFormat(48_000, 1, bytes.fromhex("1188"))

    def start(self, sink: AudioSink) -> None:
        pass

    def stop(self) -> None:
        pass


class Lamps(Indicators):
    def __init__(self) -> None:
        self._colours = dict.fromkeys(LampName, Colour.OFF)

    def set_lamp(self, name: LampName, lamp: Lamp) -> None:
        self._colours[name] = lamp.colour

    def play(self, cue: Cue) -> None:
        pass

    def read_back(self, name: LampName) -> Colour:
        return self._colours[name]


class FullCell(Power):
    def state(self) -> PowerState:
        return PowerState(percent=90, millivolts=4000, charging=False)

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        pass


class Nowhere(Positioning):
    def fix(self) -> Fix | None:
        return None


class Undocked(DockLink):
    def docked(self) -> bool:
        return False

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        pass

    def request_sync(self) -> None:
        pass


class Unwatched(Watchdog):
    def ready(self) -> None:
        pass

    def feed(self) -> None:
        pass

    def status(self, text: str) -> None:
        pass

    def stopping(self) -> None:
        pass


class InPlace(Worker):
    def submit(self, job: Callable[[], None]) -> bool:
        job()
        return True

    def close(self) -> None:
        pass


def open_device(
    card: Path, keys: Path, pictures: Iterator[tuple[bytes, bool]], presses: Sequence[tuple[float, float | None]]
) -> tuple[Hal, FileCamera]:
    """One camera that sees ``pictures`` and is activated as ``presses`` say (see :class:`Hands`)."""
    clock = Time()
    camera = FileCamera(clock, pictures)
    volume = DirectoryVolume(card)
    hal = Hal(
        backend="bench",
        clock=clock,
        inbox=camera,
        camera=camera,
        microphone=Silence(),
        buttons=Hands(clock, presses),
        indicators=Lamps(),
        key_store=FileKeyStore(keys),
        entropy=SystemEntropy(),
        volume=volume,
        power=FullCell(),
        positioning=Nowhere(),
        orientation=NoAccelerometer(),
        dock_link=Undocked(),
        watchdog=Unwatched(),
        make_worker=lambda name, depth: InPlace(),
    )
    return hal, camera
