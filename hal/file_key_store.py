"""The signing key in a file: for development, and for boards without a secure element.

Responsible for one ECDSA P-256 key (PEM, PKCS#8, mode 0600 in a directory 0700), its certificate chain and a counter
that never goes back. Refuses to know what is signed, and refuses a key that others could have read.

Invariants: those of :mod:`hal.key_directory`; the private key leaves this module never.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hal.ecdsa import ALGORITHM, require_digest, spki
from hal.errors import DeviceFault, HalError
from hal.interfaces import KeyProtection, KeyStore, KeyStoreInfo
from hal.key_directory import KeyDirectory, refuse_others

_KEY = "device.key"


class FileKeyStore(KeyStore):
    """A key store below ``directory`` (made with mode 0700 when absent).

    Raises ``HalUnavailable`` when the directory cannot be made, ``HalError`` when others can read the key.
    """

    def __init__(self, directory: Path, protection: KeyProtection = KeyProtection.FILE) -> None:
        self._files = KeyDirectory(directory)
        self._protection = protection
        self._loaded: ec.EllipticCurvePrivateKey | None = None
        if self._files.holds(_KEY):
            self._key()

    def info(self) -> KeyStoreInfo:
        kind = "simulated" if self._protection is KeyProtection.SIMULATED else "file"
        return KeyStoreInfo(self._protection, hardware_backed=False, description=f"P-256 key in a {kind} key store, mode 0600")

    def generate_key(self) -> bytes:
        if self._files.holds(_KEY):
            raise HalError(f"a signing key exists in {str(self._files.path)!r}; keys are not replaced, retire the device instead")
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._files.replace(_KEY, pem)
        return spki(key.public_key())

    def install_certificates(self, chain: Sequence[bytes]) -> None:
        self._files.install_chain(chain, self._key().public_key())

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._files.chain()

    def sign_digest(self, digest: bytes) -> bytes:
        require_digest(digest)
        return self._key().sign(digest, ALGORITHM)

    def counter_increment(self) -> int:
        return self._files.counter_increment()

    def counter_read(self) -> int:
        return self._files.counter_read()

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._loaded is None:
            self._loaded = self._load_key()
        return self._loaded

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        pem = self._files.read(_KEY, "no signing key; provision the device")
        refuse_others(self._files.path / _KEY, "chmod 0600 after making sure that nobody copied it")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise DeviceFault(f"key store {str(self._files.path)!r}: {_KEY} does not parse") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise DeviceFault(f"key store {str(self._files.path)!r}: {_KEY} is not a P-256 key")
        return key
