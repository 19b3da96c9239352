"""What is read is written again as the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.evidence.manifest import Manifest
from tests.unit.helpers_evidence import closed_later, manifest

SEEDS = (
    manifest(2).to_bytes(),
    closed_later(manifest(2)).to_bytes(),
)


def target(data: bytes) -> None:
    try:
        found = Manifest.from_bytes(data)
    except FormatError:
        return
    assert found.to_bytes() == data
