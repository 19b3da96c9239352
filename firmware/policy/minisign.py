"""Signatures on offline artefacts, in minisign's format, so that a technician makes and checks them with the stock tool.

Responsible for public keys, signatures (prehashed form only: BLAKE2b-512, then Ed25519) and trusted comments, and for the
rule that a camera's policy never gets older. Refuses to know secret-key files: a seed is an argument.

Format (minisign(1), "Signature format"): two lines of key, four lines of signature. The trusted comment and the
signature are bound together by a second signature, which is checked always; the untrusted comment is never used.

Invariant: parsers raise nothing but ``FormatError``; :func:`verify_minisign` raises nothing but ``IntegrityError``.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from firmware.errors import FormatError, IntegrityError, RefusedError
from firmware.policy.model import Policy

_LAYER = "minisign"
_UNTRUSTED = "untrusted comment: "
_TRUSTED = "trusted comment: "
_KEY_ALGORITHM = b"Ed"
_PREHASHED = b"ED"
MAX_CHARACTERS = 16_384
COMMENT_BYTES = 8_192
"""What the stock tool takes of a trusted comment, and the bound of ours."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """``key_id``: 8 bytes, a hint which key to use; ``key``: Ed25519, 32 bytes."""

    key_id: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """As parsed; ``trusted_comment`` may be believed only after :func:`verify_minisign`."""

    key_id: bytes
    signature: bytes
    trusted_comment: str
    global_signature: bytes


def public_key_text(key_id: bytes, public: bytes) -> str:
    """The public key as the stock tool writes it."""
    _check_lengths(key_id, public)
    name = int.from_bytes(key_id, "little")
    return f"{_UNTRUSTED}minisign public key {name:X}\n{_b64(_KEY_ALGORITHM + key_id + public)}\n"


def parse_public_key(text: str) -> PublicKey:
    """Raises ``FormatError``. The last line break may be missing, as in a key that was copied by hand."""
    lines = _lines(text, 2)
    _after(lines[0], _UNTRUSTED)
    algorithm, key_id, key = _fields(lines[1], 32, "public key")
    if algorithm != _KEY_ALGORITHM:
        raise FormatError(_LAYER, f"expected an Ed25519 key, got algorithm {algorithm!r}")
    return PublicKey(key_id, key)


def parse_signature(text: str) -> Signature:
    """Raises ``FormatError``."""
    lines = _lines(text, 4)
    _after(lines[0], _UNTRUSTED)
    algorithm, key_id, signature = _fields(lines[1], 64, "signature")
    if algorithm != _PREHASHED:
        raise FormatError(
            _LAYER, f"expected a prehashed signature, got algorithm {algorithm!r}", remedy="Sign with minisign 0.11 or later."
        )
    comment = _after(lines[2], _TRUSTED)
    return Signature(key_id, signature, comment, _unb64(lines[3], 64, "global signature"))


def sign_minisign(seed: bytes, key_id: bytes, data: bytes, trusted_comment: str) -> str:
    """The text of ``data``'s signature. ``seed``: the 32-byte Ed25519 seed. ``trusted_comment``: one printable line."""
    if len(trusted_comment.encode()) > COMMENT_BYTES or not trusted_comment.isprintable():
        raise ValueError(f"expected one printable line of at most {COMMENT_BYTES} bytes, got {trusted_comment[:80]!r}")
    key = SigningKey(seed)
    _check_lengths(key_id, bytes(key.verify_key))
    signature = key.sign(_prehash(data)).signature
    bound = key.sign(signature + trusted_comment.encode()).signature
    first = f"{_UNTRUSTED}signature of an oathcam artefact\n{_b64(_PREHASHED + key_id + signature)}\n"
    return f"{first}{_TRUSTED}{trusted_comment}\n{_b64(bound)}\n"


def verify_minisign(key: PublicKey, data: bytes, signature: Signature) -> None:
    """Return if ``key`` signed ``data`` and the trusted comment; raise ``IntegrityError`` if not."""
    if signature.key_id != key.key_id:
        raise IntegrityError(_LAYER, f"expected a signature by key {key.key_id.hex()}, got one by {signature.key_id.hex()}")
    comment = signature.trusted_comment.encode()
    _verify(key, _prehash(data), signature.signature, "signature does not fit the content")
    _verify(key, signature.signature + comment, signature.global_signature, "trusted comment is not the one that was signed")


def _verify(key: PublicKey, message: bytes, signature: bytes, otherwise: str) -> None:
    try:
        VerifyKey(key.key).verify(message, signature)
    except BadSignatureError:
        raise IntegrityError(_LAYER, otherwise) from None


def accept(new: Policy, current: Policy | None) -> None:
    """Raise ``RefusedError`` unless ``new`` may follow ``current``: a higher version, or the same policy again."""
    if current is None or new == current or new.version > current.version:
        return
    raise RefusedError(
        f"policy: expected a version above {current.version}, got {new.version}",
        remedy=f"Sign the policy again as version {current.version + 1} or higher.",
    )


def _prehash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=64).digest()


def _check_lengths(key_id: bytes, public: bytes) -> None:
    if len(key_id) != 8 or len(public) != 32:
        raise ValueError(f"expected 8 bytes of key id and 32 of key, got {len(key_id)} and {len(public)}")


def _lines(text: str, count: int) -> list[str]:
    if len(text) > MAX_CHARACTERS:
        raise FormatError(_LAYER, f"expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) != count:
        raise FormatError(_LAYER, f"expected {count} lines, got {len(lines)}")
    return lines


def _after(line: str, prefix: str) -> str:
    if not line.startswith(prefix):
        raise FormatError(_LAYER, f"expected a line that begins with {prefix!r}, got {line[:40]!r}")
    rest = line.removeprefix(prefix)
    if rest and not rest.isprintable():
        raise FormatError(_LAYER, "expected a comment of printable characters")
    return rest


def _fields(line: str, length: int, what: str) -> tuple[bytes, bytes, bytes]:
    data = _unb64(line, 2 + 8 + length, what)
    return data[:2], data[2:10], data[10:]


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _unb64(line: str, length: int, what: str) -> bytes:
    """Strict: the one encoding of ``length`` bytes, so that a signature has one text."""
    try:
        data = b64decode(line, validate=True)
    except ValueError:
        raise FormatError(_LAYER, f"{what}: expected base64, got {line[:40]!r}") from None
    if len(data) != length or _b64(data) != line:
        raise FormatError(_LAYER, f"{what}: expected the base64 of {length} bytes, got {len(data)}")
    return data
