"""Certificates, read side: whose key is this, in which role, and does its chain lead to the agency's root.

Responsible for names, roles, key identifiers and the path check. Refuses to know files, trust stores, clocks and
revocation: the roots and the point in time are arguments.

A role is written in the subject's OU and enforced by who issued it: the agency root issues intermediate authorities of path
length 0, recipients and publishers; "Device CA" issues cameras; "Dock CA" issues camera links, docks and stores. A role under the
wrong issuer is no role. Invariant: :func:`check_chain` returns only if every signature, constraint and validity of the path
was checked; what could not be checked raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import primitives
from firmware.evidence.cms_asn1 import PARSE_ERRORS

LAYER = "certificate"
MAX_CHAIN = 4
"""Leaf, intermediates: as many as a Media Signing stream may carry."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNDERSTOOD = frozenset({ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE})
_SIGNATURES = frozenset({SignatureAlgorithmOID.ECDSA_WITH_SHA256, SignatureAlgorithmOID.ECDSA_WITH_SHA384})
_E = TypeVar("_E", bound=x509.ExtensionType)


class Role(Enum):
    """The value is the subject's OU."""

    ROOT = "Root CA"
    DEVICE_CA = "Device CA"
    DOCK_CA = "Dock CA"
    CAMERA = "camera"
    """Signs streams, manifests and ledger checkpoints."""
    CAMERA_LINK = "camera link"
    """TLS client of the dock-sync process."""
    DOCK = "dock"
    """TLS server of a dock station."""
    STORE = "store"
    """Signs receipts."""
    RECIPIENT = "recipient"
    """Opens what cameras seal."""
    PUBLISHER = "publisher"
    """Signs what the agency releases to the public (C2PA)."""


AUTHORITIES = frozenset({Role.ROOT, Role.DEVICE_CA, Role.DOCK_CA})
ISSUER_OF = {
    Role.ROOT: Role.ROOT,
    Role.DEVICE_CA: Role.ROOT,
    Role.DOCK_CA: Role.ROOT,
    Role.RECIPIENT: Role.ROOT,
    Role.PUBLISHER: Role.ROOT,
    Role.CAMERA: Role.DEVICE_CA,
    Role.CAMERA_LINK: Role.DOCK_CA,
    Role.DOCK: Role.DOCK_CA,
    Role.STORE: Role.DOCK_CA,
}
"""Which authority alone may issue a role."""
SIGNING_ROLES = frozenset({Role.CAMERA, Role.STORE, Role.DOCK, Role.CAMERA_LINK, Role.PUBLISHER})


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the path check reads of one certificate, read once and completely."""

    certificate: x509.Certificate
    role: Role
    is_authority: bool
    path_length: int | None
    may_sign: bool
    may_certify: bool
    not_before: datetime
    not_after: datetime


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate from DER; ``FormatError`` when it does not parse or is not on the algorithm set's curves or RSA."""
    with reading():
        certificate = x509.load_der_x509_certificate(bytes(der))
        certificate.public_key()
    return certificate


