"""CMS objects: sealing to recipients (AuthEnvelopedData) and detached signatures (SignedData).

Responsible for the two objects of evidence format §3, both ways, each also readable by stock programs
(``openssl cms -decrypt``, ``openssl cms -verify``). Refuses to know what the content is, where keys live, what time it is;
structures are :mod:`firmware.evidence.cms_asn1`, primitives :mod:`firmware.evidence.primitives`.

Invariants: a fresh content key and nonce per object, forgotten with it: who sealed cannot open (BWC-POL-33). A bit flipped
in the content, or in what its reader needs of the rest, gives an error and no output (BWC-POL-24); what belongs to another
recipient is not authenticated by CMS: the manifest's hash of the sealed object covers it. With the same random bytes and EC
recipients the object is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.errors import FormatError, IntegrityError, UnavailableError, UsageError
from firmware.evidence import cms_asn1 as der
from firmware.evidence import pki, primitives

SEALED = "sealed object"
SIGNATURE = "signature"
MAX_SIGNATURE_BYTES = 256 * 1024
MAX_RECIPIENTS = 16
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
RandomBytes = Callable[[int], bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRAP = der.Algorithm(oid=der.AES256_WRAP, parameters=None)
_SHARED_INFO = der.encode(der.SharedInfo(key_wrap=_WRAP, key_bits=(primitives.KEY_BYTES * 8).to_bytes(4, "big")))
_SHA256 = der.Algorithm(oid=der.SHA256, parameters=None)
_OAEP = der.KeyTransportAlgorithm(
    oid=der.RSAES_OAEP,
    parameters=der.OaepParameters(
        hash=der.Algorithm(oid=der.SHA256, parameters=asn1.Null()),
        mask=der.MaskAlgorithm(oid=der.MGF1, hash=der.Algorithm(oid=der.SHA256, parameters=asn1.Null())),
    ),
)
_KDF: dict[str, tuple[x509.ObjectIdentifier, hashes.HashAlgorithm]] = {
    "secp256r1": (der.ECDH_SHA256_KDF, hashes.SHA256()),
    "secp384r1": (der.ECDH_SHA384_KDF, hashes.SHA384()),
}
_CURVE_OIDS = {"secp256r1": x509.ObjectIdentifier("1.2.840.10045.3.1.7"), "secp384r1": x509.ObjectIdentifier("1.3.132.0.34")}


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody who will be able to open: ``key_id`` is the hex SHA-256 of the key's SubjectPublicKeyInfo."""

    key_id: str
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey

    @classmethod
    def from_certificate(cls, certificate: x509.Certificate) -> Recipient:
        """The certificate's key. ``UsageError`` for a key outside the algorithm set, or a subject key identifier that is
        not the key id (RFC 7093 method 4): it names the recipient inside sealed objects, and the manifest names key ids.
        """
        key_id = pki.key_id(certificate)
        if pki.subject_key_identifier(certificate).hex() != key_id:
            raise UsageError(
                "the recipient's subject key identifier is not the SHA-256 of its public key info",
                remedy="Issue the recipient's certificate with `oathcam provision`.",
            )
        key = certificate.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and primitives.is_supported_curve(key.curve):
            return cls(key_id, key)
        if isinstance(key, rsa.RSAPublicKey) and key.key_size >= primitives.MIN_RSA_BITS:
            return cls(key_id, key)
        raise UsageError("expected a recipient with a P-256, P-384 or RSA (2048 bits or more) key")


def seal(plain: primitives.Buffer | Sequence[primitives.Buffer], recipients: Sequence[Recipient], random_bytes: RandomBytes) -> bytes:
    """Seal ``plain`` (bytes, or parts that are concatenated) to all ``recipients``: one AuthEnvelopedData, DER.

    Draws, in this order: the content key (32 bytes), the nonce (12), and per EC recipient the seed of an ephemeral key
    (40 for P-256, 56 for P-384). ``ValueError`` without recipients or with a repeated one. Source: RFC 5083, 5084 and 5753.
    """
    return _Envelope.make(recipients, random_bytes).close(plain)


