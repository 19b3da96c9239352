"""What is read is an annotation that is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.evidence.annotation import Annotation

SEEDS = (
    Annotation("R-1", "category", "FA_INCIDENTAL", 65_000_000).to_bytes(),
    Annotation("R-1", "mute-reason", "NOT_GIVEN", 0).to_bytes(),
)


def target(data: bytes) -> None:
    try:
        found = Annotation.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
