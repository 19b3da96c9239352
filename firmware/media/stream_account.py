"""The account of a stream: verdicts in the order of the pictures, and whether GOP follows GOP as they were signed.

Responsible for counters, links, signing sessions and repetitions; it takes the GOPs of a stream once each, in order, when
nothing that could still arrive changes what they are. Refuses to know NAL units and signatures. Invariant: every GOP taken
gets exactly one verdict, and every signed GOP that does not follow the one before it gets a sentence and its counter noted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware.media.received_gop import NO_LINK, Claim, ReceivedGop
from firmware.media.stream_report import GopStatus, GopVerdict, Session


@dataclass(slots=True)
class _Run:
    """The signing session that is being read; ``counters``: ``h`` of the first NAL unit of every GOP, and its link."""

    first_gop: int
    last_gop: int
    first: Claim
    last: Claim
    last_first: bytes
    counters: dict[int, tuple[bytes, bytes]]
    unsigned_since: int = 0
    unsigned_first: bytes = b""


class StreamAccount:
    """Feed with :meth:`take`; read the fields when the stream has ended."""

    def __init__(self) -> None:
        self.verdicts: list[GopVerdict] = []
        self.breaks: list[str] = []
        self.broken: list[int] = []
        self.gops = 0
        self.true_beginning = False
        self._runs: list[_Run] = []
        self._before: Claim | None = None
        self._contents: dict[bytes, int] = {}
        self._repeats: GopVerdict | None = None
        """The last GOP, as it is judged when nothing comes behind it: unsigned, and the same pictures as one before."""

    def finish(self) -> None:
        """The stream has ended. A last GOP without a signature is one even if it shows what another showed (a covered lens, a still
        picture): behind it nothing can tell a repetition from what a camera saw and had no time to sign."""
        if self._repeats is not None:
            self.verdicts[-1] = self._repeats

    @property
    def sessions(self) -> tuple[Session, ...]:
        """The signing sessions, in order."""
        return tuple(
            Session(run.first_gop, run.last_gop, run.first.general.counter, run.last.general.counter, run.first.signer.certificate)
            for run in self._runs
        )

    def place_of(self, counter: int) -> int | None:
        """How many entries behind the last one taken the GOP with ``counter`` should stand (0: next), by counting."""
        if not self._runs:
            return None
        run = self._runs[-1]
        return counter - run.last.general.counter - 1 - run.unsigned_since

    def begin_behind(self, claim: Claim) -> None:
        """A signed GOP stood in front of the first one received: the first must follow it."""
        self._before = claim

    def take(self, gop: ReceivedGop) -> None:
        """The next GOP, complete; or one that is missing, at its place."""
        claim = gop.claim
        if gop.is_missing and claim is not None:
            self._missing(claim, gop)
            return
        verdict = gop.verdict(self.gops)
        content = gop.content()
        self._repeats = None
        if claim is not None:
            verdict = self._judge_order(claim, gop, verdict)
        else:
            verdict = self._unsigned(gop, verdict, content)
        if content:
            self._contents.setdefault(content, self.gops)
        self.verdicts.append(verdict)
        self.gops += 1

    def _missing(self, claim: Claim, gop: ReceivedGop) -> None:
        run, general = self._runs[-1] if self._runs else None, claim.general
        if run is not None and general.counter <= run.last.general.counter and not self._is_of(run, claim, gop):
            self.broken.append(general.counter)
            self.breaks.append(f"an SEI before picture {gop.first_picture} (counter {general.counter}) belongs to another stream")
            return
        self.verdicts.append(GopVerdict(-1, gop.first_picture, 0, GopStatus.MISSING, general.counter))
        if run is None:
            self._before = claim
        else:
            self._follow(run, claim, gop, self.gops - 1)

    def _unsigned(self, gop: ReceivedGop, verdict: GopVerdict, content: bytes) -> GopVerdict:
        if content in self._contents and verdict.status is GopStatus.UNSIGNED:
            reason = f"it repeats GOP {self._contents[content]}"
            self._repeats = replace(verdict, reason=reason)
            verdict = replace(verdict, status=GopStatus.REPLAYED, reason=reason)
        if self._runs and verdict.status is not GopStatus.REPLAYED:
            run = self._runs[-1]
            run.unsigned_since, run.unsigned_first = run.unsigned_since + 1, gop.first
        return verdict

    def _judge_order(self, claim: Claim, gop: ReceivedGop, verdict: GopVerdict) -> GopVerdict:
        if not self._runs:
            return self._first(claim, gop, verdict)
        run, general = self._runs[-1], claim.general
        if verdict.status is GopStatus.ALTERED and claim.hash_list is None and _says_the_same(claim, run.last):
            reason = "its SEI repeats the hash of the GOP before it, as ONVIF's signer library does at the end of a stream"
            verdict = replace(verdict, status=GopStatus.CANNOT_TELL, reason=reason)
        if claim.signer.certificate != run.first.signer.certificate:
            self._begin(claim, gop, f"GOP {self.gops} is by another signer, {claim.signer.name!r}: streams were joined")
        elif general.counter == 1 and general.linked_hash == NO_LINK and run.last.general.counter >= 1:
            self._begin(claim, gop, f"GOP {self.gops} begins another signing session: streams were joined")
        elif general.counter > run.last.general.counter:
            self._follow(run, claim, gop, self.gops)
        elif self._is_of(run, claim, gop):
            self._break(claim, f": it stands behind the GOP with counter {run.last.general.counter}")
            if verdict.status is GopStatus.VALID:
                verdict = replace(verdict, status=GopStatus.REORDERED, reason="it stands behind a later GOP")
        else:
            self._begin(claim, gop, f"GOP {self.gops} with counter {general.counter} belongs to another clip: streams were joined")
        if verdict.status is GopStatus.VALID and claim.signer.certificate != self._runs[0].first.signer.certificate:
            return replace(verdict, status=GopStatus.OTHER_SIGNER, reason=claim.signer.name)
        return verdict

    def _first(self, claim: Claim, gop: ReceivedGop, verdict: GopVerdict) -> GopVerdict:
        general = claim.general
        self.true_beginning = self.gops == 0 and general.counter == 1 and general.linked_hash == NO_LINK
        before = self._before
        if before is not None:
            is_next = general.counter == before.general.counter + 1 and before.first in (b"", general.linked_hash)
            if not is_next and self.gops == 0:
                self._break(claim, "")
        self._runs.append(_new_run(claim, gop, self.gops))
        return verdict

    def _begin(self, claim: Claim, gop: ReceivedGop, sentence: str) -> None:
        self.breaks.append(sentence)
        self.broken.append(claim.general.counter)
        self._runs.append(_new_run(claim, gop, self.gops))

    def _is_of(self, run: _Run, claim: Claim, gop: ReceivedGop) -> bool:
        """Whether a GOP with a counter that does not increase comes from the session that is being read."""
        counter, first = claim.general.counter, gop.first_signed
        if counter in run.counters:
            return run.counters[counter][0] == first
        before, after = run.counters.get(counter - 1), run.counters.get(counter + 1)
        follows = before is not None and before[0] in (b"", claim.general.linked_hash)
        return follows or (after is not None and after[1] == first)

    def _follow(self, run: _Run, claim: Claim, gop: ReceivedGop, place: int) -> None:
        """Compare counter and link with those of the GOP before, signed or not."""
        general = claim.general
        skipped = general.counter - run.last.general.counter - 1
        first = run.unsigned_first if run.unsigned_since else run.last_first
        if skipped > run.unsigned_since:
            lost = skipped - run.unsigned_since
            self._break(claim, f": {lost} signed GOP{'s are' if lost > 1 else ' is'} missing, or clips were joined")
        elif skipped < run.unsigned_since or first not in (b"", general.linked_hash):
            self._break(claim, "")
        run.last, run.last_first, run.last_gop = claim, gop.first_signed, place
        run.counters[general.counter] = (run.last_first, general.linked_hash)
        run.unsigned_since, run.unsigned_first = 0, b""

    def _break(self, claim: Claim, why: str) -> None:
        self.broken.append(claim.general.counter)
        self.breaks.append(f"GOP with counter {claim.general.counter} is not linked to the GOP before it{why}")


def _says_the_same(claim: Claim, before: Claim) -> bool:
    one, other = claim.general, before.general
    return (one.gop_hash, one.hashed_nals, one.counter) == (other.gop_hash, other.hashed_nals, other.counter + 1)


def _new_run(claim: Claim, gop: ReceivedGop, number: int) -> _Run:
    first = gop.first_signed
    return _Run(number, number, claim, claim, first, {claim.general.counter: (first, claim.general.linked_hash)})
