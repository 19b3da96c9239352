"""A fragment is a FormatError, or its samples fill its mdat to the last byte."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.fmp4_read import parse_fragment, parse_init
from tests.fuzz.media import FRAGMENTS, INIT

TRACKS = parse_init(INIT)

SEEDS = (*FRAGMENTS,)


def target(data: bytes) -> None:
    try:
        info = parse_fragment(data, TRACKS)
    except FormatError:
        return
    assert data.endswith(b"".join(bytes(sample.data) for sample in info.samples))
