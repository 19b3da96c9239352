"""openssl, which nobody here wrote, opens what we seal, verifies what we sign, and reads our certificates; and we read its."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from helpers_evidence import SERIAL, VALIDITY, agency, begin, holder, manifest, stream

from firmware.evidence import cms
from firmware.evidence.pki import Role
from tools import pki as issuing

pytestmark = [pytest.mark.system, pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")]

PLAIN = bytes(range(256)) * 4000


def openssl(directory: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, check=False, timeout=60)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The agency's files, and a camera's manifest with its signature."""
    one = agency()
    files = {
        "root.pem": issuing.certificate_pem(one.root.certificate),
        "device-ca.pem": issuing.certificate_pem(one.device_ca.certificate),
        "dock-ca.pem": issuing.certificate_pem(one.dock_ca.certificate),
        "camera.pem": issuing.certificate_pem(one.camera.certificate),
        "agency.crt": issuing.certificate_pem(one.agency.certificate),
        "agency.key": issuing.private_key_pem(one.agency.key),
        "oversight.crt": issuing.certificate_pem(one.oversight.certificate),
        "oversight.key": issuing.private_key_pem(one.oversight.key),
        "manifest.json": manifest().to_bytes(),
        "manifest.json.p7s": one.camera.sign(manifest().to_bytes()),
        "F.p7m": cms.seal(PLAIN, one.recipients, stream("openssl")),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def verify(place: Path, name: str = "manifest.json") -> subprocess.CompletedProcess[bytes]:
    options = ["-verify", "-binary", "-inform", "DER", "-in", f"{name}.p7s", "-content", name, "-CAfile", "root.pem", "-purpose", "any"]
    return openssl(place, "cms", *options, "-out", "verified")


def decrypt(place: Path, who: str, name: str = "F.p7m") -> subprocess.CompletedProcess[bytes]:
    return openssl(
        place, "cms", "-decrypt", "-inform", "DER", "-in", name, "-inkey", f"{who}.key", "-recip", f"{who}.crt", "-out", "opened"
    )


# --- signatures -------------------------------------------------------------------------------------------------------


def test_openssl_verifies_a_manifest(place):
    """BWC-POL-24: verifiable offline with public code."""
    done = verify(place)
    assert (done.returncode, b"successful" in done.stderr) == (0, True)
    assert (place / "verified").read_bytes() == manifest().to_bytes()


def test_openssl_refuses_a_changed_manifest(place):
    (place / "manifest.json").write_bytes(manifest().to_bytes().replace(b'"pictures":30', b'"pictures":31', 1))
    assert verify(place).returncode != 0


def test_openssl_refuses_another_agencys_root(place):
    (place / "root.pem").write_bytes(issuing.certificate_pem(agency("Other Agency").root.certificate))
    assert verify(place).returncode != 0


@pytest.mark.parametrize("at_ns", [0, 2_550_000_000 * 10**9])
def test_openssl_verifies_signatures_of_any_clock(place, at_ns):
    """BWC-POL-27: of a clock never set (1970) and beyond UTCTime (2050)."""
    (place / "begin.json").write_bytes(begin().to_bytes())
    (place / "begin.json.p7s").write_bytes(agency().camera.sign(begin().to_bytes(), at_ns))
    assert verify(place, "begin.json").returncode == 0


def test_openssl_verifies_a_p384_signer(place):
    signer = holder(agency().device_ca, Role.CAMERA, "OC-384", 50, ec.SECP384R1())
    (place / "manifest.json.p7s").write_bytes(signer.sign(manifest().to_bytes()))
    assert verify(place).returncode == 0


def test_openssl_makes_a_signature_that_we_do_not_take(place):
    """BWC-POL-34: its default shape has other attributes; there is one form of a signature here, and this is not it."""
    key = agency().camera.key
    (place / "camera.key").write_bytes(issuing.private_key_pem(key))
    options = [
        "-sign",
        "-binary",
        "-in",
        "manifest.json",
        "-signer",
        "camera.pem",
        "-inkey",
        "camera.key",
        "-outform",
        "DER",
        "-out",
        "x.p7s",
    ]
    assert openssl(place, "cms", *options).returncode == 0
    with pytest.raises(cms.FormatError):
        cms.verify_detached(manifest().to_bytes(), (place / "x.p7s").read_bytes(), agency().roots)


# --- sealing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["agency", "oversight"])
def test_openssl_opens_what_we_seal(place, who):
    """BWC-POL-33: P-256 and P-384 recipients, each with its own key."""
    assert decrypt(place, who).returncode == 0
    assert (place / "opened").read_bytes() == PLAIN


def test_openssl_opens_an_rsa_recipients_object(place):
    key = rsa.generate_private_key(65537, 2048)
    certificate = issuing.issue(agency().root, Role.RECIPIENT, "card", key.public_key(), 40, VALIDITY)
    (place / "card.key").write_bytes(issuing.private_key_pem(key))
    (place / "card.crt").write_bytes(issuing.certificate_pem(certificate))
    recipients = [cms.Recipient.from_certificate(certificate), *agency().recipients]
    (place / "F.p7m").write_bytes(cms.seal(PLAIN, recipients, stream("rsa")))
    assert decrypt(place, "card").returncode == 0
    assert (place / "opened").read_bytes() == PLAIN


@pytest.mark.parametrize("offset", [-1, -20, -500_000])
def test_openssl_gives_an_error_and_no_output_for_a_flipped_bit(place, offset):
    """BWC-POL-24: in the tag, at the end of the content, in its middle."""
    data = bytearray((place / "F.p7m").read_bytes())
    data[offset] ^= 1
    (place / "F.p7m").write_bytes(data)
    assert decrypt(place, "agency").returncode != 0


def test_openssl_cannot_open_with_a_key_that_is_no_recipient(place):
    (place / "agency.key").write_bytes(issuing.private_key_pem(agency().camera.key))
    assert decrypt(place, "agency").returncode != 0


def test_we_open_what_openssl_seals(place):
    """The format is the standard's, not ours."""
    (place / "plain").write_bytes(PLAIN)
    who = agency().agency
    options = ["-encrypt", "-binary", "-aes-256-gcm", "-keyid", "-in", "plain", "-outform", "DER", "-out", "theirs.p7m"]
    done = openssl(place, "cms", *options, "-recip", "agency.crt", "-keyopt", "ecdh_kdf_md:sha256")
    assert done.returncode == 0, done.stderr
    assert cms.open_sealed((place / "theirs.p7m").read_bytes(), who.key, who.certificate) == PLAIN


# --- certificates -----------------------------------------------------------------------------------------------------


def test_openssl_verifies_the_chains(place):
    """BWC-POL-36; -x509_strict holds RFC 5280's rules on extensions."""
    (place / "store.pem").write_bytes(issuing.certificate_pem(agency().store.certificate))
    for leaf, authority in (("camera.pem", "device-ca.pem"), ("store.pem", "dock-ca.pem")):
        done = openssl(place, "verify", "-x509_strict", "-purpose", "any", "-CAfile", "root.pem", "-untrusted", authority, leaf)
        assert done.returncode == 0, done.stderr
    done = openssl(place, "verify", "-x509_strict", "-CAfile", "root.pem", "agency.crt")
    assert done.returncode == 0, done.stderr
    assert openssl(place, "verify", "-purpose", "any", "-CAfile", "root.pem", "-untrusted", "dock-ca.pem", "camera.pem").returncode != 0


def test_openssl_takes_link_certificates_for_tls_peers(place):
    """BWC-POL-35."""
    dock = holder(agency().dock_ca, Role.DOCK, "dock-1", 20).certificate
    link = holder(agency().dock_ca, Role.CAMERA_LINK, SERIAL, 21).certificate
    (place / "dock.pem").write_bytes(issuing.certificate_pem(dock))
    (place / "link.pem").write_bytes(issuing.certificate_pem(link))
    base = ["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "dock-ca.pem"]
    assert openssl(place, *base, "-purpose", "sslserver", "-verify_hostname", "dock-1", "dock.pem").returncode == 0
    assert openssl(place, *base, "-purpose", "sslclient", "link.pem").returncode == 0
    assert openssl(place, *base, "-purpose", "sslserver", "link.pem").returncode != 0


def test_openssl_verifies_a_request_signed_in_a_key_store(place):
    """BWC-POL-36."""
    from test_evidence_pki import request

    (place / "camera.csr").write_bytes(request())
    done = openssl(place, "req", "-inform", "DER", "-in", "camera.csr", "-verify", "-noout", "-subject")
    assert done.returncode == 0
    assert f"CN = {SERIAL}".encode() in done.stdout
