"""The directory beside a signing key: what may lie in a file wherever the key itself lives.

Responsible for files that are private (0600 in a directory 0700) and replaced whole (new file, fsync, rename, fsync of the
directory), for the certificate chain, and for a counter in a file. Refuses to know private keys; a certificate is refused
when it is not for the key that the caller names.

Invariants: a power cut leaves the old file or the new one; the counter's new value is durable before it is returned.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.files import sync_directory

_CHAIN = "device.pem"
_COUNTER = "counter"


class KeyDirectory:
    """``path`` is made with mode 0700 when absent.

    Raises ``HalUnavailable`` when it cannot be made, ``HalError`` when others may look into it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HalUnavailable(f"no key store at {str(path)!r}: {error.strerror}; make the directory with mode 0700") from error
        refuse_others(self.path, "chmod 0700")

    def holds(self, name: str) -> bool:
        return (self.path / name).exists()

    def read(self, name: str, absent: str) -> bytes:
        """The file's bytes; ``HalUnavailable`` with the sentence ``absent`` when there is none."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise HalUnavailable(f"key store {str(self.path)!r}: {absent}") from error
        except OSError as error:
            raise DeviceFault(f"key store {str(self.path / name)!r}: {error.strerror}") from error

    def replace(self, name: str, data: bytes) -> None:
        """Durable when it returns."""
        temporary = self.path / f"{name}.new"
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(self.path / name)
            sync_directory(self.path)
        except OSError as error:
            raise DeviceFault(f"key store {str(self.path / name)!r}: {error.strerror}") from error

    def install_chain(self, chain: Sequence[bytes], key: ec.EllipticCurvePublicKey) -> None:
        """Keep the chain (DER, leaf first); ``HalError`` when the leaf is not for ``key``."""
        try:
            certificates = [x509.load_der_x509_certificate(der) for der in chain]
        except ValueError as error:
            raise HalError(f"not a certificate: {error}") from error
        if not certificates or certificates[0].public_key() != key:
            raise HalError("the first certificate is not for this device's key; request one with this key's CSR")
        self.replace(_CHAIN, b"".join(each.public_bytes(Encoding.PEM) for each in certificates))

    def chain(self) -> tuple[bytes, ...]:
        pem = self.read(_CHAIN, "no certificate is installed; provision the device")
        try:
            certificates = x509.load_pem_x509_certificates(pem)
        except ValueError as error:
            raise DeviceFault(f"key store {str(self.path)!r}: {_CHAIN} does not parse: {error}") from error
        return tuple(each.public_bytes(Encoding.DER) for each in certificates)

    def counter_increment(self) -> int:
        value = self.counter_read() + 1
        self.replace(_COUNTER, f"{value}\n".encode())
        return value

    def counter_read(self) -> int:
        if not self.holds(_COUNTER):
            return 0
        text = self.read(_COUNTER, "")
        # Anything but what was written must not read as a low number: the counter proves that nothing was rolled back.
        if not text.rstrip(b"\n").isdigit():
            raise DeviceFault(f"key store {str(self.path)!r}: counter does not parse: {text[:32]!r}")
        return int(text)


def refuse_others(path: Path, remedy: str) -> None:
    """``HalError`` when group or others have any right to ``path``."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise HalError(f"{str(path)!r} is open to others (mode {mode:04o}); {remedy}")
