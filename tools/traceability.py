"""Which test holds which requirement: ``python -m tools.traceability``, for the project itself (BWC-POL-50).

Responsible for reading the requirements (``tools/requirements.toml``), the policy's rules, the code and the tests of a source tree, for the
page ``docs/traceability.md`` and for a machine-readable form with pass and fail, taken from a JUnit report. Refuses to judge whether a test
proves its row: people name the deciding ones in the requirements file, and this holds them to it.

Invariants: a row without a deciding test is an error unless the file says what it waits for; one that says so and has a test is one too.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from xml.etree import ElementTree

import typer

from firmware.errors import UsageError
from firmware.policy.model import Policy
from tools.console import output
from tools.requirements import Row, parse_requirements

REQUIREMENTS, PAGE = Path("tools/requirements.toml"), Path("docs/traceability.md")
CODE = ("firmware", "hal", "tools", "systemd")
_CITED = re.compile(r"BWC-POL-(\d\d)((?:, -\d\d| to -\d\d)*)")
_MORE = re.compile(r"(,| to) -(\d\d)")
_SOURCES = {".py", ".toml", ".service", ".path", ".tmpfiles", ".sysusers", ".conf", ".j2"}
_IMPORTANCE = ("failed", "passed", "skipped", "not run")
"""What counts of a test that ran several times, with several parameters: the first of these that occurred."""


@dataclass(slots=True)
class Trace:
    """What a tree has for one row. ``tests``: every function that cites it, ``file::function``."""

    row: Row
    rules: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    tests: list[str] = field(default_factory=list)


def cited(text: str) -> set[str]:
    """Every id that a text names, short forms too: ``BWC-POL-23, -42``, ``BWC-POL-08 to -10``."""
    found: set[str] = set()
    for match in _CITED.finditer(text):
        last = int(match[1])
        found.add(_id(last))
        for how, number in _MORE.findall(match[2]):
            found |= {_id(one) for one in range(last if how == " to" else int(number), int(number) + 1)}
            last = int(number)
    return found


def _id(number: int) -> str:
    return f"BWC-POL-{number:02d}"


def read_requirements(root: Path) -> dict[str, Row]:
    """``UsageError`` when there is no such file, or it is none of requirements."""
    try:
        return parse_requirements((root / REQUIREMENTS).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {str(error.filename)!r}: {error.strerror}", remedy="Run this in the source tree.") from None


def trace(root: Path) -> list[Trace]:
    """Every row with what cites it."""
    traces = {name: Trace(row) for name, row in read_requirements(root).items()}
    for rule, requirement in policy_rules(Policy, ""):
        traces[requirement].rules.append(rule)
    for path in _files(root, CODE):
        for one in sorted(cited(path.read_text(encoding="utf-8")) & traces.keys()):
            traces[one].code.append(path.relative_to(root).as_posix())
    for name, text in test_functions(root):
        for one in sorted(cited(text) & traces.keys()):
            traces[one].tests.append(name)
    return list(traces.values())


def policy_rules(kind: type[Any], path: str) -> Iterator[tuple[str, str]]:
    """(rule, requirement)."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        if is_dataclass(hints[one.name]):
            yield from policy_rules(hints[one.name], f"{path}{one.name}.")
        else:
            yield path + one.name, one.metadata["requirement"]


def test_functions(root: Path) -> Iterator[tuple[str, str]]:
    """Name of every test that ``make test`` runs, with its source and its module's docstring, which may name a row for all of them."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        module = ast.parse(source)
        about = ast.get_docstring(module) or ""
        for node in module.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.relative_to(root).as_posix()}::{node.name}", f"{about}\n{ast.get_source_segment(source, node)}"


def _files(root: Path, places: Sequence[str]) -> list[Path]:
    found = [path for place in places for path in (root / place).rglob("*") if path.suffix in _SOURCES]
    return sorted(path for path in found if not {"__pycache__", "profiles"} & set(path.parts) and path.name != REQUIREMENTS.name)


def objections(traces: Sequence[Trace]) -> list[str]:
    """What is wrong, a sentence each."""
    found = []
    for one in traces:
        row = one.row
        if not row.proof and not row.waits_for:
            found.append(f"{row.id}: no test decides it")
        if row.proof and row.waits_for:
            found.append(f"{row.id}: it has a test, and is said to wait for {row.waits_for}")
        found += [f"{row.id}: {name} does not exist, or does not cite it" for name in row.proof if name not in one.tests]
    return found


# --- the page

_HEAD = """# Traceability

Generated by `python -m tools.traceability --write` (`make trace`) from `tools/requirements.toml`, the policy's rules, the code and the
tests; a test holds it to them. Each row says what a camera must do, in our words, and what that is derived from: no row is a quotation, and
nobody has certified anything. Deciding tests are those that people judged to test what the row says; Every
test that names a row is in the machine-readable form (`--json`). What waits is not built.

