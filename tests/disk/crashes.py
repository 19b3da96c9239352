"""What a disk may hold after its power was cut: images made from the log of a recorded one.

The model of the medium: a write is durable once a flush that came after it was answered; of the later ones each may be there or not,
wholly or up to some sector, whatever the order in which they were sent. A card that is worse ignores flushes, or spoils the erase block in
which it was writing (:class:`Card`).
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.disk.log import Flush, Mark, Record, Write

SECTOR_BYTES = 512
SUPERBLOCK_END = 2048
TORN = 0.3
"""Of the writes that no flush followed and that are there, so many are torn."""


@dataclass(frozen=True, slots=True)
class Card:
    """How the medium treats what it was told: an honest one by default."""

    ignored_flushes: int = 0
    """The last so many flushes before the cut were answered and not done."""
    spoiled_bytes: int = 0
    """Size of the erase block, aligned, that a write in flight leaves as noise; 0: none."""


HONEST = Card()


@dataclass(frozen=True, slots=True)
class Crash:
    """One cut: after ``at`` records of the log; ``marks`` are those that were written by then."""

    at: int
    marks: tuple[Mark, ...]
    kept: str


def candidates(records: Sequence[Record]) -> list[int]:
    """Every point that differs from the one before: something was written, flushed, or promised."""
    telling = [not (isinstance(one, Mark) and "done_ns" in one.fields) for one in records]
    return [number + 1 for number, tells in enumerate(telling) if tells]


class Crashes:
    """Images after cuts at ``points`` (ascending), one after the other in the same file ``image``, which is given back each time.

    ``start``, what the disk held before the first record, is changed as writes become durable.
    """

    def __init__(self, records: Sequence[Record], start: Path, image: Path, seed: int, card: Card = HONEST) -> None:
        self._records = records
        self._start = start
        self._image = image
        self._seed = seed
        self._card = card
        self._unflushed: list[list[Write]] = [[]]
        """Writes that may not be on the medium yet, between flushes; the newest list is still open."""
        self._marks: list[Mark] = []
        self._next = 0

    def at(self, points: Sequence[int]) -> Iterator[Crash]:
        with ExitStack() as stack:
            self._disk = opened(self._start, os.O_RDWR, stack)
            for number, point in enumerate(points):
                self._advance(point)
                kept = self._cut(random.Random(f"{self._seed}/{number}/{point}"))
                yield Crash(point, tuple(self._marks), kept)

    def _cut(self, dice: random.Random) -> str:
        with ExitStack() as stack:
            image = opened(self._image, os.O_RDWR | os.O_CREAT | os.O_TRUNC, stack)
            copy_sparse(self._disk, image)
            return self._lose(image, dice)

    def _advance(self, point: int) -> None:
        for record in self._records[self._next : point]:
            match record:
                case Write():
                    self._unflushed[-1].append(record)
                case Flush():
                    self._unflushed.append([])
                    while len(self._unflushed) > self._card.ignored_flushes + 1:
                        for write in self._unflushed.pop(0):
                            os.pwrite(self._disk, write.data, write.offset)
                case Mark():
                    self._marks.append(record)
        self._next = point

    def _lose(self, image: int, dice: random.Random) -> str:
        """Put some of the writes that no flush followed into the image; what was done, in words."""
        pending = [write for between in self._unflushed for write in between]
        way = dice.choice(("none", "all", "first", "some", "some", "reordered"))
        chance = dice.choice((0.2, 0.5, 0.9))
        match way:
            case "none":
                kept = []
            case "all":
                kept = pending
            case "first":
                kept = pending[: dice.randint(0, len(pending))]
            case _:
                kept = [write for write in pending if dice.random() < chance]
        if way == "reordered":
            dice.shuffle(kept)
        torn = 0
        for write in kept:
            data = write.data
            if len(data) > SECTOR_BYTES and dice.random() < TORN:
                data, torn = data[: torn_at(write, dice)], torn + 1
            os.pwrite(image, data, write.offset)
        spoiled = self._spoil(image, pending, dice)
        return f"{way}: {len(kept)} of {len(pending)} writes, {torn} torn{spoiled}"

    def _spoil(self, image: int, pending: Sequence[Write], dice: random.Random) -> str:
        size = self._card.spoiled_bytes
        if not size or not pending:
            return ""
        start = dice.choice(pending).offset // size * size
        os.pwrite(image, dice.randbytes(min(size, os.fstat(image).st_size - start)), start)
        return f", noise in {size} bytes at {start}"


def torn_at(write: Write, dice: random.Random) -> int:
    """How many bytes of a write arrive. ext4's superblock arrives whole, or not: torn, it makes the file system one that neither mounts
    nor is repaired by ``e2fsck -p``, whoever writes to it."""
    size = dice.randrange(SECTOR_BYTES, len(write.data), SECTOR_BYTES)
    return size if write.offset + size >= SUPERBLOCK_END else max(0, min(len(write.data), SUPERBLOCK_END - write.offset))


def opened(path: Path, flags: int, stack: ExitStack) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    stack.callback(os.close, descriptor)
    return descriptor


def copy_sparse(source: int, target: int) -> None:
    """Holes stay holes: most of a disk is empty."""
    size, at = os.fstat(source).st_size, 0
    os.ftruncate(target, size)
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole behind
                return
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.pwrite(target, os.pread(source, end - at, at), at)
        at = end
