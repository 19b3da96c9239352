"""A GOP as received: the hashes of its slices, and how they differ from those that were signed.

Responsible for comparing. Refuses to know signatures: a claim handed in here has been verified.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass, field
from hashlib import sha256

from firmware.media.onvif_sei import General
from firmware.media.stream_report import GopStatus, GopVerdict, Missing

MAX_HASHED = 0xFFFF
"""NAL units in a GOP: the field that counts them has 16 bits."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a verified SEI says about one (partial) GOP.

    Where there is a hash list it is the authority, being signed and finer: ONVIF's own signer library, ending a stream,
    writes the last GOP's list beside the number and the GOP hash of the GOP before.
    """

    general: General
    hash_list: tuple[bytes, ...] | None

    @property
    def count(self) -> int:
        """How many NAL units were signed."""
        return self.general.hashed_nals if self.hash_list is None else len(self.hash_list)

    def says(self, hashes: list[bytes]) -> bool:
        """Whether these are the hashes that were signed, in this order."""
        if self.hash_list is not None:
            return hashes == list(self.hash_list)
        return sha256(b"".join(hashes)).digest() == self.general.gop_hash


@dataclass(slots=True)
class ReceivedGop:
    """``anchor`` is the hash of the first slice of the IDR, empty in front of the first IDR of a stream.

    ``digests`` are those of the NAL units alone, kept so that the hashes can be made again under the anchor that was
    signed: an altered IDR then does not hide which of the other pictures are as they were.
    """

    first_picture: int
    anchor: bytes
    continues: bool
    previous_first: bytes
    """``h`` of the first NAL unit of the GOP before, as received; zeros at the beginning of the stream."""
    digests: list[bytes] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The picture that each digest belongs to."""
    unanchored: set[int] = field(default_factory=set)
    """Positions hashed without the anchor: unsigned SEIs."""
    too_long: bool = False
    claim: Claim | None = None
    failure: tuple[GopStatus, str] | None = None

    def add(self, digest: bytes, picture: int, *, anchored: bool) -> None:
        """Append the SHA-256 of one hashed NAL unit."""
        if len(self.digests) >= MAX_HASHED:
            self.too_long = True
            return
        if not anchored:
            self.unanchored.add(len(self.digests))
        self.digests.append(digest)
        self.owners.append(picture)

    @property
    def first(self) -> bytes:
        """``h`` of the first hashed NAL unit; empty without one."""
        return self.hashes(self.anchor, 1)[0] if self.digests else b""

    @property
    def pictures(self) -> int:
        """How many pictures the hashed NAL units belong to."""
        return self.owners[-1] - self.first_picture + 1 if self.owners else 0

    def hashes(self, anchor: bytes, count: int) -> list[bytes]:
        """``h`` of the first ``count`` NAL units under ``anchor``."""
        made: list[bytes] = []
        for position, digest in enumerate(self.digests[:count]):
            bare = position in self.unanchored or (position == 0 and not self.continues)
            made.append(digest if bare else sha256(anchor + digest).digest())
        return made

    def is_exactly(self, claim: Claim) -> bool:
        """Whether the first NAL units, as many as were signed, are those that were signed."""
        if not 0 < claim.count <= len(self.digests) or not self.anchor:
            return False
        return claim.says(self.hashes(self.anchor, claim.count))

    def end_of(self, claim: Claim) -> int:
        """How many NAL units belong to a partial GOP that was signed and is not received as signed."""
        if claim.hash_list is None:
            return min(claim.count, len(self.digests))
        signed = set(claim.hash_list)
        anchor = self.anchor if self.continues else claim.hash_list[0]
        known = [at for at, value in enumerate(self.hashes(anchor, len(self.digests))) if value in signed]
        return known[-1] + 1 if known else min(claim.count, len(self.digests))

    def split(self, count: int) -> ReceivedGop:
        """Cut behind ``count`` NAL units; this GOP keeps those, the rest is returned as one that continues it."""
        owners = self.owners[count:]
        begins = owners[0] if owners else (self.owners[-1] + 1 if self.owners else self.first_picture)
        rest = ReceivedGop(begins, self.anchor, True, self.first, self.digests[count:], owners)
        rest.unanchored = {position - count for position in self.unanchored if position >= count}
        rest.too_long, self.too_long = self.too_long, False
        self.unanchored = {position for position in self.unanchored if position < count}
        del self.digests[count:], self.owners[count:]
        return rest

    def verdict(self, number: int) -> GopVerdict:
        """What can be said once the GOP is complete; ``number`` is its place in the stream."""
        if self.failure is not None and self.claim is None:
            return self._verdict(number, self.failure[0], self.failure[1])
        if self.claim is None:
            return self._verdict(number, GopStatus.UNSIGNED, "" if self.anchor else "it does not begin with an IDR picture")
        if not self.too_long and len(self.digests) == self.claim.count and self.is_exactly(self.claim):
            return self._verdict(number, GopStatus.VALID)
        return self._compare(number, self.claim)

    def _verdict(self, number: int, status: GopStatus, reason: str = "") -> GopVerdict:
        counter = self.claim.general.counter if self.claim else None
        return GopVerdict(number, self.first_picture, self.pictures, status, counter, reason=reason)

    def _compare(self, number: int, claim: Claim) -> GopVerdict:
        general, expected = claim.general, claim.hash_list
        if expected is None:
            return self._verdict(
                number, GopStatus.ALTERED, f"{len(self.digests)} slices received, {claim.count} signed; no list tells which"
            )
        anchor = self.anchor if self.continues else expected[0]
        found = differences(list(expected), self.hashes(anchor, len(self.digests)))
        owners = [*self.owners, (self.owners[-1] if self.owners else self.first_picture - 1) + 1]
        missing = tuple(Missing(owners[before], count) for before, count in found.missing)
        groups = [tuple(sorted({owners[position] for position in part})) for part in (found.altered, found.added, found.moved)]
        return GopVerdict(
            number, self.first_picture, self.pictures, GopStatus.ALTERED, general.counter,
            altered=groups[0], added=groups[1], moved=groups[2], missing=missing,
        )  # fmt: skip


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
