"""Time-stamp tokens in a detached signature: id-aa-timeStampToken among the unsigned attributes (RFC 3161, appendix A).

Responsible for putting one in, finding it, and giving back the signature as its signer made it. A token stamps the signature's
value, so it covers what that covers. Refuses to judge tokens: :mod:`firmware.evidence.timestamp` does. Invariant: nothing that
was signed changes; :func:`as_signed` of what :func:`add_token` returns is what was given to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat import asn1

from firmware.errors import FormatError
from firmware.evidence import cms_asn1 as der
from firmware.evidence import primitives

LAYER = "signature"
TIME_STAMP_TOKEN = x509.ObjectIdentifier("1.2.840.113549.1.9.16.2.14")
MAX_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Unsigned:
    """What nobody signed: time-stamp tokens (DER), and the object identifiers of anything else."""

    tokens: tuple[bytes, ...]
    others: tuple[str, ...]


def imprint_of(signature: bytes) -> bytes:
    """SHA-256 of the signature's value: what a token for this signature stamps. ``FormatError`` when it does not parse."""
    return primitives.sha256(signature_value(signature))


def signature_value(signature: bytes) -> bytes:
    """The signer's signature itself, for those who check a token with programs of their own."""
    return _signer(der.decode(der.SignedInfo, signature, LAYER)).signature


def unsigned_of(signature: bytes) -> Unsigned:
    """The unsigned attributes; ``FormatError`` when the signature does not parse."""
    info = _signer(der.decode(der.SignedInfo, signature, LAYER))
    attributes = info.unsigned_attributes.as_list() if info.unsigned_attributes is not None else []
    tokens = [der.encode(value) for one in attributes if one.oid == TIME_STAMP_TOKEN for value in one.values.as_list()]
    if len(tokens) > MAX_TOKENS:
        raise FormatError(LAYER, f"expected at most {MAX_TOKENS} time-stamp tokens, got {len(tokens)}")
    return Unsigned(tuple(tokens), tuple(one.oid.dotted_string for one in attributes if one.oid != TIME_STAMP_TOKEN))


def add_token(signature: bytes, token: bytes) -> bytes:
    """The signature with one token more. ``FormatError`` when one of them is not DER."""
    outer = der.decode(der.SignedInfo, signature, LAYER)
    there = _signer(outer).unsigned_attributes
    others = [one for one in there.as_list() if one.oid != TIME_STAMP_TOKEN] if there is not None else []
    try:
        values = [asn1.decode_der(asn1.TLV, one) for one in (*unsigned_of(signature).tokens, token)]
    except der.PARSE_ERRORS as error:
        raise FormatError("time stamp", f"the token is not DER: {error}") from None
    return _with(outer, asn1.SetOf([*others, der.Attribute(oid=TIME_STAMP_TOKEN, values=asn1.SetOf(values))]))


def as_signed(signature: bytes) -> bytes:
    """The signature as its signer made it, without anything that was added."""
    outer = der.decode(der.SignedInfo, signature, LAYER)
    return signature if _signer(outer).unsigned_attributes is None else _with(outer, None)


def _signer(outer: der.SignedInfo) -> der.SignerInfo:
    signers = outer.content.signers.as_list()
    if len(signers) != 1:
        raise FormatError(LAYER, f"expected one signer, got {len(signers)}")
    return signers[0]


def _with(outer: der.SignedInfo, attributes: asn1.SetOf[der.Attribute] | None) -> bytes:
    info, signed = _signer(outer), outer.content
    changed = der.SignerInfo(
        version=info.version,
        subject_key_identifier=info.subject_key_identifier,
        digest_algorithm=info.digest_algorithm,
        signed_attributes=info.signed_attributes,
        signature_algorithm=info.signature_algorithm,
        signature=info.signature,
        unsigned_attributes=attributes,
    )
    content = der.SignedData(
        version=signed.version,
        digest_algorithms=signed.digest_algorithms,
        content=signed.content,
        certificates=signed.certificates,
        signers=asn1.SetOf([changed]),
    )
    return der.encode(der.SignedInfo(content_type=outer.content_type, content=content))
