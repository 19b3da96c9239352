"""Time-stamp tokens (RFC 3161, RFC 5816): asking for one, and what one proves.

Responsible for queries, replies and the check of a token: imprint, signature, the authority's certificate and its chain to a given
root, nonce where the query is known. Refuses to know how a query travels and what was stamped. Revocation is not looked at: a
verifier has no network, and an authority's key that was stolen later does not undo what it stamped before.

Invariant: :func:`verify_token` returns only when everything was checked; a token proves that what it stamps existed *not later*
than its time, and nothing about how much earlier.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asn1crypto import cms as asn1_cms
from asn1crypto import core, tsp
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.evidence import pki, primitives
from firmware.evidence.cms_asn1 import PARSE_ERRORS

LAYER = "time stamp"
_LAST_NS = 253_402_300_799 * 1_000_000_000
MAX_ACCURACY_US = 86_400_000_000
MAX_TOKEN_BYTES = 128 * 1024
MAX_PATH = 5
NONCE_BYTES = 16
_HASHES = ("sha256", "sha384", "sha512")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GRANTED = ("granted", "granted_with_mods")
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    }
)


class _Reply(core.Sequence):  # type: ignore[misc]
    """TimeStampResp as RFC 3161 has it: a refusal carries no token, which the library's own class does not know."""

    _fields = [("status", tsp.PKIStatusInfo), ("token", asn1_cms.ContentInfo, {"optional": True})]  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Query:
    """What an authority was asked: SHA-256 of the data, 32 bytes, and a nonce that its token must repeat."""

    imprint: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """What a token says. ``time_ns``: nanoseconds since 1970 UTC, exact to ``accuracy_ns``; ``authority``: its certificate's name."""

    time_ns: int
    accuracy_ns: int
    authority: str
    serial: int
    policy: str
    nonce: int | None


@dataclass(frozen=True, slots=True)
class _Parsed:
    """A token taken apart, nothing checked yet."""

    info: Any
    info_bytes: bytes
    signer: Any
    certificates: tuple[x509.Certificate, ...]


def build_query(query: Query) -> bytes:
    """TimeStampReq, DER; asks for the authority's certificates in the token."""
    algorithm = {"algorithm": "sha256"}
    imprint = {"hash_algorithm": algorithm, "hashed_message": query.imprint}
    return bytes(tsp.TimeStampReq({"version": "v1", "message_imprint": imprint, "nonce": query.nonce, "cert_req": True}).dump())


def parse_query(data: bytes) -> Query:
    """The inverse of :func:`build_query`; ``FormatError`` for anything else."""
    with _reading():
        request = tsp.TimeStampReq.load(data, strict=True)
        imprint, nonce = request["message_imprint"]["hashed_message"].native, request["nonce"].native
    if type(nonce) is not int or type(imprint) is not bytes or build_query(query := Query(imprint, nonce)) != data:
        raise FormatError(LAYER, "expected a query for SHA-256 with a nonce")
    return query


def token_of_reply(reply: bytes) -> bytes:
    """The token of a TimeStampResp, DER. ``RefusedError`` when the authority gave none, ``FormatError`` when it does not parse."""
    if len(reply) > MAX_TOKEN_BYTES:
        raise FormatError(LAYER, f"expected a reply of at most {MAX_TOKEN_BYTES} bytes, got {len(reply)}")
    with _reading():
        response = _Reply.load(reply, strict=True)
        status = response["status"]["status"].native
        words = response["status"]["status_string"].native or []
        token = response["token"].dump() if status in _GRANTED else b""
    if not token:
        raise RefusedError(f"the time-stamp authority refused: {status}" + (f" ({', '.join(map(str, words))})" if words else ""))
    return bytes(token)


def claim(token: bytes) -> TimeStamp:
    """What a token says, believing it: to be shown, or to name what could not be checked."""
    return _claim(_parse(token))


