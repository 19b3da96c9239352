"""Sealing and signing: who may open, who signed, and that nothing else passes."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from helpers_evidence import ISSUED_NS, NOW_NS, VALIDITY, Holder, agency, holder, signer, stream

from firmware.errors import FormatError, IntegrityError, UnavailableError, UsageError
from firmware.evidence import cms, pki, primitives
from firmware.evidence import cms_asn1 as der
from firmware.evidence.pki import Role
from tools import pki as issuing

PLAIN = b"what the camera saw " * 50
CONTENT = b'{"a":1}'


def sealed(plain=PLAIN) -> bytes:
    return cms.seal(plain, agency().recipients, stream("seal"))


# --- sealing ----------------------------------------------------------------------------------------------------------


def test_every_recipient_opens_and_nobody_else():
    """BWC-POL-33: sealed to public keys; the device holds none that opens."""
    one = agency()
    for who in (one.agency, one.oversight):
        assert cms.open_sealed(sealed(), who.key, who.certificate) == PLAIN
    with pytest.raises(UnavailableError, match="not sealed to the key"):
        cms.open_sealed(sealed(), one.camera.key, one.camera.certificate)
    with pytest.raises(IntegrityError, match="does not unwrap"):
        cms.open_sealed(sealed(), one.camera.key, one.agency.certificate)


def test_a_sealed_object_is_the_known_bytes():
    """Known answer: fixed keys and fixed randomness give one object, which openssl opens (tests/system)."""
    assert hashlib.sha256(sealed()).hexdigest() == "20190b67ed8885adaca580990c0c3849c45c0398355212d251ef0ddef4368eea"
    assert cms.recipient_key_ids(sealed()) == (
        "1f60bee1d87082c9a78b1b68e32fdea45100b4a39968edc16c55f210251eda5b",
        "5f28b50a7377bde09f334a62f71465458daa8129f4f934e647a985538712267a",
    )


def test_parts_are_sealed_as_their_concatenation():
    assert cms.seal([PLAIN[:7], b"", memoryview(PLAIN)[7:]], agency().recipients, stream("seal")) == sealed()
    one = agency().agency
    assert cms.open_sealed(cms.seal(b"", agency().recipients, stream("x")), one.key, one.certificate) == b""


@pytest.mark.parametrize("size", [0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x10000, 0x1000000])
@pytest.mark.parametrize("shift", [0, -18, -79, -700])
def test_the_lengths_around_the_content_are_the_librarys(size, shift):
    """Content of every size that moves one of the five enclosing lengths to another number of bytes."""
    data = cms.seal(bytes(max(0, size + shift)), agency().recipients, stream("lengths"))
    assert der.encode(asn1.decode_der(der.SealedInfo, data)) == data


def test_every_object_has_its_own_key_and_nonce():
    """BWC-POL-33: a fresh key each time, so equal fragments look different."""
    draw = stream("draw")
    assert cms.seal(PLAIN, agency().recipients, draw)[-500:] != cms.seal(PLAIN, agency().recipients, draw)[-500:]


def test_a_sealer_seals_as_seal_does_and_what_it_prepares_serves_once():
    """BWC-POL-33: prepared or not, each object has keys of its own, drawn once and in the order of the objects."""
    drawn: list[bytes] = []

    def draw(count: int) -> bytes:
        drawn.append(source(count))
        return drawn[-1]

    source, plain = stream("sealer"), stream("sealer")
    sealer = cms.Sealer(agency().recipients, draw)
    made = [sealer.seal(PLAIN)]
    for times in (1, 2, 0):
        for _ in range(times):
            sealer.prepare()
        ahead = len(drawn)
        made.append(sealer.seal(PLAIN))
        assert (len(drawn) == ahead) == bool(times)
    assert made == [cms.seal(PLAIN, agency().recipients, plain) for _ in made]
    assert len(set(drawn)) == len(drawn)


def test_an_rsa_recipient_opens():
    """BWC-POL-34: RSA-OAEP with SHA-256."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = issuing.issue(agency().root, Role.RECIPIENT, "old card", key.public_key(), 40, VALIDITY)
    recipients = [*agency().recipients, cms.Recipient.from_certificate(certificate)]
    data = cms.seal(PLAIN, recipients, stream("rsa"))
    assert cms.open_sealed(data, key, certificate) == PLAIN
    with pytest.raises(IntegrityError):
        cms.open_sealed(data, rsa.generate_private_key(65537, 2048), certificate)
    with pytest.raises(IntegrityError):
        cms.open_sealed(data, agency().agency.key, certificate)


