"""The verifier's core: one device's vault and ledger, checked layer by layer against an agency root.

Responsible for what may be concluded from which bytes. Opens nothing itself: it asks a :class:`Source` for names and bytes, so
it runs over a card, a dock's store, a copy on a lawyer's laptop, or a dict in a test. Works through one fragment at a time, so
memory does not grow with length.

Invariants: signatures first, then what they cover; nothing is concluded from an unsigned value; a name that a signed object
needs and that is not there is a bad finding, not a missing one, unless a signed leaf explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography import x509

from firmware.custody.checkpoint import LogState, read_log
from firmware.custody.entries import Entry
from firmware.errors import FormatError, IntegrityError, OathcamError, UnavailableError
from firmware.evidence import cms, pki
from firmware.evidence.findings import Finding, RecordingReport, Report, Severity
from firmware.evidence.verify_recording import RecordingCheck

LOG = "ledger/log"
DEVICE_CHAIN = "ledger/device.pem"


class Source(Protocol):
    """Where the evidence lies: a camera's card, or a store's directory of one camera. Names are '/'-separated."""

    def names(self, directory: str) -> Sequence[str]:
        """Entry names of one directory, sorted; empty when it is absent."""

    def read(self, name: str) -> bytes:
        """The file's bytes; ``UnavailableError`` when it is absent or unreadable."""


@dataclass(frozen=True, slots=True)
class OpeningKey:
    """A recipient's private key with its certificate."""

    private_key: cms.PrivateKey
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What the checked ledger says, by recording. ``None`` in a check means that there was no ledger to look into."""

    entries: tuple[Entry, ...]

    def of(self, recording: str) -> tuple[Entry, ...]:
        """The leaves that speak of the recording, and the boot leaf of the boot in which it began."""
        mine = tuple(entry for entry in self.entries if entry.fields.get("recording") == recording)
        boots = {entry.boot for entry in mine if entry.kind == "begin"}
        return (*(entry for entry in self.entries if entry.kind == "boot" and entry.boot in boots), *mine)


Progress = Callable[[str, int, int], None]
"""Called with (recording, fragments done, fragments in all)."""


def verify_device(
    source: Source,
    roots: Sequence[x509.Certificate],
    key: OpeningKey | None = None,
    progress: Progress | None = None,
    only: str = "",
) -> Report:
    """Verify everything of one device, or ``only`` one recording of it. Never raises for what it finds; findings say it."""
    findings: list[Finding] = []
    state = _ledger(source, roots, findings)
    view = LedgerView(state.entries) if state else None
    recordings = [only] if only else sorted(set(source.names("vault")) | set(_expected(view)))
    reports = []
    for recording in recordings:
        check = RecordingCheck(source, recording, roots, key, view.of(recording) if view else None, progress)
        reports.append(RecordingReport(recording, *check.run()))
    if view is not None:
        findings += _intervals(view)
    device = _device_of(view, reports)
    return Report(device, tuple(findings), tuple(reports))


def _expected(view: LedgerView | None) -> list[str]:
    """Recordings that the ledger says were begun and that it does not say were released."""
    if view is None:
        return []
    released = {entry.fields["recording"] for entry in view.entries if entry.kind == "release"}
    return [entry.fields["recording"] for entry in view.entries if entry.kind == "begin" and entry.fields["recording"] not in released]


def _ledger(source: Source, roots: Sequence[x509.Certificate], findings: list[Finding]) -> LogState | None:
    if "log" not in source.names("ledger"):
        findings.append(Finding(Severity.MISSING, "ledger", "there is no ledger beside these recordings", file=LOG))
        return None
    try:
        chain = pki.load_certificates_pem(source.read(DEVICE_CHAIN))
        at_ns = pki.not_before_ns(chain[0])
        pki.check_chain(chain, roots, pki.Role.CAMERA, at_ns)
    except UnavailableError as error:
        findings.append(Finding(Severity.MISSING, "certificate", str(error), file=DEVICE_CHAIN))
        return None
    except OathcamError as error:
        findings.append(Finding(Severity.BAD, "certificate", str(error), file=DEVICE_CHAIN))
        return None
    serial = pki.common_name(chain[0])
    findings.append(Finding(Severity.GOOD, "certificate", f"camera {serial!r} under the agency root", file=DEVICE_CHAIN))
    try:
        state = read_log(source.read(LOG), f"oathcam/{serial}", pki.public_key(chain[0]), verify_all=True)
    except (FormatError, IntegrityError, UnavailableError) as error:
        findings.append(Finding(Severity.BAD, "ledger", str(error), file=LOG))
        return None
    size = len(state.entries)
    findings.append(Finding(Severity.GOOD, "ledger", f"{size} leaves hash to the root that the camera signed", file=LOG))
    if state.tail:
        text = f"{len(state.tail)} bytes after the last signed checkpoint: nobody's word, not used"
        findings.append(Finding(Severity.NOTE, "ledger", text, file=LOG))
    return state


def _intervals(view: LedgerView) -> list[Finding]:
    """Signed facts about the device that every reader should see: power losses, gaps, faults, torn tails."""
    notes = []
    for entry in view.entries:
        match entry.kind:
            case "boot" if entry.fields["previous"] in ("power-loss", "crash"):
                text = f"boot {entry.boot} after a {entry.fields['previous']}"
            case "gap":
                text = f"{entry.fields['duration_us'] / 1e6:.1f} s not ready: {entry.fields['cause']}"
            case "torn":
                text = f"{entry.fields['bytes']} bytes of an unsigned ledger tail were set aside at boot"
            case "fault":
                text = f"fault of {entry.fields['port']}: {entry.fields['reason']}"
            case "unattested":
                text = f"a file that was never promised was set aside: {entry.fields['name']}"
            case _:
                continue
        notes.append(Finding(Severity.NOTE, "ledger", text, utc=entry.time.utc))
    return notes


def _device_of(view: LedgerView | None, reports: Sequence[RecordingReport]) -> str:
    for report in reports:
        serial = report.facts.get("device", {}).get("serial")
        if serial:
            return str(serial)
    return "" if view is None else "unknown"
