"""What is read is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.custody.entries import Entry
from firmware.errors import FormatError
from tests.vectors.build.ledger import LEAVES, entry

SEEDS = (*LEAVES, entry(6, "annotation").to_bytes(), entry(7, "stealth").to_bytes())


def target(data: bytes) -> None:
    try:
        found = Entry.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
