"""A detached signature that verifies is by the camera that signed; everything else is one error of ours."""

from __future__ import annotations

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms
from tests.unit.helpers_evidence import agency
from tests.vectors.build.signatures import CONTENT, genuine

SEEDS = (genuine(),)


def target(data: bytes) -> None:
    try:
        signer = cms.verify_detached(CONTENT, data, agency().roots)
    except (FormatError, IntegrityError, UnavailableError):
        return
    assert signer.certificate == agency().camera.certificate