class Sealer:
    """Seals to the same recipients one object after the other, as :func:`seal` does. Not thread-safe.

    :meth:`prepare` makes the keys of the next object ahead, when there is time: two thirds of what sealing a small one takes, and a press
    waits for it. They are of one object, and forgotten with it. Until then they open nothing.
    """

    def __init__(self, recipients: Sequence[Recipient], random_bytes: RandomBytes) -> None:
        self._recipients = recipients
        self._random_bytes = random_bytes
        self._next: _Envelope | None = None

    def prepare(self) -> None:
        if self._next is None:
            self._next = _Envelope.make(self._recipients, self._random_bytes)

    def seal(self, plain: bytes) -> bytes:
        """One AuthEnvelopedData, DER; see :func:`seal`."""
        self.prepare()
        envelope, self._next = self._next, None
        assert envelope is not None
        return envelope.close(plain)


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A sealed object without its content: its key, and everything that does not depend on what it holds. For one content, ever."""

    key: bytes
    nonce: bytes
    head: der.SealedHead

    @classmethod
    def make(cls, recipients: Sequence[Recipient], random_bytes: RandomBytes) -> _Envelope:
        if not 1 <= len({one.key_id for one in recipients}) == len(recipients) <= MAX_RECIPIENTS:
            raise ValueError(f"expected 1 to {MAX_RECIPIENTS} different recipients, got {len(recipients)}")
        key, nonce = random_bytes(primitives.KEY_BYTES), random_bytes(primitives.NONCE_BYTES)
        infos = [_recipient_info(one, key, random_bytes) for one in recipients]
        parameters = der.GcmParameters(nonce=nonce, icv_bytes=primitives.TAG_BYTES)
        head = der.SealedHead.of(asn1.SetOf(infos), der.GcmAlgorithm(oid=der.AES256_GCM, parameters=parameters))
        return cls(key, nonce, head)

    def close(self, plain: primitives.Buffer | Sequence[primitives.Buffer]) -> bytes:
        parts = [plain] if isinstance(plain, (bytes, bytearray, memoryview)) else plain
        ciphertext, tag = primitives.gcm_encrypt(self.key, self.nonce, parts)
        return der.encode_sealed(self.head, ciphertext, tag)


def _recipient_info(recipient: Recipient, key: bytes, random_bytes: RandomBytes) -> der.KeyAgreeRecipient | der.KeyTransportRecipient:
    public, key_identifier = recipient.public_key, bytes.fromhex(recipient.key_id)
    if isinstance(public, rsa.RSAPublicKey):
        wrapped = primitives.rsa_wrap(public, key)
        return der.KeyTransportRecipient(version=2, subject_key_identifier=key_identifier, algorithm=_OAEP, encrypted_key=wrapped)
    scheme, kdf_hash = _KDF[public.curve.name]
    ephemeral = primitives.private_key_from_seed(public.curve, random_bytes(primitives.seed_bytes(public.curve)))
    wrapped = primitives.wrap_key(primitives.agree(ephemeral, public, _SHARED_INFO, kdf_hash), key)
    point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    originator = der.OriginatorPublicKey(
        algorithm=der.OriginatorAlgorithm(oid=der.EC_PUBLIC_KEY, curve=_CURVE_OIDS[public.curve.name]),
        public_key=asn1.BitString(point, 0),
    )
    rid = der.RecipientKeyIdentifier(subject_key_identifier=key_identifier)
    return der.KeyAgreeRecipient(
        version=3,
        originator=der.OriginatorKeyChoice(key=originator),
        algorithm=der.KeyAgreeAlgorithm(oid=scheme, key_wrap=_WRAP),
        encrypted_keys=[der.RecipientEncryptedKey(recipient=rid, encrypted_key=wrapped)],
    )


def recipient_key_ids(data: bytes) -> tuple[str, ...]:
    """The key ids that a sealed object names, in its order; needs no key. ``FormatError`` when it does not parse."""
    ids: list[str] = []
    for info in _sealed(data).recipients.as_list():
        if isinstance(info, der.KeyAgreeRecipient):
            ids.extend(one.recipient.subject_key_identifier.hex() for one in info.encrypted_keys)
        else:
            ids.append(info.subject_key_identifier.hex())
    return tuple(ids)


def open_sealed(data: bytes, private_key: PrivateKey, certificate: x509.Certificate) -> bytes:
    """The plaintext of a sealed object, by the recipient whose certificate is given.

    ``FormatError``: it does not parse. ``UnavailableError``: it was not sealed to this certificate. ``IntegrityError``: the
    content key does not unwrap with this private key, or the content does not fit its tag.
    """
    envelope = _sealed(data)
    key = _content_key(envelope, private_key, pki.subject_key_identifier(certificate))
    encrypted = envelope.encrypted
    return primitives.gcm_decrypt(key, encrypted.algorithm.parameters.nonce, encrypted.content, envelope.mac, SEALED)


def _sealed(data: bytes) -> der.AuthEnvelopedData:
    info = der.decode(der.SealedInfo, data, SEALED)
    envelope = info.content
    algorithm = envelope.encrypted.algorithm
    _expect(SEALED, "content type", info.content_type, der.AUTH_ENVELOPED_DATA)
    _expect(SEALED, "version", envelope.version, 0)
    _expect(SEALED, "inner content type", envelope.encrypted.content_type, der.DATA)
    _expect(SEALED, "content algorithm", algorithm.oid, der.AES256_GCM)
    _expect(SEALED, "nonce length", len(algorithm.parameters.nonce), primitives.NONCE_BYTES)
    _expect(SEALED, "tag length", (algorithm.parameters.icv_bytes, len(envelope.mac)), (primitives.TAG_BYTES, primitives.TAG_BYTES))
    if not 1 <= len(envelope.recipients.as_list()) <= MAX_RECIPIENTS:
        raise FormatError(SEALED, f"expected 1 to {MAX_RECIPIENTS} recipients")
    return envelope


def _content_key(envelope: der.AuthEnvelopedData, private_key: PrivateKey, wanted: bytes) -> bytes:
    for info in envelope.recipients.as_list():
        if isinstance(info, der.KeyTransportRecipient):
            if info.subject_key_identifier == wanted:
                return _transported_key(info, private_key)
            continue
        for one in info.encrypted_keys:
            if one.recipient.subject_key_identifier == wanted:
                return _agreed_key(info, one.encrypted_key, private_key)
    raise UnavailableError(f"not sealed to the key {wanted.hex()}", remedy="Use the key of one of its recipients.")


def _transported_key(info: der.KeyTransportRecipient, private_key: PrivateKey) -> bytes:
    _expect(SEALED, "recipient version", info.version, 2)
    if der.encode(info.algorithm) != der.encode(_OAEP):
        raise FormatError(SEALED, "expected RSAES-OAEP with SHA-256")
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise IntegrityError(SEALED, "sealed to an RSA key, and the private key is none")
    return primitives.rsa_unwrap(private_key, info.encrypted_key, SEALED)


def _agreed_key(info: der.KeyAgreeRecipient, wrapped: bytes, private_key: PrivateKey) -> bytes:
    originator = info.originator.key
    _expect(SEALED, "recipient version", info.version, 3)
    _expect(SEALED, "originator key", originator.algorithm.oid, der.EC_PUBLIC_KEY)
    _expect(SEALED, "key wrap", (info.algorithm.key_wrap.oid, info.algorithm.key_wrap.parameters), (der.AES256_WRAP, None))
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or not primitives.is_supported_curve(private_key.curve):
        raise IntegrityError(SEALED, "sealed to an EC key, and the private key is none on P-256 or P-384")
    scheme, kdf_hash = _KDF[private_key.curve.name]
    curve = originator.algorithm.curve
    if (isinstance(curve, x509.ObjectIdentifier) and curve != _CURVE_OIDS[private_key.curve.name]) or info.algorithm.oid != scheme:
        raise IntegrityError(SEALED, "sealed with another curve than that of the private key")
    public = _ephemeral_key(private_key.curve, originator.public_key)
    return primitives.unwrap_key(primitives.agree(private_key, public, _SHARED_INFO, kdf_hash), wrapped, SEALED)


def _ephemeral_key(curve: ec.EllipticCurve, bits: asn1.BitString) -> ec.EllipticCurvePublicKey:
    """Uncompressed, in whole bytes: one form of a point, as it is written here."""
    point = bits.as_bytes()
    if bits.padding_bits() or point[:1] != b"\x04":
        raise FormatError(SEALED, "the ephemeral key is not a point of the curve in its uncompressed form")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except der.PARSE_ERRORS:
        raise FormatError(SEALED, "the ephemeral key is not a point of the curve in its uncompressed form") from None


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, proven by a chain to a root. ``chain`` is leaf first, without the root.

    ``signing_time_ns`` is what the signer's clock said, in whole seconds: claimed, not proven.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    signing_time_ns: int
    role: pki.Role

    @property
    def clock_was_behind(self) -> bool:
        """The claimed time lies before the signer's certificate: the clock had never been set (BWC-POL-27)."""
        return self.signing_time_ns < pki.not_before_ns(self.certificate)


