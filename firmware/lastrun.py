"""What the card tells of the run before, as far as it has been read (BWC-POL-05, BWC-POL-21).

Responsible for whether the end of a boot is to wait for it. Refuses to read: the opening of the ledger posts what it finds.
"""

from __future__ import annotations

from firmware.policy.model import Policy
from firmware.recovery import Previous
from firmware.timebase import Timestamp

PEEK_NS = 2_000_000_000
"""A card that has not shown the ledger's newest leaves, or its hold, by then is not waited for: READY comes first."""
UNKNOWN = Previous("power-loss", None)


class LastRun:
    """Owned by the loop."""

    def __init__(self, policy: Policy, began: Timestamp) -> None:
        self._began = began
        self.previous: Previous | None = None
        self.hold_read = not policy.categories.critical_hold
        """Whether the run before has left a hold open is known, or of no interest."""

    @property
    def resumes(self) -> bool:
        """It died, or ended itself, in a recording whose end nobody had asked for."""
        return self.previous is not None and self.previous.resume

    def is_awaited(self, now: Timestamp) -> bool:
        """Presses meanwhile are owed, as all while booting are."""
        return (self.previous is None or not self.hold_read) and now.since(self._began) < PEEK_NS
