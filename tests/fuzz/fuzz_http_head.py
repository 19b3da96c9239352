"""A request head is a FormatError, or a plain path and fields that two readers understand alike."""

from __future__ import annotations

from firmware.dock.upload import parse_append, parse_digest, parse_state
from firmware.dock.wire import parse_request_head
from firmware.errors import FormatError

SEEDS = (
    b"PATCH /v1/upload/R-1/x HTTP/1.1\r\nContent-Type: application/partial-upload\r\nContent-Length: 5\r\nUpload-Offset: 0\r\n"
    b"Upload-Complete: ?1\r\nUpload-Length: 5\r\nRepr-Digest: sha-256=:" + b"A" * 43 + b"=:",
    b"GET /v1/session HTTP/1.1\r\nHost: dock",
)


def target(data: bytes) -> None:
    try:
        head = parse_request_head(data)
    except FormatError:
        return
    assert all(part not in ("", ".", "..") for part in head.segments)
    assert head.content_length is None or head.content_length >= 0
    for parse in (parse_append, parse_state, lambda fields: parse_digest(fields.get("repr-digest", ""))):
        try:
            parse(head.fields)
        except FormatError:
            continue
