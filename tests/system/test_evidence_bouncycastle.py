"""BouncyCastle, which nobody here wrote, opens what we seal, verifies what we sign; and we open and verify what it makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from absent import absent
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from helpers_evidence import VALIDITY, Holder, agency, holder, manifest, stream

from firmware.errors import FormatError, IntegrityError
from firmware.evidence import cms, pki
from firmware.evidence.pki import Role
from tools import pki as issuing

JARS = [Path("/usr/share/java") / f"{name}.jar" for name in ("bcprov", "bcpkix", "bcutil")]
ABSENT = [name for name, there in (("java", shutil.which("java")), *((one.name, one.exists()) for one in JARS)) if not there]
PLAIN = bytes(range(256)) * 4000

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bouncy() -> Iterator[Callable[..., str]]:
    """``bouncy("open", ...)``: one job, one answer; the program runs once for all of them."""
    if ABSENT:
        absent(f"BouncyCastle was not tried, {', '.join(ABSENT)} is not installed (libbcprov-java, libbcpkix-java)")
    command = ["java", "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, JARS)), str(Path(__file__).with_name("Bouncy.java"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(*words: object) -> str:
            process.stdin.write("\t".join(map(str, words)) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline().strip()
            assert answer, process.stderr.read()
            return answer

        yield ask
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def card() -> Holder:
    """A recipient with an RSA key, as on a smart card."""
    key = rsa.generate_private_key(65537, 2048)
    certificate = issuing.issue(agency().root, Role.RECIPIENT, "card", key.public_key(), 40, VALIDITY)
    return Holder(key, certificate, ())  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path, card: Holder) -> Path:
    one = agency()
    for name, who in (("agency", one.agency), ("oversight", one.oversight), ("card", card), ("camera", one.camera)):
        (tmp_path / f"{name}.p8").write_bytes(who.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
        (tmp_path / f"{name}.der").write_bytes(pki.to_der(who.certificate))
    recipients = [*one.recipients, cms.Recipient.from_certificate(card.certificate)]
    files = {
        "root.der": pki.to_der(one.root.certificate),
        "device-ca.der": pki.to_der(one.device_ca.certificate),
        "manifest.json": manifest().to_bytes(),
        "manifest.json.p7s": one.camera.sign(manifest().to_bytes()),
        "plain": PLAIN,
        "F.p7m": cms.seal(PLAIN, recipients, stream("bouncy")),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def holders(card: Holder) -> dict[str, Holder]:
    return {"agency": agency().agency, "oversight": agency().oversight, "card": card}


# --- sealing ----------------------------------------------------------------------------------------------------------

SCHEMES = {"agency": "1.3.132.1.11.1", "oversight": "1.3.132.1.11.2", "card": "1.2.840.113549.1.1.7"}


@pytest.mark.parametrize("who", SCHEMES)
def test_it_opens_what_we_seal(bouncy, place, who):
    """BWC-POL-33: P-256, P-384 and RSA recipients of one object, each with its own key."""
    answer = bouncy("open", place / f"{who}.p8", place / f"{who}.der", place / "F.p7m", place / "opened")
    assert answer == f"ok {SCHEMES[who]}"
    assert (place / "opened").read_bytes() == PLAIN


@pytest.mark.parametrize("offset", [-1, -20, -500_000])
def test_it_refuses_what_was_changed(bouncy, place, offset):
    """BWC-POL-24: in the tag, at the end of the content, in its middle; no output."""
    flip(place / "F.p7m", offset)
    answer = bouncy("open", place / "agency.p8", place / "agency.der", place / "F.p7m", place / "opened")
    assert answer.startswith("refused: ")
    assert not (place / "opened").exists()


def test_it_cannot_open_with_another_key(bouncy, place):
    answer = bouncy("open", place / "camera.p8", place / "agency.der", place / "F.p7m", place / "opened")
    assert answer.startswith("refused: ")
    assert bouncy("open", place / "camera.p8", place / "camera.der", place / "F.p7m", place / "opened").startswith("refused: ")
    assert not (place / "opened").exists()


@pytest.mark.parametrize("who", SCHEMES)
def test_we_open_what_it_seals(bouncy, place, card, who):
    assert bouncy("seal", place / f"{who}.der", place / "plain", place / "theirs.p7m") == "ok sealed"
    recipient = holders(card)[who]
    assert cms.open_sealed((place / "theirs.p7m").read_bytes(), recipient.key, recipient.certificate) == PLAIN


@pytest.mark.parametrize("who", SCHEMES)
@pytest.mark.parametrize("offset", [-1, -20, -500_000])
def test_we_refuse_what_it_sealed_and_somebody_changed(bouncy, place, card, who, offset):
    bouncy("seal", place / f"{who}.der", place / "plain", place / "theirs.p7m")
    flip(place / "theirs.p7m", offset)
    recipient = holders(card)[who]
    with pytest.raises(IntegrityError):
        cms.open_sealed((place / "theirs.p7m").read_bytes(), recipient.key, recipient.certificate)


# --- signatures -------------------------------------------------------------------------------------------------------


def test_it_verifies_what_we_sign(bouncy, place):
    """BWC-POL-24: the signature, and the chain from the camera to the agency's root."""
    answer = bouncy("verify", place / "root.der", place / "manifest.json.p7s", place / "manifest.json")
    assert answer.startswith("ok ")
    assert pki.common_name(agency().camera.certificate) in answer


def test_it_verifies_a_p384_signer(bouncy, place):
    signer = holder(agency().device_ca, Role.CAMERA, "OC-384", 50, ec.SECP384R1())
    (place / "manifest.json.p7s").write_bytes(signer.sign(manifest().to_bytes()))
    assert bouncy("verify", place / "root.der", place / "manifest.json.p7s", place / "manifest.json").startswith("ok ")


@pytest.mark.parametrize("what", ["content", "signature", "root"])
def test_it_refuses_a_signature_that_does_not_fit(bouncy, place, what):
    if what == "content":
        flip(place / "manifest.json", 100)
    elif what == "signature":
        flip(place / "manifest.json.p7s", -1)
    else:
        (place / "root.der").write_bytes(pki.to_der(agency("Other Agency").root.certificate))
    assert bouncy("verify", place / "root.der", place / "manifest.json.p7s", place / "manifest.json").startswith("refused: ")


def test_we_verify_what_it_signs(bouncy, place):
    words = ("sign", place / "camera.p8", place / "camera.der", place / "device-ca.der", place / "manifest.json", place / "theirs.p7s")
    assert bouncy(*words) == "ok signed"
    theirs = (place / "theirs.p7s").read_bytes()
    signer = cms.verify_detached(manifest().to_bytes(), theirs, agency().roots, Role.CAMERA)
    assert pki.common_name(signer.certificate) == pki.common_name(agency().camera.certificate)
    with pytest.raises(IntegrityError):
        cms.verify_detached(manifest().to_bytes() + b" ", theirs, agency().roots, Role.CAMERA)
    for offset in (-1, len(theirs) // 2, 40):
        changed = bytearray(theirs)
        changed[offset] ^= 1
        with pytest.raises((FormatError, IntegrityError)):
            cms.verify_detached(manifest().to_bytes(), bytes(changed), agency().roots, Role.CAMERA)
