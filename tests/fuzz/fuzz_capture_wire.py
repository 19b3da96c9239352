"""The recorder reads messages, the end, or a DeviceFault from its capture process, and nothing else."""

from __future__ import annotations

import socket
import struct

from hal.errors import DeviceFault
from hal.pi.capture_wire import Kind, Wire


def _message(kind: int, data: bytes) -> bytes:
    return struct.pack("=BBxxIq", kind, 0, len(data), 0) + data


SEEDS = (
    _message(3, b'{"pictures":1}'),
    _message(3, b'{"a":2}') + _message(7, b"{}"),
    _message(4, b"[" * 30_000),
)


def target(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(data[:65_536])
        far.shutdown(socket.SHUT_WR)
        wire = Wire(near)
        try:
            while (message := wire.receive()) is not None:
                assert isinstance(message.kind, Kind)
                message.facts()
        except DeviceFault:
            return
