"""The grammar of names on the dock link, and readers for fields of JSON objects that came from the network.

Responsible for bounds and patterns. Refuses to know any message. Raises nothing but FormatError.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from firmware.errors import FormatError
from firmware.evidence import jcs

T = TypeVar("T")

LAYER = "dock"
VERSION = 1

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Largest JSON body; a request says less than that or is refused before it is read."""
MAX_RECORDINGS = 4096
MAX_FILES = 100_000
"""Over all recordings of one report: a shift of more than 24 hours in fragments of one second."""
MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_NUMBER = 2**53 - 1
LOG_BATCH_BYTES = 4 * 1024 * 1024
"""Most bytes of ledger that a camera puts into one extension; whole batches, each ending in its checkpoint."""

_RECORDING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_FRAGMENT = re.compile(r"([0-9]{6})\.m4s\.p7m\Z")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,400}\Z")

BEGIN, BEGIN_SIGNATURE = "begin.json", "begin.json.p7s"
INIT, NOTES, ASSIGNMENT = "init.mp4.p7m", "notes.json.p7m", "assignment.json.p7m"
MANIFEST, MANIFEST_SIGNATURE = "manifest.json", "manifest.json.p7s"
FIXED_NAMES = (BEGIN, BEGIN_SIGNATURE, INIT, NOTES, ASSIGNMENT, MANIFEST, MANIFEST_SIGNATURE)


def is_serial(text: str) -> bool:
    """Whether ``text`` may be a device serial (and a directory name)."""
    return bool(_SERIAL.match(text)) and ".." not in text


def is_recording_id(text: str) -> bool:
    """Whether ``text`` may be a recording's id (and a directory name)."""
    return bool(_RECORDING.match(text)) and ".." not in text


def is_sha256(text: str) -> bool:
    return bool(_SHA256.match(text))


def is_vault_name(text: str) -> bool:
    """Whether ``text`` is a file name of a recording in the vault."""
    return text in FIXED_NAMES or bool(_FRAGMENT.match(text))


def fragment_number(name: str) -> int | None:
    """Sequence number of a fragment's file name; ``None`` for the other files."""
    match = _FRAGMENT.match(name)
    return None if match is None else int(match.group(1))


class Fields:
    """One JSON object with exactly the keys it must have."""

    def __init__(self, value: object, what: str, keys: Sequence[str]) -> None:
        if not isinstance(value, dict) or sorted(value) != sorted(keys):
            got = sorted(value)[:12] if isinstance(value, dict) else type(value).__name__
            raise FormatError(LAYER, f"expected the {what} to have {sorted(keys)!r}, got {got!r}"[:300])
        self._value: dict[str, object] = value
        self._what = what

    @classmethod
    def of(cls, data: bytes, what: str, keys: Sequence[str]) -> Fields:
        if len(data) > MAX_BODY_BYTES:
            raise FormatError(LAYER, f"expected at most {MAX_BODY_BYTES} bytes of {what}, got {len(data)}")
        return cls(jcs.parse(data, LAYER), what, keys)

    def value(self, key: str) -> Any:
        return self._value[key]

    def text(self, key: str, check: Callable[[str], bool]) -> str:
        return checked(self._value[key], f"{self._what} {key}", check)

    def integer(self, key: str, low: int, high: int) -> int:
        value = self._value[key]
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise FormatError(LAYER, f"expected {self._what} {key} within {low}..{high}, got {repr(value)[:60]}")
        return value

    def array(self, key: str, limit: int, parse: Callable[[object], T]) -> tuple[T, ...]:
        value = self._value[key]
        if not isinstance(value, list) or len(value) > limit:
            raise FormatError(LAYER, f"expected {self._what} {key} to be a list of at most {limit}")
        return tuple(parse(item) for item in value)

    def binary(self, key: str) -> bytes:
        text = self.text(key, lambda text: len(text) <= MAX_BODY_BYTES)
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise FormatError(LAYER, f"expected base64 in {self._what} {key}") from None
        if encode_base64(data) != text:
            raise FormatError(LAYER, f"expected the one base64 form in {self._what} {key}")
        return data


def checked(value: object, what: str, check: Callable[[str], bool]) -> str:
    if not isinstance(value, str) or not check(value):
        raise FormatError(LAYER, f"expected a valid {what}, got {repr(value)[:80]}")
    return value


def is_text(text: str) -> bool:
    return bool(_TEXT.match(text))


def distinct(names: list[str], what: str) -> None:
    if len(set(names)) != len(names):
        raise FormatError(LAYER, f"expected every {what} once")


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
