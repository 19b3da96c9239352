"""Points in time: arithmetic only. Nothing here reads a clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Trust(Enum):
    """How far the wall clock may be believed (BWC-POL-26, -27)."""

    UNSET = "unset"
    RTC = "rtc"
    SYNCED = "synced"


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Boot time orders and measures; wall time is for people and carries its trust. Nanoseconds."""

    boottime_ns: int
    wall_ns: int
    trust: Trust = Trust.UNSET
    uncertainty_ns: int = 0

    def __post_init__(self) -> None:
        if self.boottime_ns < 0:
            raise ValueError(f"boottime_ns must not be negative, got {self.boottime_ns!r}")

    def since(self, earlier: Timestamp) -> int:
        """Nanoseconds of boot time from ``earlier`` to this one; negative when this one is earlier."""
        return self.boottime_ns - earlier.boottime_ns

    @property
    def utc(self) -> str:
        """Wall time as RFC 3339 with microseconds."""
        return format_utc(self.wall_ns)


def format_utc(wall_ns: int) -> str:
    """RFC 3339, UTC, microseconds: ``2026-11-23T08:14:47.123456Z``."""
    moment = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"  # strftime's %Y pads no year


def parse_utc(text: str) -> int:
    """The inverse of :func:`format_utc`, in nanoseconds; ``ValueError`` on anything else."""
    if len(text) != 27 or text[-1] != "Z":
        raise ValueError(f"expected YYYY-MM-DDTHH:MM:SS.ffffffZ, got {text!r}")
    moment = datetime.strptime(text[:-1], "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    if format_utc(_to_ns(moment)) != text:
        raise ValueError(f"expected YYYY-MM-DDTHH:MM:SS.ffffffZ, got {text!r}")
    return _to_ns(moment)


def _to_ns(moment: datetime) -> int:
    delta = moment - _EPOCH
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1000
