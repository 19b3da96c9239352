"""What the custodian's worker and the devices tell the loop: items of its inbox. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from firmware.timebase import Timestamp


@dataclass(frozen=True, slots=True)
class DeviceTrouble:
    """A device reported a fault, or what it delivers cannot be used; ``port`` is a name of ``machine.states.Port``."""

    port: str
    reason: str


@dataclass(frozen=True, slots=True)
class StorageTrouble:
    """The volume refused a write. ``full``: no room; else a fault, and the write is tried again."""

    reason: str
    full: bool


@dataclass(frozen=True, slots=True)
class StorageWorks:
    """A write went through after trouble."""


@dataclass(frozen=True, slots=True)
class RecordingClosed:
    recording: str
    fragments: int


@dataclass(frozen=True, slots=True)
class Released:
    recording: str


@dataclass(frozen=True, slots=True)
class Kept:
    """It was not released, because it is critical (BWC-POL-21)."""

    recording: str


@dataclass(frozen=True, slots=True)
class ReceiptAccepted:
    """A store's receipt was checked against this card and is durable with its leaf, since ``at`` (BWC-POL-23)."""

    recording: str
    at: Timestamp


@dataclass(frozen=True, slots=True)
class ShutdownAsked:
    """Somebody asks for an orderly end: a signal handler, or another thread."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldRead:
    """The ledger was opened: whether the run before has left a hold open (BWC-POL-21)."""

    on_hold: bool


@dataclass(frozen=True, slots=True)
class SpoolChecked:
    """``unreceipted``: closed recordings on the card that no store has receipted yet."""

    unreceipted: int


@dataclass(frozen=True, slots=True)
class Lost:
    """GOPs that were submitted are dropped whole, with their entry."""

    cause: str
    gops: int
    pictures: int


@dataclass(frozen=True, slots=True)
class CheckpointPublished:
    """``ledger/checkpoint`` is up to date: the dock-sync process may look."""
