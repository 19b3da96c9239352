"""A worn contact, as one change with the instant of its first touch.

Responsible for telling a change from a chatter. Pure: instants are arguments, on whatever clock the caller has. Refuses to know
lines and threads.

Invariant: a level is told once it was quiet for ``quiet_ns``, with the instant of the first change of the chatter; a glitch that
comes back within that time is told never.
"""

from __future__ import annotations


class Debouncer:
    """One contact. ``level`` is the last that was told."""

    def __init__(self, level: bool, quiet_ns: int) -> None:
        self.level = level
        self._quiet_ns = quiet_ns
        self._seen = level
        self._first_ns: int | None = None
        self._last_ns = 0

    def changed(self, at_ns: int, level: bool) -> None:
        """The contact went to ``level``. Late news of an earlier instant is welcome."""
        self._seen = level
        self._first_ns = at_ns if self._first_ns is None else min(self._first_ns, at_ns)
        self._last_ns = max(self._last_ns, at_ns)

    @property
    def due_ns(self) -> int | None:
        """When to call :meth:`settle`; ``None`` while nothing moves."""
        return None if self._first_ns is None else self._last_ns + self._quiet_ns

    def settle(self, now_ns: int, found: bool | None) -> int | None:
        """Quiet for long enough: the instant of the first touch if the level is a new one, else ``None``.

        ``found`` is what the line is at now. Where that is not what the changes led to, one of them was lost or is still on its
        way: the contact then counts as having changed now, and settles again. ``None``: the line cannot be read.
        """
        first_ns, self._first_ns = self._first_ns, None
        new = self._seen is not self.level
        self.level = self._seen
        if found not in (None, self._seen):
            self.changed(now_ns, not self._seen)
        return first_ns if new else None
