"""ASN.1 structures of the two CMS objects that are written and read here (RFC 5652, 5083, 5084, 5753, 4055, 5035).

Responsible for shapes only: what each field means and whether it is right is :mod:`firmware.evidence.cms`. The shapes are
narrower than the standards': one recipient identifier (subject key identifier), one algorithm set. What does not fit them
does not parse, and what parses re-encodes to the same bytes (checked by :func:`decode`), so there is one form of each object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from firmware.errors import FormatError

DATA = ObjectIdentifier("1.2.840.113549.1.7.1")
SIGNED_DATA = ObjectIdentifier("1.2.840.113549.1.7.2")
AUTH_ENVELOPED_DATA = ObjectIdentifier("1.2.840.113549.1.9.16.1.23")
AES256_GCM = ObjectIdentifier("2.16.840.1.101.3.4.1.46")
AES256_WRAP = ObjectIdentifier("2.16.840.1.101.3.4.1.45")
ECDH_SHA256_KDF = ObjectIdentifier("1.3.132.1.11.1")
ECDH_SHA384_KDF = ObjectIdentifier("1.3.132.1.11.2")
EC_PUBLIC_KEY = ObjectIdentifier("1.2.840.10045.2.1")
RSAES_OAEP = ObjectIdentifier("1.2.840.113549.1.1.7")
MGF1 = ObjectIdentifier("1.2.840.113549.1.1.8")
SHA256 = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
ECDSA_SHA256 = ObjectIdentifier("1.2.840.10045.4.3.2")
CONTENT_TYPE = ObjectIdentifier("1.2.840.113549.1.9.3")
MESSAGE_DIGEST = ObjectIdentifier("1.2.840.113549.1.9.4")
SIGNING_TIME = ObjectIdentifier("1.2.840.113549.1.9.5")
SIGNING_CERTIFICATE_V2 = ObjectIdentifier("1.2.840.113549.1.9.16.2.47")

PARSE_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # a process that turns the library's warnings into errors still gets a FormatError
)
"""What ``cryptography`` may raise while it decodes bytes, at once or when a field is first read."""

_SEQUENCE, _CONTEXT_0, _CONSTRUCTED = 0x30, 0x80, 0x20

_T = TypeVar("_T")


@asn1.sequence
class Algorithm:
    """AlgorithmIdentifier without parameters, or with NULL."""

    oid: ObjectIdentifier
    parameters: asn1.Null | None


@asn1.sequence
class GcmParameters:
    """RFC 5084 §3.2. The ICV length's default is 12, so 16 is always written."""

    nonce: bytes
    icv_bytes: int


@asn1.sequence
class GcmAlgorithm:
    oid: ObjectIdentifier
    parameters: GcmParameters


@asn1.sequence
class KeyAgreeAlgorithm:
    """RFC 5753 §7.1.4: the scheme, with the key wrap algorithm as its parameter."""

    oid: ObjectIdentifier
    key_wrap: Algorithm


@asn1.sequence
class OriginatorAlgorithm:
    """id-ecPublicKey; the curve is the recipient's and may be left out (RFC 5753 §3.1.1)."""

    oid: ObjectIdentifier
    curve: ObjectIdentifier | asn1.Null | None


@asn1.sequence
class OriginatorPublicKey:
    algorithm: OriginatorAlgorithm
    public_key: asn1.BitString


@asn1.sequence
class OriginatorKeyChoice:
    """Never encoded itself: a helper for the explicit tag around the choice's arm [1]."""

    key: Annotated[OriginatorPublicKey, asn1.Implicit(1)]


@asn1.sequence
class RecipientKeyIdentifier:
    subject_key_identifier: bytes


@asn1.sequence
class RecipientEncryptedKey:
    recipient: Annotated[RecipientKeyIdentifier, asn1.Implicit(0)]
    encrypted_key: bytes


@asn1.sequence
class KeyAgreeRecipient:
    """RFC 5652 §6.2.2; version 3."""

    version: int
    originator: Annotated[OriginatorKeyChoice, asn1.Implicit(0)]
    algorithm: KeyAgreeAlgorithm
    encrypted_keys: list[RecipientEncryptedKey]


@asn1.sequence
class MaskAlgorithm:
    oid: ObjectIdentifier
    hash: Algorithm


@asn1.sequence
class OaepParameters:
    """RFC 4055 §4.1, with the label left at its default."""

    hash: Annotated[Algorithm, asn1.Explicit(0)]
    mask: Annotated[MaskAlgorithm, asn1.Explicit(1)]


@asn1.sequence
class KeyTransportAlgorithm:
    oid: ObjectIdentifier
    parameters: OaepParameters


@asn1.sequence
class KeyTransportRecipient:
    """RFC 5652 §6.2.1; version 2: the recipient by its subject key identifier."""

    version: int
    subject_key_identifier: Annotated[bytes, asn1.Implicit(0)]
    algorithm: KeyTransportAlgorithm
    encrypted_key: bytes


@asn1.sequence
class EncryptedContent:
    content_type: ObjectIdentifier
    algorithm: GcmAlgorithm
    content: Annotated[bytes, asn1.Implicit(0)]


@asn1.sequence
class AuthEnvelopedData:
    """RFC 5083 §2.1; version 0; no originator info, no authenticated and no unauthenticated attributes."""

    version: int
    recipients: asn1.SetOf[KeyTransportRecipient | Annotated[KeyAgreeRecipient, asn1.Implicit(1)]]
    encrypted: EncryptedContent
    mac: bytes


@asn1.sequence
class SealedInfo:
    """ContentInfo around an AuthEnvelopedData."""

    content_type: ObjectIdentifier
    content: Annotated[AuthEnvelopedData, asn1.Explicit(0)]


