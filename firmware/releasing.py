"""Which receipted recordings may leave the camera now (BWC-POL-21, BWC-POL-43).

Responsible for days and dates. Refuses to remove anything: the custodian does, on a receipt's warrant, and says what it knows to be
critical. Called from the loop only.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware.custody.clock_steps import grace_left_ns
from firmware.policy.model import Retention
from firmware.timebase import Timestamp


class Releases:
    """Recordings with a receipt that are still on the card, and when they may leave it, in boot time, which nobody steps.

    ``submit`` (recording, now, whether also a critical one may leave) asks the custodian.
    """

    def __init__(self, rules: Retention, submit: Callable[[str, Timestamp, bool], object]) -> None:
        self._rules = rules
        self._submit = submit
        self._due_ns: dict[str, tuple[int, int]] = {}
        """As others, and as critical ones."""
        self._waiting: list[str] = []
        self._critical: set[str] = set()

    def receipted(self, recording: str, at: Timestamp, now: Timestamp) -> None:
        """Its receipt's leaf was written ``at``."""
        days = (self._rules.grace_days, self._rules.critical_days)
        other, critical = (now.boottime_ns + grace_left_ns(at, now, one) for one in days)
        self._due_ns[recording] = (other, critical)

    def wanted(self, recording: str, now: Timestamp) -> None:
        """It is to be released when its time has come, which may be now."""
        self._waiting.append(recording)
        self.submit_due(now)

    def kept(self, recording: str) -> None:
        """The custodian knows it for critical: it stays as long as the policy says of those."""
        self._critical.add(recording)
        self._waiting.append(recording)

    def submit_due(self, now: Timestamp) -> None:
        """Ask for the release of those whose time has come; once for each."""
        found = [one for one in self._waiting if now.boottime_ns >= self._due(one)]
        self._waiting = [one for one in self._waiting if one not in found]
        for one in found:
            self._submit(one, now, one in self._critical)

    def _due(self, recording: str) -> int:
        return self._due_ns.get(recording, (0, 0))[recording in self._critical]
