"""Certificates: roles, chains and who may issue what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from helpers_evidence import NOW_NS, SERIAL, VALIDITY, agency, holder, signer, stream

from firmware.errors import FormatError, IntegrityError, UnavailableError, UsageError
from firmware.evidence import pki
from firmware.evidence.pki import Role
from tools import pki as issuing

CHAINS = {
    Role.CAMERA: lambda: (agency().camera.certificate, agency().device_ca.certificate),
    Role.STORE: lambda: (agency().store.certificate, agency().dock_ca.certificate),
    Role.RECIPIENT: lambda: (agency().agency.certificate,),
    Role.DOCK: lambda: (holder(agency().dock_ca, Role.DOCK, "dock-1", 20).certificate, agency().dock_ca.certificate),
    Role.CAMERA_LINK: lambda: (holder(agency().dock_ca, Role.CAMERA_LINK, SERIAL, 21).certificate, agency().dock_ca.certificate),
}


def handmade(
    role: str,
    issuer: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    *extensions: tuple[x509.ExtensionType, bool],
    signing_key: ec.EllipticCurvePrivateKey | None = None,
    algorithm: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """A certificate that the issuing tool would not make, truly signed by ``key`` or by ``signing_key``."""
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Test Agency"),
            x509.NameAttribute(x509.NameOID.ORGANIZATIONAL_UNIT_NAME, role),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "handmade"),
        ]
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(issuer.subject).public_key(key.public_key()).serial_number(99)
    builder = builder.not_valid_before(VALIDITY.start).not_valid_after(VALIDITY.end)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signing_key or key, algorithm or hashes.SHA256())


def usage(*, sign: bool = True, certify: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(sign, False, False, False, False, certify, False, False, False)


LEAF = (x509.BasicConstraints(ca=False, path_length=None), True)


@pytest.mark.parametrize("role", CHAINS)
def test_a_chain_proves_its_role_and_no_other(role):
    """BWC-POL-36: certificates come from the agency's authorities, each for one role."""
    chain = CHAINS[role]()
    pki.check_chain(chain, agency().roots, role, NOW_NS)
    pki.check_chain([*chain, agency().root.certificate], agency().roots, role, NOW_NS)
    assert pki.role_of(chain[0]) is role
    for other in set(Role) - {role}:
        with pytest.raises(IntegrityError, match="expected the role"):
            pki.check_chain(chain, agency().roots, other, NOW_NS)


def test_an_authority_issues_only_its_own_roles():
    key = issuing.new_key(stream("x")).public_key()
    for role, authority in (
        (Role.CAMERA, agency().dock_ca),
        (Role.STORE, agency().device_ca),
        (Role.CAMERA, agency().root),
        (Role.ROOT, agency().root),
    ):
        with pytest.raises(UsageError, match="issued by"):
            issuing.issue(authority, role, "x", key, 30, VALIDITY)
    with pytest.raises(UsageError):
        issuing.make_authority(agency().root, Role.CAMERA, issuing.new_key(stream("x")), 31, VALIDITY)


def test_a_role_under_the_wrong_authority_is_no_role():
    """A stolen dock authority cannot make a camera."""
    dock_ca = agency().dock_ca
    forged = handmade("camera", dock_ca.certificate, dock_ca.private_key, LEAF, (usage(), True))
    with pytest.raises(IntegrityError, match="issued by 'Device CA'"):
        pki.check_chain([forged, dock_ca.certificate], agency().roots, Role.CAMERA, NOW_NS)


@pytest.mark.parametrize(
    ("role", "extensions", "word"),
    [
        ("camera", (LEAF,), "may not sign"),
        ("camera", (LEAF, (usage(sign=False), True)), "may not sign"),
        ("camera", ((x509.BasicConstraints(ca=True, path_length=None), True), (usage(), True)), "authority"),
        ("janitor", (LEAF, (usage(), True)), "names a role"),
        ("camera", (LEAF, (usage(), True), (x509.NameConstraints([x509.DNSName("x")], None), True)), "not understood"),
        (
            "camera",
            (LEAF, (usage(), True), (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)),
            "not understood",
        ),
    ],
)
def test_constraints_are_held(role, extensions, word):
    device_ca = agency().device_ca
    forged = handmade(role, device_ca.certificate, device_ca.private_key, *extensions)
    with pytest.raises(IntegrityError, match=word):
        pki.check_chain([forged, device_ca.certificate], agency().roots, Role.CAMERA, NOW_NS)