def verify_token(token: bytes, imprint: bytes, roots: Sequence[x509.Certificate], nonce: int | None = None) -> TimeStamp:
    """Check a token over data whose SHA-256 is ``imprint``; with ``nonce`` also that it answers that query.

    ``FormatError``: it does not parse or uses other algorithms. ``IntegrityError``: imprint, nonce, signature, certificate or
    chain do not fit. ``UnavailableError``: none of ``roots`` is the authority's (all else was checked before).
    """
    parsed = _parse(token)
    stamp = _claim(parsed)
    with _reading():
        algorithm = parsed.info["message_imprint"]["hash_algorithm"]["algorithm"].native
        stamped = parsed.info["message_imprint"]["hashed_message"].native
    if algorithm != "sha256":
        raise FormatError(LAYER, f"expected an imprint by SHA-256, got {algorithm!r}")
    if stamped != imprint:
        raise IntegrityError(LAYER, "the token stamps something else (message imprint differs)")
    if nonce is not None and stamp.nonce != nonce:
        raise IntegrityError(LAYER, f"expected the query's nonce, got {stamp.nonce!r}")
    certificate = _check_signature(parsed)
    _check_purpose(certificate)
    _check_path(certificate, parsed.certificates, roots, _EPOCH + timedelta(microseconds=stamp.time_ns // 1000))
    return stamp


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what the ASN.1 libraries raise, often only when a field is first read, into ``FormatError``."""
    try:
        yield
    except (*PARSE_ERRORS, KeyError, IndexError, AttributeError) as error:
        raise FormatError(LAYER, f"does not parse: {error}") from None


def _parse(token: bytes) -> _Parsed:
    if len(token) > MAX_TOKEN_BYTES:
        raise FormatError(LAYER, f"expected a token of at most {MAX_TOKEN_BYTES} bytes, got {len(token)}")
    with _reading():
        outer = asn1_cms.ContentInfo.load(bytes(token), strict=True)
        kind = outer["content_type"].native
        if kind != "signed_data":
            raise FormatError(LAYER, f"expected signed data, got {kind!r}")
        signed = outer["content"]
        inner = signed["encap_content_info"]
        if inner["content_type"].native != "tst_info":
            raise FormatError(LAYER, f"expected a TSTInfo, got {inner['content_type'].native!r}")
        info_bytes = bytes(inner["content"].native if isinstance(inner["content"].native, bytes) else inner["content"].contents)
        signers, certificates = list(signed["signer_infos"]), list(signed["certificates"])
        if len(signers) != 1 or len(certificates) > 16:
            raise FormatError(LAYER, f"expected one signer and at most 16 certificates, got {len(signers)} and {len(certificates)}")
        _check_algorithms(signed, signers[0])
        info = tsp.TSTInfo.load(info_bytes, strict=True)
        loaded = tuple(x509.load_der_x509_certificate(one.chosen.dump()) for one in certificates if one.name == "certificate")
        return _Parsed(info, info_bytes, signers[0], loaded)


def _check_algorithms(signed: Any, signer: Any) -> None:
    """What no signature covers says the same as what one does: versions, and the algorithms by their names."""
    versions = (signed["version"].native, signer["version"].native)
    if versions not in (("v3", "v1"), ("v3", "v3")):
        raise FormatError(LAYER, f"expected the versions 3 and 1 or 3, got {versions!r}")
    digest = signer["digest_algorithm"]["algorithm"].native
    named = [one["algorithm"].native for one in signed["digest_algorithms"]]
    if digest not in _HASHES or digest not in named:
        raise FormatError(LAYER, f"expected a digest by one of {_HASHES!r}, got {digest!r} of {named!r}")
    signature = signer["signature_algorithm"]["algorithm"].native
    if signature not in (f"{digest}_ecdsa", f"{digest}_rsa", "rsassa_pkcs1v15"):
        raise FormatError(LAYER, f"expected a signature with {digest}, got {signature!r}")


def _claim(parsed: _Parsed) -> TimeStamp:
    with _reading():
        info = parsed.info
        moment = info["gen_time"].native
        if not isinstance(moment, datetime):  # the year 0, which no calendar here has
            raise FormatError(LAYER, f"expected a time, got {moment!s}")
        given = info["accuracy"].native or {}
        accuracy_us = ((given.get("seconds") or 0) * 1000 + (given.get("millis") or 0)) * 1000 + (given.get("micros") or 0)
        names = [one.subject.rfc4514_string() for one in parsed.certificates if _is_signer(one, parsed.signer)]
        nonce, serial, policy = info["nonce"].native, info["serial_number"].native, info["policy"].dotted
        time_ns = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if not 0 <= time_ns < _LAST_NS:
        raise FormatError(LAYER, "expected a time from 1970 to 9999")
    if not 0 <= accuracy_us <= MAX_ACCURACY_US:
        raise FormatError(LAYER, f"expected an accuracy of 0 to {MAX_ACCURACY_US} us")
    return TimeStamp(time_ns, accuracy_us * 1000, names[0] if names else "unknown", serial, policy, nonce)


def _is_signer(certificate: x509.Certificate, signer: Any) -> bool:
    sid = signer["sid"]
    if sid.name == "issuer_and_serial_number":
        named = sid.chosen
        return bool(
            named["serial_number"].native == certificate.serial_number and named["issuer"].dump() == certificate.issuer.public_bytes()
        )
    return bool(sid.chosen.native == pki.subject_key_identifier(certificate))


def _check_signature(parsed: _Parsed) -> x509.Certificate:
    """The token's one signature (RFC 5652 §5.4), and that the certificate is the one that was signed for (RFC 5816)."""
    with _reading():
        found = [one for one in parsed.certificates if _is_signer(one, parsed.signer)]
        hash_name = parsed.signer["digest_algorithm"]["algorithm"].native
        signed_attributes = parsed.signer["signed_attrs"]
        attributes = {one["type"].native: one["values"] for one in signed_attributes}
        signature = parsed.signer["signature"].native
        covered = b"\x31" + signed_attributes.dump()[1:]  # a SET, not the implicit tag (RFC 5652 §5.4)
        content_type, digest = attributes["content_type"][0].native, attributes["message_digest"][0].native
    if not found:
        raise IntegrityError(LAYER, "the authority's certificate is not in the token")
    if content_type != "tst_info" or digest != primitives.digest(hash_name, parsed.info_bytes):
        raise IntegrityError(LAYER, "what the authority says is not what it signed")
    _check_named(attributes, found[0])
    with pki.reading():
        key = found[0].public_key()
    primitives.verify_message(key, hash_name, covered, signature, LAYER)
    return found[0]


def _check_named(attributes: dict[str, Any], certificate: x509.Certificate) -> None:
    """The signing-certificate attribute, v2 (any hash) or v1 (SHA-1, as older authorities write it), names this certificate."""
    with _reading():
        if "signing_certificate_v2" in attributes:
            named = attributes["signing_certificate_v2"][0]["certs"][0]
            hash_name = named["hash_algorithm"]["algorithm"].native
        elif "signing_certificate" in attributes:
            named, hash_name = attributes["signing_certificate"][0]["certs"][0], "sha1"
        else:
            raise FormatError(LAYER, "expected the attribute that names the authority's certificate")
        expected = named["cert_hash"].native
    if hash_name not in (*_HASHES, "sha1") or primitives.digest(hash_name, pki.to_der(certificate)) != expected:
        raise IntegrityError(LAYER, "the authority's certificate is not the one that was signed for")


def _check_purpose(certificate: x509.Certificate) -> None:
    """RFC 3161 §2.3: for time stamping, for nothing else, and critical."""
    usage = _extension(certificate, x509.ExtendedKeyUsage)
    if usage is None or not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise IntegrityError(LAYER, "the signer's certificate is not one for time stamping alone")


def _check_path(leaf: x509.Certificate, pool: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime) -> None:
    """From the authority up to one of ``roots``, every signature, constraint and validity at the token's own time."""
    current, below = leaf, 0
    while True:
        _check_certificate(current, at)
        with pki.reading():
            above = [(one, True) for one in roots if one.subject == current.issuer]
            above += [(one, False) for one in pool if one.subject == current.issuer and one.subject != one.issuer]
            issuer_name = current.issuer.rfc4514_string()
        if not above:
            raise UnavailableError(
                f"no root certificate given for the time-stamp authority {issuer_name!r}",
                remedy="Give the authority's root with --tsa-root.",
            )
        issuer = next((pair for pair in above if _is_issued(current, pair[0])), None)
        if issuer is None:
            raise IntegrityError(LAYER, f"a certificate of the authority is not signed by {issuer_name!r}")
        _check_issuer(issuer[0], below)
        if issuer[1]:
            return
        current, below = issuer[0], below + 1
        if below == MAX_PATH:
            raise IntegrityError(LAYER, f"expected a path of at most {MAX_PATH} certificates")


def _check_certificate(certificate: x509.Certificate, at: datetime) -> None:
    with pki.reading():
        unknown = [one.oid.dotted_string for one in certificate.extensions if one.critical and one.oid not in _UNDERSTOOD]
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        name = certificate.subject.rfc4514_string()
    if unknown:
        raise IntegrityError(LAYER, f"critical extension {unknown[0]} of {name!r} is not understood here")
    if not start <= at <= end:
        raise IntegrityError(LAYER, f"{name!r} is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d}, not at {at:%Y-%m-%dT%H:%M:%SZ}")


def _check_issuer(certificate: x509.Certificate, below: int) -> None:
    """Roots are trusted as given: their validity is not asked."""
    constraints, usage = _extension(certificate, x509.BasicConstraints), _extension(certificate, x509.KeyUsage)
    if constraints is None or not constraints.value.ca or (usage is not None and not usage.value.key_cert_sign):
        raise IntegrityError(LAYER, "a certificate in the authority's path is not one of an authority")
    if constraints.value.path_length is not None and below > constraints.value.path_length:
        raise IntegrityError(LAYER, "the authority's path is longer than its certificates allow")


def _is_issued(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    with pki.reading():
        algorithm = lower.signature_hash_algorithm
    return algorithm is not None and algorithm.name in _HASHES and pki.is_signed_by(lower, upper)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> x509.Extension[Any] | None:
    with pki.reading():
        try:
            return certificate.extensions.get_extension_for_class(kind)
        except x509.ExtensionNotFound:
            return None
