"""Where evidence lies on a file system, as the verifier's core wants to see it.

A path may be a camera's card, one recording of it, or a store (one directory per camera). Symbolic links are not followed: a
copy handed over on a stick must not make the verifier read something else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.errors import UnavailableError, UsageError
from firmware.evidence.verify import OpeningKey

MAX_FILE_BYTES = 1 << 30


class DirectorySource:
    """One camera's ``vault/`` and ``ledger/`` below a directory. ``only`` limits the vault to one recording."""

    def __init__(self, root: Path, only: str = "") -> None:
        self.root = root
        self.only = only

    def names(self, directory: str) -> Sequence[str]:
        if directory == "vault" and self.only:
            return [self.only]
        return self.list_directory(self.root / directory)

    def read(self, name: str) -> bytes:
        return self.read_path(self.root / name)

    @staticmethod
    def list_directory(path: Path) -> Sequence[str]:
        """Names in a directory, without links; empty when it is absent."""
        try:
            with os.scandir(path) as entries:
                return sorted(entry.name for entry in entries if not entry.is_symlink())
        except OSError:
            return []

    @staticmethod
    def read_path(path: Path) -> bytes:
        """The bytes of a plain file; UnavailableError for anything else."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
                    raise UnavailableError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
                return file.read()
        except OSError as error:
            raise UnavailableError(f"cannot read {path}: {error.strerror}") from None


def find_sources(path: Path) -> list[DirectorySource]:
    """Every camera's evidence at ``path``. UsageError when there is none."""
    if not path.is_dir():
        raise UsageError(f"{str(path)!r} is not a directory", remedy="Give a card, a store, or one recording's directory.")
    if (path / "vault").is_dir() or (path / "ledger").is_dir():
        return [DirectorySource(path)]
    if (path / "manifest.json").exists() or (path / "begin.json").exists():
        resolved = path.resolve()
        return [DirectorySource(resolved.parent.parent, resolved.name)]
    found = [DirectorySource(one) for one in sorted(path.iterdir()) if (one / "vault").is_dir() or (one / "ledger").is_dir()]
    if not found:
        raise UsageError(
            f"{str(path)!r} holds no evidence (no vault/, no manifest.json)", remedy="Give a card, a store, or one recording's directory."
        )
    return found


def is_in_dock_store(root: Path) -> bool:
    """Whether a camera's directory is part of a dock's store: the only place to which a tool adds anything."""
    return (root.parent / "store.sqlite").is_file()


def load_roots(path: Path | None) -> list[x509.Certificate]:
    """The agency roots to trust; empty when none was given (then nothing can be told)."""
    if path is None:
        return []
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)!r} is no PEM certificate: {error}", remedy="Give the agency's root certificate.") from None


def load_key(path: Path | None, certificate: Path | None) -> OpeningKey | None:
    """A recipient's key and certificate (beside the key, with the ending ``.crt``, unless named). UsageError when they do not fit."""
    if path is None:
        return None
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"{str(path)!r} is no usable private key: {error}", remedy="Give an unencrypted PEM private key.") from None
    where = certificate or path.with_suffix(".crt")
    found = load_roots(where)[0]
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise UsageError(f"{str(path)!r} is a key of another kind", remedy="Give an EC or RSA private key.")
    if key.public_key() != found.public_key():
        raise UsageError(f"{str(path)!r} does not belong to {str(where)!r}", remedy="Name the key's certificate with --cert.")
    return OpeningKey(key, found)
