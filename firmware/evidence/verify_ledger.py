"""The ledger, checked: certificate, signed roots, witnesses, boots, and what it says of the camera's time.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from cryptography import x509

from firmware.custody.accounting import Accounting
from firmware.custody.checkpoint import LogState, read_log
from firmware.custody.clock_bounds import Reference, ReferenceClock, offset_words
from firmware.custody.clock_steps import Told, movements
from firmware.custody.diagnosis import diagnose
from firmware.custody.entries import Entry
from firmware.errors import FormatError, IntegrityError, OathcamError, UnavailableError
from firmware.evidence import pki
from firmware.evidence.findings import Finding, Keeper, Severity
from firmware.evidence.primitives import sha256
from firmware.evidence.witness import (
    LedgerKey,
    Sight,
    compare,
    no_witness,
    receipts_in,
    sight_from_checkpoint,
    sight_from_receipt,
    unavailable,
)

if TYPE_CHECKING:
    from firmware.evidence.verify import Source

LOG = "ledger/log"
DEVICE_CHAIN = "ledger/device.pem"
CHECKPOINT = "ledger/checkpoint"
RECEIPTS = "ledger/receipts"
_BOOT_AGAIN = "Look for the camera's other ledgers: at its docks, and on other cards."


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who else may know the ledger: loose checkpoint notes by name, and the Ed25519 keys of docks by witness name."""

    checkpoints: Mapping[str, bytes] = field(default_factory=dict)
    docks: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckedLedger:
    """What the ledger proves. ``state`` is ``None`` when it proves nothing; ``serial`` is empty when no certificate names one.
    ``keeper``: a dock, behind whose copy the camera's own may go on, or who knows. ``stores``: who signed the receipts beside it.
    ``references``: what the clocks of docks and stores that agree with it say."""

    serial: str
    state: LogState | None
    keeper: Keeper = Keeper.UNKNOWN
    stores: frozenset[str] = frozenset()
    references: tuple[Reference, ...] = ()


def check_ledger(source: Source, roots: Sequence[x509.Certificate], witnesses: Witnesses, findings: list[Finding]) -> CheckedLedger:
    """Check the ledger of one source; appends what is found."""
    leaf = _device(source, roots, findings)
    if leaf is None:
        return CheckedLedger("", None)
    serial = pki.common_name(leaf)
    key = LedgerKey(f"oathcam/{serial}", pki.public_key(leaf))
    state = _read(source, key, findings)
    if state is None:
        return CheckedLedger(serial, None)
    sights = list(_sights(source, roots, serial, key, witnesses, findings))
    found, agreed = compare(state.hashes, sights)
    findings += found
    seen = max((sight.size for sight in agreed if sight.outside and sight.keeper is Keeper.DOCK), default=0)
    if seen < len(state.entries):
        findings.append(no_witness(len(state.entries), seen))
    findings += check_boots(state.entries)
    beside = [sight for sight in sights if not sight.outside]
    keeper = max((sight.keeper for sight in beside), key=list(Keeper).index, default=Keeper.UNKNOWN)
    stores = frozenset(sight.store for sight in beside if sight.store)
    findings += _told_receipts(source, state.entries, keeper, stores)
    return CheckedLedger(serial, state, keeper, stores, tuple(sight.reference for sight in agreed if sight.reference is not None))


