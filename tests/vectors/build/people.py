"""Who signs and who opens in the vectors: one agency, its likeness, another agency, and the files of ``keys/``.

Every key comes from a seed, RSA too, so that the vectors are made again byte for byte.
"""

from __future__ import annotations

from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from firmware.evidence.pki import Role
from firmware.policy import minisign
from tests.unit import helpers_evidence as house
from tests.unit.helpers_evidence import NOW_NS, SERIAL, VALIDITY, Agency, Holder, agency, holder, stream
from tools import pki as issuing

__all__ = ["NOW_NS", "SERIAL", "VALIDITY", "Agency", "Holder", "agency", "holder", "house", "stream"]

DOCK_NAME = "dock.example/store-1"
DOCK_SEED = stream("dock witness")(32)
POLICY_SEED, POLICY_KEY_ID = stream("policy key")(32), stream("policy key id")(8)


@cache
def likeness() -> Agency:
    """An agency of the same name and the same people with other keys: a forger's."""
    one = Agency.__new__(Agency)
    draw = stream("likeness")
    root = issuing.make_root("Test Agency", issuing.new_key(draw), 1, VALIDITY)
    device_ca = issuing.make_authority(root, Role.DEVICE_CA, issuing.new_key(draw), 2, VALIDITY)
    dock_ca = issuing.make_authority(root, Role.DOCK_CA, issuing.new_key(draw), 3, VALIDITY)
    people = {"camera": (device_ca, Role.CAMERA, SERIAL), "store": (dock_ca, Role.STORE, "store-1")}
    made = {who: _holder(authority, role, name, 20, issuing.new_key(draw)) for who, (authority, role, name) in people.items()}
    for name, value in {**made, "root": root, "device_ca": device_ca, "dock_ca": dock_ca}.items():
        object.__setattr__(one, name, value)
    return one


def _holder(authority: issuing.Authority, role: Role, name: str, serial: int, key: ec.EllipticCurvePrivateKey) -> Holder:
    certificate = issuing.issue(authority, role, name, key.public_key(), serial, VALIDITY)
    return Holder(key, certificate, (_der(certificate), _der(authority.certificate)))


def _der(certificate: x509.Certificate) -> bytes:
    from firmware.evidence import pki

    return pki.to_der(certificate)


@cache
def rsa_recipient() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A recipient with an RSA key of 2048 bits."""
    draw = stream("rsa recipient")
    p, q = _prime(draw, 1024), _prime(draw, 1024)
    exponent = 65537
    private = pow(exponent, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPublicNumbers(exponent, p * q)
    parts = (rsa.rsa_crt_dmp1(private, p), rsa.rsa_crt_dmq1(private, q), rsa.rsa_crt_iqmp(p, q))
    key = rsa.RSAPrivateNumbers(p, q, private, *parts, numbers).private_key()
    return key, issuing.issue(agency().root, Role.RECIPIENT, "archive", key.public_key(), 14, VALIDITY)


def _prime(draw, bits: int) -> int:
    candidate = int.from_bytes(draw(bits // 8), "big") | 3 << (bits - 2) | 1
    while not _is_prime(candidate, draw):
        candidate += 2
    return candidate


def _is_prime(number: int, draw) -> bool:
    if any(number % small == 0 for small in range(3, 2000, 2)):
        return False
    odd, twos = number - 1, 0
    while not odd & 1:
        odd, twos = odd >> 1, twos + 1
    return all(_passes(number, odd, twos, int.from_bytes(draw(16), "big")) for _ in range(20))


def _passes(number: int, odd: int, twos: int, base: int) -> bool:
    """Miller-Rabin."""
    value = pow(base, odd, number)
    for _ in range(twos):
        if value in (1, number - 1):
            return True
        value = pow(value, 2, number)
        if value == 1:
            return False
    return False


def camera_pem() -> bytes:
    """The camera's chain as it stands in ``ledger/device.pem``."""
    return issuing.certificate_pem(agency().camera.certificate, agency().device_ca.certificate)


def key_files() -> dict[str, bytes]:
    """The files of ``keys/``."""
    one, (rsa_key, rsa_certificate) = agency(), rsa_recipient()
    files = {
        "root.crt": issuing.certificate_pem(one.root.certificate),
        "other-root.crt": issuing.certificate_pem(agency("Other Agency").root.certificate),
        "camera.crt": camera_pem(),
        "store.crt": issuing.certificate_pem(one.store.certificate, one.dock_ca.certificate),
        "archive.crt": issuing.certificate_pem(rsa_certificate),
        "archive.key": issuing.private_key_pem(rsa_key),
        "dock.pub": (house_public(DOCK_SEED).hex() + "\n").encode(),
        "policy.pub": minisign.public_key_text(POLICY_KEY_ID, house_public(POLICY_SEED)).encode(),
    }
    for name, who in (("agency", one.agency), ("oversight", one.oversight), ("camera", one.camera), ("store", one.store)):
        files.setdefault(f"{name}.crt", issuing.certificate_pem(who.certificate))
        files[f"{name}.key"] = issuing.private_key_pem(who.key)
    return files


def house_public(seed: bytes) -> bytes:
    from firmware.evidence import primitives

    return primitives.ed25519_public(seed)