def load_certificates_pem(data: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates of a PEM file, in its order; ``FormatError`` when there is none."""
    with reading():
        return tuple(x509.load_pem_x509_certificates(data))


def to_der(certificate: x509.Certificate) -> bytes:
    """DER of a certificate."""
    return certificate.public_bytes(Encoding.DER)


def spki_der(certificate: x509.Certificate) -> bytes:
    """SubjectPublicKeyInfo, DER."""
    with reading():
        return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of the SubjectPublicKeyInfo: how manifests and sealed objects name a key."""
    return primitives.sha256(spki_der(certificate)).hex()


def subject_key_identifier(certificate: x509.Certificate) -> bytes:
    """The subject key identifier extension's value; ``FormatError`` when there is none."""
    with reading():
        try:
            return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        except x509.ExtensionNotFound:
            raise FormatError(LAYER, "expected a subject key identifier, got none") from None


def public_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """The certificate's key for verifying signatures; ``IntegrityError`` unless it is an EC key on P-256 or P-384."""
    with reading():
        key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not primitives.is_supported_curve(key.curve):
        raise IntegrityError(LAYER, "expected an EC key on P-256 or P-384")
    return key


def common_name(certificate: x509.Certificate) -> str:
    """The subject's CN: a camera's serial number, a dock's or a store's id. ``FormatError`` unless there is exactly one."""
    return _single(certificate.subject, NameOID.COMMON_NAME, "CN")


def role_of(certificate: x509.Certificate) -> Role:
    """The role a certificate claims: its OU, which must be one that its issuer's OU may issue.

    Claims only: :func:`check_chain` proves them. ``FormatError`` without one readable OU, ``IntegrityError`` for an unknown
    role or a role under the wrong authority.
    """
    with reading():
        subject, issuer = certificate.subject, certificate.issuer
    role = _role_named(_single(subject, NameOID.ORGANIZATIONAL_UNIT_NAME, "OU"))
    authority = _role_named(_single(issuer, NameOID.ORGANIZATIONAL_UNIT_NAME, "issuer's OU"))
    if ISSUER_OF[role] is not authority:
        raise IntegrityError(LAYER, f"expected a {role.value!r} to be issued by {ISSUER_OF[role].value!r}, got {authority.value!r}")
    return role


def order_chain(leaf: x509.Certificate, pool: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """``leaf`` and its issuers found in ``pool``, leaf first, by name alone; ends where no issuer is found."""
    chain = [leaf]
    with reading():
        while len(chain) < MAX_CHAIN:
            issuer = chain[-1].issuer
            above = [one for one in pool if one.subject == issuer and one not in chain]
            if not above:
                break
            chain.append(above[0])
    return tuple(chain)


def check_chain(chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], role: Role, at_ns: int) -> None:
    """Check that ``chain`` (leaf first; a root at its end is ignored) proves ``role`` under one of ``roots`` at a time.

    ``at_ns`` is nanoseconds since 1970 UTC; every certificate must be valid then. Roots are trusted as given: only their
    name, key and constraints are used. ``UnavailableError`` when no root issued the chain's end, ``FormatError`` when
    something does not parse, ``IntegrityError`` when anything does not fit.
    """
    path = [_facts(one) for one in _without_root(chain)]
    if not 1 <= len(path) <= MAX_CHAIN:
        raise IntegrityError(LAYER, f"expected a chain of 1 to {MAX_CHAIN} certificates, got {len(path)}")
    if path[0].role is not role:
        raise IntegrityError(LAYER, f"expected the role {role.value!r}, got {path[0].role.value!r}")
    root = _facts(_root_for(path[-1].certificate, roots))
    _check_leaf(path[0])
    at = _EPOCH + timedelta(microseconds=at_ns // 1000)
    for below, (lower, upper) in enumerate(zip(path, [*path[1:], root], strict=True)):
        _check_validity(lower, at)
        _check_issued(lower, upper, intermediates_below=below)


def check_role(certificate: x509.Certificate, role: Role) -> None:
    """``IntegrityError`` unless the certificate claims ``role`` under the authority that may issue it."""
    found = role_of(certificate)
    if found is not role:
        raise IntegrityError(LAYER, f"expected the role {role.value!r}, got {found.value!r}")


def not_before_ns(certificate: x509.Certificate) -> int:
    """Start of validity, nanoseconds since 1970 UTC."""
    with reading():
        delta = certificate.not_valid_before_utc - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000_000


@contextmanager
def reading() -> Iterator[None]:
    """Turn what ``cryptography`` raises while fields are first read into ``FormatError``."""
    try:
        yield
    except PARSE_ERRORS as error:
        raise FormatError(LAYER, f"does not parse: {error}") from None


def _single(name: x509.Name, oid: x509.ObjectIdentifier, label: str) -> str:
    found = name.get_attributes_for_oid(oid)
    if len(found) != 1 or not isinstance(found[0].value, str):
        raise FormatError(LAYER, f"expected exactly one {label}, got {len(found)}")
    return found[0].value


def _role_named(unit: str) -> Role:
    try:
        return Role(unit)
    except ValueError:
        raise IntegrityError(LAYER, f"expected an OU that names a role, got {unit!r}") from None


def _facts(certificate: x509.Certificate) -> _Facts:
    with reading():
        extensions = certificate.extensions
        not_before, not_after = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        certificate.public_key()
    for extension in extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise IntegrityError(LAYER, f"critical extension {extension.oid.dotted_string} is not understood here")
    constraints = _extension(extensions, x509.BasicConstraints)
    usage = _extension(extensions, x509.KeyUsage)
    return _Facts(
        certificate=certificate,
        role=role_of(certificate),
        is_authority=constraints is not None and constraints.ca,
        path_length=constraints.path_length if constraints is not None else None,
        may_sign=usage is not None and usage.digital_signature,
        may_certify=usage is not None and usage.key_cert_sign,
        not_before=not_before,
        not_after=not_after,
    )


def _extension(extensions: x509.Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _without_root(chain: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    with reading():
        return [one for index, one in enumerate(chain) if index == 0 or one.subject != one.issuer]


def _root_for(last: x509.Certificate, roots: Sequence[x509.Certificate]) -> x509.Certificate:
    """The root that issued ``last``: by name, and where several share a name by signature."""
    with reading():
        named = [root for root in roots if root.subject == last.issuer]
    if not named:
        raise UnavailableError(
            f"no root certificate given for {last.issuer.rfc4514_string()!r}", remedy="Give the agency's root certificate."
        )
    for root in named[:-1]:
        if _is_issued(last, root):
            return root
    return named[-1]


def _check_leaf(leaf: _Facts) -> None:
    if leaf.role in AUTHORITIES or leaf.is_authority:
        raise IntegrityError(LAYER, "expected a leaf certificate, got one of an authority")
    with reading():
        key = leaf.certificate.public_key()
    if leaf.role in SIGNING_ROLES:
        if not leaf.may_sign:
            raise IntegrityError(LAYER, f"the {leaf.role.value!r} certificate may not sign (key usage)")
        if not isinstance(key, ec.EllipticCurvePublicKey) or not primitives.is_supported_curve(key.curve):
            raise IntegrityError(LAYER, f"expected a {leaf.role.value!r} with an EC key on P-256 or P-384")


def _check_validity(facts: _Facts, at: datetime) -> None:
    if not facts.not_before <= at <= facts.not_after:
        span = f"{facts.not_before:%Y-%m-%d} to {facts.not_after:%Y-%m-%d}"
        raise IntegrityError(LAYER, f"the {facts.role.value!r} certificate is valid from {span}, not at {at:%Y-%m-%dT%H:%M:%SZ}")


def _check_issued(lower: _Facts, upper: _Facts, *, intermediates_below: int) -> None:
    """``intermediates_below``: how many authorities of the path lie under ``upper`` (RFC 5280 §4.2.1.9)."""
    if not (upper.is_authority and upper.may_certify):
        raise IntegrityError(LAYER, f"the {upper.role.value!r} certificate is not one of an authority")
    if upper.path_length is not None and intermediates_below > upper.path_length:
        raise IntegrityError(LAYER, f"the {upper.role.value!r} certificate allows {upper.path_length} authorities below it, got more")
    if not _is_issued(lower.certificate, upper.certificate):
        raise IntegrityError(LAYER, f"the {lower.role.value!r} certificate is not signed by the key of its issuer")


def _is_issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    with reading():
        allowed = lower.signature_algorithm_oid in _SIGNATURES
    return allowed and is_signed_by(lower, upper)


def is_signed_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    """Whether ``lower`` names ``upper`` as its issuer and carries a signature of its key. Which algorithms count is the caller's to ask."""
    with reading():
        try:
            lower.verify_directly_issued_by(upper)
        except (InvalidSignature, ValueError, TypeError):
            return False
    return True
