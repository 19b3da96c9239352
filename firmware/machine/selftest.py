"""Go or no-go at the start of a shift (BWC-POL-46): which parts have answered, and when the wait is over.

Responsible for one test as a value. Refuses to know how a part is asked (``firmware.selftest``) and what follows (the table).
Invariant: a test is decided at most ``LIMIT_NS`` after it began; who has not answered by then has failed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

LIMIT_NS = 4_500_000_000
"""With the time between two looks a test ends within 5 s."""


class Part(Enum):
    SENSOR = "sensor"
    """Pictures taken since the test began have been encoded."""
    MICROPHONE = "microphone"
    """Sound of since then arrives, where the policy has sound."""
    CARD = "card"
    """What is written, synced and read back is what was written."""
    KEY = "key"
    """The key signs, and the signature fits the certificate."""
    CLOCK = "clock"
    """The wall clock is not unset."""
    BATTERY = "battery"
    """The cell lasts for the policy's shift."""
    ROOM = "room"
    """There is more room than the policy's first warning."""
    LAMPS = "lamps"
    """Both lamps' drivers drive what they were told."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    began_ns: int
    passed: frozenset[Part] = frozenset()
    failed: frozenset[Part] = frozenset()

    def with_answers(self, answers: dict[Part, bool | None]) -> SelfTest:
        """``None``: not known yet. The first answer of a part counts."""
        fresh = {part: good for part, good in answers.items() if good is not None and part not in self.passed | self.failed}
        passed = self.passed | {part for part, good in fresh.items() if good}
        return replace(self, passed=passed, failed=self.failed | {part for part, good in fresh.items() if not good})


def verdict(test: SelfTest, now_ns: int) -> tuple[str, ...] | None:
    """The parts that failed, in the order of :class:`Part`, none for a go; ``None`` while some may still answer."""
    open_parts = set(Part) - test.passed - test.failed
    if open_parts and now_ns - test.began_ns < LIMIT_NS:
        return None
    return tuple(part.value for part in Part if part in test.failed or part in open_parts)
