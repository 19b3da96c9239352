"""The simulated card's plan of misfortune: which operation fails, and what a power cut leaves.

Responsible for counting the volume's operations and for the fate of what was not synced. Refuses to know files.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum

from hal.sim.surroundings import Delay

SECTOR_BYTES = 512
"""What a card writes whole or not at all; also the granularity of a torn tail."""


class CardFault(Enum):
    """What happens to one operation."""

    FULL = "full"
    """``VolumeFull``; nothing is done."""
    IO_ERROR = "io-error"
    """``DeviceFault``; nothing is done. For ever (:meth:`Card.fail_always`) it is also what a file system that became read-only does."""
    SHORT_WRITE = "short-write"
    """``DeviceFault`` after a part of a write reached the file; as ``IO_ERROR`` for anything else."""
    POWER_CUT = "power-cut"
    """The power goes; of a write, a part may have reached the file, unsynced."""
    STALL = "stall"
    """Nothing fails: the card answers :attr:`Card.stall_ns` late, as when it tidies its blocks."""


class Loss(Enum):
    """What becomes of bytes and names that were not durable when the power went."""

    DROP_ALL = "drop-all"
    KEEP_ALL = "keep-all"
    RANDOM = "random"
    """Each kept, dropped or torn at :data:`SECTOR_BYTES`, by the world's seed; never in an order that a rename forbids."""


@dataclass(slots=True)
class Card:
    """Outlives every life of the camera. ``operations`` counts what changes the card: create, append, write, sync,
    truncate, rename, remove, make_directory, sync_directory; reads are not counted."""

    rng: random.Random
    loss: Loss = Loss.RANDOM
    operations: int = 0
    last: str = ""
    """The newest counted operation, for a failing test's message: ``"rename vault/a.tmp"``."""
    faults: dict[int, CardFault] = field(default_factory=dict)
    every: CardFault | None = None
    delay: Delay = field(default_factory=Delay)
    """How long a counted operation takes."""
    stall_ns: int = 0
    """How long :attr:`CardFault.STALL` lasts; to be set before a life begins that is to meet it."""
    spoilt: set[str] = field(default_factory=set)
    """Names whose reading, or listing, raises ``DeviceFault``: a bad sector."""
    used_bytes: int = 0
    """Of the evidence on the card, as the newest life's volume counts."""
    limit_bytes: int | None = None
    """Room for evidence once :meth:`leave_room` was called; before, the volume's own capacity."""

    def leave_room(self, room_bytes: int) -> None:
        """Make the card so large that ``room_bytes`` are free now, as if other things lay on it."""
        self.limit_bytes = self.used_bytes + room_bytes

    def fail_at(self, operation: int, fault: CardFault) -> None:
        """Let the ``operation``-th counted operation from now (1 is the next) meet ``fault``."""
        self.faults[self.operations + operation] = fault

    def fail_always(self, fault: CardFault | None) -> None:
        """Let every counted operation meet ``fault`` until called with ``None``."""
        self.every = fault

    def count(self, what: str) -> CardFault | None:
        """Count one operation and tell its fate."""
        self.operations += 1
        self.last = what
        return self.faults.pop(self.operations, self.every)

    def keeps(self) -> bool:
        """Whether an undurable change of a name survives the cut."""
        if self.loss is Loss.RANDOM:
            return self.rng.random() < 0.5
        return self.loss is Loss.KEEP_ALL

    def tail(self, data: bytes) -> bytes:
        """What is left of an unsynced tail: a prefix, in which whole sectors may read as zeros."""
        if self.loss is not Loss.RANDOM:
            return data if self.loss is Loss.KEEP_ALL else b""
        kept = bytearray(data[: self.rng.choice((0, self.rng.randint(0, len(data)), len(data)))])
        for start in range(0, len(kept), SECTOR_BYTES):
            if self.rng.random() < 0.2:
                sector = kept[start : start + SECTOR_BYTES]
                kept[start : start + SECTOR_BYTES] = bytes(len(sector))
        return bytes(kept)
