"""What parses is canonical: written again it is the same bytes; everything else is a FormatError."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.evidence import jcs
from tests.unit.helpers_evidence import begin

SEEDS = (
    begin().to_bytes(),
    jcs.canonical({"é": [1, {"b": "\U0001f600"}], "": None}),
    b"[" * 15 + b"]" * 15,
)


def target(data: bytes) -> None:
    try:
        value = jcs.parse(data, "fuzz")
    except FormatError:
        return
    assert jcs.canonical(value) == data
