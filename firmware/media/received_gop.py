"""A GOP as received: the hashes of its slices, and how they differ from those that were signed.

Responsible for comparing. Refuses to know signatures: a claim handed in here has been verified.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from firmware.media.differences import differences
from firmware.media.onvif_sei import HASH_BYTES, General, SigningSei
from firmware.media.stream_report import GopStatus, GopVerdict, Missing
from firmware.media.stream_signers import Signer

MAX_HASHED = 0xFFFF
"""NAL units in a GOP: the field that counts them has 16 bits."""
NO_LINK = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a verified SEI says about one (partial) GOP; ``digest`` is that of its document.

    Where there is a hash list it is the authority, being signed and finer: ONVIF's own signer library, ending a stream,
    writes the last GOP's list beside the number and the GOP hash of the GOP before.
    """

    general: General
    hash_list: tuple[bytes, ...] | None
    signer: Signer
    digest: bytes

    @property
    def count(self) -> int:
        """How many NAL units were signed."""
        return self.general.hashed_nals if self.hash_list is None else len(self.hash_list)

    @property
    def first(self) -> bytes:
        """``h`` of the first NAL unit that was signed; empty without a list."""
        return self.hash_list[0] if self.hash_list else b""

    def says(self, hashes: list[bytes]) -> bool:
        """Whether these are the hashes that were signed, in this order."""
        if self.hash_list is not None:
            return hashes == list(self.hash_list)
        return sha256(b"".join(hashes)).digest() == self.general.gop_hash


