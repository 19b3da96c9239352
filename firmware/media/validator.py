"""ONVIF Media Signing, the validator: is every picture of a stream one that the signer signed, and which is not?

Responsible for reading a stream once, in order, and for saying for every GOP received what its signature says. Knows P-256
and P-384 keys, SHA-256, signed SEIs with or without a hash list, partial GOPs, and SEIs that come late. Refuses to raise on
anything that a stream can hold, and to call valid what it could not check.

Invariants: memory does not grow with the stream except for one verdict a GOP: at most :data:`WINDOW` GOPs wait for their
SEI, as hashes. A GOP is VALID only by a signature that verified over its hashes, by the one signer of the stream, whom a
trusted root vouches for when roots are given.

Which GOP an SEI speaks for is not written in it. In this order: the GOP whose hashes are the signed ones; the GOP that
begins with the first hash listed; the GOP that follows the one it is linked to; the GOP that its counter leads to.
"""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.errors import FormatError, IntegrityError
from firmware.media.chain import parse_chain, signing_key, verify_chain, verify_signature
from firmware.media.nal import AUD, END_OF_SEQUENCE, END_OF_STREAM, FILLER, IDR_SLICE, PPS, SEI, SLICE, SPS, is_primary_slice
from firmware.media.onvif_sei import HASH_BYTES, SigningSei, Vendor, is_signing_sei, parse_sei
from firmware.media.received_gop import Claim, ReceivedGop
from firmware.media.stream_report import GopStatus, GopVerdict, StreamReport

WINDOW = 8
"""GOPs that wait for a late SEI."""
MAX_NOTES = 32
MAX_SEIS_PER_GOP = 64

_UNHASHED = frozenset({SEI, SPS, PPS, AUD, END_OF_SEQUENCE, END_OF_STREAM, FILLER})
_NO_LINK = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class _Signer:
    """The one signer of a stream. ``distrust`` says why no trusted root vouches for it; empty when one does."""

    pem: bytes
    certificate: x509.Certificate
    key: ec.EllipticCurvePublicKey
    distrust: str


