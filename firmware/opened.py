"""What a boot hands to the custodian: vault, ledger and all that works on them, recovered."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.deliveries import Deliveries
from firmware.receipts import ReceiptInbox
from firmware.rereading import Rereading
from firmware.storage.ledger_file import Ledger
from firmware.storage.vault import ReleaseWarrant, Vault
from firmware.timebase import Timestamp


@dataclass(frozen=True, slots=True)
class Evidence:
    """Vault and ledger, recovered. ``warrants`` and ``receipted``: what is to be released, and when its receipt's leaf was written."""

    vault: Vault
    ledger: Ledger
    receipts: ReceiptInbox
    rereading: Rereading
    warrants: dict[str, ReleaseWarrant]
    receipted: dict[str, Timestamp]
    may_snapshot: bool
    """Nothing that a boot must look at again lies before the next recording."""
    deliveries: Deliveries
    on_hold: bool
