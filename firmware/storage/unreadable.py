"""What the card cannot give, or let go of, any more: tried a few times in a run, told once, and left for the next run.

Responsible for the count. Refuses to read and to tell: whoever meets the error does, so that nothing else waits for a bad sector.
"""

from __future__ import annotations

from collections import Counter

TRIES = 3
"""In one run, a second apart."""


class Unreadable:
    """Of one run and one kind of thing."""

    def __init__(self) -> None:
        self._failed: Counter[str] = Counter()

    def is_given_up(self, name: str) -> bool:
        return self._failed[name] >= TRIES

    def is_last(self, name: str) -> bool:
        """Count one try, unless it was the last; whether it was, and is to be told before :meth:`give_up`."""
        if self._failed[name] >= TRIES - 1:
            return True
        self._failed[name] += 1
        return False

    def give_up(self, name: str) -> None:
        """For this run, whatever the count."""
        self._failed[name] = TRIES

    def failed(self, name: str) -> bool:
        """Count one try; whether it was the last, and is to be told."""
        self._failed[name] += 1
        return self._failed[name] == TRIES
