"""Numbers that drivers of the kernel print into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hal.errors import DeviceFault

T = TypeVar("T", int, float)


def read_number(path: Path, kind: Callable[[str], T]) -> T:
    """``kind`` makes a number of the file's text. ``DeviceFault`` when it cannot be read, or is none."""
    try:
        return kind(path.read_text(encoding="ascii"))
    except OSError as error:
        raise DeviceFault(f"cannot read {str(path)!r}: {error.strerror}") from error
    except ValueError:
        raise DeviceFault(f"expected a number in {str(path)!r}") from None


def hexadecimal(text: str) -> int:
    return int(text, 16)
