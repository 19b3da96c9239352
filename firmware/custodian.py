"""The one thread that writes evidence: a queue of operations in front of vault, ledger and the open recording.

Responsible for order (operations run as submitted), for group commit (GOPs that wait together become durable together), for
bounds (house law 4) and for patience: what a failing volume refuses waits in memory and is tried again.
Refuses to decide anything: the loop does, and hears what became of it through ``report``.

Threads: the ``submit_*`` methods and :meth:`kick` are called by the loop; :meth:`drain` runs on the worker. The deque between
them is the only state that they share.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from firmware import operations as op
from firmware.annotating import annotation_drafts
from firmware.custody.snapshot import Receipted
from firmware.docktime import Published
from firmware.errors import OathcamError
from firmware.evidence.cms import Sealer
from firmware.handover import Handover, Progress
from firmware.identity import RecordingContext
from firmware.media.gop import Gop
from firmware.metrics import Peak
from firmware.opened import Evidence
from firmware.recorder import BeginOrder, Promise, Recorder
from firmware.reports import (
    CheckpointPublished,
    DeviceTrouble,
    Lost,
    ReceiptAccepted,
    RecordingClosed,
    StorageTrouble,
    StorageWorks,
)
from firmware.shellclock import read_clock
from firmware.storage.ledger_file import Draft, Place
from firmware.storage.unreadable import Unreadable
from firmware.timebase import Timestamp
from firmware.untold import untold
from hal.errors import HalError, VolumeFull
from hal.interfaces import Clock, Volume, Worker

GROUP_GOPS = 4


class Custodian:
    """Owner of vault, ledger and the open recording."""

    def __init__(
        self,
        context: RecordingContext,
        open_evidence: Callable[[Callable[[], object]], Evidence],
        clock: Clock,
        worker: Worker,
        volume: Volume,
        limit_bytes: int,
        reserve_bytes: int,
        report: Callable[[object], object],
    ) -> None:
        """``open_evidence`` runs on the worker, before anything else; it calls its argument as it gets on, and may be called again after
        an error of the volume."""
        self._context = context
        self._open_evidence = open_evidence
        self._clock = clock
        self._worker = worker
        self._volume = volume
        self._limit = limit_bytes
        self._reserve = reserve_bytes
        self._report = report
        self._pending: deque[object] = deque([op.Open()])
        self._submitted_bytes = self._settled_bytes = 0
        """Each has one writer, the loop and the worker: a sum that both changed would lose a change now and then."""
        self.queue, self.waiting = Peak(), Peak()
        """Operations that wait, and bytes of GOPs that wait, as of the newest that was submitted."""
        self._sealer = Sealer(context.recipients, context.random_bytes)
        self._recorder: Recorder | None = None
        self._newest = ""
        self._troubled = False
        self._running = False
        self._stays_muted = False
        self._tried = 0
        self._aside_told = False
        self._opened: Evidence | None = None
        self._handover: Handover | None = None
        self._is_reading = self._is_closing = False
        """A recording is read for its receipt, in pieces; the run ends."""
        self._unreadable = Unreadable()
        """Operations, by their names."""
        self._before_recording: tuple[Place, str, bool, tuple[Receipted, ...]] | None = None
        self._on_hold = False
        """As the leaves say that are durable."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes of GOPs that are submitted and not yet durable or dropped."""
        return self._submitted_bytes - self._settled_bytes

    @property
    def limit_bytes(self) -> int:
        """How many may wait."""
        return self._limit

    @property
    def operations_waiting(self) -> int:
        return len(self._pending)

    @property
    def ledger_size(self) -> int | None:
        """Leaves that are durable; ``None`` until the ledger is open."""
        return None if self._opened is None else self._opened.ledger.size

    @property
    def unreceipted(self) -> int | None:
        """Closed recordings on the card that no store has receipted yet; ``None`` until the vault is open."""
        return None if self._handover is None else len(self._handover.unreceipted)

    @property
    def is_busy(self) -> bool:
        """Something waits, or is being carried out."""
        return bool(self._pending) or self._running

    @property
    def is_troubled(self) -> bool:
        """The volume refused the newest operation, which waits to be tried again."""
        return self._troubled

    @property
    def operations_tried(self) -> int:
        """Grows whenever the worker has finished with an operation, well or not: its heartbeat."""
        return self._tried

    def submit_entry(self, kind: str, at: Timestamp, fields: Mapping[str, Any], then: object | None = None) -> None:
        """``then`` is reported when the leaf is durable."""
        self._submit(op.WriteEntry(Draft(kind, at, fields), then))

    def submit_errand(self, run: Callable[[], object | None]) -> None:
        """What ``run`` returns on the worker is reported, unless it is ``None``."""
        self._submit(op.Errand(run))

    def submit_begin(self, order: BeginOrder) -> None:
        self._submit(order)

    def submit_gop(self, gop: Gop) -> bool:
        """``False`` when more waits than may wait: the caller drops the whole GOP and says so (house law 4)."""
        if self.waiting_bytes + gop.size_bytes > self._limit:
            return False
        self._submitted_bytes += gop.size_bytes
        self.waiting.set(self.waiting_bytes)
        self._submit(gop)
        return True

    def submit_mark(self, at: Timestamp) -> None:
        self._submit(op.MarkAt(at))

    def submit_drop(self, first: Timestamp, duration_us: int, pictures: int, cause: str) -> None:
        self._submit(op.Drop(first, duration_us, pictures, cause))

    def submit_end(self, final: Gop | None, at: Timestamp, cause: str, notes: dict[str, Any]) -> None:
        self._submit(op.End(final, at, cause, notes))

    def submit_mute(self, at: Timestamp, muted: bool, cause: str = "button") -> None:
        self._submit(op.MuteAt(at, muted, cause))

    def submit_annotation(self, about: str, code: str, at: Timestamp, critical: bool, hold: bool = False) -> None:
        """Seal and write an answer about the recording that is open, or ended last, when its turn comes; ``critical`` flags it as well,
        ``hold`` says that with it begins a hold."""
        self._submit(op.Annotate(about, code, at, critical, hold))

    def submit_release(self, recording: str, at: Timestamp, if_critical: bool = True) -> None:
        """Remove a receipted recording; refused, with a fault leaf, when this run or boot saw no receipt leaf (W3). One that is critical is
        :class:`Kept` unless ``if_critical`` (BWC-POL-21)."""
        self._submit(op.Release(recording, at, if_critical))

    def submit_receipts(self) -> None:
        """Look into the spool for receipts that the dock-sync process left. Not while the card refuses: this is asked for each second."""
        if not self._troubled:
            self._submit(op.TakeReceipts())

    def submit_deliveries(self, returned: bool = False) -> None:
        """Look into the spool for a policy and an order, likewise; ``returned``: the order in force is over (``deliveries.py``)."""
        if returned or not self._troubled:
            self._submit(op.TakeDeliveries(returned))

    def submit_reread(self) -> None:
        """Read one more file of the vault again, to see whether it is still what was written."""
        self._submit(op.Reread())

    def submit_checkpoint(self) -> None:
        """Publish the newest checkpoint as a signed note, for the dock."""
        self._submit(op.Checkpoint(announced=True))

    def kick(self) -> None:
        """Let the worker drain the queue; a refusal means that it is about to anyway."""
        self._worker.submit(self.drain)

    def close(self) -> None:
        """Write what waits and end the thread."""
        self._is_closing = True
        self.kick()
        self._worker.close()
        self.drain()
        if self._opened is not None:
            self._opened.ledger.close()

    @property
    def _evidence(self) -> Evidence:
        assert self._opened is not None, "the first operation opens it"
        return self._opened

    def _beat(self) -> None:
        self._tried += 1

    def _submit(self, operation: object) -> None:
        self._pending.append(operation)
        self.queue.set(len(self._pending))

    def drain(self) -> None:
        """Carry out what waits, in order. What the volume refuses stays at the head of the queue and is tried again at the
        next :meth:`kick`; only GOPs are ever dropped, when there is no room for them, and then by a ``drop`` entry."""
        self._running = True
        self._drain()
        self._sealer.prepare()
        self._running = False

    def _drain(self) -> None:
        while self._pending:
            operation = self._pending.popleft()
            if type(operation) in op.CAN_WAIT and self._unreadable.is_given_up(_name(operation)):
                continue
            group = self._group(operation) if isinstance(operation, Gop) else []
            self._tried += 1
            try:
                if self._opened is not None:  # a refused leaf may lie on the card, and what it names is about to be written anew (W1)
                    self._opened.ledger.mend()
                self._carry_out(group or operation)
            except VolumeFull as error:
                self._report(StorageTrouble(str(error), full=True))
                if not group:
                    self._pending.appendleft(operation)
                    return
                self._release_bytes(group)
                self._drop(group, "storage-full")
            except HalError as error:
                if not group and self._gives_up(operation, error):
                    continue
                self._pending.extendleft(reversed(group or [operation]))
                self._troubled = True
                self._report(StorageTrouble(str(error), full=False))
                return
            except OathcamError as error:
                self._cannot_keep(operation, group, error)
            else:
                self._worked(group)

    def _gives_up(self, operation: object, error: HalError) -> bool:
        """What a card that takes leaves refuses again and again is that operation's own trouble, a bad sector mostly, and holds up nothing
        else: it is told, and left for the next run. What evidence is made of is tried for ever."""
        if type(operation) not in op.CAN_WAIT or self._opened is None:
            return False
        name = _name(operation)
        if not self._unreadable.is_last(name):
            return False
        try:
            fields = {"port": "storage", "reason": f"{name} was given up: {error}"[:200]}
            self._opened.ledger.append([Draft("fault", read_clock(self._clock), fields)])
        except HalError:
            return False
        self._unreadable.give_up(name)
        self._is_reading = False
        self._worked([])
        return True

    def _cannot_keep(self, operation: object, group: list[object], error: OathcamError) -> None:
        """Pictures that make no film are dropped by name, the last ones of a recording too, which ends without them. Anything else is a
        defect: it is told, and the thread that all evidence needs goes on."""
        gops = group
        if isinstance(operation, op.End) and operation.final is not None and self._recorder is not None and self._recorder.is_open:
            gops = [operation.final]
            self._pending.appendleft(replace(operation, final=None))
        if not gops:
            self._report(DeviceTrouble("vault", f"{_name(operation)} cannot be carried out: {error}"[:200]))
            return
        self._release_bytes(group)
        self._drop(gops, "camera-format")
        self._report(DeviceTrouble("camera", f"its pictures cannot be kept: {error}"))

    def _group(self, first: Gop) -> list[object]:
        """GOPs that wait side by side become durable together, a few at a time: all of a buffer's at once would have every
        one of them in memory three times over, as pictures, as a fragment and sealed."""
        gops: list[object] = [first]
        while len(gops) < GROUP_GOPS and self._pending and isinstance(self._pending[0], Gop):
            gops.append(self._pending.popleft())
        return gops

    def _worked(self, group: list[object]) -> None:
        self._release_bytes(group)
        if self._troubled:
            self._troubled = False
            self._report(StorageWorks())

    def _drop(self, group: list[object], cause: str) -> None:
        """Whole GOPs are lost; the entry that says so takes their place in the queue (house law 4)."""
        gops = [gop for gop in group if isinstance(gop, Gop)]
        end = gops[-1].end or gops[-1].units[-1].time
        pictures = sum(len(gop.units) for gop in gops)
        self._report(Lost(cause, len(gops), pictures))
        self._pending.appendleft(op.Drop(gops[0].start, end.since(gops[0].start) // 1000, pictures, cause))

    def _release_bytes(self, group: list[object]) -> None:
        settled_bytes = sum(gop.size_bytes for gop in group if isinstance(gop, Gop))
        self._settled_bytes += settled_bytes

    def _carry_out(self, operation: object) -> None:
        match operation:
            case list():
                if self._recorder is not None:
                    self._recorder.commit(operation, read_clock(self._clock))
                    self._watch_space()
            case op.Open():
                self._open()
            case op.WriteEntry(draft, then):
                self._evidence.ledger.append([draft])
                self._on_hold = bool(draft.fields["entered"]) if draft.kind == "hold" else self._on_hold
                self._report_found(then)
            case op.Errand(run):
                self._report_found(run())
            case BeginOrder():
                self._begin(operation)
            case op.Papers():
                if self._recorder is not None:
                    self._recorder.write_papers()
            case op.End(final, at, cause, notes):
                self._end(final, at, cause, notes)
            case op.MarkAt() | op.Drop() | op.MuteAt():
                self._tell(operation)
            case op.Annotate(about, code, at, critical, hold):
                if self._newest:
                    drafts = annotation_drafts(self._context, self._newest, about, code, at, critical, hold)
                    (self._recorder or self._evidence.ledger).append(drafts)
                    self._on_hold = self._on_hold or hold
                    if critical and self._handover is not None:
                        self._handover.flagged()
            case op.Release():
                self._release(operation)
            case op.TakeReceipts(again):
                self._take_receipts(again)
            case op.TakeDeliveries(returned):
                act = self._evidence.deliveries.camera_returned if returned else self._evidence.deliveries.take
                act(self._evidence.ledger, read_clock(self._clock), self._report)
            case op.Checkpoint(announced):
                self._evidence.ledger.publish_checkpoint(self._context.public_key)
                if announced:
                    self._report(Published(self._evidence.ledger.size, self._evidence.ledger.newest_us))
                    self._report(CheckpointPublished())
            case op.Snapshot():
                self._keep_snapshot()
            case op.Reread() if self._recorder is None:  # one that waits for its last pictures is not yet what a manifest names
                self._tell_of_aside()
                for damage in self._evidence.rereading.step(self._evidence.vault):
                    self._report(DeviceTrouble("vault", damage))

    def _open(self) -> None:
        """Vault and ledger, recovered; what was receipted before this run is to be released when its time has come."""
        opened = self._open_evidence(self._beat)
        self._handover = Handover(opened, self._clock, self._report)
        self._opened = opened
        self._on_hold = opened.on_hold
        for recording in self._opened.warrants:
            self._report(ReceiptAccepted(recording, self._opened.receipted[recording]))

    def _begin(self, order: BeginOrder) -> None:
        opened = self._evidence
        receipted = tuple(Receipted.of(one, warrant.receipt_leaf, opened.receipted[one]) for one, warrant in opened.warrants.items())
        place = opened.ledger.place
        recorder = Recorder(self._context, opened.vault, opened.ledger, order, self._sealer.seal, self._promised)
        recorder.begin()
        self._recorder = recorder
        self._newest = order.recording
        self._before_recording = None if place is None else (place, order.recording, self._on_hold, receipted)
        if self._stays_muted:
            self._stays_muted = False
            self._pending.appendleft(op.MuteAt(order.at, True))
        self._pending.appendleft(op.Papers())

    def _keep_snapshot(self) -> None:
        """The next boot reads the ledger from the beginning of the recording that just ended, not from the camera's first day."""
        if self._before_recording is not None and self._evidence.may_snapshot:
            self._evidence.ledger.keep_snapshot(*self._before_recording)
        self._before_recording = None

    def _promised(self, promise: Promise) -> None:
        self._report(replace(promise, lag_ns=read_clock(self._clock).since(promise.since)))

    def _tell_of_aside(self) -> None:
        """Once a run: leaves for what was set aside, when power or the card failed before they were written (W2)."""
        if self._aside_told:
            return
        try:
            drafts = untold(self._evidence.vault, self._evidence.ledger, read_clock(self._clock), self._beat)
        except HalError as error:
            self._aside_told = self._unreadable.failed("aside")
            if self._aside_told:
                self._report(DeviceTrouble("vault", f"what lies aside cannot be looked up in the ledger: {error}"[:200]))
            return
        if drafts:
            self._evidence.ledger.append(drafts)
        self._aside_told = True

    def _report_found(self, item: object | None) -> None:
        if item is not None:
            self._report(item)

    def _tell(self, operation: op.MarkAt | op.Drop | op.MuteAt) -> None:
        """What is said of the open recording; nothing when there is none (it ended a moment ago)."""
        if self._recorder is None:
            return
        match operation:
            case op.MarkAt(at):
                self._recorder.mark(at)
            case op.Drop(first, duration_us, pictures, cause):
                self._recorder.drop(first, duration_us, pictures, cause)
            case op.MuteAt(at, muted, cause):
                self._recorder.mute(at, muted, cause)

    def _end(self, final: Gop | None, at: Timestamp, cause: str, notes: dict[str, Any]) -> None:
        if self._recorder is None:
            return
        self._recorder.end(final, at, cause, notes)
        self._stays_muted = cause == "max-length" and self._recorder.is_muted
        if self._handover is not None:
            self._handover.unreceipted.add(self._recorder.recording)
        self._report(RecordingClosed(self._recorder.recording, self._recorder.fragments))
        self._recorder = None
        self._pending.extendleft((op.Snapshot(), op.Checkpoint(announced=False)))

    def _watch_space(self) -> None:
        """After a commit, which counts whatever the card says now: its error must not have the group written again."""
        try:
            free_bytes = self._volume.free_bytes()
        except HalError as error:
            self._report(StorageTrouble(str(error), full=False))
            return
        if free_bytes < self._reserve:
            self._report(StorageTrouble(f"less than {self._reserve} bytes free", full=True))

    def _take_receipts(self, again: bool) -> None:
        """In pieces, behind what waits: a press is not to wait for gigabytes."""
        if self._handover is None or self._is_closing or (self._is_reading and not again):
            return
        self._is_reading = self._handover.take_receipts()
        if self._is_reading:
            self._pending.append(op.TakeReceipts(again=True))

    def _release(self, asked: op.Release) -> None:
        assert self._handover is not None, "the first operation opens it"
        match self._handover.release(asked):
            case Progress.MORE if not self._is_closing:
                self._pending.append(asked)
            case Progress.DONE:
                self._pending.appendleft(op.Checkpoint(announced=False))


def _name(operation: object) -> str:
    """Of what can wait, in words."""
    return f"{op.CAN_WAIT.get(type(operation), type(operation).__name__)} {getattr(operation, 'recording', '')}".strip()