def test_a_leaf_issues_nothing():
    """A camera's key signs manifests; a certificate signed by it is worth nothing."""
    camera = agency().camera
    forged = handmade("camera", camera.certificate, camera.key, LEAF, (usage(), True))
    with pytest.raises(IntegrityError):
        pki.check_chain([forged, camera.certificate, agency().device_ca.certificate], agency().roots, Role.CAMERA, NOW_NS)


def test_an_authority_below_an_authority_is_refused():
    """Path length 0: a device authority cannot make further authorities."""
    device_ca = agency().device_ca
    key = issuing.new_key(stream("sub"))
    ca = (x509.BasicConstraints(ca=True, path_length=0), True)
    name = device_ca.certificate.subject
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(5)
    builder = (
        builder.not_valid_before(VALIDITY.start).not_valid_after(VALIDITY.end).add_extension(*ca).add_extension(usage(certify=True), True)
    )
    below = builder.sign(device_ca.private_key, hashes.SHA256())
    leaf = holder(issuing.Authority(below, key), Role.CAMERA, "OC-9", 60)
    with pytest.raises(IntegrityError):
        pki.check_chain([leaf.certificate, below, device_ca.certificate], agency().roots, Role.CAMERA, NOW_NS)


@pytest.mark.parametrize(
    ("constraints", "certify"),
    [
        ((), True),
        (((x509.BasicConstraints(ca=False, path_length=None), True),), True),
        (((x509.BasicConstraints(ca=True, path_length=0), True),), False),
    ],
)
def test_an_authority_must_be_marked_as_one(constraints, certify):
    """RFC 5280 §4.2.1.9: basic constraints and key usage, both."""
    root = agency().root
    key = issuing.new_key(stream("unmarked"))
    unmarked = handmade("Device CA", root.certificate, key, *constraints, (usage(certify=certify), True), signing_key=root.private_key)
    leaf = holder(issuing.Authority(unmarked, key), Role.CAMERA, "OC-8", 61)
    with pytest.raises(IntegrityError, match="not one of an authority"):
        pki.check_chain([leaf.certificate, unmarked], agency().roots, Role.CAMERA, NOW_NS)


def test_a_roots_path_length_is_held():
    """A root that says that it issues leaves only."""
    key = issuing.new_key(stream("short"))
    name = agency().root.certificate
    short = handmade("Root CA", name, key, (x509.BasicConstraints(ca=True, path_length=0), True), (usage(certify=True), True))
    root = issuing.Authority(short, key)
    device_ca = handmade(
        "Device CA",
        short,
        agency().device_ca.private_key,
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage(certify=True), True),
        signing_key=key,
    )
    leaf = holder(issuing.Authority(device_ca, agency().device_ca.private_key), Role.CAMERA, "OC-7", 62)
    with pytest.raises(IntegrityError, match="allows 0 authorities"):
        pki.check_chain([leaf.certificate, device_ca], [root.certificate], Role.CAMERA, NOW_NS)


def test_other_signature_algorithms_are_refused():
    """BWC-POL-34."""
    device_ca = agency().device_ca
    forged = handmade("camera", device_ca.certificate, device_ca.private_key, LEAF, (usage(), True), algorithm=hashes.SHA512())
    with pytest.raises(IntegrityError, match="not signed by the key"):
        pki.check_chain([forged, device_ca.certificate], agency().roots, Role.CAMERA, NOW_NS)


