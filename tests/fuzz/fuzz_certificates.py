"""Certificates are read or a FormatError, in PEM and in DER; a chain that proves a role is the agency's."""

from __future__ import annotations

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import pki
from tests.unit.helpers_evidence import NOW_NS, agency
from tests.vectors.build.people import camera_pem

SEEDS = (
    camera_pem(),
    *agency().camera.chain,
)


def target(data: bytes) -> None:
    for read in (pki.load_certificates_pem, lambda der: (pki.load_certificate(der),)):
        try:
            chain = read(data)
            pki.check_chain(chain, agency().roots, pki.Role.CAMERA, NOW_NS)
        except (FormatError, IntegrityError, UnavailableError):
            continue
        assert chain[0] == agency().camera.certificate
