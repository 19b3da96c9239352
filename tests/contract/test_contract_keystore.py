"""What every key store owes: signatures that other software verifies, and a counter that never goes back."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from shutil import which

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID
from helpers_hal import KEY_STORES

from hal.errors import HalError, HalUnavailable
from hal.interfaces import KeyStore

DIGEST = hashlib.sha256(b"evidence").digest()


@pytest.fixture(params=KEY_STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], KeyStore]]:
    with KEY_STORES[request.param](tmp_path) as opened:
        yield opened


def certificate_for(spki: bytes) -> bytes:
    """A certificate for a public key, by a throwaway authority."""
    public = serialization.load_der_public_key(spki)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(public).serial_number(1)
    builder = builder.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_signature_verifies_under_the_public_key(reopen: Callable[[], KeyStore]) -> None:
    """BWC-POL-36."""
    store = reopen()
    public = serialization.load_der_public_key(store.generate_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)
    public.verify(store.sign_digest(DIGEST), DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@pytest.mark.system
def test_openssl_verifies_the_signature(reopen: Callable[[], KeyStore], tmp_path: Path) -> None:
    """BWC-POL-24, by a program that nobody here wrote."""
    if which("openssl") is None:
        pytest.skip("openssl is not installed")
    store = reopen()
    (tmp_path / "public.der").write_bytes(store.generate_key())
    (tmp_path / "signature").write_bytes(store.sign_digest(DIGEST))
    (tmp_path / "content").write_bytes(b"evidence")
    command = ["openssl", "dgst", "-sha256", "-verify", "public.der", "-keyform", "DER", "-signature", "signature", "content"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "Verified OK\n")


def test_a_second_key_is_refused(reopen: Callable[[], KeyStore]) -> None:
    first = reopen()
    public = serialization.load_der_public_key(first.generate_key())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    for store in (first, reopen()):
        with pytest.raises(HalError):
            store.generate_key()
    public.verify(store.sign_digest(DIGEST), DIGEST, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


@pytest.mark.parametrize("digest", [b"", DIGEST[:31], DIGEST + b"\0"])
def test_only_whole_digests_are_signed(reopen: Callable[[], KeyStore], digest: bytes) -> None:
    store = reopen()
    store.generate_key()
    with pytest.raises(HalError):
        store.sign_digest(digest)


def test_an_empty_store_says_so(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    with pytest.raises(HalUnavailable):
        store.sign_digest(DIGEST)
    with pytest.raises(HalUnavailable):
        store.certificate_chain()


def test_the_chain_survives_and_must_fit_the_key(reopen: Callable[[], KeyStore]) -> None:
    store = reopen()
    leaf = certificate_for(store.generate_key())
    other = certificate_for(
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    for wrong in ([], [other], [b"no certificate"], [leaf[:-1]]):
        with pytest.raises(HalError):
            store.install_certificates(wrong)
    store.install_certificates([leaf, other])
    assert reopen().certificate_chain() == (leaf, other)


def test_the_counter_rises_by_one_and_survives(reopen: Callable[[], KeyStore]) -> None:
    """BWC-POL-29: a rolled-back vault cannot hide behind a rolled-back counter."""
    store = reopen()
    store.generate_key()  # the counter is the key's: a store may have none before
    assert store.counter_read() == 0
    assert [store.counter_increment() for _ in range(3)] == [1, 2, 3]
    again = reopen()
    assert again.counter_read() == 3
    assert again.counter_increment() == 4


def test_protection_is_told(reopen: Callable[[], KeyStore]) -> None:
    info = reopen().info()
    assert info.description
    assert info.protection.value in ("file", "simulated", "tpm", "pkcs11")
    assert info.hardware_backed == (info.protection.value in ("tpm", "pkcs11"))
