"""The test's hand on the fake camera and codec: in this process as ``bench.hand``, in another one through a datagram socket.

``OATHCAM_BENCH`` names the socket's path; a process that loads the fakes with it set listens there. ``OATHCAM_BENCH.json`` beside
it, if it exists, is the hand's state at the start, for what is to outlive the process (a camera that is not plugged in).
Pictures that the fake sensor lost go into ``OATHCAM_BENCH.losses``, a line each: boot time of the exposure in ns, and whose they are
(:class:`Loss`); for the product's, ``OATHCAM_BENCH.stacks`` says what every thread was at. ``OATHCAM_BENCH_FILM`` names a video that the
sensor sees; its pictures are kept beside the socket.
"""

from __future__ import annotations

import collections
import faulthandler
import json
import os
import socket
import threading
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np

_FILM_BYTES = 200 << 20


class Film:
    """A video file, looped, in the size and rate that the stream has: picture ``n`` is the file's ``n``-th."""

    def __init__(self, path: str, scratch: Path) -> None:
        self._path, self._scratch = path, scratch
        self._sizes: dict[tuple[int, int], np.ndarray] = {}

    def paint(self, luma: np.ndarray, chroma: np.ndarray, number: int) -> None:
        height, width = luma.shape
        pictures = self._sizes[width, height]
        planes = pictures[number % len(pictures)]
        luma[:] = planes[:height]
        flat = planes[height:].reshape(-1)
        half, stride = width // 2, chroma.shape[1]
        for index in (0, 1):
            plane = flat[index * half * (height // 2) : (index + 1) * half * (height // 2)].reshape(height // 2, half)
            chroma.reshape(-1)[index * stride * (height // 2) :][: stride * (height // 2)].reshape(height // 2, stride)[:, :half] = plane

    def load(self, width: int, height: int) -> None:
        """At most ten seconds and so many bytes, scaled once and kept in a file. Before the sensor starts: it takes longer than a
        picture."""
        if (width, height) in self._sizes:
            return
        kept = self._scratch / f"film-{width}x{height}.npy"
        if not kept.exists():
            most = min(300, _FILM_BYTES // (width * height * 3 // 2))
            with av.open(self._path) as container:
                frames = (frame.reformat(width, height, "yuv420p").to_ndarray() for frame in container.decode(video=0))
                np.save(kept, np.stack(list(islice(frames, most))))
        pictures = self._sizes[width, height] = np.load(kept, mmap_mode="r")
        pictures.reshape(-1)[::4096].max()  # every page: not when its picture is due


class Loss:
    """Whose a picture is that found no buffer to be written into. The bench is to blame where the picture would have found one, had this
    machine given the bench its processor in time; whatever else holds the buffers is the product and the libraries under it."""

    HAND = "hand"
    """A test took it away."""
    SENSOR = "sensor"
    """The sensor's thread came more than a picture late and had several exposures to make at once; and for as long afterwards as it was
    late, for that time whoever returns the buffers did not have."""
    CODEC = "codec"
    """The codec has more than the one picture that it works on, and memory to write them into."""
    STARVED = "starved"
    """In the last second the process's threads together waited for a processor longer than the buffers last. Whether they would have
    returned a buffer in time otherwise cannot be told."""
    PRODUCT = "product"


class Waits:
    """How long this process's threads waited for a processor, by the kernel's account (Documentation/scheduler/sched-stats)."""

    _LOOK_S, _SPAN_S = 0.25, 1.0

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, float]] = collections.deque()

    def look(self) -> None:
        """Called with every exposure; looks four times a second."""
        now = time.monotonic()
        if not self._seen or now - self._seen[-1][0] >= self._LOOK_S:
            self._seen.append((now, self._total_s()))
            while now - self._seen[0][0] > self._SPAN_S + self._LOOK_S:
                self._seen.popleft()

    def recent_s(self) -> float:
        """In about the last second, all threads together."""
        return self._total_s() - self._seen[0][1] if self._seen else 0.0

    @staticmethod
    def _total_s() -> float:
        total_ns = 0
        for task in Path("/proc/self/task").iterdir():
            with suppress(OSError, IndexError):  # ended meanwhile, or a kernel without that account
                total_ns += int((task / "schedstat").read_text().split()[1])
        return total_ns / 1e9


class Hand:
    """What goes wrong. Plain attributes; the sensor's and the codec's threads read them."""

    def __init__(self) -> None:
        self.film: Film | None = None
        self.reset()

    def reset(self) -> None:
        self.absent = False
        """No camera is found."""
        self.fail_start = ""
        """Starting the camera raises with this text."""
        self.stall_until = 0.0
        """The sensor gives nothing before this instant of the monotonic clock."""
        self.skip_next = 0
        """So many pictures are lost at the sensor."""
        self.error_next = 0
        """So many pictures come with status Error, which picamera2 drops without a word."""
        self.only_size: tuple[int, int] | None = None
        """The one picture size that the pipeline has; any other is adjusted to it."""
        self.least_duration_us = 0
        """The sensor's modes are no faster than this."""
        self.codec_busy = False
        """Opening the codec fails with EBUSY."""
        self.codec_missing = False
        """Opening the codec fails with ENOENT."""
        self.codec_stalled = False
        """The codec gives nothing back, to those who have it open now."""
        self.codec_latency_s = 0.0
        """What each picture takes in the codec beside encoding it."""
        self.without_timestamp = 0
        """So many pictures come without a time stamp: whoever reads it in the camera's loop raises there."""
        self.lost = self.delivered = 0
        self.losses: list[str] = []
        """Whose each of the lost ones is."""
        self.controls: dict[str, Any] = {}

    def lose(self, at_ns: int, whose: str) -> None:
        """An exposure without a picture."""
        self.lost += 1
        self.losses.append(whose)
        if os.environ.get("OATHCAM_BENCH"):
            with Path(os.environ["OATHCAM_BENCH"] + ".losses").open("a") as log:
                log.write(f"{at_ns} {whose}\n")
            if whose == Loss.PRODUCT:
                with Path(os.environ["OATHCAM_BENCH"] + ".stacks").open("a") as log:
                    log.write(f"\n{at_ns}\n")
                    log.flush()
                    faulthandler.dump_traceback(log)

    def swallows_picture(self) -> bool:
        if time.monotonic() < self.stall_until:
            return True
        if self.skip_next > 0:
            self.skip_next -= 1
            return True
        return False

    def takes_error(self) -> bool:
        if self.error_next > 0:
            self.error_next -= 1
            return True
        return False

    def takes_timestamp(self) -> bool:
        if self.without_timestamp > 0:
            self.without_timestamp -= 1
            return True
        return False

    def do(self, orders: dict[str, Any]) -> None:
        """Set attributes; ``stall`` is in seconds from now."""
        for name, value in orders.items():
            if name == "stall":
                self.stall_until = time.monotonic() + value
            elif name == "crash":
                os._exit(139)
            else:
                assert hasattr(self, name), name
                setattr(self, name, value)


hand = Hand()


def _listen(path: Path) -> None:
    begin = path.with_name(path.name + ".json")
    if begin.exists():
        hand.do(json.loads(begin.read_text()))
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))

    def run() -> None:
        while True:
            hand.do(json.loads(receiver.recv(4096)))

    threading.Thread(target=run, daemon=True, name="bench").start()


class Remote:
    """The hand in another process. ``keep`` also writes it down for processes that start later."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def do(self, *, keep: bool = False, **orders: Any) -> None:
        state = self.path.with_name(self.path.name + ".json")
        if keep:
            before = json.loads(state.read_text()) if state.exists() else {}
            state.write_text(json.dumps({**before, **orders}))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(json.dumps(orders).encode(), str(self.path))
            except (ConnectionRefusedError, FileNotFoundError):
                assert keep, "nobody listens"


if os.environ.get("OATHCAM_BENCH"):
    _listen(Path(os.environ["OATHCAM_BENCH"]))
if os.environ.get("OATHCAM_BENCH_FILM"):
    hand.film = Film(os.environ["OATHCAM_BENCH_FILM"], Path(os.environ["OATHCAM_BENCH"]).parent)
