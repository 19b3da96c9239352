"""What is read is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.custody.order import Officer, Order
from firmware.errors import FormatError

_UTC = "2026-11-23T08:14:47.123456Z"
SEEDS = tuple(Order("OC-000001", _UTC, "store-1", who).to_bytes() for who in (Officer("3" * 64, 700), None))


def target(data: bytes) -> None:
    try:
        found = Order.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
