"""The dock's serial hint channel: its lines. Both ends use this module, and it opens nothing.

One message a line: a JSON object, ``*``, and the CRC-16/CCITT-FALSE of the object's bytes as four hexadecimal digits, as NMEA does;
readable with ``cat``. The camera says HELLO and STATE while it is docked, the dock answers with BAY: which bay this is, and where its
station listens.

Nothing here is secret and nothing is believed (BWC-POL-07): no message starts, stops, mutes or configures anything. BAY says which
address to try first; TLS decides whether a dock of the agency is there.

Invariants: a line has at most 512 bytes; :func:`decode` raises nothing but :class:`BadHint`, whatever the line; texts are printable
ASCII, an address is a literal, so that a hint never asks a name server.
"""

from __future__ import annotations

import binascii
import ipaddress
import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from hal.errors import HalError

BAUD = 115_200
HINT_FILE = "dock-hint"
"""The bay's line as the recorder keeps it for the dock-sync process, beside the sync request; a volatile directory."""
MAX_LINE_BYTES = 512
LINES_PER_SECOND = 20
"""More than either side ever says, and less than costs anything."""
_TEXT = re.compile(r"[ -~]{1,64}")
_HOST = re.compile(r"[0-9A-Fa-f.:]{2,45}(%[A-Za-z0-9_-]{1,15})?")
"""An address and the name of a network interface: nothing that a resolver or TLS could stumble over."""
_CRC = re.compile(rb"[0-9A-F]{4}")


class BadHint(HalError):
    """Bytes that are no line of the hint channel."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The camera introduces itself. ``boot`` counts its boots."""

    serial: str
    firmware: str
    boot: int


@dataclass(frozen=True, slots=True)
class State:
    """What the camera is at, for whoever looks at the dock."""

    state: str


@dataclass(frozen=True, slots=True)
class Bay:
    """Which bay of which dock, and the address that its station listens at."""

    dock: str
    bay: int
    host: str
    port: int


Message = Hello | State | Bay
_KINDS: dict[str, type[Message]] = {"HELLO": Hello, "STATE": State, "BAY": Bay}
_LIMITS = {"boot": (0, 1 << 53), "bay": (0, 9999), "port": (1, 65_535)}


def encode(message: Message) -> bytes:
    """One line with its line feed. :class:`BadHint` when a value is out of bounds."""
    kind = type(message).__name__.upper()
    body = json.dumps({"type": kind, **asdict(message)}, separators=(",", ":")).encode("ascii")
    line = body + b"*%04X\n" % binascii.crc_hqx(body, 0xFFFF)
    if decode(line) != message:
        raise BadHint(f"{message!r} does not survive its own line")
    return line


def decode(line: bytes) -> Message:
    """The message of one line, with or without its line end."""
    if len(line) > MAX_LINE_BYTES:
        raise BadHint(f"expected at most {MAX_LINE_BYTES} bytes, got {len(line)}")
    body, star, crc = line.rstrip(b"\r\n").rpartition(b"*")
    if not star or not _CRC.fullmatch(crc) or int(crc, 16) != binascii.crc_hqx(body, 0xFFFF):
        raise BadHint("no checksum that fits")
    try:
        table = json.loads(body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadHint(f"no JSON: {error}") from None
    if not isinstance(table, dict):
        raise BadHint(f"expected an object, got {type(table).__name__}")
    kind = _KINDS.get(str(table.pop("type", "")))
    if kind is None or table.keys() != kind.__dataclass_fields__.keys():
        raise BadHint("no message that is known here")
    return kind(**{name: _checked(name, value) for name, value in table.items()})


def _checked(name: str, value: Any) -> Any:
    if name in _LIMITS:
        low, high = _LIMITS[name]
        if type(value) is not int or not low <= value <= high:
            raise BadHint(f"{name}: expected a number from {low} to {high}")
    elif not isinstance(value, str) or not _TEXT.fullmatch(value):
        raise BadHint(f"{name}: expected 1 to 64 printable characters")
    elif name == "host" and not _is_address(value):
        raise BadHint("host: expected an address, not a name")
    return value


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return _HOST.fullmatch(text) is not None


class LineReader:
    """Messages out of whatever a wire delivers, in any pieces. Garbage and what is over the rate cost nothing but themselves."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._overlong = False
        self._allowance = float(LINES_PER_SECOND)
        self._at_s = 0.0
        self.rejected = 0
        """Lines that were no message, or too many."""

    def feed(self, data: bytes, now_s: float) -> list[Message]:
        """Messages completed by ``data``. ``now_s``: any clock that never goes back."""
        self._allowance = min(LINES_PER_SECOND, self._allowance + max(0.0, now_s - self._at_s) * LINES_PER_SECOND)
        self._at_s = now_s
        messages: list[Message] = []
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._buffer += line[: MAX_LINE_BYTES + 1]
            whole, self._buffer = bytes(self._buffer), bytearray()
            overlong, self._overlong = self._overlong, False
            if whole.strip() and not overlong:
                messages += self._message(whole)
        self._buffer += rest
        if len(self._buffer) > MAX_LINE_BYTES:
            self.rejected += not self._overlong
            self._overlong = True
            self._buffer.clear()
        return messages

    def _message(self, line: bytes) -> list[Message]:
        if self._allowance >= 1:
            self._allowance -= 1
            try:
                return [decode(line)]
            except BadHint:
                pass
        self.rejected += 1
        return []