Rows: {rows}. Decided by tests: {decided}, of which in part: {partly}. Waiting: {waiting}.
"""


def page(traces: Sequence[Trace]) -> str:
    """docs/traceability.md."""
    waiting = [one.row.id for one in traces if one.row.waits_for]
    partly = [one.row.id for one in traces if one.row.partly]
    decided = len(traces) - len(waiting)
    parts = [_HEAD.format(rows=len(traces), decided=decided, partly=", ".join(partly) or "none", waiting=", ".join(waiting) or "none")]
    group = ""
    for one in traces:
        if one.row.group != group:
            group = one.row.group
            parts.append(f"## {group}\n")
        parts.append(_section(one))
    return "\n".join(parts)


def _section(one: Trace) -> str:
    row = one.row
    lines = [f"### {row.id}", "", row.text, "", f"- derived from: {row.source}"]
    lines += [f"- policy: {', '.join(f'`{rule}`' for rule in one.rules)}"] if one.rules else []
    lines += [f"- code: {', '.join(f'`{name}`' for name in one.code)}"] if one.code else []
    lines += ["- deciding tests:"] if row.proof else []
    lines += [f"  - `{name}`" for name in row.proof]
    lines += [f"- waits for: {row.waits_for}"] if row.waits_for else []
    lines += [f"- not built yet: {row.partly}"] if row.partly else []
    lines += [f"- remark: {row.remark}"] if row.remark else []
    return "\n".join(lines) + "\n"


# --- the machine-readable form


def read_junit(path: Path) -> dict[str, str]:
    """``file::function`` → failed, passed or skipped, the gravest of its parameters. ``UsageError`` when it is no report."""
    try:
        tree = ElementTree.parse(path)  # noqa: S314  pytest wrote it a moment ago
    except (OSError, ElementTree.ParseError) as error:
        raise UsageError(f"{path}: {error}", remedy="Give what `pytest --junitxml` wrote.") from None
    found: dict[str, str] = {}
    for case in tree.iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name', '').partition('[')[0]}"
        outcomes = {child.tag for child in case}
        outcome = "failed" if outcomes & {"failure", "error"} else "skipped" if "skipped" in outcomes else "passed"
        found[name] = min(outcome, found.get(name, outcome), key=_IMPORTANCE.index)
    return found


def as_value(traces: Sequence[Trace], results: Mapping[str, str] | None) -> dict[str, Any]:
    """What a release attaches: every row, its deciding tests, and how they ended."""
    return {"format": "oathcam-traceability/1", "rows": [_as_row(one, results) for one in traces]}


def _as_row(one: Trace, results: Mapping[str, str] | None) -> dict[str, Any]:
    row = one.row
    value: dict[str, Any] = {"id": row.id, "text": row.text, "source": row.source, "policy": one.rules, "code": one.code}
    value |= {"proof": list(row.proof), "tests": one.tests, "waits_for": row.waits_for or None, "partly": row.partly or None}
    if results is not None:
        ended = {name: results.get(name, "not run") for name in row.proof}
        value |= {"results": ended, "status": _status(list(ended.values()))}
    return value


def _status(outcomes: Sequence[str]) -> str:
    """Passed only if every deciding test ran and passed; a skipped one proves nothing."""
    if not outcomes:
        return "untested"
    return "failed" if "failed" in outcomes else "passed" if set(outcomes) == {"passed"} else "incomplete"


app = typer.Typer(add_completion=False)


@app.command()
def main(
    root: Annotated[Path, typer.Option(help="The source tree.")] = Path(),
    write: Annotated[bool, typer.Option("--write", help="Write docs/traceability.md anew.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the machine-readable form.")] = False,
    results: Annotated[Path | None, typer.Option(help="JUnit report of a test run, for pass and fail in --json.")] = None,
) -> None:
    """Trace requirements to tests. Exit 1: a row is untested, a deciding test is gone, one failed, or the page is out of date."""
    traces = trace(root)
    found = objections(traces)
    if as_json:
        value = as_value(traces, None if results is None else read_junit(results))
        typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
        found += [f"{one['id']}: {one['status']}" for one in value["rows"] if one.get("status") == "failed"]
    if write:
        (root / PAGE).write_text(page(traces), encoding="utf-8")
    elif not (root / PAGE).is_file() or (root / PAGE).read_text(encoding="utf-8") != page(traces):
        found.append(f"{PAGE} is out of date: run `make trace`")
    for line in found:
        typer.echo(line, err=True)
    if not as_json and not found:
        output.print(f"{len(traces)} requirements traced", highlight=False)
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    app()
