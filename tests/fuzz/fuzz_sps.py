"""A sequence parameter set is a FormatError or a picture of at most 16384 samples a side."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.sps import parse_sps
from tests.unit.helpers_media import SPS_NAL

SEEDS = (
    SPS_NAL,
    bytes.fromhex("6764001facd9405005bb016a02020280000003008000001e478c18cb"),
)


def target(data: bytes) -> None:
    try:
        found = parse_sps(data)
    except FormatError:
        return
    assert 0 < found.width <= 16384
    assert 0 < found.height <= 16384
