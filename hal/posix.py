"""What every back-end on Linux shares: clocks, entropy, inbox, worker thread, the service manager's socket.

Responsible for the kernel's side of these ports, with the standard library alone. Refuses to know any device.

Invariants: boot time and wall time of one reading were read within a bounded interval of each other; no method that a
signal handler may call takes a lock that its own thread may hold without re-entrance (``threading.Condition`` uses an
RLock; ``queue.Queue`` does not, which is why it is not used here).
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from hal.directory_volume import DirectoryVolume
from hal.errors import DeviceFault, HalError
from hal.interfaces import Clock, ClockReading, ClockTrust, Entropy, Inbox, Timer, Watchdog, Worker

__all__ = ["DirectoryVolume", "PosixClock", "QueueInbox", "SdNotifyWatchdog", "SystemEntropy", "ThreadWorker", "request_by_file"]

_NS = 1_000_000_000
_BRACKET_NS = 50_000
"""Largest distance of the two boot-time reads around the wall read before the pair is read again."""
_BRACKET_TRIES = 8
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Random, made when the kernel starts (proc_sys_kernel(5))."""


class _Call(Timer):
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class PosixClock(Clock):
    """CLOCK_BOOTTIME and CLOCK_REALTIME; timers run on one thread, started by the first :meth:`call_at`.

    ``trust`` is what the opener knows of the wall clock (an RTC present, or nothing).
    """

    def __init__(self, trust: ClockTrust = ClockTrust.UNSET, uncertainty_ns: int = 0) -> None:
        self._trust = trust
        self._uncertainty_ns = uncertainty_ns
        self._changed = threading.Condition()
        self._heap: list[tuple[int, int, _Call]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> ClockReading:
        best: tuple[int, int, int] | None = None
        for _ in range(_BRACKET_TRIES):
            before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
            width = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - before
            if best is None or width < best[0]:
                best = (width, before + width // 2, wall)
            if width <= _BRACKET_NS:
                break
        assert best is not None
        return ClockReading(best[1], best[2], self._trust, self._uncertainty_ns)

    def call_at(self, boottime_ns: int, callback: Callable[[], None]) -> Timer:
        call = _Call(callback)
        with self._changed:
            if self._closed:
                raise HalError("clock is closed")
            heapq.heappush(self._heap, (boottime_ns, next(self._numbers), call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
                self._thread.start()
            self._changed.notify()
        return call

    def set_wall(self, wall_ns: int, trust: ClockTrust, uncertainty_ns: int) -> str:
        try:
            time.clock_settime_ns(time.CLOCK_REALTIME, wall_ns)
        except OSError as error:
            raise DeviceFault(f"cannot set the wall clock: {error.strerror}; give the service CAP_SYS_TIME") from error
        self._trust, self._uncertainty_ns = trust, uncertainty_ns
        return ""

    def boot_id(self) -> str:
        """The kernel's; empty where /proc does not show it."""
        try:
            return BOOT_ID.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def close(self) -> None:
        """End the timer thread; calls still pending are not made."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while (call := self._wait_due()) is not None:
            callback = call.callback
            if callback is not None:
                callback()

    def _wait_due(self) -> _Call | None:
        with self._changed:
            while not self._closed:
                wait_ns = self._heap[0][0] - time.clock_gettime_ns(time.CLOCK_BOOTTIME) if self._heap else None
                if wait_ns is not None and wait_ns <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(None if wait_ns is None else wait_ns / _NS)
            return None


def request_by_file(path: Path) -> None:
    """Make the empty file that the service manager's path unit waits for. A volatile directory: nothing is synced."""
    try:
        path.touch(mode=0o640)
    except OSError as error:
        raise DeviceFault(f"cannot ask for a dock sync at {str(path)!r}: {error.strerror}") from error


class SystemEntropy(Entropy):
    """The kernel's generator; blocks at most until it was seeded once."""

    def random_bytes(self, count: int) -> bytes:
        return os.urandom(count)


class QueueInbox(Inbox):
    """A bounded first-in first-out queue between any threads and the loop."""

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._items: deque[object] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: object, *, urgent: bool = False) -> bool:
        with self._changed:
            if self._closed or len(self._items) >= self._limit * (2 if urgent else 1):
                return False
            self._items.append(item)
            self._changed.notify()
            return True

    def get(self) -> object | None:
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            return self._items.popleft() if self._items else None

    def depth(self) -> tuple[int, int]:
        return len(self._items), self._limit

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class ThreadWorker(Worker):
    """One named thread. An exception that escapes a job ends the thread and goes to ``threading.excepthook``;
    from then on :meth:`submit` answers ``False``: a dead worker shows as back-pressure, never as silence."""

    def __init__(self, name: str, depth: int) -> None:
        self._depth = depth
        self._jobs: deque[Callable[[], None]] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> bool:
        with self._changed:
            if self._ended or len(self._jobs) >= self._depth:
                return False
            self._jobs.append(job)
            self._changed.notify()
            return True

    def close(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        try:
            while (job := self._next()) is not None:
                job()
        finally:
            with self._changed:
                self._ended = True

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._jobs and not self._ended:
                self._changed.wait()
            return self._jobs.popleft() if self._jobs else None


class SdNotifyWatchdog(Watchdog):
    """sd_notify(3): datagrams to ``NOTIFY_SOCKET``; silent where there is no service manager.

    A datagram that cannot be delivered is dropped: the manager's time-out is what speaks then, as it should.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if address:
            self._address = "\0" + address[1:] if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    def ready(self) -> None:
        self._send("READY=1")

    def feed(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        # A newline would start another assignment: text from elsewhere must not be able to say READY=1.
        self._send("STATUS=" + " ".join(text.split()))

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            return
