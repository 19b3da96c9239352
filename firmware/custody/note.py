"""Signed notes (C2SP signed-note) and a witness's cosignatures on them (C2SP tlog-cosignature v1).

Responsible for the two kinds of signature lines used here: the camera's, ECDSA P-256 over SHA-256 of the text (type 0x02, key
id = first 4 bytes of SHA-256 of the SubjectPublicKeyInfo), and a dock's, Ed25519 (type 0x04). Refuses to know what the text
says. Invariants: a parser raises nothing but :class:`FormatError`, a check nothing but :class:`IntegrityError`; a signature by
an unknown key is no signature.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from firmware.errors import FormatError, IntegrityError
from firmware.evidence import pki, primitives

LAYER = "signed note"
MAX_NOTE_BYTES = 64 * 1024
MAX_SIGNATURES = 16
_PREFIX = "\N{EM DASH} "
_COSIGNATURE_TYPE = b"\x04"
_KEY_ID_BYTES = 4
_TIME_BYTES = 8
_ED25519_BYTES = 64


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line: the key's name, its 4-byte id, and what follows it."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """``text`` ends with a newline; it is what was signed."""

    text: bytes
    signatures: tuple[NoteSignature, ...]


def signed_note(text: bytes, name: str, spki_der: bytes, signature_der: bytes) -> bytes:
    """The text with the camera's signature line. ``signature_der``: ECDSA over SHA-256 of ``text``, DER."""
    return text + b"\n" + _line(name, _ecdsa_key_id(spki_der) + signature_der)


def parse_note(data: bytes) -> Note:
    """Text and signature lines; checks no signature. ``FormatError`` when it does not parse."""
    if len(data) > MAX_NOTE_BYTES:
        raise FormatError(LAYER, f"expected at most {MAX_NOTE_BYTES} bytes, got {len(data)}")
    try:
        whole = bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(LAYER, "not UTF-8", offset=error.start) from None
    if any(ord(one) < 0x20 and one != "\n" for one in whole):
        raise FormatError(LAYER, "control character")
    split = whole.rfind("\n\n")
    if split < 0 or not whole.endswith("\n"):
        raise FormatError(LAYER, "expected a text, an empty line and signature lines")
    lines = whole[split + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise FormatError(LAYER, f"expected at most {MAX_SIGNATURES} signatures, got {len(lines)}")
    return Note(whole[: split + 1].encode("utf-8"), tuple(_parse_line(one) for one in lines))


def verify_note(note: Note, name: str, key: x509.Certificate | ec.EllipticCurvePublicKey) -> None:
    """``IntegrityError`` unless the note carries a signature of this name by the camera's key."""
    public = pki.public_key(key) if isinstance(key, x509.Certificate) else key
    key_id = _ecdsa_key_id(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    signature = _signature_by(note, name, key_id)
    primitives.verify_digest(public, primitives.sha256(note.text), signature, LAYER)


def cosign(text: bytes, name: str, unix_seconds: int, seed: bytes) -> bytes:
    """A witness's signature line for ``text`` (a checkpoint), to be appended to its note. ``seed``: 32 bytes, Ed25519."""
    signature = primitives.ed25519_sign(seed, _cosigned(text, unix_seconds))
    key_id = _cosignature_key_id(name, primitives.ed25519_public(seed))
    return _line(name, key_id + unix_seconds.to_bytes(_TIME_BYTES, "big") + signature)


def verify_cosignature(note: Note, name: str, public_key: bytes) -> int:
    """When the witness ``name`` saw the text, in seconds since 1970 UTC; ``IntegrityError`` unless its signature holds.

    ``public_key``: 32 bytes, Ed25519. Extension lines of the text are covered, as all of it is.
    """
    found = _signature_by(note, name, _cosignature_key_id(name, public_key))
    if len(found) != _TIME_BYTES + _ED25519_BYTES:
        raise IntegrityError(LAYER, f"expected a cosignature of {_TIME_BYTES + _ED25519_BYTES} bytes, got {len(found)}")
    seconds = int.from_bytes(found[:_TIME_BYTES], "big")
    primitives.ed25519_verify(public_key, _cosigned(note.text, seconds), found[_TIME_BYTES:], LAYER)
    return seconds


def is_key_name(name: str) -> bool:
    """Whether a name may stand in a signature line: not empty, no space, no '+', printable."""
    return bool(name) and name.isprintable() and not any(one.isspace() or one == "+" for one in name)


def _line(name: str, payload: bytes) -> bytes:
    if not is_key_name(name):
        raise ValueError(f"expected a key name without spaces and '+', got {name!r}")
    return f"{_PREFIX}{name} {base64.b64encode(payload).decode('ascii')}\n".encode()


def _parse_line(line: str) -> NoteSignature:
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not is_key_name(name):
        raise FormatError(LAYER, f"expected a signature line, got {line[:60]!r}")
    payload = decode_base64(encoded, LAYER)
    if len(payload) <= _KEY_ID_BYTES:
        raise FormatError(LAYER, "the signature is too short")
    return NoteSignature(name, payload[:_KEY_ID_BYTES], payload[_KEY_ID_BYTES:])


def decode_base64(encoded: str | bytes, layer: str) -> bytes:
    """Standard base64 with padding, the one encoding of its bytes; ``FormatError`` otherwise."""
    raw = encoded if isinstance(encoded, bytes) else encoded.encode("utf-8")
    try:
        decoded = base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(layer, f"not base64: {raw[:40]!r}") from None
    if base64.b64encode(decoded) != raw:
        raise FormatError(layer, f"not canonical base64: {raw[:40]!r}")
    return decoded


def _signature_by(note: Note, name: str, key_id: bytes) -> bytes:
    for one in note.signatures:
        if (one.name, one.key_id) == (name, key_id):
            return one.signature
    raise IntegrityError(LAYER, f"no signature by {name!r} with the key id {key_id.hex()}")


def _ecdsa_key_id(spki_der: bytes) -> bytes:
    return primitives.sha256(spki_der)[:_KEY_ID_BYTES]


def _cosignature_key_id(name: str, public_key: bytes) -> bytes:
    return primitives.sha256(name.encode("utf-8") + b"\n" + _COSIGNATURE_TYPE + public_key)[:_KEY_ID_BYTES]


def _cosigned(text: bytes, unix_seconds: int) -> bytes:
    return f"cosignature/v1\ntime {unix_seconds}\n".encode("ascii") + text
