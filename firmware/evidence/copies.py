"""Copies of one camera's evidence, held against each other: a card, the stores of docks, a copy on a lawyer's laptop.

Responsible for what no copy shows alone: that its ledger was cut or forked, and that a recording is nowhere. Refuses to know files.

Who keeps a copy is known only where a dock's cosignature was checked (:class:`Keeper`). A copy that merely says so is believed in
nothing that speaks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from firmware.custody.entries import Entry
from firmware.evidence.findings import Finding, Keeper, Report, Severity
from firmware.evidence.verify_ledger import LOG
from firmware.evidence.witness import first_difference

_GIVE_STORE = "Give the store that signed the receipt, too."
_GIVE_KEY = "Give that dock's witness key (--witness)."


@dataclass(frozen=True, slots=True)
class Copy:
    """``place`` tells copies apart: two reports of one place are one copy. ``whole``: all of it was looked at, not one recording."""

    place: str
    report: Report
    whole: bool = True


def compare_copies(copies: Sequence[Copy]) -> list[Report]:
    """The reports, each told what the others know. Copies of one camera must be one history: the longer continues the shorter. A dock's
    copy may end earlier than the camera's own; the camera's own has no reason to end earlier than a dock's. A recording that any of
    them tells of is in one of them, or in a store that was not given."""
    found = []
    for copy in copies:
        others = [one for one in copies if one.place != copy.place and _same_history(one.report, copy.report)]
        more = [finding for other in others for finding in _against(copy.report, other.report, other.place)]
        more += _absent(copy, [*others, copy])
        report = replace(copy.report, findings=(*copy.report.findings, *more))
        found.append(_without_doubt(report, [other.report for other in others]))
    return found


def _same_history(one: Report, other: Report) -> bool:
    return one.device == other.device and bool(one.hashes) and bool(other.hashes)


def _against(report: Report, other: Report, place: str) -> list[Finding]:
    parts = first_difference(report.hashes, other.hashes)
    if parts is not None:
        text = f"from leaf {parts} on it tells another history than the ledger in {place}: it was forked"
        return [Finding(Severity.BAD, "ledger", text, file=LOG, code="ledger-forked")]
    ahead = len(other.hashes) - len(report.hashes)
    if ahead <= 0:
        return [Finding(Severity.GOOD, "ledger", f"it is or continues the ledger in {place}", file=LOG, code="copy-agrees")]
    if report.keeper is Keeper.DOCK:
        text = f"the ledger in {place} goes on after leaf {len(report.hashes) - 1}, which this dock saw last"
        return [Finding(Severity.GOOD, "ledger", text, file=LOG, code="copy-agrees")]
    if report.keeper is Keeper.SAYS_DOCK:
        text = f"the ledger in {place} goes on for {ahead} leaves; this copy says that a dock keeps it, and nobody checked that"
        return [Finding(Severity.MISSING, "ledger", text, file=LOG, code="copy-older", remedy=_GIVE_KEY)]
    text = f"the ledger in {place} goes on for {ahead} leaves: this one was rolled back, or is older"
    findings = [Finding(Severity.BAD, "ledger", text, file=LOG, code="ledger-rolled-back")]
    here = {one.recording for one in report.recordings}
    for entry in other.entries[len(report.hashes) :]:
        recording = entry.fields.get("recording", "")
        if entry.kind == "begin" and recording not in here:
            text = f"{recording} began at leaf {entry.n} of the ledger in {place}, and neither its files nor its leaves are here"
            findings.append(Finding(Severity.BAD, "ledger", text, recording, utc=entry.time.utc, code="recording-vanished"))
    return findings


def _absent(copy: Copy, copies: Sequence[Copy]) -> list[Finding]:
    """Recordings that were released against a receipt and are in none of the copies: gone, where the store that signed should have
    them; else in a store that was not given."""
    if not all(one.whole for one in copies):
        return []
    present = {one.recording for each in copies for one in each.report.recordings if not _is_gone(one.findings)}
    longest = max((one.report for one in copies), key=lambda one: len(one.hashes)).entries
    released = {entry.fields["recording"] for entry in longest if entry.kind == "release"} - present
    receipts = [entry for entry in longest if entry.kind == "receipt" and entry.fields["recording"] in released]
    findings = [_gone(entry) for entry in receipts if _should_hold(copy.report, entry.fields["store"])]
    elsewhere = [entry for entry in receipts if not any(_should_hold(one.report, entry.fields["store"]) for one in copies)]
    if elsewhere:
        names, stores = _listed(elsewhere, "recording"), _listed(elsewhere, "store")
        text = f"released to a store that is not among what was given ({stores}), and not here: {names}"
        findings.append(Finding(Severity.MISSING, "ledger", text, file=LOG, code="recording-elsewhere", remedy=_GIVE_STORE))
    return findings


def _is_gone(findings: Sequence[Finding]) -> bool:
    return any(one.code == "recording-removed" for one in findings)


def _should_hold(report: Report, store: str) -> bool:
    """Whether the copy is, or says it is, the one of that store: a dock's, with a receipt of that store or with none at all."""
    return report.keeper is not Keeper.UNKNOWN and (store in report.stores or not report.stores)


def _gone(receipt: Entry) -> Finding:
    recording, store = receipt.fields["recording"], receipt.fields["store"]
    text = f"{recording} was released against the receipt of store {store!r}, and none of its files is there"
    return Finding(Severity.BAD, "ledger", text, recording, utc=receipt.time.utc, code="recording-removed")


def _listed(entries: Sequence[Entry], field: str) -> str:
    names = sorted({entry.fields[field] for entry in entries})
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _without_doubt(report: Report, others: Sequence[Report]) -> Report:
    """Drop "nobody was asked" when somebody was who knows all of it: of a dock, known by its cosignature, and somebody else."""
    is_dock = report.keeper is Keeper.DOCK
    asked = [one for one in others if (one.keeper is Keeper.DOCK) != is_dock and len(one.hashes) >= len(report.hashes)]
    if not asked:
        return report
    return replace(report, findings=tuple(one for one in report.findings if one.code != "no-witness"))
