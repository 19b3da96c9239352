"""A cable that can be cut: a TCP proxy that forwards bytes and breaks the connection after so many of them.

Responsible for real cuts of a real transfer, in the demonstration and in tests. Refuses to know what goes through it (TLS ends
behind it). Each number in ``cut_after`` breaks one connection, in order; later connections pass untouched.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Sequence
from types import TracebackType

_CHUNK_BYTES = 16 * 1024
_HARD_CLOSE = struct.pack("ii", 1, 0)


class Cutter:
    """Listens on a free loopback port; use it as a context manager. ``cut_after``: bytes from the client's side."""

    def __init__(self, target: tuple[str, int], cut_after: Sequence[int]) -> None:
        self._target = target
        self._plan = list(cut_after)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.cuts = 0
        self.connections = 0

    @property
    def address(self) -> tuple[str, int]:
        """What the client connects to instead of the target."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def __enter__(self) -> Cutter:
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left, threads = list(self._sockets), list(self._threads)
        for one in left:
            _break(one)
        for thread in threads:
            thread.join()

    def _start(self, work: object, *values: object) -> None:
        thread = threading.Thread(target=work, args=values, daemon=True)  # type: ignore[arg-type]
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self.connections += 1
                self._sockets |= {near, far}
                limit = self._plan.pop(0) if self._plan else None
            self._start(self._serve, near, far, limit)

    def _serve(self, near: socket.socket, far: socket.socket, limit: int | None) -> None:
        """Both directions of one connection; the sockets are closed when neither is read any more."""
        back = threading.Thread(target=_forward, args=(far, near, None), daemon=True)
        back.start()
        if _forward(near, far, limit):
            with self._lock:
                self.cuts += 1
            _break(near)
        _finish(far)
        back.join()
        with self._lock:
            self._sockets -= {near, far}
        near.close()
        far.close()


def _forward(source: socket.socket, sink: socket.socket, limit: int | None) -> bool:
    """Copy until one side ends; true when ``limit`` bytes went through first. What was forwarded still arrives at ``sink``:
    bytes that left a cable before it was cut do."""
    left = limit
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES if left is None else max(1, min(_CHUNK_BYTES, left))):
            sink.sendall(data)
            if left is not None:
                left -= len(data)
                if left <= 0:
                    return True
    _finish(sink)
    return False


def _finish(one: socket.socket) -> None:
    """No more bytes in either direction; what is under way arrives."""
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def _break(one: socket.socket) -> None:
    """End a connection without a farewell, as a pulled plug does."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD_CLOSE)
        one.shutdown(socket.SHUT_RDWR)