@dataclass(slots=True, eq=False)
class ReceivedGop:
    """``anchor`` is the hash of the first slice of the IDR; empty when that slice was not received.

    ``digests`` are those of the NAL units alone, kept so that the hashes can be made again under the anchor that was
    signed: an altered or lost IDR then does not hide which of the other pictures are as they were.
    """

    first_picture: int
    anchor: bytes
    continues: bool
    """Whether the first NAL unit is no IDR's: what a partial GOP leaves, or the rest of a GOP whose IDR was not received."""
    previous_first: bytes
    """``h`` of the first NAL unit of the GOP before, as received; zeros at the beginning of the stream, empty when unknown."""
    digests: list[bytes] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    """The picture that each digest belongs to."""
    seis: dict[int, SigningSei] = field(default_factory=dict)
    """Unsigned SEIs by position; they are hashed without the anchor."""
    too_long: bool = False
    claim: Claim | None = None
    failure: tuple[GopStatus, str] | None = None
    early: bool = False
    """Whether its SEI stood in front of pictures that it signs."""
    is_torn: bool = False
    """Whether the first picture received came without its first slice: no cut falls inside a picture."""
    is_missing: bool = False
    """Whether this stands for a GOP that was signed and not received."""

    def add(self, digest: bytes, picture: int, sei: SigningSei | None = None) -> None:
        """Append the SHA-256 of one hashed NAL unit."""
        if len(self.digests) >= MAX_HASHED:
            self.too_long = True
            return
        if sei is not None:
            self.seis[len(self.digests)] = sei
        elif self.claim is not None and len(self.digests) < self.claim.count:
            self.early = True
        self.digests.append(digest)
        self.owners.append(picture)

    @property
    def first(self) -> bytes:
        """``h`` of the first hashed NAL unit; empty without one, and when its anchor is not known."""
        return self.hashes(self.anchor, 1)[0] if self.digests and self.anchor else b""

    @property
    def first_signed(self) -> bytes:
        """The same, as it was signed where that is known."""
        return (self.claim.first if self.claim else b"") or self.first

    @property
    def pictures(self) -> int:
        """How many pictures the hashed NAL units belong to."""
        return self.owners[-1] - self.first_picture + 1 if self.owners else 0

    def hashes(self, anchor: bytes, count: int) -> list[bytes]:
        """``h`` of the first ``count`` NAL units under ``anchor``."""
        made: list[bytes] = []
        for position, digest in enumerate(self.digests[:count]):
            bare = position in self.seis or (position == 0 and not self.continues)
            made.append(digest if bare else sha256(anchor + digest).digest())
        return made

    def content(self) -> bytes:
        """One hash of all that was received; empty when the anchor is not known."""
        return sha256(b"".join(self.hashes(self.anchor, len(self.digests)))).digest() if self.anchor else b""

    def begins_with(self, claim: Claim) -> bool:
        """Whether the first NAL units, as many as were signed, are those that were signed."""
        if not 0 < claim.count <= len(self.digests) or not self.anchor:
            return False
        return claim.says(self.hashes(self.anchor, claim.count))

    def is_exactly(self, claim: Claim) -> bool:
        """Whether all NAL units are those that were signed."""
        return len(self.digests) == claim.count and not self.too_long and self.begins_with(claim)

    def resembles(self, claim: Claim) -> bool:
        """Whether some NAL unit is one that was signed; without a list, whether there are as many."""
        if claim.hash_list is None:
            return len(self.digests) == claim.count or not self.anchor
        signed = set(claim.hash_list)
        return any(one in signed for one in self.hashes(self._anchor_under(claim.hash_list), len(self.digests)))

    def proves(self, claim: Claim) -> list[SigningSei]:
        """The unsigned SEIs in here that ``claim``, which speaks for this GOP, vouches for."""
        if self.begins_with(claim):
            return [sei for position, sei in self.seis.items() if position < claim.count]
        return [sei for position, sei in self.seis.items() if self.digests[position] in (claim.hash_list or ())]

    def end_of(self, claim: Claim) -> int:
        """How many NAL units belong to a partial GOP that was signed and is not received as signed."""
        if claim.hash_list is None:
            return min(claim.count, len(self.digests))
        signed = set(claim.hash_list)
        hashes = self.hashes(self._anchor_under(claim.hash_list), len(self.digests))
        known = [at for at, value in enumerate(hashes) if value in signed]
        return known[-1] + 1 if known else min(claim.count, len(self.digests))

    def split(self, count: int, *, lost_idr: bool = False) -> ReceivedGop:
        """Cut behind ``count`` NAL units; this GOP keeps those, the rest is returned.

        The rest continues this one, or is a GOP of its own whose IDR was lost.
        """
        owners = self.owners[count:]
        begins = owners[0] if owners else (self.owners[-1] + 1 if self.owners else self.first_picture)
        rest = ReceivedGop(begins, b"" if lost_idr else self.anchor, True, self.first, self.digests[count:], owners)
        rest.seis = {position - count: sei for position, sei in self.seis.items() if position >= count}
        rest.too_long, self.too_long = self.too_long, False
        self.seis = {position: sei for position, sei in self.seis.items() if position < count}
        del self.digests[count:], self.owners[count:]
        return rest

    def verdict(self, number: int) -> GopVerdict:
        """What can be said once the GOP is complete; ``number`` is its place in the stream."""
        claim = self.claim
        if claim is None:
            reason = "" if self.anchor else "it does not begin with an IDR picture"
            return self._verdict(number, *(self.failure or (GopStatus.UNSIGNED, reason)))
        if self.is_exactly(claim):
            if self.early:
                return self._verdict(number, GopStatus.REORDERED, "its SEI stands in front of pictures that it signs")
            return self._verdict(number, GopStatus.VALID)
        if claim.hash_list is None:
            return self._without_list(number, claim)
        if not self.anchor and not self.resembles(claim):
            return self._verdict(number, GopStatus.CANNOT_TELL, "its IDR picture, under which all others are hashed, is missing")
        return self._compare(number, claim, claim.hash_list)

    def _verdict(self, number: int, status: GopStatus, reason: str = "") -> GopVerdict:
        counter = self.claim.general.counter if self.claim else None
        return GopVerdict(number, self.first_picture, self.pictures, status, counter, reason=reason)

    def _anchor_under(self, expected: tuple[bytes, ...]) -> bytes:
        return self.anchor if self.continues and self.anchor else expected[0]

    def _without_list(self, number: int, claim: Claim) -> GopVerdict:
        if not self.anchor:
            return self._verdict(number, GopStatus.CANNOT_TELL, "its IDR picture is missing, and there is no list of hashes")
        return self._verdict(number, GopStatus.ALTERED, f"{len(self.digests)} slices received, {claim.count} signed; no list tells which")

    def _compare(self, number: int, claim: Claim, expected: tuple[bytes, ...]) -> GopVerdict:
        found = differences(list(expected), self.hashes(self._anchor_under(expected), len(self.digests)))
        owners = [*self.owners, (self.owners[-1] if self.owners else self.first_picture - 1) + 1]
        missing = tuple(Missing(owners[before], count) for before, count in found.missing)
        groups = [tuple(sorted({owners[position] for position in part})) for part in (found.altered, found.added, found.moved)]
        head_alone = [before for before, _ in found.missing] == [0] and not any(groups)
        cut = head_alone and not self.anchor and number == 0 and not self.is_torn
        return GopVerdict(
            number, self.first_picture, self.pictures, GopStatus.CUT if cut else GopStatus.ALTERED, claim.general.counter,
            altered=groups[0], added=groups[1], moved=groups[2], missing=missing,
        )  # fmt: skip