def sign_detached(content: bytes, chain: Sequence[bytes], sign_digest: Callable[[bytes], bytes], signing_time_ns: int) -> bytes:
    """A detached SignedData over ``content``, DER.

    ``chain``: DER certificates, leaf first, without the root. ``sign_digest``: 32-byte SHA-256 digest → DER ECDSA signature;
    the private key may sit in a TPM. ``signing_time_ns`` is cut to seconds. Source: RFC 5652 §5, RFC 5035.
    """
    certificates = [pki.load_certificate(one) for one in chain]
    attributes = asn1.SetOf(
        [
            der.attribute(der.CONTENT_TYPE, der.DATA),
            der.attribute(der.MESSAGE_DIGEST, primitives.sha256(content)),
            der.attribute(der.SIGNING_TIME, _asn1_time(signing_time_ns)),
            der.attribute(der.SIGNING_CERTIFICATE_V2, _signing_certificate(chain[0])),
        ]
    )
    info = der.SignerInfo(
        version=3,
        subject_key_identifier=pki.subject_key_identifier(certificates[0]),
        digest_algorithm=_SHA256,
        signed_attributes=attributes,
        signature_algorithm=der.Algorithm(oid=der.ECDSA_SHA256, parameters=None),
        signature=sign_digest(primitives.sha256(der.encode(attributes))),
        unsigned_attributes=None,
    )
    signed = der.SignedData(
        version=3,
        digest_algorithms=asn1.SetOf([_SHA256]),
        content=der.DetachedContent(content_type=der.DATA),
        certificates=asn1.SetOf(certificates),
        signers=asn1.SetOf([info]),
    )
    return der.encode(der.SignedInfo(content_type=der.SIGNED_DATA, content=signed))


