"""What is read is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.evidence.manifest import Begin
from tests.unit.helpers_evidence import begin

SEEDS = (begin().to_bytes(),)


def target(data: bytes) -> None:
    try:
        found = Begin.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
