"""One resumable upload: offsets and header fields, after draft-ietf-httpbis-resumable-upload.

Responsible for what may be appended to an upload and what is answered otherwise. Refuses to know where the bytes lie. The
resource is named by the SHA-256 of its content and exists as soon as the session's report offered it.

Invariants: the receiver's count of durable bytes is the only authority on the offset; an append begins exactly there and
never goes beyond the length that the report stated; only an append that reaches that length may say it completes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass

from firmware.errors import FormatError

LAYER = "upload"
PARTIAL = "application/partial-upload"
_PROBLEMS = "https://iana.org/assignments/http-problem-types#"
MISMATCHING_OFFSET = _PROBLEMS + "mismatching-upload-offset"
COMPLETED_UPLOAD = _PROBLEMS + "completed-upload"
INCONSISTENT_LENGTH = _PROBLEMS + "inconsistent-upload-length"

_INTEGER = re.compile(r"(0|[1-9][0-9]{0,14})\Z")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):\Z")


@dataclass(frozen=True, slots=True)
class UploadState:
    """What the receiver has: durable bytes, the stated length of the whole, and whether it was verified and kept."""

    offset: int
    length: int
    complete: bool

    def __post_init__(self) -> None:
        if not 0 <= self.offset <= self.length or (self.complete and self.offset != self.length):
            raise FormatError(LAYER, f"expected an offset within 0..{self.length}, got {self.offset} (complete: {self.complete})")


@dataclass(frozen=True, slots=True)
class Append:
    """One PATCH: where it begins, how many bytes follow, what the sender believes of the whole."""

    offset: int
    size: int
    length: int | None
    completes: bool
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal in the shape of RFC 9457: status, type, one line of detail, and what helps the other side."""

    status: int
    type: str
    detail: str
    expected_offset: int | None = None


def digest_field(sha256_hex: str) -> str:
    """Value of Repr-Digest (RFC 9530) for a SHA-256 in hexadecimal."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256_hex)).decode('ascii')}:"


def parse_digest(value: str) -> str:
    """SHA-256 in hexadecimal out of a Repr-Digest that names exactly that one."""
    match = _DIGEST.match(value)
    if not match:
        raise FormatError(LAYER, f"expected a single sha-256 digest, got {value[:80]!r}")
    return base64.b64decode(match.group(1)).hex()


def append_fields(append: Append, sha256_hex: str) -> dict[str, str]:
    """Header fields of a PATCH."""
    fields = {
        "Content-Type": PARTIAL,
        "Content-Length": str(append.size),
        "Upload-Offset": str(append.offset),
        "Upload-Complete": "?1" if append.completes else "?0",
        "Repr-Digest": digest_field(sha256_hex),
    }
    if append.length is not None:
        fields["Upload-Length"] = str(append.length)
    return fields


def parse_append(fields: Mapping[str, str]) -> Append:
    """The inverse of :func:`append_fields`; names in lower case. Raises FormatError."""
    if fields.get("content-type") != PARTIAL:
        raise FormatError(LAYER, f"expected Content-Type {PARTIAL!r}, got {fields.get('content-type')!r}")
    digest = fields.get("repr-digest")
    return Append(
        offset=_integer(fields, "upload-offset"),
        size=_integer(fields, "content-length"),
        length=_integer(fields, "upload-length") if "upload-length" in fields else None,
        completes=_boolean(fields, "upload-complete"),
        digest=None if digest is None else parse_digest(digest),
    )


def state_fields(state: UploadState) -> dict[str, str]:
    """Header fields that tell the sender how far the upload is."""
    return {
        "Upload-Offset": str(state.offset),
        "Upload-Length": str(state.length),
        "Upload-Complete": "?1" if state.complete else "?0",
    }


def parse_state(fields: Mapping[str, str]) -> UploadState:
    """The inverse of :func:`state_fields`; names in lower case. Raises FormatError."""
    return UploadState(_integer(fields, "upload-offset"), _integer(fields, "upload-length"), _boolean(fields, "upload-complete"))


def judge(state: UploadState, append: Append, sha256_hex: str) -> Problem | None:
    """Whether ``append`` may be written onto ``state``; ``None`` is yes."""
    if append.digest is not None and append.digest != sha256_hex:
        return Problem(400, "about:blank", f"expected the digest of {sha256_hex}, got {append.digest}")
    if append.length is not None and append.length != state.length:
        return Problem(400, INCONSISTENT_LENGTH, f"expected a length of {state.length} bytes as reported, got {append.length}")
    if append.offset != state.offset:
        detail = f"expected offset {state.offset}, got {append.offset}"
        return Problem(409, MISMATCHING_OFFSET, detail, expected_offset=state.offset)
    if state.complete:
        return Problem(400, COMPLETED_UPLOAD, "the upload is complete")
    end = append.offset + append.size
    if end > state.length:
        return Problem(400, INCONSISTENT_LENGTH, f"expected at most {state.length} bytes, got {end}")
    if append.completes != (end == state.length):
        return Problem(400, INCONSISTENT_LENGTH, f"expected completion at {state.length} bytes and only there, got it at {end}")
    return None


def _integer(fields: Mapping[str, str], name: str) -> int:
    value = fields.get(name, "")
    if not _INTEGER.match(value):
        raise FormatError(LAYER, f"expected a number in {name}, got {value[:40]!r}")
    return int(value)


def _boolean(fields: Mapping[str, str], name: str) -> bool:
    value = fields.get(name, "")
    if value not in ("?0", "?1"):
        raise FormatError(LAYER, f"expected ?0 or ?1 in {name}, got {value[:40]!r}")
    return value == "?1"