class StreamValidator:
    """Feed access units in decoding order, then :meth:`finish`.

    ``roots``: trusted roots, or ``None`` to check signatures against whatever certificate the stream brings. ``at``: the
    time at which certificates must be valid, or ``None`` not to ask (see :mod:`firmware.media.chain`).
    """

    def __init__(self, roots: Sequence[x509.Certificate] | None, at: dt.datetime | None = None) -> None:
        self._roots = roots
        self._at = at
        self._signer: _Signer | None = None
        self._vendor: Vendor | None = None
        self._open = ReceivedGop(0, b"", True, _NO_LINK)
        self._closed: deque[ReceivedGop] = deque()
        self._unplaced: tuple[Claim, int] | None = None
        self._verdicts: list[GopVerdict] = []
        self._emitted = 0
        self._pictures = 0
        self._seis_in_gop = 0
        self._notes: list[str] = []
        self._first_counter: int | None = None
        self._last: Claim | None = None
        self._last_place = -1
        self._last_first = b""
        self._true_beginning = False
        self._broken: list[int] = []

    def feed(self, nals: Iterable[bytes]) -> None:
        """Take the NAL units of the next access unit."""
        has_picture = False
        for nal in nals:
            nal = nal.rstrip(b"\x00")
            if not nal:
                continue
            kind = nal[0] & 0x1F
            if kind in (SLICE, IDR_SLICE):
                self._slice(nal, kind)
                has_picture = True
            elif kind == SEI:
                # A SEI may trail the slices of its picture; it then counts as behind that picture.
                self._sei(nal)
            elif kind not in _UNHASHED:
                self._note(f"picture {self._pictures} holds a NAL unit of type {kind}, which no signature covers")
        self._pictures += has_picture

    def finish(self) -> StreamReport:
        """Close the last GOP and report. The validator is used up."""
        if self._open.digests and self._open.claim is None and self._unplaced is not None:
            claim, _ = self._unplaced
            if claim.general.linked_hash == self._open.previous_first:
                self._open.claim, self._unplaced = claim, None
                self._follow(claim, self._emitted + len(self._closed), self._open)
        self._close_open()
        self._settle_unplaced()
        while self._closed:
            self._emit()
        return StreamReport(
            gops=self._emitted,
            pictures=self._pictures,
            verdicts=tuple(self._verdicts),
            signer=self._signer.certificate if self._signer else None,
            vendor=self._vendor,
            chain_checked=None if self._roots is None else bool(self._signer and not self._signer.distrust),
            first_counter=self._first_counter,
            last_counter=self._last.general.counter if self._last else None,
            true_beginning=self._true_beginning,
            broken_links=tuple(self._broken),
            notes=tuple(self._notes),
        )

    # --- what is received

    def _slice(self, nal: bytes, kind: int) -> None:
        digest = sha256(nal).digest()
        if kind == IDR_SLICE and is_primary_slice(nal):
            previous = self._open.first or self._open.previous_first
            self._close_open()
            self._open = ReceivedGop(self._pictures, digest, False, previous)
        self._open.add(digest, self._pictures, anchored=True)

    def _close_open(self) -> None:
        self._seis_in_gop = 0
        if not self._open.digests:
            return
        self._closed.append(self._open)
        if self._open.claim is not None:
            self._emit_until(len(self._closed) - 1)
        while len(self._closed) > WINDOW:
            self._emit()

    def _emit(self) -> None:
        """The oldest GOP that waits gets the verdict that its claim, or the lack of one, allows."""
        self._verdicts.append(self._closed.popleft().verdict(self._emitted))
        self._emitted += 1

    def _emit_until(self, index: int) -> None:
        for _ in range(index + 1):
            self._emit()

    # --- what is said about it

    def _sei(self, nal: bytes) -> None:
        if not is_signing_sei(nal):
            return
        self._seis_in_gop += 1
        if self._seis_in_gop > MAX_SEIS_PER_GOP:
            self._note(f"more than {MAX_SEIS_PER_GOP} signing SEIs in one GOP")
            return
        try:
            sei = parse_sei(nal)
            if sei.signature is None:
                self._open.add(sha256(sei.document).digest(), self._pictures, anchored=False)
                raise FormatError("onvif-sei", "the SEI is not signed, and a later one that covers it is not read")
            self._check(sei, sei.signature)
        except FormatError as error:
            self._fail(GopStatus.CANNOT_TELL, str(error))
        except IntegrityError as error:
            self._fail(GopStatus.BAD_SIGNATURE, str(error))
        else:
            self._vendor = self._vendor or sei.vendor
            self._place(Claim(sei.general, sei.hash_list))

    def _check(self, sei: SigningSei, signature: bytes) -> None:
        pem = sei.certificates_pem
        if self._signer is not None and pem not in (None, self._signer.pem):
            raise IntegrityError("onvif-sei", "the signer changes within the stream")
        signer = self._signer or self._make_signer(pem)
        verify_signature(signer.key, signature, sha256(sei.document).digest())
        if self._signer is None:
            self._signer = signer
        if signer.distrust:
            raise IntegrityError("onvif-sei", signer.distrust)

    def _make_signer(self, pem: bytes | None) -> _Signer:
        if pem is None:
            raise FormatError("onvif-sei", "expected certificates in the first signed SEI, got none")
        chain = parse_chain(pem)
        distrust = ""
        if self._roots is not None:
            try:
                verify_chain(chain, self._roots, self._at)
            except IntegrityError as error:
                distrust = str(error)
        return _Signer(pem, chain[0], signing_key(chain[0]), distrust)

    def _fail(self, status: GopStatus, reason: str) -> None:
        """An SEI says nothing that can be believed: remember it for the GOP that it most likely speaks for."""
        self._note(f"signing SEI at picture {self._pictures}: {reason}")
        waiting = (gop for gop in self._closed if gop.failure is None)
        next(waiting, self._open).failure = (status, reason)

    def _note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(text)

    # --- which GOP it speaks for

    def _place(self, claim: Claim) -> None:
        general = claim.general
        index = self._find(claim)
        if self._last is not None and general.counter <= self._last.general.counter:
            self._replay(general.counter, index)
            return
        self._settle_unplaced()
        if index is None:
            if self._emitted or self._closed or general.linked_hash == self._open.previous_first:
                self._unplaced = (claim, self._open.first_picture)
            else:
                self._remember(claim, -1, None)  # it speaks for the GOP before the head of what we were given
            return
        target = self._waiting_at(index)
        place = self._emitted + index
        if general.partial:
            self._split(claim, index, target)
        target.claim = claim
        self._follow(claim, place, target)
        if index < len(self._closed):
            self._emit_until(index)

    def _replay(self, counter: int, index: int | None) -> None:
        """A counter that does not increase: pictures, with their SEIs, were repeated or put elsewhere. Never valid."""
        self._note(f"signing SEI at picture {self._pictures}: counter {counter} again or out of order")
        if index is not None:
            self._waiting_at(index).failure = (GopStatus.ALTERED, "it repeats, or stands behind, a later GOP")

    def _waiting_at(self, index: int) -> ReceivedGop:
        return self._closed[index] if index < len(self._closed) else self._open

    def _find(self, claim: Claim) -> int | None:
        """Index among the closed GOPs; one past them is the open GOP."""
        general = claim.general
        waiting = [(index, gop) for index, gop in enumerate((*self._closed, self._open)) if gop.digests and gop.claim is None]
        for index, gop in waiting:
            if (general.partial or len(gop.digests) == claim.count) and gop.is_exactly(claim):
                return index
        for index, gop in waiting:
            if claim.hash_list is not None and gop.first == claim.hash_list[0]:
                return index
        for index, gop in waiting:
            if (gop is not self._open or general.partial) and gop.previous_first == general.linked_hash:
                return index
        return self._find_by_counter(claim)

    def _find_by_counter(self, claim: Claim) -> int | None:
        if not self._closed or claim.general.linked_hash == self._closed[-1].first:
            return None
        if self._last is None:
            return len(self._closed) - 1
        index = self._last_place + claim.general.counter - self._last.general.counter - self._emitted
        return index if 0 <= index < len(self._closed) else None

    def _split(self, claim: Claim, index: int, target: ReceivedGop) -> None:
        """A partial GOP ends inside what an IDR bounds: what follows waits for a signature of its own."""
        count = claim.count if target.is_exactly(claim) else target.end_of(claim)
        if target is not self._open and count >= len(target.digests):
            return
        rest = target.split(count)
        if claim.hash_list is not None and not target.continues:
            rest.anchor = claim.hash_list[0]  # as signed: an altered IDR must not hide the state of what follows
        if target is self._open:
            self._open = rest
            self._closed.append(target)
        else:
            self._closed.insert(index + 1, rest)

    def _follow(self, claim: Claim, place: int, gop: ReceivedGop | None) -> None:
        """Compare counter and link with those of the GOP that was signed before."""
        general = claim.general
        if self._first_counter is None and gop is not None:
            self._first_counter = general.counter
            self._true_beginning = place == 0 and general.counter == 1 and general.linked_hash == _NO_LINK
        if self._last is not None:
            consecutive = general.counter == self._last.general.counter + 1
            if not consecutive or (self._last_first and general.linked_hash != self._last_first):
                self._broken.append(general.counter)
        self._remember(claim, place, gop)

    def _remember(self, claim: Claim, place: int, gop: ReceivedGop | None) -> None:
        self._last, self._last_place = claim, place
        self._last_first = claim.hash_list[0] if claim.hash_list else (gop.first if gop is not None else b"")

    def _settle_unplaced(self) -> None:
        """A signed GOP that nothing received answers to is missing."""
        if self._unplaced is None:
            return
        (claim, before), self._unplaced = self._unplaced, None
        self._follow(claim, self._last_place, None)
        self._verdicts.append(GopVerdict(-1, before, 0, GopStatus.MISSING, claim.general.counter))


def validate_stream(
    access_units: Iterable[tuple[bytes, ...]], roots: Sequence[x509.Certificate] | None, at: dt.datetime | None = None
) -> StreamReport:
    """Check a whole stream: the NAL units of each access unit, in decoding order, without start codes."""
    validator = StreamValidator(roots, at)
    for nals in access_units:
        validator.feed(nals)
    return validator.finish()