def test_refuses_recipients_outside_the_algorithm_set():
    """BWC-POL-34: a certificate whose key identifier is not its key's id, or that is on another curve, is no recipient."""
    key = ec.generate_private_key(ec.SECP521R1())
    with pytest.raises(UsageError):
        issuing.issue(agency().root, Role.RECIPIENT, "x", key.public_key(), 41, VALIDITY)
    for recipients in ([], agency().recipients * 2):
        with pytest.raises(ValueError, match="recipients"):
            cms.seal(b"", recipients, stream("x"))


def test_a_recipient_is_named_by_its_key_id():
    """A certificate with another key identifier would be named differently in sealed objects and in manifests."""
    root = agency().root
    name = issuing.subject_name("Test Agency", Role.RECIPIENT, "foreign")
    key = issuing.new_key(stream("foreign")).public_key()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(root.certificate.subject).public_key(key).serial_number(80)
    builder = builder.not_valid_before(VALIDITY.start).not_valid_after(VALIDITY.end)
    foreign = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False).sign(root.private_key, hashes.SHA256())
    with pytest.raises(UsageError, match="subject key identifier"):
        cms.Recipient.from_certificate(foreign)
    with pytest.raises(FormatError, match="subject key identifier"):
        cms.Recipient.from_certificate(builder.sign(root.private_key, hashes.SHA256()))


