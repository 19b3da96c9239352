"""Certificate issuing for provisioning: the agency's root, its two authorities, and a leaf for every role.

Responsible for what stands in a certificate; :mod:`firmware.evidence.pki` is the reading side and defines the roles. Refuses
to know files, prompts, clocks and randomness: keys, serial numbers and times are arguments, and signatures are
deterministic (RFC 6979), so a provisioning can be repeated byte for byte.

Profile: P-256 (recipients also P-384 and RSA), ECDSA with SHA-256; subject O = agency, OU = role, CN = name; subject key
identifier = SHA-256 of the public key info (RFC 7093 method 4), which is the key id in manifests; signing leaves carry the
extended key usage documentSigning, as Media Signing validators and C2PA expect (a publisher's also C2PA's own); validators
judge by today's date, so leaves may live for decades.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from asn1crypto import algos, core, csr, keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.errors import FormatError, IntegrityError, UsageError
from firmware.evidence import primitives
from firmware.evidence.cms_asn1 import PARSE_ERRORS
from firmware.evidence.pki import AUTHORITIES, ISSUER_OF, Role

C2PA_CLAIM_SIGNING = x509.ObjectIdentifier("1.3.6.1.4.1.62558.2.1")
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
_MAX_NAME = 64  # X.520
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATH_LENGTH = {Role.ROOT: 1, Role.DEVICE_CA: 0, Role.DOCK_CA: 0}
_EXTENDED_USAGE = {
    Role.CAMERA: [DOCUMENT_SIGNING],
    Role.STORE: [DOCUMENT_SIGNING],
    Role.PUBLISHER: [DOCUMENT_SIGNING, C2PA_CLAIM_SIGNING],
    Role.CAMERA_LINK: [ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.DOCK: [ExtendedKeyUsageOID.SERVER_AUTH],
}


@dataclass(frozen=True, slots=True)
class Validity:
    """From ``start_ns`` (nanoseconds since 1970 UTC, cut to seconds) for ``days``."""

    start_ns: int
    days: int

    @property
    def start(self) -> datetime:
        return _EPOCH + timedelta(seconds=self.start_ns // 1_000_000_000)

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate that issues others, and its private key."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey

    @property
    def agency(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value)

    @property
    def role(self) -> Role:
        return Role(self.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value)


def new_key(random_bytes: Callable[[int], bytes], curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """An EC private key (P-256 unless ``curve`` says otherwise) from the caller's randomness."""
    chosen = curve or ec.SECP256R1()
    return primitives.private_key_from_seed(chosen, random_bytes(primitives.seed_bytes(chosen)))


def make_root(agency: str, private_key: ec.EllipticCurvePrivateKey, serial: int, validity: Validity) -> Authority:
    """The agency's self-signed root."""
    name = subject_name(agency, Role.ROOT, Role.ROOT.value)
    certificate = _sign(_builder(name, name, private_key.public_key(), serial, validity), Role.ROOT, private_key, private_key.public_key())
    return Authority(certificate, private_key)


def make_authority(root: Authority, role: Role, private_key: ec.EllipticCurvePrivateKey, serial: int, validity: Validity) -> Authority:
    """``Role.DEVICE_CA`` or ``Role.DOCK_CA`` under the root."""
    if role not in (Role.DEVICE_CA, Role.DOCK_CA):
        raise UsageError(f"expected the role of an intermediate authority, got {role.value!r}")
    return Authority(issue(root, role, role.value, private_key.public_key(), serial, validity), private_key)


