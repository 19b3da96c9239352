"""How a list of hashes as received differs from the list as signed.

Responsible for naming the least that turns one into the other: altered, added, moved, missing. Refuses to know what is hashed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Differences:
    """Positions in what was received; ``missing`` as (position in front of which, how many)."""

    altered: tuple[int, ...]
    added: tuple[int, ...]
    moved: tuple[int, ...]
    missing: tuple[tuple[int, int], ...]


def differences(expected: list[bytes], received: list[bytes]) -> Differences:
    """What turns ``expected`` into ``received``, in O(n log n).

    The longest run of hashes in the same order stays; between two that stay, unknown hashes replace missing ones pairwise.
    """
    places: defaultdict[bytes, deque[int]] = defaultdict(deque)
    for position, value in enumerate(expected):
        places[value].append(position)
    source = [places[value].popleft() if places.get(value) else -1 for value in received]
    kept = _longest_increasing(source)
    moved = tuple(at for at, origin in enumerate(source) if origin >= 0 and at not in kept)
    absent = sorted(set(range(len(expected))) - set(source))
    altered: list[int] = []
    added: list[int] = []
    missing: list[tuple[int, int]] = []
    next_absent, unknown = 0, deque[int]()
    for at in range(len(source) + 1):
        if at < len(source) and source[at] < 0:
            unknown.append(at)
        if at < len(source) and at not in kept:
            continue
        until = source[at] if at < len(source) else len(expected)
        gap = 0
        while next_absent < len(absent) and absent[next_absent] < until:
            next_absent += 1
            if unknown:
                altered.append(unknown.popleft())
            else:
                gap += 1
        if gap:
            missing.append((at, gap))
        added += unknown
        unknown.clear()
    return Differences(tuple(altered), tuple(added), moved, tuple(missing))


def _longest_increasing(source: list[int]) -> set[int]:
    """Positions of a longest increasing subsequence of the values that are not negative (patience sorting)."""
    tails: list[int] = []
    ends: list[int] = []
    before: dict[int, int] = {}
    for at, value in enumerate(source):
        if value < 0:
            continue
        pile = bisect_left(tails, value)
        before[at] = ends[pile - 1] if pile else -1
        tails[pile : pile + 1] = [value]
        ends[pile : pile + 1] = [at]
    kept: set[int] = set()
    at = ends[-1] if ends else -1
    while at >= 0:
        kept.add(at)
        at = before[at]
    return kept
