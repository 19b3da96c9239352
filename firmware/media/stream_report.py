"""What a check of a signed stream found: verdicts for GOPs, and sentences for people.

Responsible for the values and their wording. Refuses to check anything. Picture numbers count the pictures of the stream
as received, from 0; GOP numbers likewise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cryptography import x509

from firmware.media.onvif_sei import Vendor

MAX_NAMED = 12
"""Pictures that one sentence names before it says "and so many more"."""


class GopStatus(Enum):
    """Only VALID says that what was received is what was signed."""

    VALID = "valid"
    ALTERED = "altered"
    """A good signature, for other pictures than those received; the fields of the verdict say which."""
    MISSING = "missing"
    """A good signature for a GOP that is not in the stream."""
    BAD_SIGNATURE = "bad signature"
    """A signature that does not verify, or by a signer whom no trusted root vouches for."""
    UNSIGNED = "unsigned"
    """No signature for this GOP was found."""
    CANNOT_TELL = "cannot tell"
    """Its signature is there and cannot be checked here; ``reason`` says why."""
    CUT = "cut"
    """The first GOP of a clip that was cut inside it: every picture received is signed, those in front are missing."""
    REORDERED = "out of order"
    """As signed, and not where it was signed: it stands behind a later GOP, or its SEI in front of its pictures."""
    REPLAYED = "repeated"
    """The same pictures as a GOP before it."""
    OTHER_SIGNER = "by another signer"
    """As signed, by a trusted signer, who is not the one of the first GOP."""


class StreamVerdict(Enum):
    """What the whole stream is. Only AUTHENTIC and AUTHENTIC_CLIP say that nothing in it was changed and by whom it is."""

    AUTHENTIC = "authentic"
    """From its true beginning to its last picture: every GOP valid, linked, by one signer whom a trusted root vouches for."""
    AUTHENTIC_CLIP = "authentic clip"
    """The same for a part: its beginning was cut off; what is left is signed to the last picture."""
    UNSIGNED_ENDS = "authentic, with unsigned ends"
    """The same between its ends; nothing vouches for the last GOP, or for pictures in front of the first IDR. Findings name them."""
    UNCHANGED = "unchanged, signer unknown"
    """As authentic or a clip, and no trusted root was given: unity, not origin."""
    NOT_AUTHENTIC = "not authentic"
    CANNOT_TELL = "cannot tell"
    UNSIGNED = "not signed"


_BAD = frozenset(
    {
        GopStatus.ALTERED,
        GopStatus.MISSING,
        GopStatus.BAD_SIGNATURE,
        GopStatus.REORDERED,
        GopStatus.REPLAYED,
        GopStatus.OTHER_SIGNER,
    }
)


@dataclass(frozen=True, slots=True)
class Missing:
    """``slices`` hashed NAL units (one each in a stream of single-slice pictures) are missing in front of ``before``.

    ``before`` is the picture in front of which they stood; past the last picture of the GOP when they stood at its end.
    """

    before: int
    slices: int


@dataclass(frozen=True, slots=True)
class GopVerdict:
    """``gop`` is -1 and ``pictures`` 0 for a GOP that is missing as a whole (``first_picture``: where it should be)."""

    gop: int
    first_picture: int
    pictures: int
    status: GopStatus
    counter: int | None = None
    altered: tuple[int, ...] = ()
    added: tuple[int, ...] = ()
    moved: tuple[int, ...] = ()
    missing: tuple[Missing, ...] = ()
    reason: str = ""

    def describe(self) -> str:
        """One sentence."""
        if self.gop < 0:
            return f"GOP with counter {self.counter} is missing before picture {self.first_picture}"
        last = self.first_picture + max(self.pictures, 1) - 1
        parts = [f"GOP {self.gop} (pictures {self.first_picture} to {last}) is {self.status.value}"]
        for word, pictures in (("altered", self.altered), ("added", self.added), ("moved", self.moved)):
            if pictures:
                parts.append(f"{word}: {_pictures(pictures)}")
        if self.missing:
            parts.append(
                f"{sum(gap.slices for gap in self.missing)} slices missing before {_pictures(tuple(gap.before for gap in self.missing))}"
            )
        if self.reason:
            parts.append(self.reason)
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Session:
    """A run of GOPs, by one signer, whose counters go on: one recording, or one clip of it.

    ``first_gop`` and ``last_gop`` are numbers of GOPs received.
    """

    first_gop: int
    last_gop: int
    first_counter: int
    last_counter: int
    signer: x509.Certificate


@dataclass(frozen=True, slots=True)
class StreamReport:
    """``gops`` counts what was received; ``verdicts`` also name GOPs that are missing, in order of place.

    ``chain_checked`` is ``None`` when no roots were given: signatures were then checked against the certificate that the
    stream brought, which proves unity and not origin. ``true_beginning``: the first GOP received is the first that was
    signed in its stream (counter 1, nothing linked). ``broken_links``: counters of GOPs that do not follow the one before;
    ``breaks`` says it in as many sentences. ``notes`` are further faults; ``remarks`` are none.
    """

    gops: int
    pictures: int
    verdicts: tuple[GopVerdict, ...]
    signer: x509.Certificate | None
    vendor: Vendor | None
    chain_checked: bool | None
    first_counter: int | None
    last_counter: int | None
    true_beginning: bool
    broken_links: tuple[int, ...]
    notes: tuple[str, ...]
    breaks: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    sessions: tuple[Session, ...] = ()
    signing_seis: int = 0

    @property
    def verdict(self) -> StreamVerdict:
        """The whole stream in one word."""
        statuses = {verdict.status for verdict in self.verdicts}
        if not self.signing_seis:
            return StreamVerdict.UNSIGNED
        if statuses & _BAD or self.breaks:
            return StreamVerdict.NOT_AUTHENTIC
        if GopStatus.CANNOT_TELL in statuses:
            return StreamVerdict.CANNOT_TELL
        if self.notes or any(verdict.status is GopStatus.UNSIGNED for verdict in self._inner()):
            return StreamVerdict.NOT_AUTHENTIC
        if not statuses & {GopStatus.VALID, GopStatus.CUT}:
            return StreamVerdict.CANNOT_TELL
        if GopStatus.UNSIGNED in statuses:
            return StreamVerdict.CANNOT_TELL if self.chain_checked is None else StreamVerdict.UNSIGNED_ENDS
        if self.chain_checked is None:
            return StreamVerdict.UNCHANGED
        whole = statuses == {GopStatus.VALID} and self.true_beginning
        return StreamVerdict.AUTHENTIC if whole else StreamVerdict.AUTHENTIC_CLIP

    def _inner(self) -> tuple[GopVerdict, ...]:
        """Verdicts without those that a clip explains: a first GOP without IDR, and an unsigned last GOP."""
        begin = 1 if self.verdicts and self.verdicts[0].reason and self.verdicts[0].status is GopStatus.UNSIGNED else 0
        return self.verdicts[begin : len(self.verdicts) - self.unsigned_tail]

    @property
    def valid_gops(self) -> int:
        """How many GOPs are exactly what was signed."""
        return sum(verdict.status is GopStatus.VALID for verdict in self.verdicts)

    @property
    def unsigned_tail(self) -> bool:
        """Whether only the last GOP lacks a signature: what a power cut leaves behind (its SEI travels in the next)."""
        return bool(self.verdicts) and self.verdicts[-1].gop == self.gops - 1 and self.verdicts[-1].status is GopStatus.UNSIGNED

    def problems(self) -> list[str]:
        """A sentence for everything that keeps the stream from being authentic from its true beginning to its last GOP.

        An unsigned last GOP is not among them: compare ``valid_gops`` with ``gops`` (see :attr:`unsigned_tail`).
        """
        tail = self.gops - 1 if self.unsigned_tail else -2
        found = [verdict.describe() for verdict in self.verdicts if verdict.status is not GopStatus.VALID and verdict.gop != tail]
        found += self.breaks
        if self.valid_gops and not self.true_beginning:
            found.append(f"the beginning is missing or not signed: the first GOP with a signature has counter {self.first_counter}")
        return found + list(self.notes)

    def findings(self) -> list[str]:
        """:meth:`problems`, the unsigned last GOP, and remarks: everything worth a sentence."""
        tail = [f"{self.verdicts[-1].describe()}; its SEI, which travels behind it, is not there"] if self.unsigned_tail else []
        return self.problems() + tail + list(self.remarks)


def _pictures(numbers: tuple[int, ...]) -> str:
    named = ", ".join(map(str, numbers[:MAX_NAMED]))
    more = f" and {len(numbers) - MAX_NAMED} more" if len(numbers) > MAX_NAMED else ""
    return f"picture {named}{more}"