def issue(
    authority: Authority,
    role: Role,
    common_name: str,
    public_key: PublicKey,
    serial: int,
    validity: Validity,
    alternative_names: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate of ``role`` for ``public_key``.

    ``alternative_names``: host names and addresses of a TLS peer (``dock``, ``camera link``); the common name where none is
    given. ``UsageError`` when this authority may not issue the role, or the key is outside the algorithm set.
    """
    if ISSUER_OF[role] is not authority.role or role is Role.ROOT:
        raise UsageError(f"a {role.value!r} certificate is issued by {ISSUER_OF[role].value!r}, not by {authority.role.value!r}")
    _check_key(role, public_key)
    subject = subject_name(authority.agency, role, common_name)
    builder = _builder(subject, authority.certificate.subject, public_key, serial, validity)
    if role in (Role.DOCK, Role.CAMERA_LINK):
        names = [_alternative_name(one) for one in alternative_names or (common_name,)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _sign(builder, role, authority.private_key, public_key)


def make_csr_with_key_store(sign_digest: Callable[[bytes], bytes], spki: bytes, subject: x509.Name) -> bytes:
    """A PKCS#10 request (DER) for a key that stays in its key store.

    ``sign_digest``: 32-byte SHA-256 digest → DER ECDSA signature; ``spki``: its SubjectPublicKeyInfo, DER; ``subject`` as
    :func:`subject_name` makes it.
    """
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": asn1_x509.Name.load(subject.public_bytes()),
            "subject_pk_info": keys.PublicKeyInfo.load(spki),
            "attributes": csr.CRIAttributes([]),
        }
    )
    request = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"}),
            "signature": core.OctetBitString(sign_digest(primitives.sha256(info.dump()))),
        }
    )
    return bytes(request.dump())


def issue_from_csr(
    request: bytes,
    authority: Authority,
    role: Role,
    common_name: str,
    serial: int,
    validity: Validity,
    alternative_names: Sequence[str] = (),
) -> x509.Certificate:
    """A certificate for the key of a PKCS#10 request (DER), once the request's own signature has been checked.

    Role and name are the authority's decision; a request that asks for another name is refused (``IntegrityError``), and
    one that does not parse is a ``FormatError``.
    """
    try:
        parsed = x509.load_der_x509_csr(request)
        public_key = parsed.public_key()
        asked = [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        is_signed = parsed.is_signature_valid
    except InvalidSignature:
        is_signed = False
    except PARSE_ERRORS as error:
        raise FormatError("certificate request", f"does not parse: {error}") from None
    if not is_signed:
        raise IntegrityError("certificate request", "not signed by the key it asks a certificate for")
    if asked != [common_name]:
        raise IntegrityError("certificate request", f"expected the name {common_name!r}, got {asked!r}")
    if not isinstance(public_key, (ec.EllipticCurvePublicKey, rsa.RSAPublicKey)):
        raise UsageError("expected a request for an EC or RSA key")
    return issue(authority, role, common_name, public_key, serial, validity, alternative_names)


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """One PEM file."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def private_key_pem(private_key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: bytes | None = None) -> bytes:
    """PKCS#8 PEM, encrypted when a passphrase is given."""
    protection = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)


def subject_name(agency: str, role: Role, common_name: str) -> x509.Name:
    """O = agency, OU = role, CN = name; a camera's name is its serial number, and stands as serialNumber too.

    ``UsageError`` when one cannot stand in a certificate.
    """
    for text in (agency, common_name):
        if not 1 <= len(text) <= _MAX_NAME or not text.isprintable():
            raise UsageError(f"expected a name of 1 to {_MAX_NAME} printable characters, got {text!r}")
    attributes = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, agency),
        x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role.value),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    if role in (Role.CAMERA, Role.CAMERA_LINK):
        attributes.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, common_name))
    return x509.Name(attributes)


def _check_key(role: Role, public_key: PublicKey) -> None:
    if isinstance(public_key, ec.EllipticCurvePublicKey) and primitives.is_supported_curve(public_key.curve):
        return
    if role is Role.RECIPIENT and isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= primitives.MIN_RSA_BITS:
        return
    raise UsageError(f"a {role.value!r} needs a P-256 or P-384 key" + (", or RSA of 2048 bits or more" if role is Role.RECIPIENT else ""))


def _alternative_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(subject: x509.Name, issuer: x509.Name, public_key: PublicKey, serial: int, validity: Validity) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(validity.start)
        .not_valid_after(validity.end)
    )


def _sign(builder: x509.CertificateBuilder, role: Role, issuer_key: ec.EllipticCurvePrivateKey, public_key: PublicKey) -> x509.Certificate:
    is_authority = role in AUTHORITIES
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=_PATH_LENGTH.get(role)), critical=True)
        .add_extension(_key_usage(role, public_key), critical=True)
        .add_extension(x509.SubjectKeyIdentifier(_key_identifier(public_key)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier(_key_identifier(issuer_key.public_key()), None, None), critical=False)
    )
    if role in _EXTENDED_USAGE:
        builder = builder.add_extension(x509.ExtendedKeyUsage(_EXTENDED_USAGE[role]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256(), ecdsa_deterministic=True)


def _key_usage(role: Role, public_key: PublicKey) -> x509.KeyUsage:
    is_rsa = isinstance(public_key, rsa.RSAPublicKey)
    return x509.KeyUsage(
        digital_signature=role not in AUTHORITIES and role is not Role.RECIPIENT,
        content_commitment=role in (Role.CAMERA, Role.STORE),
        key_encipherment=role is Role.RECIPIENT and is_rsa,
        data_encipherment=False,
        key_agreement=role is Role.RECIPIENT and not is_rsa,
        key_cert_sign=role in AUTHORITIES,
        crl_sign=role in AUTHORITIES,
        encipher_only=False,
        decipher_only=False,
    )


def _key_identifier(public_key: PublicKey) -> bytes:
    return primitives.sha256(public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