@asn1.sequence
class _EnvelopeHead:
    """The fields of AuthEnvelopedData before the encrypted content; an encoding of its own only in :class:`SealedHead`."""

    version: int
    recipients: asn1.SetOf[KeyTransportRecipient | Annotated[KeyAgreeRecipient, asn1.Implicit(1)]]


@asn1.sequence
class _ContentHead:
    """The fields of EncryptedContent before the content, likewise."""

    content_type: ObjectIdentifier
    algorithm: GcmAlgorithm


@asn1.sequence
class SharedInfo:
    """ECC-CMS-SharedInfo (RFC 5753 §7.2) without user keying material; the length is in bits, 4 bytes."""

    key_wrap: Algorithm
    key_bits: Annotated[bytes, asn1.Explicit(2)]


@asn1.sequence
class Attribute:
    oid: ObjectIdentifier
    values: asn1.SetOf[asn1.TLV]


@asn1.sequence
class EssCertificateId:
    """ESSCertIDv2 (RFC 5035 §4) with its default hash, SHA-256, and without the issuer and serial number."""

    certificate_hash: bytes


@asn1.sequence
class SigningCertificate:
    certificates: list[EssCertificateId]


@asn1.sequence
class SignerInfo:
    """RFC 5652 §5.3; version 3: the signer by its subject key identifier."""

    version: int
    subject_key_identifier: Annotated[bytes, asn1.Implicit(0)]
    digest_algorithm: Algorithm
    signed_attributes: Annotated[asn1.SetOf[Attribute], asn1.Implicit(0)]
    signature_algorithm: Algorithm
    signature: bytes
    unsigned_attributes: Annotated[asn1.SetOf[Attribute] | None, asn1.Implicit(1)]


@asn1.sequence
class DetachedContent:
    content_type: ObjectIdentifier


@asn1.sequence
class SignedData:
    """RFC 5652 §5.1; version 3, detached, certificates inside, no revocation lists."""

    version: int
    digest_algorithms: asn1.SetOf[Algorithm]
    content: DetachedContent
    certificates: Annotated[asn1.SetOf[x509.Certificate], asn1.Implicit(0)]
    signers: asn1.SetOf[SignerInfo]


@asn1.sequence
class SignedInfo:
    """ContentInfo around a SignedData."""

    content_type: ObjectIdentifier
    content: Annotated[SignedData, asn1.Explicit(0)]


def encode(value: Any) -> bytes:
    """DER."""
    return asn1.encode_der(value)


@dataclass(frozen=True, slots=True)
class SealedHead:
    """Of a :class:`SealedInfo`, DER: what stands before the lengths that depend on the content."""

    envelope: bytes
    content: bytes

    @classmethod
    def of(cls, recipients: asn1.SetOf[KeyTransportRecipient | KeyAgreeRecipient], algorithm: GcmAlgorithm) -> SealedHead:
        envelope = _EnvelopeHead(version=0, recipients=recipients)
        return cls(_fields(envelope), _fields(_ContentHead(content_type=DATA, algorithm=algorithm)))


def encode_sealed(parts: SealedHead, content: bytes, mac: bytes) -> bytes:
    """DER of a :class:`SealedInfo`, the same as :func:`encode` makes of it (tested), with ``content`` copied once.

    ``encode`` copies it five times, which for a fragment costs three times what enciphering it does (measured). So the library
    encodes what stands before and behind the content, and the five lengths that enclose it are written here, from the inside out.
    """
    tail, behind = encode(mac), len(content)
    head = _opened(_CONTEXT_0, b"", behind)
    head = _opened(_SEQUENCE, parts.content + head, behind)
    behind += len(tail)
    head = _opened(_SEQUENCE, parts.envelope + head, behind)
    head = _opened(_CONTEXT_0 | _CONSTRUCTED, head, behind)
    head = _opened(_SEQUENCE, encode(AUTH_ENVELOPED_DATA) + head, behind)
    return b"".join((head, content, tail))


def _opened(tag: int, head: bytes, behind: int) -> bytes:
    """An element that begins with ``head`` and has ``behind`` bytes more: tag, length, head."""
    length = len(head) + behind
    if length < 0x80:
        return bytes((tag, length)) + head
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + head


def _fields(sequence: Any) -> bytes:
    """The DER of a sequence without its tag and length."""
    whole = encode(sequence)
    return whole[2 + (whole[1] & 0x7F if whole[1] & 0x80 else 0) :]


def decode(kind: type[_T], data: bytes, layer: str) -> _T:
    """A structure from DER; ``FormatError`` when it does not parse, or when it is not the one encoding of its value."""
    try:
        value = asn1.decode_der(kind, bytes(data))
        again = asn1.encode_der(value)
    except PARSE_ERRORS as error:
        raise FormatError(layer, f"not the expected DER structure: {error}") from None
    if again != data:  # the library's parser is strict already; this holds should a release of it be less so
        raise FormatError(layer, "not distinguished encoding (DER)")
    return value


def decode_value(kind: type[_T], value: asn1.TLV, layer: str) -> _T:
    """An attribute's value as ``kind``; ``FormatError`` when it is something else."""
    try:
        return value.parse(kind)  # type: ignore[no-any-return]
    except PARSE_ERRORS as error:
        raise FormatError(layer, f"an attribute has an unexpected value: {error}") from None


def attribute(oid: ObjectIdentifier, value: Any) -> Attribute:
    """An attribute with one value."""
    return Attribute(oid=oid, values=asn1.SetOf([asn1.decode_der(asn1.TLV, asn1.encode_der(value))]))
