"""Cryptographic primitives: the only module of the evidence path that calls them (BWC-POL-34).

Responsible for one algorithm set: SHA-256, AES-256-GCM, AES-256 key wrap, ECDH with the X9.63 KDF and ECDSA on P-256 and
P-384, RSA-OAEP with SHA-256; and Ed25519, which only the witness cosignature uses because its standard asks for it.
Refuses to know any format, and to draw randomness: keys, nonces and seeds are arguments. (RSA-OAEP alone takes its
padding from the library, which offers no other way.)

Invariants: a check that fails raises :class:`IntegrityError`; no plaintext is returned before its tag has been checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from firmware.errors import IntegrityError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
MIN_RSA_BITS = 2048
Buffer = bytes | bytearray | memoryview

_ORDERS = {
    "secp256r1": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "secp384r1": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}
_FOREIGN_HASHES: dict[str, hashes.HashAlgorithm] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def sha256(data: Buffer) -> bytes:
    """SHA-256, 32 bytes."""
    return hashlib.sha256(data).digest()


def gcm_encrypt(key: bytes, nonce: bytes, parts: Sequence[Buffer]) -> tuple[bytes, bytes]:
    """AES-256-GCM over the concatenation of ``parts``, without additional data: (ciphertext, 16-byte tag)."""
    encryptor = Cipher(algorithms.AES256(key), modes.GCM(nonce)).encryptor()
    pieces = [encryptor.update(part) for part in parts]
    pieces.append(encryptor.finalize())
    # bytes.join of one piece returns that piece itself: a fragment given whole is copied by nothing but the cipher
    return b"".join(piece for piece in pieces if piece), encryptor.tag


def gcm_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, tag: bytes, layer: str) -> bytes:
    """The plaintext, once the 16-byte tag has been checked; ``IntegrityError`` when it does not fit."""
    if len(tag) != TAG_BYTES:
        raise IntegrityError(layer, f"expected a tag of {TAG_BYTES} bytes, got {len(tag)}")
    try:
        return AESGCM(key).decrypt(nonce, ciphertext + tag, None)
    except InvalidTag:
        raise IntegrityError(layer, "the content does not fit its authentication tag") from None


def is_supported_curve(curve: ec.EllipticCurve) -> bool:
    """Whether a curve belongs to the algorithm set: P-256 or P-384."""
    return curve.name in _ORDERS


def seed_bytes(curve: ec.EllipticCurve) -> int:
    """How many random bytes :func:`private_key_from_seed` needs: the order's size and 8 more (FIPS 186-5, A.2.1)."""
    return (curve.key_size + 7) // 8 + 8


def private_key_from_seed(curve: ec.EllipticCurve, seed: bytes) -> ec.EllipticCurvePrivateKey:
    """An EC private key from ``seed_bytes(curve)`` random bytes by "extra random bits" (FIPS 186-5, A.2.1)."""
    if len(seed) != seed_bytes(curve):
        raise ValueError(f"expected {seed_bytes(curve)} random bytes, got {len(seed)}")
    scalar = int.from_bytes(seed, "big") % (_ORDERS[curve.name] - 1) + 1
    return ec.derive_private_key(scalar, curve)


def agree(
    private_key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey, shared_info: bytes, kdf_hash: hashes.HashAlgorithm
) -> bytes:
    """A 32-byte key: ECDH, then the ANSI X9.63 KDF over ``shared_info``. ``ValueError`` when the curves differ."""
    secret = private_key.exchange(ec.ECDH(), public_key)
    return X963KDF(algorithm=kdf_hash, length=KEY_BYTES, sharedinfo=shared_info).derive(secret)


def wrap_key(wrapping_key: bytes, key: bytes) -> bytes:
    """AES-256 key wrap (RFC 3394) of a 32-byte key: 40 bytes."""
    return keywrap.aes_key_wrap(wrapping_key, key)


def unwrap_key(wrapping_key: bytes, wrapped: bytes, layer: str) -> bytes:
    """The inverse of :func:`wrap_key`; ``IntegrityError`` when the integrity value does not fit."""
    try:
        key = keywrap.aes_key_unwrap(wrapping_key, wrapped)
    except (keywrap.InvalidUnwrap, ValueError):
        raise IntegrityError(layer, "the content key does not unwrap with this private key") from None
    return _checked_key(key, layer)


def rsa_wrap(public_key: rsa.RSAPublicKey, key: bytes) -> bytes:
    """RSAES-OAEP with SHA-256 and MGF1-SHA-256."""
    return public_key.encrypt(key, _OAEP)


def rsa_unwrap(private_key: rsa.RSAPrivateKey, wrapped: bytes, layer: str) -> bytes:
    """The inverse of :func:`rsa_wrap`; ``IntegrityError`` when it does not decrypt."""
    try:
        key = private_key.decrypt(wrapped, _OAEP)
    except ValueError:
        raise IntegrityError(layer, "the content key does not decrypt with this private key") from None
    return _checked_key(key, layer)


def _checked_key(key: bytes, layer: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise IntegrityError(layer, f"expected a content key of {KEY_BYTES} bytes, got {len(key)}")
    return key


def verify_digest(public_key: object, digest: bytes, signature: bytes, layer: str) -> None:
    """ECDSA (DER) over a SHA-256 digest; ``IntegrityError`` unless it is by ``public_key``, on P-256 or P-384."""
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not is_supported_curve(public_key.curve):
        raise IntegrityError(layer, "expected a signer with an EC key on P-256 or P-384")
    try:
        public_key.verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        raise IntegrityError(layer, "the signature does not fit") from None


def digest(hash_name: str, data: Buffer) -> bytes:
    """A digest by name, for what others signed: "sha256", "sha384", "sha512", and "sha1" where it only names a certificate."""
    return hashlib.new(hash_name, data, usedforsecurity=False).digest()


def verify_message(public_key: object, hash_name: str, message: bytes, signature: bytes, layer: str) -> None:
    """A signature that a foreign authority made: ECDSA on P-256 or P-384, or RSA PKCS#1 v1.5 of 2048 bits or more, with
    SHA-256, SHA-384 or SHA-512. ``IntegrityError`` unless it fits."""
    algorithm = _FOREIGN_HASHES[hash_name]
    try:
        if isinstance(public_key, rsa.RSAPublicKey) and public_key.key_size >= MIN_RSA_BITS:
            public_key.verify(signature, message, padding.PKCS1v15(), algorithm)
        elif isinstance(public_key, ec.EllipticCurvePublicKey) and is_supported_curve(public_key.curve):
            public_key.verify(signature, message, ec.ECDSA(algorithm))
        else:
            raise IntegrityError(layer, "expected a signer with an EC key on P-256 or P-384, or RSA of 2048 bits or more")
    except InvalidSignature:
        raise IntegrityError(layer, "the signature does not fit") from None


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Ed25519 (RFC 8032) by a 32-byte seed: 64 bytes."""
    return SigningKey(seed).sign(message).signature


def ed25519_public(seed: bytes) -> bytes:
    """The 32-byte public key of a seed."""
    return bytes(SigningKey(seed).verify_key)


def ed25519_verify(public_key: bytes, message: bytes, signature: bytes, layer: str) -> None:
    """``IntegrityError`` unless ``signature`` is by the 32-byte ``public_key``."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError, TypeError):
        raise IntegrityError(layer, "the Ed25519 signature does not fit") from None
