"""From a store's receipt to a recording's release, on the custodian's worker.

Responsible for the order in which a recording may leave the camera: receipt checked against what lies here, kept, its leaf; then removed,
then that leaf (W3, BWC-POL-23, -42, -43). Works in short pieces, since a press waits behind each: whoever calls is told
whether to call again. Refuses to decide when: the loop does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from firmware import operations as op
from firmware.custody.receipt import LedgerPoint, Receipt
from firmware.docktime import StoreTime
from firmware.errors import OathcamError
from firmware.evidence.primitives import sha256
from firmware.opened import Evidence
from firmware.reports import DeviceTrouble, Kept, ReceiptAccepted, Released, SpoolChecked
from firmware.shellclock import read_clock
from firmware.storage.ledger_file import Draft
from firmware.storage.unreadable import Unreadable
from firmware.storage.vault import MANIFEST_SIGNATURE, ReleaseWarrant
from firmware.timebase import parse_utc
from hal.errors import HalError
from hal.interfaces import Clock


class Progress(Enum):
    """What became of a release."""

    NOTHING = "nothing"
    MORE = "more"
    """Some of its files are still there: call again."""
    DONE = "done"


class Handover:
    """Of one run. ``opened``: vault and ledger, recovered."""

    def __init__(self, opened: Evidence, clock: Clock, report: Callable[[object], object]) -> None:
        self._opened = opened
        self._clock = clock
        self._report = report
        self._critical: frozenset[str] | None = None
        self._unreadable = Unreadable()
        """By recording: its receipt, and its directory."""
        self._accepted: LedgerPoint | None = None
        self.unreceipted = set(opened.vault.recordings()) - opened.warrants.keys()
        """Closed recordings on the card that no store has receipted yet."""

    def flagged(self) -> None:
        """A recording became critical: what is known of them is to be read again."""
        self._critical = None

    def take_receipts(self) -> bool:
        """Verified receipt, made durable, then its leaf. A bad one is refused by name and kept aside. ``True``: a recording is being read,
        call again."""
        for recording in self._opened.receipts.waiting():
            if recording in self._opened.receipted:  # a power cut came between its leaf and the clearing of the spool
                self._opened.receipts.done(recording)
            elif not self._unreadable.is_given_up(recording) and self._take(recording):
                return True
        ledger, now = self._opened.ledger, read_clock(self._clock)
        closed = [one for one in self._opened.vault.recordings() if self._is_closed(one)]
        self.unreceipted = {one for one in closed if one not in self._opened.warrants}
        if self._accepted is not None and not self.unreceipted:
            ledger.append([Draft("offload", now, {"size": self._accepted.size, "root": self._accepted.root})])
            self._accepted = None
        self._report(SpoolChecked(len(self.unreceipted)))
        return False

    def _take(self, recording: str) -> bool:
        """``True`` while it is not read to its end."""
        opened, now = self._opened, read_clock(self._clock)
        try:
            found = opened.receipts.check(recording, opened.vault)
        except HalError as error:
            if self._unreadable.failed(recording):
                self._report(DeviceTrouble("vault", f"receipt of {recording} cannot be checked: {error}"[:200]))
            return False
        except OathcamError as error:
            fields = {"port": "dock", "reason": f"receipt {recording}.json refused: {error}"[:200]}
            opened.ledger.append([Draft("fault", now, fields)])
            opened.receipts.refuse(recording)
            return False
        if found is None:
            return True
        receipt, signature, store = found
        opened.ledger.keep_receipt(recording, receipt, signature)
        leaf = Draft("receipt", now, {"recording": recording, "receipt_sha256": sha256(receipt).hex(), "store": store})
        opened.warrants[recording] = ReleaseWarrant(recording, opened.ledger.append([leaf])[0])
        opened.receipted[recording] = now
        self.unreceipted.discard(recording)
        self._report(ReceiptAccepted(recording, now))
        signed = Receipt.from_bytes(receipt)
        self._accepted = max(self._accepted or signed.ledger, signed.ledger, key=lambda one: one.size)
        self._report(StoreTime(signed.ledger.size, parse_utc(signed.received_utc) // 1000, store, now))
        opened.receipts.done(recording)
        return False

    def _is_closed(self, recording: str) -> bool:
        """One whose directory cannot be read is not known to be handed over."""
        try:
            return MANIFEST_SIGNATURE in self._opened.vault.files(recording)
        except HalError as error:
            if self._unreadable.failed(f"files of {recording}"):
                self._report(DeviceTrouble("vault", f"{recording} cannot be listed: {error}"[:200]))
            return True

    def release(self, asked: op.Release) -> Progress:
        """Remove a receipted recording; refused without a receipt's leaf. One that is critical is :class:`Kept` unless it was asked for all
        the same (BWC-POL-21)."""
        opened, recording, at = self._opened, asked.recording, asked.at
        warrant = opened.warrants.get(recording)
        if warrant is None:
            opened.ledger.append([Draft("fault", at, {"port": "storage", "reason": f"release of {recording} without receipt refused"})])
            return Progress.NOTHING
        self._critical = opened.ledger.critical() if self._critical is None else self._critical
        if recording in self._critical and not asked.if_critical:
            self._report(Kept(recording))
            return Progress.NOTHING
        for name in opened.vault.strangers(recording):
            kept = opened.vault.set_aside(recording, name)
            reason = f"{name}, a directory in {recording}, was set aside as {kept}"
            opened.ledger.append([Draft("fault", at, {"port": "storage", "reason": reason[:200]})])
        if not opened.vault.release(warrant):
            return Progress.MORE
        opened.ledger.append([Draft("release", at, {"recording": recording})])
        del opened.warrants[recording]  # last: a card that refuses the leaf is asked again, with the warrant
        self._report(Released(recording))
        return Progress.DONE
