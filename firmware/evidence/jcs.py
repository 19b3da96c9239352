"""Canonical JSON (RFC 8785, JCS): the one text form of everything that is hashed or signed as JSON.

Responsible for writing canonical bytes and for reading nothing else. Refuses to know what the values mean.

Invariants: ``canonical(parse(data)) == data`` for every ``data`` that :func:`parse` accepts; :func:`parse` raises nothing
but :class:`FormatError`; numbers are integers within ±(2**53 - 1) unless floats are asked for.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import rfc8785

from firmware.errors import FormatError

MAX_BYTES = 64 * 1024 * 1024
"""Bound of one document: a manifest of a four-hour recording is about 6 MB."""
MAX_DEPTH = 16
_INT_LIMIT = 2**53


def canonical(value: Any) -> bytes:
    """``value`` (dict, list, tuple, str, int, bool, None, float) as RFC 8785 bytes.

    ``ValueError`` for what JSON or JCS cannot carry: other types, NaN, integers beyond ±(2**53 - 1), lone surrogates.
    """
    if _is_plain(value, MAX_DEPTH):
        # For these values the C encoder and RFC 8785 agree byte for byte (held by a property test), and it is ten times
        # faster: ASCII keys sort alike by code point and by UTF-16 unit, and both escape the same characters.
        return _ENCODER.encode(value).encode("utf-8")
    try:
        return rfc8785.dumps(value)
    except RecursionError:
        raise ValueError("nested too deeply for canonical JSON") from None


def parse(data: bytes, layer: str, max_bytes: int = MAX_BYTES, *, allow_floats: bool = False) -> Any:
    """The value of canonical bytes; ``layer`` names the format in errors.

    ``FormatError`` for anything that is not valid UTF-8, not JSON, not canonical, repeats a key, is longer than
    ``max_bytes`` or nested deeper than ``MAX_DEPTH``, or holds a number that is no integer (unless ``allow_floats``).
    """
    if len(data) > max_bytes:
        raise FormatError(layer, f"expected at most {max_bytes} bytes, got {len(data)}")
    text = _decode_text(data, layer)
    decoder = _FLOAT_DECODER if allow_floats else _DECODER
    try:
        # Of a repeated key one value is left, and what follows the value is not read: the comparison below refuses both.
        value, _ = decoder.raw_decode(text)
        if text.isascii() and not allow_floats and data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
            # As in canonical(), without a look at every value: ASCII text has ASCII keys, integers were bounded while they
            # were read, and so few brackets cannot nest too deeply.
            again = _ENCODER.encode(value).encode("utf-8")
        else:
            _refuse_depth(value, MAX_DEPTH)
            again = canonical(value)
    except json.JSONDecodeError as error:
        raise FormatError(layer, f"not JSON: {error.msg}", offset=len(text[: error.pos].encode("utf-8"))) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(layer, f"not canonical JSON: {error}") from None
    if again != data:
        raise FormatError(layer, "not canonical JSON (RFC 8785)", offset=_first_difference(again, data))
    return value


def _decode_text(data: bytes, layer: str) -> str:
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(layer, "not UTF-8", offset=error.start) from None


def _is_plain(value: Any, depth: int) -> bool:
    """Whether the C encoder gives RFC 8785 bytes for ``value``: exact types, ASCII keys, safe integers, bounded depth."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return bool(-_INT_LIMIT < value < _INT_LIMIT)
    if depth == 0:
        return False
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not key.isascii() or not (type(item) is str or _is_plain(item, depth - 1)):
                return False
        return True
    return (kind is list or kind is tuple) and all(_is_plain(item, depth - 1) for item in value)


def _refuse_depth(value: Any, depth: int) -> None:
    if isinstance(value, (dict, list)):
        if depth == 0:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_depth(item, depth - 1)


def _bounded(text: str) -> int:
    value = int(text)
    if not -_INT_LIMIT < value < _INT_LIMIT:
        raise ValueError(f"expected an integer within 2**53, got {text[:40]!r}")
    return value


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"expected an integer, got {text[:40]!r}")


def _first_difference(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    low, high = 0, shorter
    while low < high:  # the longest common prefix, by halves
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
_DECODER = json.JSONDecoder(parse_int=_bounded, parse_float=_refuse_number, parse_constant=_refuse_number)
_FLOAT_DECODER = json.JSONDecoder(parse_int=_bounded, parse_constant=_refuse_number)
