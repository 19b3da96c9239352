"""Typed fields: frozen dataclasses to JSON values and back, strictly.

Responsible for one thing: a value read from somebody else's JSON has exactly the fields of its dataclass, each of the
declared shape and range, or it is a :class:`FormatError` that names the field's path. Refuses to know any format.

A dataclass declares each field with :func:`field` and a check. JSON names are field names. Nested dataclasses are objects,
tuples are arrays.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from firmware.errors import FormatError

MAX_INTEGER = 2**53 - 1
_T = TypeVar("_T")

Check = Callable[[Any], Any]
"""JSON value → Python value; raises :class:`Mismatch`."""

_CHECK = "check"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TOKEN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HEX32 = re.compile(r"[0-9a-f]{64}")


class Mismatch(Exception):  # an internal signal: read() turns it into FormatError with the whole path
    """What was expected, what was found, and the path to it, innermost last."""

    def __init__(self, expected: str, got: object, path: tuple[str, ...] = ()) -> None:
        super().__init__(expected)
        self.expected, self.got, self.path = expected, got, path

    def under(self, name: str) -> Mismatch:
        return Mismatch(self.expected, self.got, (name, *self.path))

    def sentence(self) -> str:
        """Path, expected, got."""
        shown = repr(self.got)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return f"{'.'.join(self.path) or 'document'}: expected {self.expected}, got {shown}"


def field(check: Check, default: Any = MISSING) -> Any:
    """A dataclass field with its check. A default serves writers only: a reader finds every field in the JSON."""
    return dataclass_field(default=default, metadata={_CHECK: check})


def read(kind: type[_T], value: Any, layer: str) -> _T:
    """``value`` (parsed JSON) as the dataclass ``kind``; ``FormatError`` naming the first field that does not fit."""
    try:
        return read_object(kind, value)
    except Mismatch as error:
        raise FormatError(layer, error.sentence()) from None


def read_object(kind: type[_T], value: Any) -> _T:
    """As :func:`read`, raising :class:`Mismatch`."""
    checks = checks_of(kind)  # type: ignore[arg-type]  # a type is hashable; mypy takes it for an instance
    return kind(**read_fields(checks, value))


def read_fields(checks: dict[str, Check], value: Any) -> dict[str, Any]:
    """The fields of a JSON object, each checked; raises :class:`Mismatch` for one missing, unknown or wrong."""
    if type(value) is not dict:
        raise Mismatch("an object", value)
    if value.keys() != checks.keys():
        unknown, missing = sorted(value.keys() - checks.keys()), sorted(checks.keys() - value.keys())
        name = (missing or unknown)[0]
        raise Mismatch("to be present" if missing else "no such field", "nothing" if missing else value[name], (name,))
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check(value[name])
        except Mismatch as error:
            raise error.under(name) from None
    return found


@cache
def checks_of(kind: type[Any]) -> dict[str, Check]:
    """The checks of a dataclass by field name."""
    return {one.name: one.metadata[_CHECK] for one in fields(kind)}


def to_value(value: Any) -> Any:
    """A dataclass, tuple or scalar as its JSON value."""
    if is_dataclass(value):
        return {one.name: to_value(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_value(one) for one in value]
    return value


def integer(low: int = 0, high: int = MAX_INTEGER) -> Check:
    """An integer from ``low`` to ``high``."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Mismatch(f"an integer from {low} to {high}", value)
        return value

    return check


def text(max_length: int = 200) -> Check:
    """Printable text of 1 to ``max_length`` characters."""

    def check(value: Any) -> str:
        if type(value) is not str or not 1 <= len(value) <= max_length or not value.isprintable():
            raise Mismatch(f"printable text of 1 to {max_length} characters", value)
        return value

    return check


def matching(pattern: re.Pattern[str], what: str) -> Check:
    """Text that matches ``pattern`` entirely."""

    def check(value: Any) -> str:
        if type(value) is not str or pattern.fullmatch(value) is None:
            raise Mismatch(what, value)
        return value

    return check


def base64_of(max_bytes: int) -> Check:
    """Text that is the standard, padded base64 of 1 to ``max_bytes`` bytes, in its one form."""

    def check(value: Any) -> str:
        if type(value) is str and value.isascii():
            try:
                data = base64.b64decode(value, validate=True)
            except ValueError:
                data = b""
            if 1 <= len(data) <= max_bytes and base64.b64encode(data).decode("ascii") == value:
                return value
        raise Mismatch(f"base64 of 1 to {max_bytes} bytes", value)

    return check


def boolean(value: Any) -> bool:
    """true or false."""
    if type(value) is not bool:
        raise Mismatch("true or false", value)
    return value


def utc(value: Any) -> str:
    """RFC 3339 in UTC with microseconds, as ``firmware.timebase.format_utc`` writes it."""
    utc_ns(value)
    return str(value)


def utc_ns(value: Any) -> int:
    """Nanoseconds since 1970 of such a text; agrees with ``firmware.timebase.parse_utc`` at a tenth of its cost."""
    if type(value) is not str or _UTC.fullmatch(value) is None:
        raise Mismatch("a time like 2026-11-23T08:14:47.123456Z", value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Mismatch("a time like 2026-11-23T08:14:47.123456Z", value) from None
    return (moment - _EPOCH) // _MICROSECOND * 1000


def one_of(*allowed: str) -> Check:
    """One of these texts."""

    def check(value: Any) -> str:
        if type(value) is not str or value not in allowed:
            raise Mismatch(" or ".join(repr(one) for one in allowed), value)
        return value

    return check


def nullable(inner: Check) -> Check:
    """null, or what ``inner`` accepts."""
    return lambda value: None if value is None else inner(value)


def nested(kind: type) -> Check:
    """An object with the fields of a dataclass."""
    return lambda value: read_object(kind, value)


def each(inner: Check, max_count: int, min_count: int = 0) -> Check:
    """An array whose items ``inner`` accepts; a tuple in Python."""

    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or not min_count <= len(value) <= max_count:
            raise Mismatch(f"an array of {min_count} to {max_count} items", value)
        return tuple(_items(inner, value))

    return check


def _items(inner: Check, items: Sequence[Any]) -> list[Any]:
    found = []
    for index, item in enumerate(items):
        try:
            found.append(inner(item))
        except Mismatch as error:
            raise error.under(f"[{index}]") from None
    return found


name = matching(_NAME, "a name of letters, digits, '-' and '_'")
"""Fit for a directory: a recording's id."""
file_name = matching(_FILE, "a file name of letters, digits, '.', '-' and '_'")
token = matching(_TOKEN, "a lower-case token")
"""A cause or reason code."""
digest = matching(_HEX32, "64 lower-case hex digits")
"""SHA-256."""
