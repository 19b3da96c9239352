"""A signing SEI is a FormatError or parsed to its last byte, and the cheap look agrees that it is one."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.onvif_sei import is_signing_sei, parse_sei
from firmware.media.time_sei import parse_time_sei
from tests.vectors.build.seis import Sei

SEEDS = (
    Sei().nal(),
    Sei(listed=False, flags=0x40).nal(),
)


def target(data: bytes) -> None:
    for parse in (parse_sei, parse_time_sei):
        try:
            parse(data)
        except FormatError:
            continue
        assert parse is parse_time_sei or is_signing_sei(data)
