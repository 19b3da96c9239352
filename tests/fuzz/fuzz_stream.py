"""The validator raises nothing, calls no altered GOP valid, and says how many it was given."""

from __future__ import annotations

from firmware.errors import FormatError
from firmware.media.validator import validate_stream
from tests.unit.helpers_evidence import agency
from tests.vectors import run
from tests.vectors.build.streams import annexb, flat, three

GENUINE = [nal for one in three() for picture in one.pictures for nal in picture]

SEEDS = (annexb(flat(three())),)


def target(data: bytes) -> None:
    try:
        units = run.access_units(data)
    except FormatError:
        return
    report = validate_stream(units, agency().roots)
    report.problems()
    assert report.valid_gops <= 3
    slices = [nal for unit in units for nal in unit if nal[0] & 0x1F in (1, 5)]
    assert report.valid_gops < 3 or all(nal in slices for nal in GENUINE)
