"""``oathcam verify``: authentic, not authentic, or cannot tell. Needs no camera and no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from firmware.evidence.findings import Finding, Report, Severity, Verdict, layers_of
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.evidence.verify_store import with_store
from tools.console import output, progress
from tools.sources import DirectorySource, find_sources, load_key, load_roots

_COLOURS = {Verdict.AUTHENTIC: "green", Verdict.NOT_AUTHENTIC: "red", Verdict.CANNOT_TELL: "yellow"}
_MARKS = {
    Severity.GOOD: "[green]good[/]",
    Severity.NOTE: "[green]good[/], see notes",
    Severity.UNCHECKED: "[yellow]not checked[/]",
    Severity.MISSING: "[yellow]cannot tell[/]",
    Severity.BAD: "[bold red]BAD[/]",
}


def worst(verdicts: list[Verdict]) -> Verdict:
    """Not authentic before cannot tell before authentic; nothing at all cannot be told."""
    for verdict in (Verdict.NOT_AUTHENTIC, Verdict.CANNOT_TELL):
        if verdict in verdicts:
            return verdict
    return Verdict.AUTHENTIC if verdicts else Verdict.CANNOT_TELL


def verify_sources(
    sources: list[DirectorySource], trust: Path | None, key: OpeningKey | None, tsa_root: Path | None = None
) -> list[Report]:
    """Verify with a progress bar."""
    roots, stamp_roots = load_roots(trust), load_roots(tsa_root)
    reports = []
    with progress() as bars:
        for source in sources:
            task = bars.add_task(f"verifying {source.root.name}", total=None, note="")

            def show(recording: str, done: int, total: int, task: object = task) -> None:
                bars.update(task, completed=done, total=total, note=recording)  # type: ignore[arg-type]

            reports.append(with_store(verify_device(source, roots, key, show), source, roots, stamp_roots))
    return reports


def verify(
    paths: Annotated[list[Path], typer.Argument(help="A card, a store, or one recording's directory.")],
    trust: Annotated[Path | None, typer.Option(help="The agency's root certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="A recipient's private key: also checks what is inside.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The key's certificate (default: beside the key).")] = None,
    tsa_root: Annotated[Path | None, typer.Option(help="Root of the time-stamp authority, when there are tokens (PEM).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Verify evidence. Exit code 0 authentic, 1 not authentic, 3 cannot tell."""
    sources = [source for path in paths for source in find_sources(path)]
    reports = verify_sources(sources, trust, load_key(key, cert), tsa_root)
    verdict = worst([report.verdict for report in reports])
    if as_json:
        output.print_json(json.dumps({"verdict": verdict.value, "devices": [report.as_dict() for report in reports]}))
    else:
        for report in reports:
            print_report(report)
        output.print(f"verdict: [bold {_COLOURS[verdict]}]{verdict.value}[/]")
        for words in sorted({recording.signing_key or "" for report in reports for recording in report.recordings} - {""}):
            output.print(f"  the camera states that {words}", soft_wrap=True, highlight=False)
    raise typer.Exit(verdict.exit_code)


def print_report(report: Report) -> None:
    """One table per camera: a row per recording and layer, then everything that is not simply good."""
    table = Table(title=f"camera {report.device or '(unknown)'}", title_justify="left")
    for column in ("recording", "layer", "checks", "result"):
        table.add_column(column, justify="right" if column == "checks" else "left")
    for layer in layers_of(report.findings):
        table.add_row("(device)", layer.layer, str(layer.checks), _MARKS[layer.severity])
    for recording in report.recordings:
        table.add_section()
        for layer in layers_of(recording.findings):
            table.add_row(recording.recording, layer.layer, str(layer.checks), _MARKS[layer.severity])
        table.add_row(recording.recording, "[bold]verdict[/]", "", f"[bold {_COLOURS[recording.verdict]}]{recording.verdict.value}[/]")
    output.print(table)
    for finding in [*report.findings, *(one for recording in report.recordings for one in recording.findings)]:
        if finding.severity is not Severity.GOOD:
            output.print(_line(finding), soft_wrap=True, highlight=False, markup=False)


def _line(finding: Finding) -> str:
    return f"  {finding.severity.value:>9}  {finding.sentence()}"
