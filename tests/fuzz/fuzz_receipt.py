"""What is read is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.custody.receipt import Receipt
from firmware.errors import FormatError
from tests.vectors.build.receipts import receipt

SEEDS = (receipt().to_bytes(),)


def target(data: bytes) -> None:
    try:
        found = Receipt.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
