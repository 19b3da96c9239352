"""Wall time as it is burnt into a picture; ``hal`` imports nothing of the firmware, so it has its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_text(wall_ns: int) -> str:
    """``2026-11-23 08:14:47.123Z``"""
    moment = _EPOCH + timedelta(microseconds=wall_ns // 1000)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
