"""ONVIF Media Signing, the validator: is every picture of a stream one that the signer signed, and which is not?

Responsible for reading a stream once, in order, and for finding the GOP that every SEI speaks for. Knows signed SEIs and
unsigned ones that a signed one covers, with or without a hash list, partial GOPs, certificate SEIs, SEIs that come late or
twice, and GOPs that lost their IDR. Refuses to raise on anything that a stream can hold, and to call valid what it could not
check. What is hashed is ONVIF Media Signing, "Basic rules".

Invariants: verdicts depend on the NAL units and their order alone, not on how a container cuts them into samples. Memory
does not grow with the stream except for one verdict and two hashes a GOP: at most :data:`WINDOW` GOPs wait for their SEI, as
hashes. A GOP is VALID only by a signature that verified over its hashes, by a signer whom a trusted root vouches for when
roots are given.

Which GOP an SEI speaks for is not written in it. In this order: the GOP whose hashes are the signed ones; the GOP that
begins with the first hash listed; the GOP that follows the one it is linked to; the GOP that its counter leads to; what
stands behind a GOP as signed and has lost its IDR.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from cryptography import x509

from firmware.errors import FormatError, IntegrityError
from firmware.media.nal import AUD, END_OF_SEQUENCE, END_OF_STREAM, FILLER, IDR_SLICE, PPS, SEI, SLICE, SPS, is_primary_slice
from firmware.media.onvif_sei import SigningSei, Vendor, is_signing_sei, parse_sei
from firmware.media.received_gop import NO_LINK, Claim, ReceivedGop
from firmware.media.stream_account import StreamAccount
from firmware.media.stream_report import GopStatus, StreamReport
from firmware.media.stream_signers import Signer, StreamSigners

WINDOW = 32
"""GOPs that wait for a late SEI, or for the signed SEI that covers theirs."""
MAX_WAITING_HASHES = 1 << 18
MAX_NOTES = 32
MAX_SEIS_PER_GOP = 64

_UNHASHED = frozenset({SEI, SPS, PPS, AUD, END_OF_SEQUENCE, END_OF_STREAM, FILLER})


class StreamValidator:
    """Feed NAL units in decoding order, then :meth:`finish`.

    ``roots``: trusted roots, or ``None`` to check signatures against whatever certificate the stream brings. ``at``: the
    time at which certificates must be valid, or ``None`` not to ask (see :mod:`firmware.media.chain`).
    """

    def __init__(self, roots: Sequence[x509.Certificate] | None, at: dt.datetime | None = None) -> None:
        self._has_roots = roots is not None
        self._signers = StreamSigners(roots, at)
        self._account = StreamAccount()
        self._signer: Signer | None = None
        self._vendor: Vendor | None = None
        self._little_endian: bool | None = None
        self._open = ReceivedGop(0, b"", True, NO_LINK)
        self._waiting: list[ReceivedGop] = []
        """Closed GOPs, in order: the one that was spoken for last, and all behind it."""
        self._unplaced: tuple[Claim, ReceivedGop] | None = None
        """An SEI that speaks for nothing received so far, and the GOP that was open when it came."""
        self._seen: dict[bytes, int] = {}
        self._idrs = 0
        self._pictures = 0
        self._seis = self._seis_in_gop = 0
        self._notes: list[str] = []
        self._remarks: list[str] = []

    def feed(self, nals: Iterable[bytes]) -> None:
        """Take the next NAL units: an access unit, a sample, or any other run of them."""
        for nal in nals:
            nal = nal.rstrip(b"\x00")
            if not nal:
                continue
            kind = nal[0] & 0x1F
            if kind in (SLICE, IDR_SLICE):
                self._slice(nal, kind)
            elif kind == SEI:
                self._sei(nal)
            elif kind not in _UNHASHED:
                self._note(f"picture {self._picture} holds a NAL unit of type {kind}, which no signature covers")

    def finish(self) -> StreamReport:
        """Close the last GOP and report. The validator is used up."""
        if self._open.digests and self._open.claim is None and self._unplaced is not None:
            claim, _ = self._unplaced
            linked = claim.general.linked_hash == self._open.previous_first != NO_LINK
            if linked or self._open.resembles(claim):
                self._open.claim, self._unplaced = claim, None
        self._close_open()
        self._settle()
        self._emit(len(self._waiting))
        account = self._account
        account.finish()
        if self._seis and not account.gops:
            self._remark("there is no picture: signatures alone")
        return StreamReport(
            gops=account.gops,
            pictures=self._pictures,
            verdicts=tuple(account.verdicts),
            signer=self._signer.certificate if self._signer else None,
            vendor=self._vendor,
            chain_checked=bool(self._signer) if self._has_roots else None,
            first_counter=account.sessions[0].first_counter if account.sessions else None,
            last_counter=account.sessions[-1].last_counter if account.sessions else None,
            true_beginning=account.true_beginning,
            broken_links=tuple(account.broken),
            notes=tuple(self._notes),
            breaks=tuple(account.breaks),
            remarks=tuple(self._remarks),
            sessions=account.sessions,
            signing_seis=self._seis,
        )

    # --- what is received

    @property
    def _picture(self) -> int:
        """The picture that is being received."""
        return max(self._pictures - 1, 0)

    def _slice(self, nal: bytes, kind: int) -> None:
        digest = sha256(nal).digest()
        primary = is_primary_slice(nal)
        self._pictures += primary or not self._pictures
        if primary and kind == IDR_SLICE:
            # Nothing in front of it: the first of the stream may be the very first. Unknown: nobody can say.
            previous = self._open.first if self._open.digests else self._open.previous_first
            self._close_open()
            self._idrs += 1
            self._open = ReceivedGop(self._picture, digest, False, previous)
        self._open.is_torn |= not primary and len(self._open.digests) == len(self._open.seis)
        self._open.add(digest, self._picture)

    def _close_open(self) -> None:
        self._seis_in_gop = 0
        if not self._open.digests:
            return
        self._waiting.append(self._open)
        while len(self._waiting) > WINDOW or sum(len(gop.digests) for gop in self._waiting) > MAX_WAITING_HASHES:
            self._emit(1)

    def _emit(self, count: int) -> None:
        """The oldest GOPs that wait get the verdict that their claims, or the lack of one, allow."""
        for gop in self._waiting[:count]:
            self._account.take(gop)
        del self._waiting[:count]

    # --- what is said about it

    def _sei(self, nal: bytes) -> None:
        if not is_signing_sei(nal):
            return
        self._seis += 1
        self._seis_in_gop += 1
        if self._seis_in_gop > MAX_SEIS_PER_GOP:
            self._note(f"more than {MAX_SEIS_PER_GOP} signing SEIs in one GOP")
            return
        try:
            sei = parse_sei(nal)
            if sei.signature is None:
                self._open.add(sha256(sei.document).digest(), self._picture, sei)
                return
            signer = self._signers.check(sei)
            claim = None if sei.is_certificate_sei else _claim(sei, signer)
        except FormatError as error:
            self._fail(GopStatus.CANNOT_TELL, str(error))
        except IntegrityError as error:
            self._fail(GopStatus.BAD_SIGNATURE, str(error))
        else:
            self._accept(sei, signer, claim)

    def _accept(self, sei: SigningSei, signer: Signer, claim: Claim | None) -> None:
        self._vendor = self._vendor or sei.vendor
        if sei.records.unknown_tags:
            self._remark(f"signing SEIs hold records that are not known here, tags {list(sei.records.unknown_tags)}")
        if claim is not None:
            self._signer = self._signer or signer
            self._note_byte_order(claim.general.little_endian)
            self._place(claim)

    def _note_byte_order(self, little: bool) -> None:
        """The specification's text and its devices differ. Either is read; both in one stream is what no signer makes."""
        if self._little_endian not in (None, little):
            self._note(f"signing SEI at picture {self._picture}: times and counter are in the other byte order than in the SEI before it")
        elif little:
            self._remark("times and counters are little-endian, as the specification's text says and devices do not write them")
        self._little_endian = little

    def _fail(self, status: GopStatus, reason: str) -> None:
        """An SEI says nothing that can be believed: remember it for the GOP that it most likely speaks for."""
        self._note(f"signing SEI at picture {self._pictures}: {reason}")
        waiting = (gop for gop in self._waiting if gop.claim is None and gop.failure is None)
        next(waiting, self._open).failure = (status, reason)

    def _note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(text)

    def _remark(self, text: str) -> None:
        if len(self._remarks) < MAX_NOTES and text not in self._remarks:
            self._remarks.append(text)

    # --- which GOP it speaks for

    def _place(self, claim: Claim) -> None:
        if self._unplaced is not None and self._unplaced[0].digest == claim.digest:
            self._unplaced = None  # it came too early as well, when its pictures were not complete
            self._tell_again(claim)
        elif claim.digest in self._seen:
            self._again(claim)
            return
        self._seen[claim.digest] = self._idrs
        self._settle()
        claims = [claim]
        while claims:
            one = claims.pop()
            index = self._find(one)
            if index is not None:
                claims += [_claim(sei, one.signer) for sei in self._attach(one, index) if sei.records.general is not None]
            elif one is claim:
                self._unplaced = (one, self._open)
            # An unsigned SEI that answers to nothing received speaks for what stood in front of it: its GOP has no other.
        self._emit_settled()

    def _emit_settled(self) -> None:
        claimed = [index for index, gop in enumerate(self._waiting) if gop.claim is not None]
        if claimed:
            self._emit(claimed[-1])

    def _again(self, claim: Claim) -> None:
        """The same SEI once more: the specification allows it for safety; with its pictures, it is a repetition."""
        counter = claim.general.counter
        for _, gop in self._unclaimed():
            if gop.is_exactly(claim):
                gop.failure = (GopStatus.REPLAYED, f"it repeats the GOP with counter {counter}, with its SEI")
                return
        self._tell_again(claim)

    def _tell_again(self, claim: Claim) -> None:
        text = f"signing SEI at picture {self._pictures}: counter {claim.general.counter} again"
        if self._seen[claim.digest] == self._idrs:
            self._remark(text)
        else:
            self._note(text)

    def _unclaimed(self) -> Iterator[tuple[int, ReceivedGop]]:
        """Index and GOP, among those that wait; one past them is the open GOP."""
        for index, gop in enumerate((*self._waiting, self._open)):
            if gop.digests and gop.claim is None and (gop.failure is None or gop.failure[0] is not GopStatus.REPLAYED):
                yield index, gop

    def _find(self, claim: Claim) -> int | None:
        general = claim.general
        free = list(self._unclaimed())
        exact = [(index, gop) for index, gop in free if (gop.begins_with(claim) if general.partial else gop.is_exactly(claim))]
        linked = [(index, gop) for index, gop in free if gop.previous_first == general.linked_hash]
        if exact:  # pictures of a covered lens may be the same in two GOPs: the link then tells
            return next((index for index, gop in exact if gop.previous_first == general.linked_hash), exact[0][0])
        for index, gop in free:
            if claim.first and gop.first == claim.first:
                return index
        for index, gop in linked:
            if gop is not self._open or general.partial:
                return index
        return self._find_by_counter(claim, dict(free))

    def _find_by_counter(self, claim: Claim, free: dict[int, ReceivedGop]) -> int | None:
        lost = self._find_lost_idr(claim)
        if lost is not None:
            return lost
        if not self._waiting or claim.general.linked_hash == self._waiting[-1].first_signed:
            return None  # it speaks for what follows the last GOP that is complete
        index = self._index_of(claim.general.counter)
        if index is None:
            index = len(self._waiting) - 1
            if not self._waiting[index].resembles(claim):
                return None
        return index if index in free and index < len(self._waiting) else None

    def _index_of(self, counter: int) -> int | None:
        """Where the GOP with ``counter`` should wait, counted from the last GOP spoken for."""
        for index, gop in reversed(list(enumerate(self._waiting))):
            if gop.claim is not None:
                return index + counter - gop.claim.general.counter
        return self._account.place_of(counter)

    def _find_lost_idr(self, claim: Claim) -> int | None:
        """Behind a GOP that is longer than signed may stand the one that is linked to it, without its IDR."""
        for index, gop in enumerate((*self._waiting, self._open)):
            before = gop.claim
            if before is None or before.count >= len(gop.digests) or claim.general.linked_hash != gop.first_signed:
                continue
            if not gop.begins_with(before):
                continue
            rest = gop.split(before.count, lost_idr=True)
            if gop is self._open:
                self._waiting.append(gop)
                self._open = rest
            else:
                self._waiting.insert(index + 1, rest)
            return index + 1
        return None

    def _attach(self, claim: Claim, index: int) -> list[SigningSei]:
        """The claim to its GOP; the unsigned SEIs in it that are now proven."""
        target = self._waiting[index] if index < len(self._waiting) else self._open
        if claim.general.partial:
            self._split(claim, index, target)
        target.claim = claim
        return target.proves(claim)

    def _split(self, claim: Claim, index: int, target: ReceivedGop) -> None:
        """A partial GOP ends inside what an IDR bounds: what follows waits for a signature of its own."""
        count = claim.count if target.begins_with(claim) else target.end_of(claim)
        if target is not self._open and count >= len(target.digests):
            return
        rest = target.split(count)
        if claim.hash_list is not None and not target.continues:
            rest.anchor = claim.hash_list[0]  # as signed: an altered IDR must not hide the state of what follows
        if target is self._open:
            self._open = rest
            self._waiting.append(target)
        else:
            self._waiting.insert(index + 1, rest)

    def _settle(self) -> None:
        """An SEI that spoke for nothing received by then: its GOP came behind it, stood before the head, or is missing."""
        if self._unplaced is None:
            return
        (claim, then), self._unplaced = self._unplaced, None
        for index, gop in self._unclaimed():
            if gop.is_exactly(claim) or (claim.first and gop.first == claim.first):
                gop.early = True
                self._attach(claim, index)
                return
        index = next((index for index, gop in enumerate(self._waiting) if gop is then), len(self._waiting))
        if not self._account.verdicts and not index:
            self._account.begin_behind(claim)
            return
        self._waiting.insert(index, ReceivedGop(then.first_picture, b"", True, b"", claim=claim, is_missing=True))


def _claim(sei: SigningSei, signer: Signer) -> Claim:
    return Claim(sei.general, sei.hash_list, signer, sha256(sei.document).digest())


def validate_stream(
    access_units: Iterable[tuple[bytes, ...]], roots: Sequence[x509.Certificate] | None, at: dt.datetime | None = None
) -> StreamReport:
    """Check a whole stream: its NAL units in decoding order, without start codes, in runs of any length."""
    validator = StreamValidator(roots, at)
    for nals in access_units:
        validator.feed(nals)
    return validator.finish()
