"""ECDSA P-256 at the edge of a key store: what goes into a device and what may come out of it.

Responsible for the forms of digests, public keys and signatures, and for believing no device: a signature that does not
verify under the device's own key is a fault of the device now, not "not authentic" in court later. Refuses to know devices.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hal.errors import DeviceFault, HalError

ALGORITHM = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


def require_digest(digest: bytes) -> None:
    if len(digest) != 32:
        raise HalError(f"expected a digest of 32 bytes, got {len(digest)}")


def spki(public: ec.EllipticCurvePublicKey) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_from_point(point: bytes, device: str) -> ec.EllipticCurvePublicKey:
    """From an uncompressed point (SEC 1 §2.3.3: 04, X, Y); ``DeviceFault`` when it is not on the curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise DeviceFault(f"{device}: its public key is no point of P-256") from error


def checked_signature(r: int, s: int, digest: bytes, public: ec.EllipticCurvePublicKey, device: str) -> bytes:
    """DER ``Ecdsa-Sig-Value`` (RFC 3279 §2.2.3) of what a device answered; ``DeviceFault`` when it does not verify."""
    signature = utils.encode_dss_signature(r, s)
    try:
        public.verify(signature, digest, ALGORITHM)
    except InvalidSignature as error:
        raise DeviceFault(f"{device}: its signature does not verify under its own key") from error
    return signature
