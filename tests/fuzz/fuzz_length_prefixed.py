"""A sample is a FormatError or NAL units that give it again."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media import nal
from tests.fuzz.media import PICTURES

SEEDS = (*(nal.to_length_prefixed(nal.split_annexb(picture)) for picture in PICTURES),)


def target(data: bytes) -> None:
    try:
        nals = nal.split_length_prefixed(data)
    except FormatError:
        return
    assert nal.to_length_prefixed(nals) == data
