"""What the loop asks of the custodian's worker: the items of its queue. Values only, for :mod:`firmware.custodian` alone."""

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


@dataclass(frozen=True, slots=True)
class Errand:
    """Something small that belongs on this thread and raises nothing."""

    run: Callable[[], object | None]


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


@dataclass(frozen=True, slots=True)
class Release:
    recording: str
    at: Timestamp


@dataclass(frozen=True, slots=True)
class TakeReceipts:
    pass


@dataclass(frozen=True, slots=True)
class PublishCheckpoint:
    announced: bool


@dataclass(frozen=True, slots=True)
class KeepSnapshot:
    pass


@dataclass(frozen=True, slots=True)
class Reread:
    pass
