"""Where evidence lies on a file system, as the verifier's core wants to see it.

A path may be a camera's card, one recording of it, or a store (one directory per camera). Symbolic links are not followed: a
copy handed over on a stick must not make the verifier read something else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.errors import UnavailableError, UsageError, escaped
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
        """Names in a directory, links among them; empty when it is absent. UnavailableError when it is there and does not tell."""
        try:
            if path.is_symlink():
                raise UnavailableError(f"{path} is a link, which is not followed", remedy="Give the directory itself.")
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UnavailableError(f"cannot list {path}: {error.strerror}", remedy="Read it as a user who may.") from None

    @staticmethod
    def read_path(path: Path) -> bytes:
        """The bytes of a plain file; UnavailableError for anything else (a link, a pipe, one that is too large)."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold us up
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise UnavailableError(f"{path} is no plain file")
                if found.st_size > MAX_FILE_BYTES:
                    raise UnavailableError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
                return file.read()
        except (OSError, ValueError) as error:  # ValueError: a NUL in its name
            raise UnavailableError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def find_sources(path: Path) -> list[DirectorySource]:
    """Every camera's evidence at ``path``. UsageError when there is none."""
    if not path.is_dir():
        raise UsageError(f"{str(path)!r} is not a directory", remedy="Give a card, a store, or one recording's directory.")
    if is_device(path):
        return [DirectorySource(path)]
    if (path / "manifest.json").exists() or (path / "begin.json").exists():
        resolved = path.resolve()
        return [DirectorySource(resolved.parent.parent, resolved.name)]
    found = [DirectorySource(one) for one in sorted(path.iterdir()) if is_device(one)]
    if not found:
        raise UsageError(
            f"{str(path)!r} holds no evidence (no vault/, no manifest.json)", remedy="Give a card, a store, or one recording's directory."
        )
    return found


def is_device(path: Path) -> bool:
    """Whether a directory is a camera's: a card, or its part of a store. UsageError for one that could be read in two ways."""
    if not ((path / "vault").is_dir() or (path / "ledger").is_dir()):
        return False
    strange = [name for name in sorted(os.listdir(path)) if name.endswith((".p7m", ".p7s", "manifest.json", "begin.json"))]
    strange += [one.name for one in sorted(path.iterdir()) if any((one / inner).is_dir() for inner in ("vault", "ledger"))]
    if strange:
        raise UsageError(
            f"{str(path)!r} can be read in two ways: {escaped(strange[0])} stands beside a camera's directories",
            remedy="Give the camera's directory, or the recording's, as it was.",
        )
    return True


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
