"""The certificates inside a stream, and the signatures that they vouch for.

Responsible for turning the PEM of a Media Signing SEI into a public key, for checking its chain up to roots that the
caller trusts, and for the signatures that cameras make: ECDSA over P-256 and P-384, RSA in PSS and in PKCS#1 v1.5. Refuses
other keys, and refuses to read a clock: validity periods are checked against a time that is handed in, or not at all (the
times in a stream are claims of the very signer in question, and a device leaf outlives its recordings; whether a certificate
was valid then is for the manifest's time stamp).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from firmware.errors import FormatError, IntegrityError

LAYER = "onvif-chain"
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
MAX_CERTIFICATES = 4
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
SigningKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_CURVES = (ec.SECP256R1, ec.SECP384R1)
_ECDSA: dict[bytes, hashes.HashAlgorithm] = {
    b"": hashes.SHA256(),
    bytes.fromhex("06072a8648ce3d0201"): hashes.SHA256(),  # id-ecPublicKey
    bytes.fromhex("06082a8648ce3d040302"): hashes.SHA256(),
    bytes.fromhex("06082a8648ce3d040303"): hashes.SHA384(),
}
_RSA: dict[bytes, tuple[tuple[str, ...], hashes.HashAlgorithm]] = {
    b"": (("pss", "v1.5"), hashes.SHA256()),
    bytes.fromhex("06092a864886f70d010101"): (("pss", "v1.5"), hashes.SHA256()),  # rsaEncryption: names the key alone
    bytes.fromhex("06092a864886f70d01010a"): (("pss",), hashes.SHA256()),
    bytes.fromhex("06092a864886f70d01010b"): (("v1.5",), hashes.SHA256()),
    bytes.fromhex("06092a864886f70d01010c"): (("v1.5",), hashes.SHA384()),
}
_UNREADABLE = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for certificates that are no certificates, here or lazily at a property."""


def parse_chain(pem: bytes) -> tuple[x509.Certificate, ...]:
    """One to four certificates, leaf first; FormatError on anything else."""
    if pem.count(b"-----BEGIN") > MAX_CERTIFICATES:
        raise FormatError(LAYER, f"expected at most {MAX_CERTIFICATES} certificates, got more")
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except _UNREADABLE as error:
        raise FormatError(LAYER, f"expected certificates in PEM: {error}") from None


def signing_key(leaf: x509.Certificate) -> SigningKey:
    """The leaf's public key; FormatError unless it is an EC key on P-256 or P-384, or RSA of 2048 bits or more."""
    try:
        key = leaf.public_key()
    except _UNREADABLE as error:
        raise FormatError(LAYER, f"expected a public key: {error}") from None
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        return key
    raise FormatError(LAYER, f"expected an EC key on P-256 or P-384 or RSA of {MIN_RSA_BITS} bits, got another kind of key")


def verify_signature(key: SigningKey, signature: bytes, document: bytes, algorithm: bytes = b"") -> None:
    """Check a signature over ``document``; IntegrityError when it is not one.

    ``algorithm``: DER of the object identifier that the stream names. Empty: ECDSA for EC keys; for RSA keys PSS, which is what
    ONVIF's own library makes without naming it, or PKCS#1 v1.5; with SHA-256. FormatError for one that does not go with the key.
    """
    try:
        if isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(key, signature, document, algorithm)
        elif algorithm in _ECDSA:
            key.verify(signature, document, ec.ECDSA(_ECDSA[algorithm]))
        else:
            raise FormatError(LAYER, f"expected an ECDSA algorithm, got {algorithm.hex()}")
    except InvalidSignature:
        raise IntegrityError(LAYER, "the signature does not verify") from None


def _verify_rsa(key: rsa.RSAPublicKey, signature: bytes, document: bytes, algorithm: bytes) -> None:
    if algorithm not in _RSA:
        raise FormatError(LAYER, f"expected an RSA algorithm, got {algorithm.hex()}")
    kinds, digest = _RSA[algorithm]
    for kind in kinds:
        pad = padding.PSS(padding.MGF1(digest), padding.PSS.AUTO) if kind == "pss" else padding.PKCS1v15()
        try:
            return key.verify(signature, document, pad, digest)
        except InvalidSignature:
            continue
    raise InvalidSignature


def verify_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: dt.datetime | None) -> None:
    """Check that ``chain`` leads from a signing leaf to one of ``roots``, at the time ``at`` when one is given.

    Raises IntegrityError with the first thing that is wrong.
    """
    try:
        _check_leaf(chain[0])
        _check_path(list(chain), roots, at)
    except _UNREADABLE as error:
        raise IntegrityError(LAYER, f"a certificate cannot be read: {error}") from None


def _check_path(chain: list[x509.Certificate], roots: Sequence[x509.Certificate], at: dt.datetime | None) -> None:
    for depth, certificate in enumerate(chain):
        _check_known_and_valid(certificate, at)
        anchor = next((root for root in roots if _issued(certificate, root, depth)), None)
        if anchor is not None:
            _check_known_and_valid(anchor, at)
            return
        if depth + 1 == len(chain) or not _issued(certificate, chain[depth + 1], depth):
            break
    raise IntegrityError(LAYER, f"no trusted root issued the signer {chain[0].subject.rfc4514_string()!r}")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
    """Whether ``issuer`` may issue, with ``below`` issuers between it and the leaf, and did."""
    constraints = _extension(issuer, x509.BasicConstraints)
    usage = _extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        return False
    if constraints.path_length is not None and constraints.path_length < below:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check_leaf(leaf: x509.Certificate) -> None:
    usage = _extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise IntegrityError(LAYER, "the signer's certificate is not for signatures")
    purposes = _extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and DOCUMENT_SIGNING not in purposes and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes:
        raise IntegrityError(LAYER, "the signer's certificate is not for signing documents")


def _check_known_and_valid(certificate: x509.Certificate, at: dt.datetime | None) -> None:
    for extension in certificate.extensions:
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            raise IntegrityError(LAYER, f"a certificate has an unknown critical extension {extension.oid.dotted_string}")
    if at is not None and not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise IntegrityError(LAYER, f"the certificate {certificate.subject.rfc4514_string()!r} was not valid at {at.isoformat()}")


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
