"""From what a user gave to reports: every layer that can be checked with it, one report per camera or loose file.

Used by ``oathcam verify`` and by the demo; prints nothing but a progress bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography import x509
from rich.markup import escape

from firmware.errors import FormatError, IntegrityError, UnavailableError, UsageError, escaped
from firmware.evidence import cms
from firmware.evidence.copies import Copy, compare_copies
from firmware.evidence.findings import Finding, Notebook, RecordingReport, Report, Severity, Verdict
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import OpeningKey, unreadable, verify_device
from firmware.evidence.verify_film import Papers, verify_film
from firmware.evidence.verify_ledger import Witnesses
from firmware.evidence.verify_store import with_store
from tools.console import progress
from tools.inputs import Film, Inputs, Target
from tools.sources import DirectorySource, load_roots

_ALONE = "it was given, and nothing else that was given belongs to it: it says nothing here"
_WITNESS = "Give --witness NAME=KEY, KEY as 64 hex digits or a file that holds them."


@dataclass(frozen=True, slots=True)
class Checked:
    """A report and where its evidence lies; ``target`` is ``None`` for a loose file."""

    place: str
    report: Report
    target: Target | None = None


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Not authentic before cannot tell before authentic; nothing at all cannot be told."""
    for verdict in (Verdict.NOT_AUTHENTIC, Verdict.CANNOT_TELL):
        if verdict in verdicts:
            return verdict
    return Verdict.AUTHENTIC if verdicts else Verdict.CANNOT_TELL


def verify_sources(
    sources: Sequence[DirectorySource], trust: Path | None, key: OpeningKey | None, docks: Mapping[str, bytes] | None = None
) -> list[Report]:
    """Whole directories of evidence, with a progress bar. ``docks``: witness keys by name."""
    inputs = Inputs(targets=[Target(source) for source in sources])
    return [checked.report for checked in verify_inputs(inputs, load_roots(trust), key, docks or {})]


def verify_inputs(
    inputs: Inputs,
    roots: Sequence[x509.Certificate],
    key: OpeningKey | None,
    docks: Mapping[str, bytes],
    stamp_roots: Sequence[x509.Certificate] = (),
) -> list[Checked]:
    """Everything that was given, checked; copies of one camera's ledger are held against each other. ``stamp_roots``: roots of
    time-stamp authorities."""
    witnesses = Witnesses(inputs.checkpoints, docks)
    checked: list[Checked] = []
    with progress() as bars:
        for target in inputs.targets:
            source = target.source
            task = bars.add_task(escape(escaped(f"verifying {source.root.name}")), total=None, note="")

            def show(recording: str, done: int, total: int, task: object = task) -> None:
                bars.update(task, completed=done, total=total, note=escape(escaped(recording)))  # type: ignore[arg-type]

            report = verify_device(source, roots, key, show, witnesses, source.only, target.fragment)
            try:
                report = with_store(report, source, roots, stamp_roots)
            except UnavailableError as error:  # what was found of the device itself stands
                report = replace(report, findings=(*report.findings, unreadable(error)))
            checked.append(Checked(str(source.root), report, target))
    compared = compare_copies([Copy(str(Path(one.place).resolve()), one.report, _is_whole(one)) for one in checked])
    checked = [replace(one, report=report) for one, report in zip(checked, compared, strict=True)]
    checked += [Checked(film.name, _film(film, inputs, roots)) for film in inputs.films]
    checked += [Checked(path.name, _sealed(path, key)) for path in inputs.sealed]
    return checked + _unused(inputs, docks, checked)


def _is_whole(checked: Checked) -> bool:
    target = checked.target
    return target is not None and not target.source.only and target.fragment is None


def _unused(inputs: Inputs, docks: Mapping[str, bytes], checked: Sequence[Checked]) -> list[Checked]:
    """What was given and nothing looked at: to leave it out in silence would look as if it had been checked."""
    reports = [one.report for one in checked]
    origins = {f"oathcam/{report.device}".encode() for report in reports if report.entries or report.findings}
    facts = [recording.facts for report in reports for recording in report.recordings]
    loose = [name for name, data in inputs.checkpoints.items() if data.partition(b"\n")[0] not in origins]
    loose += [paper.place for paper in inputs.given_papers if _facts_of(paper) not in facts]
    told = [Checked(name, _nobody(name, Severity.MISSING, "unused", _ALONE, "Give what it belongs to, or leave it out.")) for name in loose]
    heard = " ".join(finding.text for report in reports for finding in report.all_findings)
    absent = [name for name in docks if f"witness {name!r}" not in heard]
    text = "its key was given, and no checkpoint that was given carries its cosignature"
    remedy = "Give the dock's store, or a checkpoint of it."
    return told + [Checked(name, _nobody(f"witness {name}", Severity.UNCHECKED, "cosignature-unchecked", text, remedy)) for name in absent]


def _facts_of(paper: Papers) -> dict[str, Any] | None:
    try:
        return Manifest.from_bytes(paper.manifest).as_dict()
    except FormatError:
        return None


def _nobody(name: str, severity: Severity, code: str, text: str, remedy: str) -> Report:
    """A report that says one thing of something given. It has nothing good in it: by itself it says nothing of any evidence."""
    layer = "manifest" if severity is Severity.MISSING else "ledger"
    return Report("", (Finding(severity, layer, text, file=name, code=code, remedy=remedy),), ())


def _film(film: Film, inputs: Inputs, roots: Sequence[x509.Certificate]) -> Report:
    try:
        report = verify_film(film.name, film.parts(), roots, inputs.papers)
    except UnavailableError as error:
        book = Notebook(film.name)
        book.add(Severity.MISSING, "media", "film-foreign", str(error), remedy="Give the file as `oathcam open` wrote it.")
        report = RecordingReport(film.name, book.findings(), {})
    return Report(report.facts.get("device", {}).get("serial", ""), (), (report,))


def _sealed(path: Path, key: OpeningKey | None) -> Report:
    """A sealed object alone: who can open it, and, with a key, that it is whole. Who sealed it only a manifest tells."""
    book = Notebook(path.name)
    try:
        data = DirectorySource.read_path(path)
        ids = cms.recipient_key_ids(data)
        book.add(Severity.NOTE, "seal", "not-opened", "sealed to the keys " + ", ".join(one[:16] for one in ids), file=path.name)
        if key is not None:
            cms.open_sealed(data, key.private_key, key.certificate)
            book.good("seal", "opens whole with the key given", file=path.name)
    except UnavailableError as error:
        book.add(Severity.UNCHECKED, "seal", "not-a-recipient", str(error), file=path.name, remedy=error.remedy)
    except (FormatError, IntegrityError) as error:
        book.add(Severity.BAD, "seal", "does-not-open", str(error), file=path.name)
    text = "anybody who has the recipients' certificates could have sealed it: the camera's word for it is the manifest"
    remedy = "Put manifest.json and manifest.json.p7s beside it."
    book.add(Severity.MISSING, "manifest", "no-manifest", text, file=path.name, remedy=remedy)
    return Report("", (), (RecordingReport(path.name, book.findings(), {}),))


def parse_witnesses(given: Sequence[str]) -> dict[str, bytes]:
    """``NAME=KEY`` options as Ed25519 public keys by witness name. UsageError for anything else."""
    docks = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            raw = Path(value).read_text(encoding="ascii").strip() if Path(value).is_file() else value
            key = bytes.fromhex(raw)
        except (ValueError, OSError):
            key = b""
        if not name or len(key) != 32:
            raise UsageError(f"{text!r} is no witness key", remedy=_WITNESS)
        docks[name] = key
    return docks
