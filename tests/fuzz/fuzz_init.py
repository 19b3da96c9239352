"""An init segment is a FormatError, or one whose tracks a fragment can be read with."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.fmp4_read import parse_fragment, parse_init
from tests.fuzz.media import FRAGMENTS, INIT

SEEDS = (INIT,)


def target(data: bytes) -> None:
    try:
        info = parse_init(data)
    except FormatError:
        return
    for fragment in FRAGMENTS:
        try:
            parse_fragment(fragment, info)
        except FormatError:
            continue
