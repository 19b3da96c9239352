"""``oathcam verify``: authentic, not authentic, or cannot tell. Needs no camera and no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from firmware.custody.accounting import Accounting
from firmware.evidence.findings import Finding, Report, Severity, Verdict, layers_of
from tools.console import output
from tools.inputs import find_inputs
from tools.sources import load_key, load_roots
from tools.verifying import Checked, parse_witnesses, verify_inputs, verify_sources, worst

__all__ = ["print_report", "verify", "verify_sources", "worst"]

_COLOURS = {Verdict.AUTHENTIC: "green", Verdict.NOT_AUTHENTIC: "red", Verdict.CANNOT_TELL: "yellow"}
_MARKS = {
    Severity.GOOD: "[green]good[/]",
    Severity.NOTE: "[green]good[/], see notes",
    Severity.UNCHECKED: "[yellow]not checked[/]",
    Severity.MISSING: "[yellow]cannot tell[/]",
    Severity.BAD: "[bold red]BAD[/]",
}


def verify(
    paths: Annotated[
        list[Path], typer.Argument(help="Cards, stores, recordings, MP4 files, fragments, manifests, checkpoints: one or several.")
    ],
    trust: Annotated[Path | None, typer.Option(help="The agency's root certificate (PEM).")] = None,
    key: Annotated[Path | None, typer.Option(help="A recipient's private key: also checks what is inside.")] = None,
    cert: Annotated[Path | None, typer.Option(help="The key's certificate (default: beside the key).")] = None,
    witness: Annotated[list[str] | None, typer.Option(help="NAME=KEY: a dock's witness key (Ed25519, hex), for its cosignatures.")] = None,
    tsa_root: Annotated[Path | None, typer.Option(help="Root of the time-stamp authority, when there are tokens (PEM).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write a page for people: verdict, time line, custody, facts for a certificate.")
    ] = None,
) -> None:
    """Verify evidence. Exit code 0 authentic, 1 not authentic, 3 cannot tell."""
    opener = load_key(key, cert)
    checked = verify_inputs(find_inputs(paths), load_roots(trust), opener, parse_witnesses(witness or []), load_roots(tsa_root))
    verdict = worst([one.report.verdict for one in checked])
    if report is not None:
        from tools.expert_report import write_expert_report  # here: templates and stills, which a verdict does not need

        write_expert_report(report, checked, opener, trust)
    if as_json:
        output.print_json(json.dumps({"verdict": verdict.value, "devices": [one.report.as_dict() for one in checked]}))
    else:
        for one in checked:
            print_report(one.report)
        _print_verdict(verdict, checked)
    raise typer.Exit(verdict.exit_code)


def _print_verdict(verdict: Verdict, checked: list[Checked]) -> None:
    """The verdict, then what it rests on and what it does not cover."""
    reports = [one.report for one in checked]
    output.print(f"verdict: [bold {_COLOURS[verdict]}]{verdict.value}[/]")
    findings = [finding for report in reports for finding in report.all_findings]
    for severity, heading in ((Severity.MISSING, "cannot be told without it"), (Severity.UNCHECKED, "not covered by the verdict")):
        for text in dict.fromkeys(_advice(one) for one in findings if one.severity is severity):
            output.print(f"  {heading}: {text}", soft_wrap=True, highlight=False, markup=False)
    for words in sorted({recording.signing_key or "" for report in reports for recording in report.recordings} - {""}):
        output.print(f"  the camera states that {words}", soft_wrap=True, highlight=False)


def _advice(finding: Finding) -> str:
    return f"{finding.text} {finding.remedy}".strip() if finding.text.endswith(".") else f"{finding.text}. {finding.remedy}".strip()


def print_report(report: Report) -> None:
    """One table per camera: a row per recording and layer, then the account of its time, then everything that is not simply good."""
    table = Table(title=escape(f"camera {report.device or '(unknown)'}"), title_justify="left")
    for column in ("recording", "layer", "checks", "result"):
        table.add_column(column, justify="right" if column == "checks" else "left")
    for layer in layers_of(report.findings):
        table.add_row("(device)", layer.layer, str(layer.checks), _MARKS[layer.severity])
    for recording in report.recordings:
        table.add_section()
        for layer in layers_of(recording.findings):
            table.add_row(escape(recording.recording), layer.layer, str(layer.checks), _MARKS[layer.severity])
        table.add_row(
            escape(recording.recording), "[bold]verdict[/]", "", f"[bold {_COLOURS[recording.verdict]}]{recording.verdict.value}[/]"
        )
    output.print(table)
    if report.accounting is not None:
        print_accounting(report.accounting)
    for finding in report.all_findings:
        if finding.severity is not Severity.GOOD:
            output.print(_line(finding), soft_wrap=True, highlight=False, markup=False)


def print_accounting(accounting: Accounting) -> None:
    """What became of the camera's time, boot by boot and in all (BWC-POL-05)."""
    table = Table(title="time, in seconds", title_justify="left")
    for column in ("boot", "off before", "ready", "recording", "docked", "gaps", "unaccounted"):
        table.add_column(column, justify="right")
    for run in accounting.runs:
        off = "unknown" if run.off_us is None else _seconds(run.off_us)
        totals = [_seconds(run.total_us(kind)) for kind in ("ready", "recording", "docked", "gap", "unaccounted")]
        table.add_row(str(run.boot), off, *totals)
    table.add_section()
    kinds = ("ready", "recording", "docked", "gap", "unaccounted")
    table.add_row("all", _seconds(accounting.gaps_us().get("off", 0)), *(_seconds(accounting.total_us(kind)) for kind in kinds))
    output.print(table)


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:.1f}"


def _line(finding: Finding) -> str:
    return f"  {finding.severity.value:>9}  {finding.sentence()}" + (f" [{finding.code}]" if finding.code else "")
