"""The signing key in a file: for development, and for boards without a secure element.

Responsible for one ECDSA P-256 key (PEM, PKCS#8, mode 0600 in a directory 0700), its certificate chain and a counter
that never goes back. Refuses to know what is signed, and refuses a key that others could have read.

Invariants: each file is replaced whole (new file, fsync, rename, fsync of the directory), so a power cut leaves the old
or the new one; the counter's new value is durable before it is returned; the private key leaves this module never.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import KeyProtection, KeyStore, KeyStoreInfo

_KEY = "device.key"
_CHAIN = "device.pem"
_COUNTER = "counter"


class FileKeyStore(KeyStore):
    """A key store below ``directory`` (made with mode 0700 when absent).

    Raises ``HalUnavailable`` when the directory cannot be made, ``HalError`` when others can read the key.
    """

    def __init__(self, directory: Path, protection: KeyProtection = KeyProtection.FILE) -> None:
        self._directory = Path(directory)
        self._protection = protection
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HalUnavailable(f"no key store at {str(directory)!r}: {error.strerror}; make the directory with mode 0700") from error
        _refuse_others(self._directory, "chmod 0700")
        self._loaded: ec.EllipticCurvePrivateKey | None = None
        if (self._directory / _KEY).exists():
            self._key()

    def info(self) -> KeyStoreInfo:
        kind = "simulated" if self._protection is KeyProtection.SIMULATED else "file"
        return KeyStoreInfo(self._protection, hardware_backed=False, description=f"P-256 key in a {kind} key store, mode 0600")

    def generate_key(self) -> bytes:
        if (self._directory / _KEY).exists():
            raise HalError(f"a signing key exists in {str(self._directory)!r}; keys are not replaced, retire the device instead")
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._replace(_KEY, pem)
        return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def install_certificates(self, chain: Sequence[bytes]) -> None:
        try:
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
        except ValueError as error:
            raise HalError(f"not a certificate: {error}") from error
        if not certificates or certificates[0].public_key() != self._key().public_key():
            raise HalError("the first certificate is not for this device's key; request one with this key's CSR")
        self._replace(_CHAIN, b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates))

    def certificate_chain(self) -> tuple[bytes, ...]:
        pem = self._read(_CHAIN, "no certificate is installed; provision the device")
        try:
            certificates = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise DeviceFault(f"key store {str(self._directory)!r}: {_CHAIN} does not parse: {error}") from error
        return tuple(each.public_bytes(serialization.Encoding.DER) for each in certificates)

    def sign_digest(self, digest: bytes) -> bytes:
        if len(digest) != 32:
            raise HalError(f"expected a digest of 32 bytes, got {len(digest)}")
        return self._key().sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    def counter_increment(self) -> int:
        value = self.counter_read() + 1
        self._replace(_COUNTER, f"{value}\n".encode())
        return value

    def counter_read(self) -> int:
        if not (self._directory / _COUNTER).exists():
            return 0
        text = self._read(_COUNTER, "")
        # Anything but what was written must not read as a low number: the counter proves that nothing was rolled back.
        if not text.rstrip(b"\n").isdigit():
            raise DeviceFault(f"key store {str(self._directory)!r}: counter does not parse: {text[:32]!r}")
        return int(text)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if self._loaded is None:
            self._loaded = self._load_key()
        return self._loaded

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        pem = self._read(_KEY, "no signing key; provision the device")
        _refuse_others(self._directory / _KEY, "chmod 0600 after making sure that nobody copied it")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise DeviceFault(f"key store {str(self._directory)!r}: {_KEY} does not parse") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise DeviceFault(f"key store {str(self._directory)!r}: {_KEY} is not a P-256 key")
        return key

    def _read(self, name: str, absent: str) -> bytes:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError as error:
            raise HalUnavailable(f"key store {str(self._directory)!r}: {absent}") from error
        except OSError as error:
            raise DeviceFault(f"key store {str(self._directory / name)!r}: {error.strerror}") from error

    def _replace(self, name: str, data: bytes) -> None:
        temporary = self._directory / f"{name}.new"
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self._directory / name)
            _sync_directory(self._directory)
        except OSError as error:
            raise DeviceFault(f"key store {str(self._directory / name)!r}: {error.strerror}") from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_others(path: Path, remedy: str) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise HalError(f"{str(path)!r} is open to others (mode {mode:04o}); {remedy}")
