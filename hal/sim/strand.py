"""A worker whose job may hang in a device while the loop goes on, on a virtual time line and with the same result every time.

Responsible for two threads of which one runs: a job has a thread of its own, and whoever let it run waits until it ends or hangs. A job
that hangs goes on at an instant of the world, or not before the end of its life. Refuses to know what hangs.

Only lives of a world that has something slow get this worker (``Life.slow``): every other runs its jobs in place, which is faster.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from hal.errors import PowerCut
from hal.interfaces import Worker
from hal.sim.world import Life


class StrandWorker(Worker):
    def __init__(self, life: Life, depth: int) -> None:
        self._life = life
        self._depth = depth
        self._jobs: deque[Callable[[], None]] = deque()
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(1, "strand")
        self._running: Future[None] | None = None
        self._thread: threading.Thread | None = None
        self._hangs = self._ended = False
        self._elsewhere, life.hang = life.hang, self.hang
        life.at_end.append(self._end)

    def submit(self, job: Callable[[], None]) -> bool:
        self._life.check()
        if self._ended or len(self._jobs) >= self._depth:
            return False
        self._jobs.append(job)
        if not self._hangs:
            self._pass_turn()
        return True

    def close(self) -> None:
        """As a thread's join: the world goes on until what hangs is done."""
        while self._hangs and self._life.world.step():
            pass
        self._end()

    def hang(self, until_ns: int | None) -> None:
        """Called by a device: the job that runs goes on at ``until_ns`` of the world, or never. In a job of another
        worker, that one hangs; in none, the caller's thread hangs, and the world goes on around it."""
        if threading.current_thread() is not self._thread:
            self._elsewhere(until_ns)
            return
        self._hangs = True
        if until_ns is not None:
            self._life.at(until_ns, self._pass_turn)
        self._back.release()
        self._turn.acquire()
        self._hangs = False
        if self._ended:
            raise PowerCut("this life is over")

    def _pass_turn(self) -> None:
        """Let the thread run until its jobs are done, or one of them hangs; what one of them raised comes out of here."""
        if self._ended:
            return
        if self._hangs:
            self._turn.release()
        else:
            self._running = self._pool.submit(self._run)
            self._running.add_done_callback(lambda _: self._back.release())
        self._back.acquire()
        if self._running is not None and self._running.done():
            self._running.result()

    def _run(self) -> None:
        self._thread = threading.current_thread()
        while self._jobs and not self._ended:
            self._jobs.popleft()()

    def _end(self) -> None:
        self._ended = True
        if threading.current_thread() is not self._thread:  # else the power went inside a job
            self._turn.release()
            self._pool.shutdown()