def test_an_rsa_recipients_part_has_one_algorithm():
    """BWC-POL-34: OAEP with SHA-1, the default of many tools, is not taken."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = issuing.issue(agency().root, Role.RECIPIENT, "card", key.public_key(), 40, VALIDITY)
    info = der.decode(der.SealedInfo, cms.seal(PLAIN, [cms.Recipient.from_certificate(certificate)], stream("rsa")), "test")
    for recipient in info.content.recipients.as_list():
        recipient.algorithm.parameters.hash = der.Algorithm(oid=der.ObjectIdentifier("1.3.14.3.2.26"), parameters=None)
    with pytest.raises(FormatError, match="RSAES-OAEP"):
        cms.open_sealed(der.encode(info), key, certificate)


def test_only_256_bit_content_keys_are_taken():
    with pytest.raises(IntegrityError, match="content key of 32 bytes"):
        primitives.unwrap_key(bytes(32), keywrap.aes_key_wrap(bytes(32), bytes(16)), "test")


def test_a_flipped_bit_gives_an_error_and_no_other_plaintext():
    """BWC-POL-24: of every bit; another recipient's part, which CMS does not authenticate, may only leave it as it was."""
    one = agency().agency
    data = cms.seal(b"sixteen bytes!!!", agency().recipients, stream("flip"))
    other = part_of_other(data)
    opened = 0
    for position in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[position // 8] ^= 1 << position % 8
        try:
            plain = cms.open_sealed(bytes(flipped), one.key, one.certificate)
        except (FormatError, IntegrityError, UnavailableError):
            continue
        opened += 1
        assert plain == b"sixteen bytes!!!"
        assert position // 8 in other
    assert 0 < opened < len(other) * 8


def part_of_other(data: bytes) -> range:
    """Where the P-384 recipient's part stands."""
    for info in der.decode(der.SealedInfo, data, "test").content.recipients.as_list():
        if info.encrypted_keys[0].recipient.subject_key_identifier != pki.subject_key_identifier(agency().agency.certificate):
            body = der.encode(info)[3:]  # without tag and length
            return range(data.index(body), data.index(body) + len(body))
    raise AssertionError("no other recipient")


def test_a_truncated_object_does_not_parse():
    data = cms.seal(b"sixteen bytes!!!", agency().recipients, stream("cut"))
    one = agency().agency
    for length in range(len(data)):
        with pytest.raises(FormatError):
            cms.open_sealed(data[:length], one.key, one.certificate)
    with pytest.raises(FormatError):
        cms.open_sealed(data + b"\0", one.key, one.certificate)


@pytest.mark.parametrize("field", ["icv", "nonce", "content", "type", "version", "none"])
def test_refuses_other_parameters(field):
    """BWC-POL-34: one algorithm set; a short tag, for one, is refused whatever its value."""
    info = der.decode(der.SealedInfo, sealed(), "test")
    envelope = info.content
    match field:
        case "icv":
            envelope.encrypted.algorithm.parameters.icv_bytes = 12
            envelope.mac = envelope.mac[:12]
        case "nonce":
            envelope.encrypted.algorithm.parameters.nonce = bytes(16)
        case "content":
            envelope.encrypted.algorithm.oid = der.AES256_WRAP
        case "type":
            info.content_type = der.DATA
        case "version":
            envelope.version = 1
        case "none":
            envelope.recipients = asn1.SetOf([])
    with pytest.raises(FormatError):
        cms.open_sealed(der.encode(info), agency().agency.key, agency().agency.certificate)


def test_refuses_a_point_off_the_curve():
    """An invalid ephemeral point would draw the private key out of whoever opens."""
    info = der.decode(der.SealedInfo, sealed(), "test")
    for recipient in info.content.recipients.as_list():
        recipient.originator.key.public_key = asn1.BitString(
            b"\x04" + b"\x01" * (len(recipient.originator.key.public_key.as_bytes()) - 1), 0
        )
    with pytest.raises(FormatError, match="not a point"):
        cms.open_sealed(der.encode(info), agency().agency.key, agency().agency.certificate)


# --- signing ----------------------------------------------------------------------------------------------------------


def test_a_signature_names_its_signer():
    """BWC-POL-24: the device key signs, the chain leads to the agency's root."""
    one = agency()
    found = cms.verify_detached(CONTENT, one.camera.sign(CONTENT), one.roots)
    assert (found.certificate, found.role, found.signing_time_ns) == (one.camera.certificate, Role.CAMERA, NOW_NS)
    assert found.chain == (one.camera.certificate, one.device_ca.certificate)
    assert not found.clock_was_behind


def test_a_signature_is_the_known_bytes():
    assert hashlib.sha256(agency().camera.sign(CONTENT)).hexdigest() == "8bc174b888c3696d3812c236d9598348e7f51444d12b418ef70e8d950abe1d61"


def test_other_content_root_or_role_is_refused():
    """BWC-POL-24, BWC-POL-23: what a store signs is no manifest, what a camera signs is no receipt."""
    one, signature = agency(), agency().camera.sign(CONTENT)
    with pytest.raises(IntegrityError, match="not what was signed"):
        cms.verify_detached(CONTENT + b" ", signature, one.roots)
    with pytest.raises(UnavailableError, match="no root"):
        cms.verify_detached(CONTENT, signature, agency("Other Agency").roots)
    with pytest.raises(UnavailableError):
        cms.verify_detached(CONTENT, signature, [])
    with pytest.raises(IntegrityError, match="'store'"):
        cms.verify_detached(CONTENT, signature, one.roots, Role.STORE)
    assert cms.verify_detached(CONTENT, one.store.sign(CONTENT), one.roots, Role.STORE).role is Role.STORE


def test_a_root_of_the_same_name_with_another_key_is_refused():
    impostor = issuing.make_root("Test Agency", issuing.new_key(stream("impostor")), 1, VALIDITY)
    signature = agency().camera.sign(CONTENT)
    with pytest.raises(IntegrityError, match="not signed by the key"):
        cms.verify_detached(CONTENT, signature, [impostor.certificate])
    assert cms.verify_detached(CONTENT, signature, [impostor.certificate, agency().root.certificate])
    assert cms.verify_detached(CONTENT, signature, [agency().root.certificate, impostor.certificate])


def test_every_flipped_bit_of_a_signature_is_seen():
    """BWC-POL-24."""
    one, signature = agency(), agency().camera.sign(CONTENT)
    for index in range(len(signature)):
        flipped = bytearray(signature)
        flipped[index] ^= 1 << index % 8
        with pytest.raises((FormatError, IntegrityError, UnavailableError)):
            cms.verify_detached(CONTENT, bytes(flipped), one.roots)


def test_a_clock_that_was_never_set_is_told_and_does_not_undo_the_signature():
    """BWC-POL-27: record anyway."""
    one = agency()
    found = cms.verify_detached(CONTENT, one.camera.sign(CONTENT, 42 * 10**9), one.roots)
    assert found.clock_was_behind
    assert found.signing_time_ns == 42 * 10**9


def test_an_expired_certificate_is_judged_at_the_signing_time():
    one = agency()
    end_ns = ISSUED_NS + VALIDITY.days * 86_400 * 10**9
    assert cms.verify_detached(CONTENT, one.camera.sign(CONTENT, end_ns), one.roots)
    with pytest.raises(IntegrityError, match="valid from"):
        cms.verify_detached(CONTENT, one.camera.sign(CONTENT, end_ns + 10**9), one.roots)


def test_times_beyond_2049_are_written_as_generalized_time():
    one = agency()
    at_ns = 2_550_000_000 * 10**9
    assert cms.verify_detached(CONTENT, one.camera.sign(CONTENT, at_ns), one.roots).signing_time_ns == at_ns


def parsed() -> tuple[der.SignedInfo, der.SignerInfo]:
    info = der.decode(der.SignedInfo, agency().camera.sign(CONTENT), "test")
    return info, info.content.signers.as_list()[0]


def resigned(info: der.SignedInfo, signed: der.SignerInfo, key: ec.EllipticCurvePrivateKey) -> bytes:
    signed.signature = signer(key)(primitives.sha256(der.encode(signed.signed_attributes)))
    info.content.signers = asn1.SetOf([signed])
    return der.encode(info)


def test_unsigned_attributes_are_tolerated():
    """A time stamp token is added later, by others (RFC 3161)."""
    info, signed = parsed()
    token = der.attribute(der.ObjectIdentifier("1.2.840.113549.1.9.16.2.14"), b"a token")
    signed.unsigned_attributes = asn1.SetOf([token])
    assert cms.verify_detached(CONTENT, resigned(info, signed, agency().camera.key), agency().roots)


@pytest.mark.parametrize("missing", range(4))
def test_each_signed_attribute_is_needed(missing):
    info, signed = parsed()
    attributes = signed.signed_attributes.as_list()
    signed.signed_attributes = asn1.SetOf(attributes[:missing] + attributes[missing + 1 :])
    with pytest.raises(FormatError, match="signed attributes"):
        cms.verify_detached(CONTENT, resigned(info, signed, agency().camera.key), agency().roots)


def test_the_signed_certificate_cannot_be_swapped():
    """RFC 5035: two certificates for one key; the signature holds for the one that it was made for."""
    one = agency()
    info, signed = parsed()
    twin = issuing.issue(one.device_ca, Role.CAMERA, "OC-000002", one.camera.key.public_key(), 77, VALIDITY)
    info.content.certificates = asn1.SetOf([twin, one.device_ca.certificate])
    with pytest.raises(IntegrityError, match="not the one that was signed for"):
        cms.verify_detached(CONTENT, resigned(info, signed, one.camera.key), one.roots)


def test_other_algorithms_and_shapes_are_refused():
    """BWC-POL-34."""
    for change in ("digest", "signature", "version", "signers"):
        info, signed = parsed()
        match change:
            case "digest":
                signed.digest_algorithm = der.Algorithm(oid=der.ObjectIdentifier("1.3.14.3.2.26"), parameters=None)
            case "signature":
                signed.signature_algorithm = der.Algorithm(oid=der.ObjectIdentifier("1.2.840.10045.4.1"), parameters=None)
            case "version":
                info.content.version = 1
        data = resigned(info, signed, agency().camera.key)
        if change == "signers":
            info.content.signers = asn1.SetOf([signed, signed])
            data = der.encode(info)
        with pytest.raises(FormatError):
            cms.verify_detached(CONTENT, data, agency().roots)


def test_a_leaf_without_its_authority_is_not_believed():
    camera = agency().camera
    alone = Holder(camera.key, camera.certificate, camera.chain[:1])
    with pytest.raises(UnavailableError):
        cms.verify_detached(CONTENT, alone.sign(CONTENT), agency().roots)


def test_a_p384_signer_is_understood():
    one = holder(agency().device_ca, Role.CAMERA, "OC-384", 50, ec.SECP384R1())
    assert cms.verify_detached(CONTENT, one.sign(CONTENT), agency().roots).certificate == one.certificate


def test_hostile_sizes_are_refused_before_they_are_read():
    with pytest.raises(FormatError, match="at most"):
        cms.verify_detached(CONTENT, bytes(cms.MAX_SIGNATURE_BYTES + 1), agency().roots)