def _told_receipts(source: Source, entries: Sequence[Entry], keeper: Keeper, stores: frozenset[str]) -> list[Finding]:
    """Every receipt that a leaf names lies there as it was. A dock keeps those of its own store alone."""
    findings, here = [], receipts_in(source.names(RECEIPTS))
    for entry in entries:
        if entry.kind != "receipt":
            continue
        name, recording, store = f"{entry.fields['recording']}.json", entry.fields["recording"], entry.fields["store"]
        if name not in here:
            mine = keeper is Keeper.UNKNOWN or store in stores
            text = f"leaf {entry.n} names the receipt of store {store!r} for it, which is not there"
            severity, remedy = (Severity.BAD, "") if mine else (Severity.UNCHECKED, "Give that store's copy, too.")
            findings.append(
                Finding(
                    severity, "receipt", text, recording, f"{RECEIPTS}/{name}", utc=entry.time.utc, code="receipt-missing", remedy=remedy
                )
            )
            continue
        try:
            differs = sha256(source.read(f"{RECEIPTS}/{name}")).hex() != entry.fields["receipt_sha256"]
        except UnavailableError:
            continue  # said where its signature is checked
        if differs:
            text = f"it is not the receipt that leaf {entry.n} names"
            findings.append(Finding(Severity.BAD, "receipt", text, recording, f"{RECEIPTS}/{name}", code="receipt-bad"))
    return findings


def _device(source: Source, roots: Sequence[x509.Certificate], findings: list[Finding]) -> x509.Certificate | None:
    if "log" not in source.names("ledger"):
        text, remedy = "there is no ledger beside these recordings", "Give the whole card or the dock's store, not a recording alone."
        findings.append(Finding(Severity.MISSING, "ledger", text, file=LOG, code="no-ledger", remedy=remedy))
        return None
    try:
        chain = pki.load_certificates_pem(source.read(DEVICE_CHAIN))
        pki.check_chain(chain, roots, pki.Role.CAMERA, pki.not_before_ns(chain[0]))
    except UnavailableError as error:
        code = "no-device-certificate" if "device.pem" not in source.names("ledger") else "no-root"
        remedy = error.remedy if code == "no-root" else "Put the camera's certificates (device.pem) beside its ledger."
        findings.append(Finding(Severity.MISSING, "certificate", str(error), file=DEVICE_CHAIN, code=code, remedy=remedy))
        return None
    except OathcamError as error:
        findings.append(Finding(Severity.BAD, "certificate", str(error), file=DEVICE_CHAIN, code="certificate-bad"))
        return None
    text = f"camera {pki.common_name(chain[0])!r} under the agency root"
    findings.append(Finding(Severity.GOOD, "certificate", text, file=DEVICE_CHAIN))
    return chain[0]


def _read(source: Source, key: LedgerKey, findings: list[Finding]) -> LogState | None:
    try:
        data = source.read(LOG)
    except UnavailableError as error:
        findings.append(Finding(Severity.MISSING, "ledger", str(error), file=LOG, code="no-ledger", remedy="Read the card again."))
        return None
    try:
        state = read_log(data, key.origin, key.public_key, verify_all=True)
        refused = state.checkpoint is None and bool(data)
        reason = "nothing in it is signed"
    except (FormatError, IntegrityError) as error:
        refused, reason = True, str(error)
    if refused:
        found = diagnose(data, key.origin, key.public_key)
        findings.append(Finding(Severity.BAD, "ledger", f"{found.text} ({reason})", file=LOG, code=found.code))
        return None
    if state.checkpoint is None:
        findings.append(Finding(Severity.MISSING, "ledger", "the ledger is empty", file=LOG, code="ledger-empty", remedy=_BOOT_AGAIN))
        return None
    text = f"{len(state.entries)} leaves hash to the root that the camera signed"
    findings.append(Finding(Severity.GOOD, "ledger", text, file=LOG))
    if state.tail:
        text = f"{len(state.tail)} bytes after the last signed checkpoint: nobody's word, not used"
        findings.append(Finding(Severity.NOTE, "ledger", text, file=LOG, code="ledger-tail"))
    return state