@pytest.mark.parametrize("shift", [-1, VALIDITY.days * 86_400 + 1])
def test_validity_is_judged_at_the_given_time(shift):
    at_ns = VALIDITY.start_ns + shift * 10**9
    with pytest.raises(IntegrityError, match="valid from"):
        pki.check_chain(CHAINS[Role.CAMERA](), agency().roots, Role.CAMERA, at_ns)


def test_without_a_root_nothing_can_be_said():
    with pytest.raises(UnavailableError):
        pki.check_chain(CHAINS[Role.CAMERA](), [], Role.CAMERA, NOW_NS)
    with pytest.raises(UnavailableError):
        pki.check_chain(CHAINS[Role.CAMERA]()[:1], agency().roots, Role.CAMERA, NOW_NS)
    with pytest.raises(IntegrityError):
        pki.check_chain([], agency().roots, Role.CAMERA, NOW_NS)


def test_other_bytes_are_a_format_error():
    for data in (b"", b"\x30\x00", agency().camera.chain[0][:-1]):
        with pytest.raises(FormatError):
            pki.load_certificate(data)
    with pytest.raises(FormatError):
        pki.load_certificates_pem(b"-----BEGIN NOTHING-----")


def test_names_and_key_ids():
    camera = agency().camera.certificate
    assert pki.common_name(camera) == SERIAL
    assert camera.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value == SERIAL
    assert pki.subject_key_identifier(camera).hex() == pki.key_id(camera)
    assert pki.load_certificates_pem(issuing.certificate_pem(camera, agency().device_ca.certificate)) == CHAINS[Role.CAMERA]()
    for agency_name, name in (("", "x"), ("A" * 65, "x"), ("A", "x\ny")):
        with pytest.raises(UsageError):
            issuing.subject_name(agency_name, Role.CAMERA, name)


# --- issuing ----------------------------------------------------------------------------------------------------------


def request(name: str = SERIAL, key: ec.EllipticCurvePrivateKey | None = None, other: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    key = key or agency().camera.key
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return issuing.make_csr_with_key_store(signer(other or key), spki, issuing.subject_name("Test Agency", Role.CAMERA, name))


def test_a_request_signed_in_the_key_store_becomes_a_certificate():
    """BWC-POL-36: the private key is made on the device and stays there."""
    found = issuing.issue_from_csr(request(), agency().device_ca, Role.CAMERA, SERIAL, 10, VALIDITY)
    assert found == agency().camera.certificate
    assert x509.load_der_x509_csr(request()).is_signature_valid


def test_a_request_must_be_signed_by_its_own_key_and_for_its_own_name():
    stranger = issuing.new_key(stream("stranger"))
    for data, error in (
        (request(other=stranger), IntegrityError),
        (request(name="OC-000002"), IntegrityError),
        (request()[:-3], FormatError),
        (b"", FormatError),
    ):
        with pytest.raises(error):
            issuing.issue_from_csr(data, agency().device_ca, Role.CAMERA, SERIAL, 10, VALIDITY)


def test_the_profile_fits_media_signing_and_c2pa_validators():
    """Decades of validity, documentSigning, key identifiers, an O= (evidence format §2)."""
    camera = agency().camera.certificate
    assert camera.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value._usages == [issuing.DOCUMENT_SIGNING]
    assert camera.not_valid_after_utc - camera.not_valid_before_utc >= timedelta(days=20 * 365)
    authority = camera.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert authority == pki.subject_key_identifier(agency().device_ca.certificate)
    assert camera.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)[0].value == "Test Agency"


def test_link_certificates_carry_their_names():
    """BWC-POL-35: mutual TLS; the dock's names stand in its certificate."""
    key = issuing.new_key(stream("dock")).public_key()
    dock = issuing.issue(agency().dock_ca, Role.DOCK, "dock-1", key, 70, VALIDITY, ["dock.local", "127.0.0.1"])
    names = dock.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["dock.local"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_private_keys_are_kept_under_a_passphrase():
    pem = issuing.private_key_pem(agency().agency.key, b"secret")
    assert b"ENCRYPTED" in pem
    assert b"ENCRYPTED" not in issuing.private_key_pem(agency().agency.key)
