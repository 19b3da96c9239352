"""A back-end's settings, checked: an unknown key is an error, not a wish.

Responsible for turning one table of the configuration into a frozen dataclass, each value through a check of its own, and for
errors that name the key. Refuses to know which settings there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

from hal.errors import HalError

T = TypeVar("T")
Check = Callable[[str, Any], Any]
"""Takes the key (for the message) and the value; gives the value as the dataclass wants it."""


def parse_settings(kind: type[T], checks: Mapping[str, Check], table: Mapping[str, Any], who: str) -> T:
    """``kind`` made of ``table``; ``HalError`` naming the key for anything unknown, missing or of another type.

    ``checks`` has one entry per field of the dataclass ``kind``; ``who`` opens each message ("simulator", "Pi back-end").
    """
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]  # a dataclass: its callers are three
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise HalError(f"{who} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for name, each in known.items():
        if name not in table and each.default is MISSING and each.default_factory is MISSING:
            raise HalError(f"{who} needs the setting {name!r}")
    try:
        return kind(**{key: checks[key](key, value) for key, value in table.items()})
    except Mismatch as error:
        raise HalError(f"{who} setting {error}") from None


class Mismatch(Exception):
    """A value that is not what its key wants."""

    def __init__(self, key: str, expected: str, value: Any) -> None:
        super().__init__(f"{key!r}: expected {expected}, got {value!r}")


def integer(key: str, value: Any) -> int:
    """A whole number, not negative."""
    if type(value) is not int or value < 0:
        raise Mismatch(key, "a whole number, not negative", value)
    return value


def boolean(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise Mismatch(key, "true or false", value)
    return value


def path(key: str, value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise Mismatch(key, "a path", value)
    return Path(value)


def text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Mismatch(key, "a text", value)
    return value


def one_of(*allowed: str) -> Check:
    """One of these words."""

    def check(key: str, value: Any) -> str:
        if value not in allowed:
            raise Mismatch(key, " or ".join(repr(each) for each in allowed), value)
        return str(value)

    return check


def texts(key: str, value: Any) -> tuple[str, ...]:
    """A list of lines."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        raise Mismatch(key, "a list of lines", value)
    return tuple(value)
