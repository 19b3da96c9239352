"""Orders: who wears a camera, sealed to the agency's recipients and signed by a dock's store key (BWC-POL-30).

Responsible for making one from an officer's name and a dock's identity. Refuses to keep or send it. The name is in clear in memory here,
and nowhere after.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.custody.order import OFFICER_FORMAT, Officer, Order
from firmware.dock.protocol import SignedOrder
from firmware.errors import UnavailableError, UsageError
from firmware.evidence import cms, jcs, pki
from firmware.evidence.primitives import sha256
from firmware.timebase import format_utc

MAX_NAME = 120


def make_order(
    serial: str, officer: str, tag: str, recipients: Sequence[x509.Certificate], store: tuple[Path, Path], now_ns: int
) -> SignedOrder:
    """An order for the camera ``serial``; an empty ``officer`` takes it from whoever has it. ``store``: certificate chain and key, PEM.

    ``UsageError`` for a name that cannot stand, ``UnavailableError`` for a key that is not there.
    """
    for text in (officer, tag):
        if len(text) > MAX_NAME or not text.isprintable():
            raise UsageError(f"expected at most {MAX_NAME} printable characters, got {text[:40]!r}", remedy="Shorten the name or the tag.")
    chain, key = _store(*store)
    issued = format_utc(now_ns // 1000 * 1000)
    sealed = b""
    if officer:
        words = {"format": OFFICER_FORMAT, "device": serial, "issued_utc": issued, "officer": officer, "tag": tag}
        sealed = cms.seal(jcs.canonical(words), [cms.Recipient.from_certificate(one) for one in recipients], secrets.token_bytes)
    named = Officer(sha256(sealed).hex(), len(sealed)) if sealed else None
    data = Order(serial, issued, pki.common_name(chain[0]), named).to_bytes()

    def sign_digest(digest: bytes) -> bytes:
        return key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    return SignedOrder(data, cms.sign_detached(data, [pki.to_der(one) for one in chain], sign_digest, now_ns), sealed)


def recipients_beside(identity: Path) -> list[x509.Certificate]:
    """The recipients' certificates of a dock: ``recipients/*.crt`` beside its keys, else those of the agency's directory above."""
    paths = sorted((identity / "recipients").glob("*.crt")) or [identity.parent / f"{name}.crt" for name in ("agency", "oversight")]
    try:
        return [pki.load_certificates_pem(path.read_bytes())[0] for path in paths]
    except OSError as error:
        raise UnavailableError(
            f"cannot read the recipient's certificate {str(error.filename)!r}: {error.strerror}",
            remedy=f"Put the recipients' certificates into {identity / 'recipients'}.",
        ) from None


def _store(certificate: Path, key: Path) -> tuple[tuple[x509.Certificate, ...], ec.EllipticCurvePrivateKey]:
    try:
        loaded = load_pem_private_key(key.read_bytes(), None)
        chain = pki.load_certificates_pem(certificate.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise UnavailableError(
            f"cannot use the store's key {str(key)!r}: {error}", remedy="Name a dock identity that provisioning made."
        ) from None
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise UnavailableError(f"expected an elliptic-curve key in {str(key)!r}", remedy="Provision the dock again.")
    return tuple(chain), loaded