def _signing_certificate(leaf: bytes) -> der.SigningCertificate:
    return der.SigningCertificate(certificates=[der.EssCertificateId(certificate_hash=primitives.sha256(leaf))])


def _asn1_time(time_ns: int) -> asn1.UTCTime | asn1.GeneralizedTime:
    """RFC 5652 §11.3: UTCTime from 1950 through 2049, GeneralizedTime otherwise."""
    moment = _EPOCH + timedelta(seconds=time_ns // 1_000_000_000)
    return asn1.UTCTime(moment) if 1950 <= moment.year <= 2049 else asn1.GeneralizedTime(moment)


def verify_detached(content: bytes, signature: bytes, roots: Sequence[x509.Certificate], role: pki.Role | None = None) -> Signer:
    """Check a detached signature over ``content`` and its signer's chain to one of ``roots``; returns who signed.

    With ``role`` the signer must have it; without, the caller checks :attr:`Signer.role`. Unsigned attributes (time stamp
    tokens added later) are tolerated and not looked at. The chain must be valid at the claimed signing time, since evidence
    is judged years later and a leaf's expiry does not undo what it signed; a claim from before the leaf was issued means
    a clock that was never set, and is judged at the leaf's first valid second (see :attr:`Signer.clock_was_behind`).

    ``FormatError``: it does not parse or uses other algorithms. ``IntegrityError``: digest, signature, chain or role do
    not fit. ``UnavailableError``: no root fits.
    """
    signed, info = _parse_signature(signature)
    attributes = _signed_attributes(info)
    pool = signed.certificates.as_list()
    chain = pki.order_chain(_leaf(info, pool), pool)
    claimed_ns = _claimed_time(attributes[der.SIGNING_TIME])
    digest = der.decode_value(bytes, attributes[der.MESSAGE_DIGEST], SIGNATURE)
    if digest != primitives.sha256(content):
        raise IntegrityError(SIGNATURE, "the content is not what was signed (SHA-256 differs)")
    named = der.decode_value(der.SigningCertificate, attributes[der.SIGNING_CERTIFICATE_V2], SIGNATURE)
    if not named.certificates or named.certificates[0].certificate_hash != primitives.sha256(pki.to_der(chain[0])):
        raise IntegrityError(SIGNATURE, "the signer's certificate is not the one that was signed for")
    with pki.reading():
        key = chain[0].public_key()
    primitives.verify_digest(key, primitives.sha256(der.encode(info.signed_attributes)), info.signature, SIGNATURE)
    found = pki.role_of(chain[0])
    if role is not None:
        pki.check_role(chain[0], role)
    pki.check_chain(chain, roots, found, max(claimed_ns, pki.not_before_ns(chain[0])))
    return Signer(chain[0], chain, claimed_ns, found)


def _parse_signature(signature: bytes) -> tuple[der.SignedData, der.SignerInfo]:
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise FormatError(SIGNATURE, f"expected at most {MAX_SIGNATURE_BYTES} bytes, got {len(signature)}")
    outer = der.decode(der.SignedInfo, signature, SIGNATURE)
    signed, signers = outer.content, outer.content.signers.as_list()
    _expect(SIGNATURE, "content type", outer.content_type, der.SIGNED_DATA)
    _expect(SIGNATURE, "inner content type", signed.content.content_type, der.DATA)
    _expect(SIGNATURE, "number of signers", len(signers), 1)
    _expect(SIGNATURE, "versions", (signed.version, signers[0].version), (3, 3))
    _expect(SIGNATURE, "digest algorithms", [one.oid for one in signed.digest_algorithms.as_list()], [der.SHA256])
    _expect(SIGNATURE, "digest algorithm", signers[0].digest_algorithm.oid, der.SHA256)
    _expect(SIGNATURE, "signature algorithm", signers[0].signature_algorithm.oid, der.ECDSA_SHA256)
    return signed, signers[0]


def _signed_attributes(info: der.SignerInfo) -> dict[x509.ObjectIdentifier, asn1.TLV]:
    """The value of each signed attribute; each must be there once with one value, and no other (RFC 5652 §11)."""
    found: dict[x509.ObjectIdentifier, asn1.TLV] = {}
    for one in info.signed_attributes.as_list():
        values = one.values.as_list()
        if one.oid in found or len(values) != 1:
            raise FormatError(SIGNATURE, f"expected one value of the attribute {one.oid.dotted_string}")
        found[one.oid] = values[0]
    wanted = {der.CONTENT_TYPE, der.MESSAGE_DIGEST, der.SIGNING_TIME, der.SIGNING_CERTIFICATE_V2}
    _expect(SIGNATURE, "signed attributes", sorted(one.dotted_string for one in found), sorted(one.dotted_string for one in wanted))
    _expect(SIGNATURE, "signed content type", der.decode_value(x509.ObjectIdentifier, found[der.CONTENT_TYPE], SIGNATURE), der.DATA)
    return found


def _leaf(info: der.SignerInfo, pool: Sequence[x509.Certificate]) -> x509.Certificate:
    for one in pool[:16]:
        if pki.subject_key_identifier(one) == info.subject_key_identifier:
            return one
    raise IntegrityError(SIGNATURE, "the signer's certificate is not in the signature")


def _claimed_time(value: asn1.TLV) -> int:
    if value.tag_bytes == b"\x18":
        moment = der.decode_value(asn1.GeneralizedTime, value, SIGNATURE).as_datetime()
    else:
        moment = der.decode_value(asn1.UTCTime, value, SIGNATURE).as_datetime()
    claimed_ns = (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1) * 1_000_000_000
    if der.encode(value) != der.encode(_asn1_time(claimed_ns)):
        raise FormatError(SIGNATURE, "the signing time is not in its one form (RFC 5652 11.3)")
    return claimed_ns


def _expect(layer: str, what: str, got: object, expected: object) -> None:
    if got != expected:
        raise FormatError(layer, f"{what}: expected {expected!r}, got {got!r}")
