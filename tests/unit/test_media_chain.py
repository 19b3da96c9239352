"""Whose key signs a stream: chains that hold, and every way in which one does not."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from firmware.errors import FormatError, IntegrityError
from firmware.media.chain import DOCUMENT_SIGNING, parse_chain, signing_key, verify_chain, verify_signature

KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "ca", "leaf", "other")}


def certificate(
    name: str,
    issuer: str,
    *,
    ca: bool = False,
    path_length: int | None = None,
    signs: bool = True,
    purpose: x509.ObjectIdentifier | None = None,
    extra: x509.ExtensionType | None = None,
    public: object = None,
) -> x509.Certificate:
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public or KEYS[name].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2050, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=signs, key_cert_sign=ca, crl_sign=False, **usage), critical=True)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if extra is not None:
        builder = builder.add_extension(extra, critical=True)
    return builder.sign(KEYS[issuer], hashes.SHA256())


ROOT = certificate("root", "root", ca=True)
CA = certificate("ca", "root", ca=True, path_length=0)
LEAF = certificate("leaf", "ca", purpose=DOCUMENT_SIGNING)


def test_leaf_under_intermediate_under_root() -> None:
    verify_chain([LEAF, CA], [ROOT], None)
    verify_chain([LEAF, CA], [certificate("other", "other", ca=True), ROOT], dt.datetime(2030, 1, 1, tzinfo=dt.UTC))
    verify_chain([LEAF], [CA], None)  # an agency may trust its device CA directly


@pytest.mark.parametrize(
    ("chain", "roots"),
    [
        ([LEAF, CA], []),
        ([LEAF], [ROOT]),  # the intermediate is not there
        ([LEAF, certificate("ca", "other", ca=True)], [ROOT]),  # same name and key, issued by another
        ([certificate("leaf", "other", purpose=DOCUMENT_SIGNING), CA], [ROOT]),
        ([certificate("leaf", "ca"), certificate("ca", "root")], [ROOT]),  # a device that issues devices
        ([certificate("leaf", "ca"), certificate("ca", "other", ca=True), certificate("other", "root", ca=True, path_length=0)], [ROOT]),
        ([certificate("leaf", "ca", signs=False), CA], [ROOT]),
        ([certificate("leaf", "ca", purpose=ExtendedKeyUsageOID.SERVER_AUTH), CA], [ROOT]),
        ([certificate("leaf", "ca", extra=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")), CA], [ROOT]),
        ([LEAF, CA], [certificate("root", "root")]),  # a root that is no CA
    ],
)
def test_chains_that_do_not_hold(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> None:
    with pytest.raises(IntegrityError):
        verify_chain(chain, roots, None)


@pytest.mark.parametrize("year", [2020, 2051])
def test_validity_is_checked_at_the_time_given(year: int) -> None:
    with pytest.raises(IntegrityError):
        verify_chain([LEAF, CA], [ROOT], dt.datetime(year, 1, 1, tzinfo=dt.UTC))


def test_pem_that_is_refused() -> None:
    pem = LEAF.public_bytes(serialization.Encoding.PEM)
    assert parse_chain(pem + CA.public_bytes(serialization.Encoding.PEM)) == (LEAF, CA)
    for junk in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", pem[:-40], pem * 5):
        with pytest.raises(FormatError):
            parse_chain(junk)


def test_what_a_leaf_may_be_for() -> None:
    """Document signing or any purpose where it names purposes; leaves of other makers name none."""
    for purpose in (None, DOCUMENT_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE):
        verify_chain([certificate("leaf", "ca", purpose=purpose), CA], [ROOT], None)


def test_keys_of_other_kinds_are_refused() -> None:
    others = (ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1()), rsa.generate_private_key(65537, 1024))
    for public in (key.public_key() for key in others):
        with pytest.raises(FormatError):
            signing_key(certificate("leaf", "ca", public=public))
    with pytest.raises(IntegrityError):
        verify_signature(signing_key(LEAF), b"\x30\x00", bytes(32))