def _sights(
    source: Source, roots: Sequence[x509.Certificate], serial: str, key: LedgerKey, witnesses: Witnesses, findings: list[Finding]
) -> Iterator[Sight]:
    """Everything signed that speaks of the ledger's length: what lies beside it, and what was given."""
    notes = dict(witnesses.checkpoints)
    if "checkpoint" in source.names("ledger"):
        try:
            notes[CHECKPOINT] = source.read(CHECKPOINT)
        except UnavailableError as error:
            findings.append(unavailable(error, CHECKPOINT))
    for file, data in notes.items():
        if file != CHECKPOINT and not data.startswith(key.origin.encode() + b"\n"):
            continue  # of another camera
        sight = sight_from_checkpoint(data, file, key, witnesses.docks, findings, outside=file != CHECKPOINT)
        if sight is not None:
            yield sight
    for name in receipts_in(source.names(RECEIPTS)):
        file = f"{RECEIPTS}/{name}"
        try:
            yield sight_from_receipt(source.read(file), source.read(f"{file}.p7s"), file, serial, roots)
        except UnavailableError as error:
            findings.append(unavailable(error, file))
        except (FormatError, IntegrityError) as error:
            findings.append(Finding(Severity.BAD, "receipt", str(error), file=file, code="witness-bad"))


def check_boots(entries: Sequence[Entry]) -> list[Finding]:
    """The key store's counter against the boot leaves: from one, up by one each time, or something happened before or in between."""
    findings: list[Finding] = []
    boots = [entry for entry in entries if entry.kind == "boot"]
    if boots and boots[0].fields["counter"] > 1:
        earlier = f"{boots[0].fields['counter'] - 1} boot(s) before {boots[0].fields['counter']} left no leaf"
        text = f"{earlier}: they wrote on another card, or power went before the first leaf was written, or the ledger was lost"
        findings.append(Finding(Severity.UNCHECKED, "ledger", text, utc=boots[0].time.utc, code="boot-counter-skipped", remedy=_BOOT_AGAIN))
    for boot in boots:
        if boot.fields["counter"] != boot.boot:
            text = f"leaf {boot.n}: the boot calls itself {boot.boot}, and the key store counted {boot.fields['counter']}"
            findings.append(Finding(Severity.BAD, "ledger", text, file=LOG, utc=boot.time.utc, code="boot-counter-differs"))
    for before, boot in pairwise(boots):
        step = boot.fields["counter"] - before.fields["counter"]
        if step < 1:
            text = f"leaf {boot.n}: boot {boot.fields['counter']} follows boot {before.fields['counter']}"
            findings.append(Finding(Severity.BAD, "ledger", text, file=LOG, utc=boot.time.utc, code="boot-counter-backwards"))
        elif step > 1:
            skipped = f"{step - 1} boot(s) between {before.fields['counter']} and {boot.fields['counter']} left no leaf"
            text = f"{skipped}: power went before the first one was written, or the ledger went on from an older copy"
            finding = Finding(Severity.UNCHECKED, "ledger", text, utc=boot.time.utc, code="boot-counter-skipped", remedy=_BOOT_AGAIN)
            findings.append(finding)
    if boots and not any(one.severity is Severity.BAD for one in findings):
        text = f"boots {boots[0].fields['counter']} to {boots[-1].fields['counter']} in the key store's count"
        findings.append(Finding(Severity.GOOD, "ledger", text, file=LOG))
    return findings


def told_facts(entries: Sequence[Entry]) -> list[Finding]:
    """Signed facts about the device that every reader should see: power losses, gaps, faults, torn tails."""
    notes = []
    for entry in entries:
        fields = entry.fields
        match entry.kind:
            case "boot" if fields["previous"] in ("power-loss", "crash"):
                code, text = "boot-unclean", f"boot {entry.boot} after a {fields['previous']}"
            case "gap":
                code, text = "gap", f"{fields['duration_us'] / 1e6:.1f} s not ready: {fields['cause']}"
            case "torn":
                code, text = "tail-set-aside", f"{fields['bytes']} bytes of an unsigned ledger tail were set aside at boot"
            case "fault":
                code, text = "fault", f"fault of {fields['port']}: {fields['reason']}"
            case "stealth":
                code, text = "stealth", _stealth_words(fields["entered"], fields["cause"])
            case "hold":
                code, text = "hold", _hold_words(fields["entered"], fields["cause"])
            case "unattested":
                code, text = "unattested", f"a file that was never promised was set aside: {fields['name']}"
            case _:
                continue
        notes.append(Finding(Severity.NOTE, "ledger", text, utc=entry.time.utc, code=code))
    return notes


