"""When a moment of a camera's boot time was by somebody else's clock: bounds from receipts and cosigned checkpoints (docs/time.md).

Responsible for one inequality. A leaf that names a receipt was written after the store had signed it; leaves that a dock cosigned,
or that a store's receipt counts, were written before that. Between such a leaf and a moment of the same boot lies a time that the
camera's oscillator measured; of another boot only the order is known. Needs no trust in the camera's wall clock. Refuses to judge,
and to know how good the other clock is: bounds hold on that clock. Times in microseconds, UTC since 1970.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from firmware.custody.entries import Entry

DRIFT_PPM = 50
"""A cautious bound for a crystal without compensation: 2.2 s in twelve hours."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One signed statement of another clock. At ``utc_us`` the ledger had at least ``size`` leaves; ``receipt_sha256`` is set when the
    statement is a receipt, which a leaf may name in turn. ``who`` says whose clock it was."""

    size: int
    utc_us: int
    receipt_sha256: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Not before, not after; ``None`` where nobody's clock says."""

    low_us: int | None
    high_us: int | None


@dataclass(frozen=True, slots=True)
class _Point:
    """A leaf's moment and what another clock says of it."""

    boot: int
    boottime_us: int
    utc_us: int


class ReferenceClock:
    """Bounds for any moment of a checked ledger's boots."""

    def __init__(self, entries: Sequence[Entry], references: Sequence[Reference]) -> None:
        told = {one.receipt_sha256: one.utc_us for one in references if one.receipt_sha256}
        receipts = (entry for entry in entries if entry.kind == "receipt")
        self._lows = [_point(entry, told[digest]) for entry in receipts if (digest := entry.fields["receipt_sha256"]) in told]
        self._highs = list(_upper(entries, sorted(references, key=lambda one: one.size)))
        self.who = tuple(sorted({one.who for one in references}))

    def at(self, boot: int, boottime_us: int) -> Bounds:
        """The other clocks' bounds for a moment of a boot."""
        lows = [_carried(one, boottime_us, -1) if one.boot == boot else one.utc_us for one in self._lows if one.boot <= boot]
        highs = [_carried(one, boottime_us, 1) if one.boot == boot else one.utc_us for one in self._highs if one.boot >= boot]
        return Bounds(max(lows, default=None), min(highs, default=None))

    def offset(self, boot: int, boottime_us: int, utc_us: int) -> Bounds:
        """By how much the other clocks were ahead of the camera's, which said ``utc_us`` at that moment."""
        found = self.at(boot, boottime_us)
        low, high = found.low_us, found.high_us
        return Bounds(None if low is None else low - utc_us, None if high is None else high - utc_us)


def offset_words(bounds: Bounds) -> str:
    """What an offset says of the camera's clock; empty when nothing is known. Seconds."""
    low, high = bounds.low_us, bounds.high_us
    if low is not None and high is not None and low > high:
        return f"not to be told: its boot time and those clocks contradict each other by {(low - high) / 1e6:.3f} s"
    if low is not None and high is not None:
        middle = (low + high) / 2e6
        return f"{'behind' if middle >= 0 else 'ahead'} by {abs(middle):.3f} s, uncertainty {(high - low) / 2e6:.3f} s"
    if low is not None:
        return f"behind by at least {low / 1e6:.3f} s" if low >= 0 else f"ahead by at most {-low / 1e6:.3f} s"
    if high is not None:
        return f"ahead by at least {-high / 1e6:.3f} s" if high < 0 else f"behind by at most {high / 1e6:.3f} s"
    return ""


def _point(entry: Entry, utc_us: int) -> _Point:
    return _Point(entry.boot, entry.time.boottime_ns // 1000, utc_us)


def _upper(entries: Sequence[Entry], by_size: Sequence[Reference]) -> Iterator[_Point]:
    """What each statement says of the newest leaf that it counts, and the earliest that counts all of a boot of that boot's last leaf."""
    yield from (_point(entries[one.size - 1], one.utc_us) for one in by_size if 0 < one.size <= len(entries))
    sizes = [one.size for one in by_size]
    earliest = list(accumulate((one.utc_us for one in reversed(by_size)), min))[::-1]
    for index in {entry.boot: index for index, entry in enumerate(entries)}.values():
        place = bisect_right(sizes, index)
        if place < len(sizes):
            yield _point(entries[index], earliest[place])


def _carried(point: _Point, boottime_us: int, sign: int) -> int:
    """The other clock's time of a moment of the same boot, moved outwards by what the oscillator may err (``sign``: -1 down, 1 up)."""
    between = boottime_us - point.boottime_us
    return point.utc_us + between + sign * (abs(between) * DRIFT_PPM // 1_000_000 + 1)
