"""What the custodian is asked to carry out, beside a recording's begin and its GOPs; in the order in which it was asked.

Responsible for the shape of an operation. Refuses to know how it is done (``custodian.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware.media.gop import Gop
from firmware.storage.ledger_file import Draft
from firmware.timebase import Timestamp


@dataclass(frozen=True, slots=True)
class WriteEntry:
    draft: Draft
    then: object | None = None
    """Reported when the leaf is durable."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something small that belongs on this thread and raises nothing."""

    run: Callable[[], object | None]


@dataclass(frozen=True, slots=True)
class Papers:
    """Of the recording that just began: the files that its first leaves carry."""


@dataclass(frozen=True, slots=True)
class End:
    final: Gop | None
    at: Timestamp
    cause: str
    notes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class MarkAt:
    at: Timestamp


@dataclass(frozen=True, slots=True)
class Drop:
    first: Timestamp
    duration_us: int
    pictures: int
    cause: str


@dataclass(frozen=True, slots=True)
class MuteAt:
    at: Timestamp
    muted: bool
    cause: str = "button"


@dataclass(frozen=True, slots=True)
class Annotate:
    """An answer of the wearer's about the recording that is open, or ended last, when its turn comes."""

    about: str
    code: str
    at: Timestamp
    critical: bool
    hold: bool


@dataclass(frozen=True, slots=True)
class Release:
    recording: str
    at: Timestamp
    if_critical: bool
    """Also when a leaf flags it as critical."""


@dataclass(frozen=True, slots=True)
class TakeReceipts:
    again: bool = False
    """Goes on with a recording that is being read."""


@dataclass(frozen=True, slots=True)
class TakeDeliveries:
    returned: bool


@dataclass(frozen=True, slots=True)
class Checkpoint:
    announced: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    pass


@dataclass(frozen=True, slots=True)
class Reread:
    pass


@dataclass(frozen=True, slots=True)
class Open:
    """The first operation: whatever is asked for meanwhile waits behind it, a press too (BWC-POL-01)."""


CAN_WAIT: dict[type, str] = {
    Release: "release of",
    TakeReceipts: "looking for receipts",
    TakeDeliveries: "looking for deliveries",
    Reread: "reading the vault again",
    Checkpoint: "the checkpoint",
    Snapshot: "the ledger's snapshot",
}
"""What no recording needs, in words."""
