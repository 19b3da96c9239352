"""A sealed object opens to what was sealed, or is one error of ours; with a key of each kind."""

from __future__ import annotations

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms
from tests.unit.helpers_evidence import agency
from tests.vectors.build import people, sealed

SEEDS = (
    sealed.sealed(who=2),
    sealed.rsa_sealed(),
)


def target(data: bytes) -> None:
    one = agency()
    for key, certificate in (
        (one.agency.key, one.agency.certificate),
        (one.oversight.key, one.oversight.certificate),
        people.rsa_recipient(),
    ):
        try:
            cms.recipient_key_ids(data)
            assert cms.open_sealed(data, key, certificate) == sealed.PLAIN
        except (FormatError, IntegrityError, UnavailableError):
            continue
