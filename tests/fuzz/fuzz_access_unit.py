"""What a camera delivers is a FormatError or one picture, whose NAL units are its own and are accepted again."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.access_unit import parse_access_unit
from tests.fuzz.media import PICTURES
from tests.unit.helpers_media import annexb, at

SEEDS = (*PICTURES,)


def target(data: bytes) -> None:
    for keyframe in (True, False):
        try:
            unit = parse_access_unit(data, keyframe, at(0))
        except FormatError:
            continue
        assert parse_access_unit(annexb(*unit.nals), keyframe, at(0)) == unit
