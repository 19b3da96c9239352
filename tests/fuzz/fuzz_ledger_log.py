"""Entries that are proven are a prefix of those that the camera signed; everything else is one error of ours."""

from __future__ import annotations

from firmware.custody.checkpoint import read_log
from firmware.errors import FormatError, IntegrityError
from tests.unit.helpers_evidence import ORIGIN, agency
from tests.vectors.build.ledger import FIRST, LEAVES, SECOND, log

SEEDS = (log(FIRST, SECOND),)


def target(data: bytes) -> None:
    for verify_all in (False, True):
        try:
            state = read_log(data, ORIGIN, agency().camera.key.public_key(), verify_all)
        except (FormatError, IntegrityError):
            continue
        assert [entry.to_bytes() for entry in state.entries] == LEAVES[: len(state.entries)]
