"""Requirements lead to tests, and the page and the machine-readable form say so (BWC-POL-50)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.errors import UsageError
from tools import traceability
from tools.requirements import parse_requirements, shipped_requirements
from tools.traceability import PAGE, Trace, cited, objections, page, read_junit, trace

ROOT = Path(__file__).resolve().parents[2]
WAITING = {"BWC-POL-37"}
"""Rows that no test decides yet. This set shrinks to nothing; who builds one takes it out, here and in tools/requirements.toml."""


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    return trace(ROOT)


def test_every_row_is_decided_by_a_test_or_says_what_it_waits_for(traces: list[Trace]) -> None:
    """BWC-POL-50: all fifty, in order; each deciding test exists and names its row."""
    assert [one.row.id for one in traces] == [f"BWC-POL-{number:02d}" for number in range(1, 51)]
    assert objections(traces) == []
    assert {one.row.id for one in traces if one.row.waits_for} == WAITING


def test_the_page_is_fresh(traces: list[Trace]) -> None:
    """BWC-POL-50: `make trace` writes it."""
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(traces)


def test_every_rule_of_the_policy_and_every_citation_is_of_a_row(traces: list[Trace]) -> None:
    """BWC-POL-50: nothing cites a requirement that does not exist."""
    known = {one.row.id for one in traces}
    places = [
        path
        for name in (*traceability.CODE, "tests", "docs")
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".md", ".toml")
    ]
    assert {one for path in places for one in cited(path.read_text(encoding="utf-8"))} - known == set()
    assert sum(len(one.rules) for one in traces) == len(list(traceability.policy_rules(traceability.Policy, "")))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("BWC-POL-23", {23}),
        ("(BWC-POL-23, -42)", {23, 42}),
        ("BWC-POL-28, -29, -40: x", {28, 29, 40}),
        ("BWC-POL-08 to -10", {8, 9, 10}),
        ("BWC-POL-01; -05", {1}),
        ("BWC-POL-nn", set()),
    ],
)
def test_short_forms_are_read(text: str, numbers: set[int]) -> None:
    assert cited(text) == {f"BWC-POL-{number:02d}" for number in numbers}


def test_what_is_amiss_is_said(traces: list[Trace]) -> None:
    """BWC-POL-50: untested, tested and waiting, a test that is gone, a test that does not cite the row."""
    whole = traces[0]

    def said(**changes: object) -> list[str]:
        return objections([Trace(replace(whole.row, **changes), tests=whole.tests)])  # type: ignore[arg-type]

    assert said() == []
    assert "no test decides it" in said(proof=())[0]
    assert "is said to wait" in said(waits_for="rain")[0]
    assert "does not exist" in said(proof=("tests/unit/test_x.py::test_y",))[0]
    assert "does not cite it" in said(proof=("tests/unit/test_tree.py::test_sizes",))[0]
    assert said(proof=(), waits_for="rain") == []


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_one[x]"/><testcase classname="tests.unit.test_a" name="test_one[y]"><failure/></testcase>
<testcase classname="tests.unit.test_a" name="test_two"/><testcase classname="tests.unit.test_a" name="test_three"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_release_says_pass_and_fail_by_row(tmp_path: Path, traces: list[Trace]) -> None:
    """BWC-POL-50: a failed parameter fails the row; a test that was skipped, or never ran, proves nothing."""
    report = tmp_path / "junit.xml"
    report.write_text(JUNIT)
    results = read_junit(report)
    names = [f"tests/unit/test_a.py::test_{one}" for one in ("one", "two", "three", "four")]
    assert [results.get(name) for name in names] == ["failed", "passed", "skipped", None]

    def status(*proof: str) -> str:
        row = replace(traces[0].row, proof=proof)
        return str(traceability.as_value([Trace(row)], results)["rows"][0]["status"])

    assert [status(name) for name in names] == ["failed", "passed", "incomplete", "incomplete"]
    assert (status(names[0], names[1]), status(names[1], names[2]), status()) == ("failed", "incomplete", "untested")


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<testsuites>")
    for name in ("x.xml", "absent.xml"):
        with pytest.raises(UsageError):
            read_junit(tmp_path / name)


def test_the_command_prints_what_a_release_attaches() -> None:
    """BWC-POL-50: JSON with every row; exit code 0 while nothing is amiss."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.traceability", "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert value["format"] == "oathcam-traceability/1"
    assert len(value["rows"]) == 50


def test_a_row_is_read_strictly() -> None:
    with pytest.raises(UsageError, match="BWC-POL-01: unknown"):
        parse_requirements('[BWC-POL-01]\ngroup = "g"\ntext = "t"\nsource = "s"\nprof = []\n')
    with pytest.raises(UsageError, match="source"):
        parse_requirements('[BWC-POL-01]\ngroup = "g"\ntext = "t"\n')


def test_no_row_quotes_or_claims() -> None:
    """Worded as derived from, never as a quotation, and no claim of a certification."""
    for row in shipped_requirements().values():
        words = " ".join((row.text, row.source, row.partly)).lower()
        assert not [word for word in ("is certified", "fips validated", "compliant", '"', "“") if word in words], row.id
        assert row.source, row.id
