"""The golden vectors (tests/vectors/evidence): made again without a difference, and each fails in the layer that it names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from firmware.errors import FormatError, IntegrityError, OathcamError, RefusedError, UnavailableError, UsageError
from firmware.media.stream_report import StreamVerdict
from tests.vectors import run
from tests.vectors.build.all import MAX_BYTES, files
from tests.vectors.build.vector import Read

FAMILIES = {
    FormatError: "format",
    IntegrityError: "integrity",
    UnavailableError: "unavailable",
    RefusedError: "refused",
    UsageError: "usage",
}
PATHS = sorted(run.HERE.glob("*/*.txt"))


def read(path: Path) -> Read:
    return Read.of(path.read_text(encoding="ascii"))


def outcome(one: Read) -> tuple[str, str, str, bytes]:
    """Family, layer, message and what was released."""
    try:
        found = run.RUN[one.header["object"]](one)
    except OathcamError as error:
        # What is not there, and what is refused, has no layer of its own: it is said of the object that was asked about.
        return FAMILIES[type(error)], getattr(error, "layer", one.header.get("layer", "")), str(error), b""
    return "success", "", "", found


def check(one: Read, released: str) -> None:
    expected = (one.header["expect"], one.header.get("layer", ""))
    family, layer, message, found = outcome(one)
    assert (family, layer) == expected, message
    assert one.header.get("reason", "") in message, message
    assert run.sha256(found) == released


@pytest.mark.parametrize(
    "path", [path for path in PATHS if path.parent.name != "stream"], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_a_vector_fails_where_it_says(path: Path) -> None:
    one = read(path)
    cuts = [int(place) for place in one.header.get("cuts", "").split()]
    if not cuts:
        check(one, one.header["released"])
    for place in cuts:
        label, whole = next(iter(one.inputs.items()))
        assert 0 < place < len(whole)
        check(replace(one, inputs={**one.inputs, label: whole[:place]}), one.header["released"])


@pytest.mark.parametrize("path", [path for path in PATHS if path.parent.name == "stream"], ids=lambda path: path.stem)
def test_a_stream_is_judged_as_it_says(path: Path) -> None:
    one = read(path)
    report = run.stream(one)
    assert [verdict.status.value for verdict in report.verdicts] == one.header["gops"].split(", ")
    problems = report.problems()
    if report.valid_gops + report.unsigned_tail < report.gops and not problems:
        problems = ["not every GOP is signed"]
    assert ("success" if not problems else "integrity") == one.header["expect"], problems
    assert (report.verdict is StreamVerdict.AUTHENTIC) == (not problems and not report.unsigned_tail), report.verdict
    assert one.header.get("reason", "") in " | ".join(problems)
    assert run.sha256(run.released(one, report)) == one.header["released"]


def test_the_vectors_are_what_the_builders_make() -> None:
    """Fixed keys and seeds: `make vectors` changes nothing that is checked in, and nothing stands beside it."""
    made = files()
    found = {str(path.relative_to(run.HERE)): path.read_bytes() for path in run.HERE.rglob("*") if path.is_file()}
    assert found.keys() - made.keys() == {"README.md"}
    assert [name for name, data in made.items() if found.get(name) != data] == []
    assert sum(map(len, found.values())) < MAX_BYTES


def test_there_are_enough_of_them() -> None:
    assert len(PATHS) >= 150
    assert {read(path).header["object"] for path in PATHS} == {*run.RUN, "stream"}
