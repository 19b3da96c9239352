"""A byte stream is a FormatError or NAL units that come back from their length prefixes."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media import nal
from tests.fuzz.media import PICTURES

SEEDS = (*PICTURES,)


def target(data: bytes) -> None:
    try:
        nals = nal.split_annexb(data)
    except FormatError:
        return
    assert nal.split_length_prefixed(nal.to_length_prefixed(nals)) == tuple(nals)
