"""The file that a running recorder writes each second, as somebody else finds it: what it says, and how old it is.

Refuses to believe an old one: what it says was so once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.errors import FormatError, UnavailableError
from firmware.evidence import jcs
from firmware.status import FORMAT
from tools.status_rows import NOT_RUNNING, rows_of

FRESH_S = 5
"""A recorder that has written nothing for this long is not running, or its loop hangs."""
_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Told:
    """What the file says, and how long ago it said it; negative: in another boot."""

    facts: Mapping[str, Any]
    age_s: float

    @property
    def is_fresh(self) -> bool:
        return 0 <= self.age_s <= FRESH_S

    @property
    def age(self) -> str:
        """In words."""
        return f"written {self.age_s:.0f} s ago" if self.age_s >= 0 else "written before the board started"


def read_status(path: Path) -> Told:
    """``UnavailableError`` when the file is absent, or is not one of this version."""
    try:
        data, changed_s = path.read_bytes(), path.stat().st_mtime
    except OSError as error:
        remedy = f"No recorder is running here. {NOT_RUNNING}"
        raise UnavailableError(f"cannot read {str(path)!r}: {error.strerror}", remedy=remedy) from None
    try:
        facts = jcs.parse(data, "status", _MAX_BYTES)
        if type(facts) is not dict or facts.get("format") != FORMAT:
            raise FormatError("status", f"expected {FORMAT!r}")
        rows_of(facts)  # what is missing is missed here
        # A simulated camera's boot time is its world's: there the file's own time has to do, which a step of the clock falsifies.
        age_s = time.time() - changed_s
        if facts["backend"] != "sim":
            age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - facts["boottime_us"] / 1e6
    except (FormatError, KeyError, TypeError, AttributeError) as error:
        message = f"{str(path)!r} is not a status that this program knows: {error}"
        raise UnavailableError(message, remedy="Use the tools of the recorder's own version.") from None
    return Told(facts, age_s)
