"""The verifier's core: one device's vault and ledger, checked layer by layer against an agency root.

Responsible for what may be concluded from which bytes. Opens nothing itself: it asks a :class:`Source` for names and bytes, so
it runs over a card, a dock's store, a copy on a lawyer's laptop, or a dict in a test. Works through one fragment at a time, so
memory does not grow with length.

Invariants: signatures first, then what they cover; nothing is concluded from an unsigned value; a name that a signed object
needs and that is not there is a bad finding, not a missing one, unless a signed leaf explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography import x509

from firmware.custody.accounting import account
from firmware.custody.clock_bounds import ReferenceClock, offset_words
from firmware.custody.entries import Entry
from firmware.errors import UnavailableError, escaped
from firmware.evidence import cms
from firmware.evidence import fields as f
from firmware.evidence.findings import Finding, RecordingReport, Report, Severity
from firmware.evidence.verify_ledger import CheckedLedger, Witnesses, check_ledger, told_clock, told_facts, told_steps, told_time
from firmware.evidence.verify_recording import RecordingCheck

_NOBODY = Witnesses()


class Source(Protocol):
    """Where the evidence lies: a camera's card, or a store's directory of one camera. Names are '/'-separated."""

    def names(self, directory: str) -> Sequence[str]:
        """Entry names of one directory, sorted; empty when it is absent. ``UnavailableError`` when it does not tell."""

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

    def expected(self) -> tuple[str, ...]:
        """Recordings that were begun, and not released."""
        released = {entry.fields["recording"] for entry in self.entries if entry.kind == "release"}
        begun = [entry.fields["recording"] for entry in self.entries if entry.kind == "begin"]
        return tuple(one for one in begun if one not in released)


Progress = Callable[[str, int, int], None]
"""Called with (recording, fragments done, fragments in all)."""


def verify_device(
    source: Source,
    roots: Sequence[x509.Certificate],
    key: OpeningKey | None = None,
    progress: Progress | None = None,
    witnesses: Witnesses = _NOBODY,
    only: str = "",
    fragment: int | None = None,
) -> Report:
    """Verify everything of one device; with ``only`` one of its recordings, and of its ledger what concerns the device; with
    ``fragment`` that fragment of the recording alone.

    Never raises for what it finds; findings say it.
    """
    findings: list[Finding] = []
    try:
        ledger = check_ledger(source, roots, witnesses, findings)
    except UnavailableError as error:  # its directory does not tell what it holds
        findings.append(unreadable(error))
        ledger = CheckedLedger("", None)
    view = LedgerView(ledger.state.entries) if ledger.state else None
    expected = view.expected() if view is not None else ()
    recordings = [only] if only else sorted(set(_names(source, "vault", findings)) | set(expected))
    last_boot = view.entries[-1].boot if view is not None else 0
    reports = []
    for recording in recordings:
        try:
            check = RecordingCheck(source, recording, roots, key, view.of(recording) if view else None, progress, last_boot, fragment)
            found = check.run(ledger.serial)
        except UnavailableError as error:  # its directory does not tell what it holds
            found = ((unreadable(error, recording),), {})
        reports.append(RecordingReport(escaped(recording), *found))
    report = Report(ledger.serial or _device_of(reports), tuple(findings), tuple(reports))
    return report if ledger.state is None or view is None else _with_ledger(report, ledger)


def _with_ledger(report: Report, ledger: CheckedLedger) -> Report:
    """The report with what the ledger tells of the device: facts, the account of its time, and how good its clock was."""
    assert ledger.state is not None
    assert ledger.state.checkpoint is not None
    entries, accounting = ledger.state.entries, account(ledger.state.entries)
    if ledger.references:
        clock = ReferenceClock(entries, ledger.references)
        recordings = tuple(_with_offset(one, clock) for one in report.recordings)
        report = replace(report, recordings=recordings, findings=(*report.findings, *told_clock(entries, clock)))
    findings = (*report.findings, *told_facts(entries), *told_steps(entries), *told_time(accounting))
    state, root = ledger.state, ledger.state.checkpoint.root.hex()
    told = replace(report, findings=findings, accounting=accounting)
    return replace(told, entries=entries, root=root, hashes=state.hashes, keeper=ledger.keeper, stores=ledger.stores)


def _with_offset(report: RecordingReport, clock: ReferenceClock) -> RecordingReport:
    """How far the camera's clock was off at the activation, by the clocks of its docks and stores (NIST IR 8161r1; BWC-POL-26)."""
    begin = report.facts.get("begin")
    if begin is None:
        return report
    offset = clock.offset(begin["boot"], begin["boottime_us"], f.utc_ns(begin["utc"]) // 1000)
    words = offset_words(offset)
    if not words:
        return report
    text = f"by the clock of {' and '.join(clock.who)} the camera's was {words} at the activation"
    note = Finding(Severity.NOTE, "time", text, report.recording, utc=begin["utc"], code="clock-offset")
    return replace(report, findings=(*report.findings, note), offset=offset)


def _names(source: Source, directory: str, findings: list[Finding]) -> Sequence[str]:
    try:
        return source.names(directory)
    except UnavailableError as error:
        findings.append(unreadable(error))
        return ()


def unreadable(error: UnavailableError, recording: str = "") -> Finding:
    """A directory that is there and does not tell what it holds."""
    return Finding(Severity.MISSING, "manifest", str(error), recording, code="file-missing", remedy=error.remedy)


def _device_of(reports: Sequence[RecordingReport]) -> str:
    """The serial in the first manifest that was accepted."""
    serials = [str(report.facts["device"]["serial"]) for report in reports if report.facts]
    return serials[0] if serials else ""
