"""The camera's side of a dock session: offer, extend the ledger, upload, commit, verify the receipt, spool it.

Responsible for getting every closed recording across a link that may be cut at any byte, and for believing nothing but a receipt
that it verified itself. Refuses to delete, to sign and to listen: the recorder alone owns vault, ledger and device key.

Invariants: a transfer resumes where the dock's synced bytes end (BWC-POL-41); a recording counts as delivered when its receipt was
verified and spooled, never because of an answer to an upload (BWC-POL-23, -42); a refusal is final for this session, so nothing
loops forever (BWC-POL-44). One thread, blocking; run it in a process of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NoReturn, TypeVar

from firmware import __version__
from firmware.custody.receipt import Receipt, check_receipt
from firmware.dock import upload
from firmware.dock.fields import MANIFEST
from firmware.dock.holdings import Holding, LedgerView, read_holdings, spool_note, spool_order, spool_policy, spool_receipt
from firmware.dock.link import Link, LinkCut, LinkIdentity, Reply, Trust, UnreadableFile, load_trust
from firmware.dock.protocol import (
    DeviceReport,
    FileOffer,
    LedgerAnswer,
    LedgerMark,
    OfferAnswer,
    OfferState,
    ProblemBody,
    Refusal,
    SessionAnswer,
    SessionClose,
    SignedOrder,
    SignedPolicy,
    SignedReceipt,
)
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.timebase import Timestamp
from firmware.timebase import Trust as ClockTrust

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
FILES_PER_SESSION = 50_000

T = TypeVar("T")


class Stage(Enum):
    """What a session is doing."""

    CONNECTING = "connecting"
    LEDGER = "ledger"
    UPLOADING = "uploading"
    COMMITTING = "committing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """Where the session stands. Bytes are those of all recordings that the dock wants."""

    stage: Stage
    recording: str = ""
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    bytes_resumed: int = 0
    cuts: int = 0


class Outcome(Enum):
    """What became of one recording."""

    RECEIPTED = "receipted"
    """A verified receipt lies in the spool."""
    REFUSED = "refused"
    """The dock quarantined it, or its receipt does not fit; the recording stays on the camera."""
    DEFERRED = "deferred"
    """Not now: the dock has not seen all of it yet, or the session was stopped."""


@dataclass(frozen=True, slots=True)
class RecordingResult:
    recording: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a session did. ``bytes_resumed`` were at the dock already when a transfer was taken up again."""

    site: str
    recordings: tuple[RecordingResult, ...]
    bytes_sent: int
    bytes_resumed: int
    cuts: int
    ledger_size: int
    missing: tuple[str, ...]
    """Recordings that the ledger names and the dock never got."""
    alarms: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether every recording that was offered has its receipt."""
        return all(result.outcome is Outcome.RECEIPTED for result in self.recordings)


def sync(
    state_dir: Path,
    identity: LinkIdentity,
    address: tuple[str, int],
    *,
    now: Timestamp,
    progress: Callable[[SyncProgress], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    stopped: Callable[[], bool] = lambda: False,
    attempts: int = 8,
    timeout_s: float = 30.0,
    firmware: str = __version__,
    boot: int = 0,
) -> SyncReport:
    """Offload everything that is closed and not receipted.

    ``now`` judges the dock's validity dates, unless its trust is UNSET: a camera that does not know the date still hands over.
    ``attempts``: how often in a row the link may fail without a byte of progress. ``stopped`` is asked between buffers.
    Raises RefusedError (no dock of this agency, or it refuses this camera or its ledger) and UnavailableError (nobody answers,
    identity files missing, no room at the dock), FormatError when the dock answers nonsense.
    """
    trust = load_trust(identity)
    at_ns = None if now.trust is ClockTrust.UNSET else now.wall_ns
    link = Link(identity, trust, address, at_ns, timeout_s)
    session = _Session(state_dir, trust, link, _Persistence(link.name, sleep, attempts), progress, stopped)
    try:
        return session.run(firmware, boot)
    finally:
        link.close()


class _Persistence:
    """Tries again after a cut, ever more slowly, as long as something moves."""

    def __init__(self, name: str, sleep: Callable[[float], None], attempts: int) -> None:
        self._name = name
        self._sleep = sleep
        self._attempts = attempts
        self._failures = 0
        self.cuts = 0

    def moved(self) -> None:
        self._failures = 0

    def failed(self, error: LinkCut, *, cut: bool = True) -> None:
        """Wait, or raise UnavailableError when it was once too often. ``cut``: the link broke, and not just the attempt."""
        self.cuts += cut
        self._failures += 1
        if self._failures >= self._attempts:
            message = f"the dock at {self._name} does not answer: {error}"
            raise UnavailableError(message, remedy="check the cable and that the dock station runs") from None
        self._sleep(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (self._failures - 1)))

    def call(self, action: Callable[[], T]) -> T:
        """``action`` until the link holds for it; the dock answers a repeated request as it did the first."""
        while True:
            try:
                return action()
            except LinkCut as error:
                self.failed(error)


@dataclass(slots=True)
class _Counters:
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    sent: int = 0
    resumed: int = 0


@dataclass(slots=True)
class _Session:
    state_dir: Path
    trust: Trust
    link: Link
    persistence: _Persistence
    progress: Callable[[SyncProgress], None] | None
    stopped: Callable[[], bool]
    counters: _Counters = field(default_factory=_Counters)

    def run(self, firmware: str, boot: int) -> SyncReport:
        holdings = read_holdings(self.state_dir)
        ledger = LedgerView.read(self.state_dir)
        results: list[RecordingResult] = []
        site, ledger_size = "", 0
        for group in _groups(holdings):
            report = DeviceReport(self.trust.serial, firmware, boot, ledger.size, tuple(holding.offer for holding in group))
            self._tell(Stage.CONNECTING)
            answer = SessionAnswer.from_bytes(self._ask("POST", "/v1/session", report.to_bytes()))
            site = answer.site
            ledger_size = self._extend_ledger(ledger, answer.mark)
            self._collect()
            results += self._deliver(group, answer)
        close = SessionClose.from_bytes(self._ask("PUT", "/v1/session/end"))
        self._tell(Stage.DONE)
        counters, cuts = self.counters, self.persistence.cuts
        return SyncReport(site, tuple(results), counters.sent, counters.resumed, cuts, ledger_size, close.missing, close.alarms)

    # --- the ledger

    def _extend_ledger(self, ledger: LedgerView, mark: LedgerMark) -> int:
        """Bring the dock up to date before any recording: it asks for the leaves behind each file (evidence format, §4)."""
        self._tell(Stage.LEDGER)
        while not ledger.is_known_to(mark):
            answer = LedgerAnswer.from_bytes(self._ask("POST", "/v1/ledger", ledger.extension(mark, self.trust.device_chain).to_bytes()))
            if answer.mark.size <= mark.size or answer.mark.size > ledger.size:
                raise RefusedError(f"the dock at {self.link.name} does not follow the ledger: {answer.mark.size} leaves after {mark.size}")
            mark = answer.mark
            spool_note(self.state_dir, answer.note)
        return mark.size

    # --- what the agency has for this camera

    def _collect(self) -> None:
        """Policy and order, before the recordings: the spool then holds them when the recorder looks for receipts. A dock that has none,
        or does not know them, or talks nonsense, still gets the recordings; the recorder is the one to believe them or not."""
        self._spool_what_comes("/v1/policy", lambda body: spool_policy(self.state_dir, SignedPolicy.from_bytes(body)))
        self._spool_what_comes("/v1/order", lambda body: spool_order(self.state_dir, SignedOrder.from_bytes(body)))

    def _spool_what_comes(self, path: str, keep: Callable[[bytes], None]) -> None:
        reply = self._exchange("GET", path)
        if reply.status == 200:
            with suppress(FormatError):
                keep(reply.body)

    # --- recordings

    def _deliver(self, group: Sequence[Holding], session: SessionAnswer) -> Iterator[RecordingResult]:
        answers = {answer.recording: answer for answer in session.answers}
        wanted = [answer for answer in session.answers if answer.state is OfferState.WANTED]
        sizes = {file.sha256: file.size_bytes for holding in group for file in holding.offer.files}
        self.counters.files_total += sum(len(answer.files) for answer in wanted)
        self.counters.bytes_total += sum(sizes.get(file.sha256, 0) for answer in wanted for file in answer.files)
        for holding in group:
            answer = answers.get(holding.offer.recording)
            if answer is None:
                yield RecordingResult(holding.offer.recording, Outcome.DEFERRED, "the dock did not answer the offer")
            elif answer.state is OfferState.REFUSED:
                yield RecordingResult(holding.offer.recording, Outcome.REFUSED, answer.reason)
            else:
                yield self._hand_over(holding, answer)

    def _hand_over(self, holding: Holding, answer: OfferAnswer) -> RecordingResult:
        recording = holding.offer.recording
        if answer.state is OfferState.WANTED:
            offsets = {file.sha256: file.offset for file in answer.files}
            for file in holding.offer.files:
                if self.stopped():
                    return RecordingResult(recording, Outcome.DEFERRED, "stopped")
                if file.sha256 in offsets:
                    try:
                        self._upload(holding, file, offsets[file.sha256])
                    except UnreadableFile as error:
                        return RecordingResult(recording, Outcome.DEFERRED, f"{file.name} cannot be read: {error}")
        self._tell(Stage.COMMITTING, recording)
        path = ("GET", f"/v1/receipts/{recording}") if answer.state is OfferState.STORED else ("POST", f"/v1/recordings/{recording}/commit")
        reply = self._exchange(*path)
        if reply.status != 200:
            problem = _problem_of(reply)
            outcome = Outcome.REFUSED if problem.kind is Refusal.RECORDING else Outcome.DEFERRED
            return RecordingResult(recording, outcome, problem.detail)
        return self._accept_receipt(holding, SignedReceipt.from_bytes(reply.body))

    def _accept_receipt(self, holding: Holding, signed: SignedReceipt) -> RecordingResult:
        """Believe a receipt only if a store of the agency signed it and it names exactly what lies here."""
        offer = holding.offer
        hashes = {file.name: (file.sha256, file.size_bytes) for file in offer.files}
        try:
            receipt = Receipt.from_bytes(signed.receipt)
            if receipt.recording != offer.recording or receipt.device != self.trust.serial:
                raise RefusedError(f"a receipt for {receipt.recording!r} of {receipt.device!r}")
            check_receipt(receipt, signed.signature, self.trust.roots, holding.path(MANIFEST).read_bytes(), hashes)
        except (FormatError, IntegrityError, RefusedError, UnavailableError) as error:
            return RecordingResult(offer.recording, Outcome.REFUSED, f"the receipt does not fit: {error}")
        spool_receipt(self.state_dir, offer.recording, signed)
        return RecordingResult(offer.recording, Outcome.RECEIPTED)

    # --- one upload

    def _upload(self, holding: Holding, file: FileOffer, offset: int) -> None:
        """Send one file from ``offset`` until the dock has it, or until it wants it no more."""
        before, furthest = self.counters.bytes_done, offset
        while offset < file.size_bytes and not self.stopped():
            self.counters.resumed += offset
            self.counters.bytes_done = before + offset
            offset = self._send(holding, file, offset)
            if offset > furthest:  # an attempt that got no further than one before it does not count as progress
                furthest = offset
                self.persistence.moved()
        self.counters.bytes_done = before + offset
        self.counters.files_done += offset == file.size_bytes

    def _send(self, holding: Holding, file: FileOffer, offset: int) -> int:
        """One attempt; returns where to go on, the file's size when there is nothing more to send."""
        path = f"/v1/uploads/{file.sha256}"
        try:
            reply = self._append(holding, file, path, offset)
            if reply.status == 200:
                return file.size_bytes
            problem = _problem_of(reply)
            if problem.kind is Refusal.FILE:
                return file.size_bytes  # the dock keeps what it got; the commit will say what that means
            if problem.kind not in (Refusal.DIGEST, Refusal.OFFSET):
                self._give_up(problem)
            self.persistence.failed(LinkCut(problem.detail), cut=False)
        except LinkCut as error:
            if self.stopped():
                return offset
            self.persistence.failed(error)
        return min(self._standing(path), file.size_bytes)

    def _standing(self, path: str) -> int:
        """Where the dock's durable bytes end."""
        reply = self._exchange("HEAD", path)
        if reply.status not in (200, 204):
            self._give_up(_problem_of(reply))
        return upload.parse_state(reply.fields).offset

    def _append(self, holding: Holding, file: FileOffer, path: str, offset: int) -> Reply:
        size = file.size_bytes - offset
        append = upload.Append(offset, size, file.size_bytes, completes=True)
        try:
            source = holding.path(file.name).open("rb", buffering=0)
        except OSError as error:
            raise UnreadableFile(str(error.strerror)) from None
        with source:
            source.seek(offset)
            return self.link.append(path, upload.append_fields(append, file.sha256), source, size, lambda count: self._sent(holding, count))

    def _sent(self, holding: Holding, count: int) -> None:
        self.counters.sent += count
        self.counters.bytes_done += count
        self._tell(Stage.UPLOADING, holding.offer.recording)
        if self.stopped():
            raise LinkCut("stopped")

    # --- exchanges

    def _exchange(self, method: str, path: str, body: bytes = b"") -> Reply:
        return self.persistence.call(lambda: self._patient_request(method, path, body))

    def _patient_request(self, method: str, path: str, body: bytes) -> Reply:
        reply = self.link.request(method, path, body)
        if reply.status == 503:
            raise LinkCut(f"{self.link.name}: busy")
        return reply

    def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A request that the session cannot do without."""
        reply = self._exchange(method, path, body)
        if reply.status != 200:
            self._give_up(_problem_of(reply))
        self.persistence.moved()
        return reply.body

    def _give_up(self, problem: ProblemBody) -> NoReturn:
        message = f"the dock at {self.link.name} refuses: {problem.detail}"
        if problem.status == 503:
            raise LinkCut(message)
        if problem.status in (500, 507):
            raise UnavailableError(message, remedy="make room in the dock's store, or dock elsewhere")
        remedy = "keep the camera and call whoever looks after evidence" if problem.kind is Refusal.LEDGER else ""
        raise RefusedError(message, remedy=remedy)

    def _tell(self, stage: Stage, recording: str = "") -> None:
        if self.progress is not None:
            c = self.counters
            numbers = (c.files_done, c.files_total, c.bytes_done, c.bytes_total, c.resumed, self.persistence.cuts)
            self.progress(SyncProgress(stage, recording, *numbers))


def _problem_of(reply: Reply) -> ProblemBody:
    try:
        return ProblemBody.from_bytes(reply.body)
    except FormatError:
        return ProblemBody(reply.status, Refusal.OTHER, f"status {reply.status}")


def _groups(holdings: Sequence[Holding]) -> Iterator[tuple[Holding, ...]]:
    """Holdings in order, so many at a time that a report stays within its bounds; one empty group when there are none."""
    group: list[Holding] = []
    files = 0
    for holding in holdings:
        if group and files + len(holding.offer.files) > FILES_PER_SESSION:
            yield tuple(group)
            group, files = [], 0
        group.append(holding)
        files += len(holding.offer.files)
    yield tuple(group)
