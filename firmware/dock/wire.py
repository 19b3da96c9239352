"""HTTP/1.1 heads as values: parsing and building, without a socket.

Responsible for the little of RFC 9112 that the dock link uses: a request line, header fields, a body of stated length.
Refuses everything else: chunked bodies, folded or repeated fields, bare line feeds, absolute targets. What is refused
cannot be understood differently by two readers, so nothing can be smuggled between them.

Invariant: whatever the bytes, a parser here raises nothing but FormatError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from firmware.errors import FormatError

MAX_HEAD_BYTES = 16 * 1024
MAX_FIELDS = 64
END_OF_HEAD = b"\r\n\r\n"
LAYER = "http"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH"})
_TARGET = re.compile(r"/[A-Za-z0-9._/-]{0,511}\Z")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}\Z")
_VALUE = re.compile(r"[\x20-\x7e\t]{0,8192}\Z")
_LENGTH = re.compile(r"[0-9]{1,15}\Z")
_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Method, path and header fields (names in lower case) of one request."""

    method: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def segments(self) -> tuple[str, ...]:
        """The path cut at its slashes, without the empty one in front."""
        return tuple(self.path.split("/")[1:])

    @property
    def content_length(self) -> int | None:
        """Bytes of the body that follows; ``None`` when the request has no Content-Length."""
        text = self.fields.get("content-length")
        return None if text is None else int(text)


def parse_request_head(data: bytes) -> RequestHead:
    """The head of one request, without the empty line that ends it. Raises FormatError (RFC 9112, sections 3 and 5)."""
    if len(data) > MAX_HEAD_BYTES:
        raise FormatError(LAYER, f"expected a head of at most {MAX_HEAD_BYTES} bytes, got {len(data)}")
    try:
        lines = data.decode("ascii").split("\r\n")
    except UnicodeDecodeError as error:
        raise FormatError(LAYER, "expected ASCII in the head", offset=error.start) from None
    method, path = _parse_request_line(lines[0])
    return RequestHead(method, path, _parse_fields(lines[1:]))


def _parse_request_line(line: str) -> tuple[str, str]:
    parts = line.split(" ")
    if len(parts) != 3:
        raise FormatError(LAYER, f"expected a request line of three parts, got {line[:80]!r}")
    method, target, version = parts
    if version != "HTTP/1.1":
        raise FormatError(LAYER, f"expected HTTP/1.1, got {version[:20]!r}")
    if method not in _METHODS:
        raise FormatError(LAYER, f"expected one of {sorted(_METHODS)!r}, got {method[:20]!r}")
    if not _TARGET.match(target):
        raise FormatError(LAYER, f"expected a plain path, got {target[:80]!r}")
    if any(part in ("", ".", "..") for part in target.split("/")[1:]):
        raise FormatError(LAYER, f"expected a path without empty or dotted parts, got {target[:80]!r}")
    return method, target


def _parse_fields(lines: list[str]) -> dict[str, str]:
    if len(lines) > MAX_FIELDS:
        raise FormatError(LAYER, f"expected at most {MAX_FIELDS} header fields, got {len(lines)}")
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not _NAME.match(name) or not _VALUE.match(value):
            raise FormatError(LAYER, f"expected a header field, got {line[:80]!r}")
        if name.lower() in fields:
            raise FormatError(LAYER, f"expected the header field {name!r} once")
        fields[name.lower()] = value.strip(" \t")
    if "transfer-encoding" in fields:
        raise FormatError(LAYER, "expected a body of stated length, got a transfer coding")
    if not _LENGTH.match(fields.get("content-length", "0")):
        raise FormatError(LAYER, f"expected a decimal content length, got {fields['content-length'][:20]!r}")
    return fields


@dataclass(frozen=True, slots=True)
class Response:
    """Status, extra header fields and a whole body in memory (bodies of this protocol are small in this direction)."""

    status: int
    body: bytes = b""
    fields: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def response_bytes(response: Response, *, with_body: bool, close: bool) -> bytes:
    """The response as it goes on the wire. ``with_body`` is false for HEAD, whose length is stated all the same."""
    lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in response.fields.items()]
    lines.append("Cache-Control: no-store")
    if response.body:
        lines.append(f"Content-Type: {response.content_type}")
    if response.status != 204:
        lines.append(f"Content-Length: {len(response.body)}")
    if close:
        lines.append("Connection: close")
    head = "\r\n".join(lines).encode("ascii") + END_OF_HEAD
    return head + response.body if with_body else head
