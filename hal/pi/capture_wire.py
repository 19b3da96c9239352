"""What the recorder and its capture process say to each other: length-prefixed messages on a stream socket.

Responsible for the framing and for bounds; a stream that breaks them is a ``DeviceFault``, for the other side may have gone mad.
Refuses to know what a message leads to.

A message is a header of 16 bytes (kind u8, flags u8, two zero bytes, length u32, boot time of the exposure in ns i64; native order,
both ends are one machine) and ``length`` bytes: an access unit, grey pixels after width and height (u16 each), or JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hal.errors import DeviceFault

_HEADER = struct.Struct("=BBxxIq")
SIZES = struct.Struct("=HH")
_LIMIT_BYTES = 4 << 20
"""More than any access unit or grey picture has."""


class Kind(Enum):
    """From the capture process: what it delivers and tells. From the recorder: an order."""

    PICTURE = 1
    LUMA = 2
    PROGRESS = 3
    STARTED = 4
    REFUSED = 5
    FAULT = 6
    STOPPED = 7
    ORDER = 8


@dataclass(frozen=True, slots=True)
class Message:
    kind: Kind
    data: bytes = b""
    at_ns: int = 0
    keyframe: bool = False

    def facts(self) -> dict[str, Any]:
        """The payload as a JSON object."""
        try:
            found = json.loads(self.data)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise DeviceFault("capture process: expected a JSON object")
        return found


def told(kind: Kind, **facts: Any) -> Message:
    return Message(kind, json.dumps(facts).encode())


class Wire:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._sending = threading.Lock()

    def send(self, message: Message) -> None:
        """Blocks while the other side does not read. ``DeviceFault`` when it is gone."""
        header = _HEADER.pack(message.kind.value, message.keyframe, len(message.data), message.at_ns)
        try:
            with self._sending:
                self._socket.sendall(header + message.data)
        except OSError as error:
            raise DeviceFault(f"capture process: {error.strerror or error}") from error

    def receive(self) -> Message | None:
        """The next message; ``None`` when the other side has closed. ``DeviceFault`` for what is no message."""
        header = self._exactly(_HEADER.size)
        if header is None:
            return None
        kind, flags, length, at_ns = _HEADER.unpack(header)
        if length > _LIMIT_BYTES or kind not in Kind._value2member_map_:
            raise DeviceFault(f"capture process: message of kind {kind} with {length} bytes")
        data = self._exactly(length)
        return None if data is None else Message(Kind(kind), data, at_ns, bool(flags))

    def close(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        self._socket.close()

    def _exactly(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._socket.recv(min(count - len(parts), 1 << 16))
            except OSError:
                return None
            if not part:
                return None
            parts += part
        return bytes(parts)