def told_steps(entries: Sequence[Entry]) -> list[Finding]:
    """Every step of the wall clock, told or not, and in which recording it was (BWC-POL-26). Never bad: a clock may be set; boot time,
    by which everything is ordered and measured, cannot."""
    notes = []
    for one in movements(entries):
        fields = one.entry.fields
        by = f"{one.offset_us / 1e6:+.3f} s"
        match one.told:
            case Told.STEPPED if fields["source"] == "dock":
                exact = f"uncertainty {fields['uncertainty_us'] / 1e6:.3f} s"
                code, text = "clock-stepped", f"the camera set its clock by {by} to a dock's time ({exact}): {_trust(fields)}"
            case Told.STEPPED:
                code, text = "clock-stepped", f"something else than the camera's firmware set its clock by {by}: {_trust(fields)}"
            case Told.NOT_STEPPED:
                code, text = "clock-not-set", f"the clock was to be set by {by}, and was not"
            case Told.COMPARED:
                code, text = "clock-compared", f"a dock's clock was ahead by {by}, uncertainty {fields['uncertainty_us'] / 1e6:.3f} s"
            case Told.TRUST:
                code, text = "clock-compared", f"the clock did not move: {_trust(fields)}"
            case Told.UNTOLD:
                code, text = "clock-jumped", f"the wall clock moved by {by} before leaf {one.entry.n}, and no leaf tells of it"
        notes.append(Finding(Severity.NOTE, "time", text, one.recording, utc=one.entry.time.utc, code=code))
    return notes


def _trust(fields: Mapping[str, Any]) -> str:
    old, new = fields["old_trust"], fields["new_trust"]
    return f"trust stays {new}" if old == new else f"trust from {old} to {new}"


def told_clock(entries: Sequence[Entry], clock: ReferenceClock) -> list[Finding]:
    """How far the camera's clock was off at the end of each boot in which others' clocks bound it from both sides."""
    findings = []
    for entry in {one.boot: one for one in entries}.values():
        at_us, wall_us = entry.time.boottime_ns // 1000, entry.time.wall_ns // 1000
        offset = clock.offset(entry.boot, at_us, wall_us)
        if offset.low_us is not None and offset.high_us is not None:
            text = f"by the clock of {' and '.join(clock.who)} the camera's was {offset_words(offset)}, at the end of boot {entry.boot}"
            findings.append(Finding(Severity.NOTE, "time", text, utc=entry.time.utc, code="clock-offset"))
    return findings


def told_time(accounting: Accounting) -> list[Finding]:
    """What became of the camera's time; what nobody explains is named (BWC-POL-05)."""
    findings = []
    for boot, one in accounting.unaccounted():
        text = f"{one.length_us / 1e6:.1f} s of boot {boot} are neither ready, recording, docked nor a signed gap"
        findings.append(Finding(Severity.UNCHECKED, "time", text, utc=one.utc, code="time-unaccounted"))
    for boot in accounting.unknown_lengths():
        text = f"off before boot {boot} for a time that its clock could not tell"
        findings.append(Finding(Severity.UNCHECKED, "time", text, code="time-unknown"))
    if not findings:
        text = f"all {accounting.undocked_us / 1e6:.1f} s out of the dock are ready, recording or a signed gap"
        findings.append(Finding(Severity.GOOD, "time", text))
    return findings


def _stealth_words(entered: bool, cause: str) -> str:
    return f"stealth {'entered' if entered else 'left'} ({cause}): lamps and sounds {'off' if entered else 'on'}"


def _hold_words(entered: bool, cause: str) -> str:
    return f"hold entered ({cause}): no new recording before the dock" if entered else f"hold released ({cause}): a press records again"
