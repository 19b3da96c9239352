"""A signature file verifies with the content and the trusted comment that were signed; everything else is one error of ours."""

from __future__ import annotations

from firmware.errors import FormatError, IntegrityError
from firmware.evidence.primitives import ed25519_public
from firmware.policy import minisign
from tests.vectors.build import people, policies

SEEDS = (
    policies.sign().encode(),
    minisign.public_key_text(people.POLICY_KEY_ID, bytes(32)).encode(),
)


def target(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    key = minisign.PublicKey(people.POLICY_KEY_ID, ed25519_public(people.POLICY_SEED))
    try:
        minisign.parse_public_key(text)
    except FormatError:
        pass
    try:
        signature = minisign.parse_signature(text)
        minisign.verify_minisign(key, policies.POLICY, signature)
    except (FormatError, IntegrityError):
        return
    assert signature.trusted_comment == policies.COMMENT
