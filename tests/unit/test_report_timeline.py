"""The report's time line: intervals tile the shift, moments stand where the ledger puts them, and text is escaped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from firmware.evidence.findings import Report
from hal.interfaces import ButtonName
from tools.report import RecordingPage, ShiftPage, draw, still_moments, write_report
from tools.timeline import build_timeline


@pytest.fixture
def bench(make_bench: Callable):
    """A recording, a power loss in a second one, a boot, the dock."""
    one = make_bench(pre_event=2)
    one.world.double_press(one.at(3))
    one.world.press(ButtonName.RECORD, one.at(5))
    one.world.press(ButtonName.RECORD, one.at(6), hold_ms=3300)
    one.world.double_press(one.at(12))
    one.world.cut_power(one.at(15))
    one.run_into_cut()
    one.world.run_until(one.at(20))
    one.world.dock(one.at(26))
    one.run(30)
    return one


def test_intervals_tile_the_shift(bench) -> None:
    """BWC-POL-05: every instant from the first leaf to the last is in exactly one interval."""
    manifests = [bench.manifest(one) for one in bench.recordings()]
    line = build_timeline(bench.entries(), manifests)
    assert line.states[0].start_ns == line.start_ns
    assert line.states[-1].end_ns == line.end_ns
    for before, after in zip(line.states, line.states[1:], strict=False):
        assert before.end_ns == after.start_ns
    kinds = [one.kind for one in line.states]
    assert kinds[:7] == [
        "ready",
        "recording",
        "ready",
        "recording",
        "off",
        "ready",
        "docked",
    ]


def test_moments_stand_where_they_happened(bench) -> None:
    manifests = [bench.manifest(one) for one in bench.recordings()]
    line = build_timeline(bench.entries(), manifests)
    by_kind = {one.kind: one for one in line.moments}
    start = bench.world.start_wall_ns
    assert abs(by_kind["mark"].at_ns - start - bench.at(5)) < 50_000_000
    assert 0 <= start + bench.at(15) - by_kind["power-loss"].at_ns <= 1_034_000_000
    assert abs(by_kind["dock"].at_ns - start - bench.at(26)) < 500_000_000
    assert [round((one.end_ns - one.start_ns) / 1e9) for one in line.pre_event] == [2, 2]


def test_drawing_stays_on_the_page(bench) -> None:
    drawn = draw(build_timeline(bench.entries(), [bench.manifest(one) for one in bench.recordings()]))
    for box in drawn["states"] + drawn["pre_event"]:
        assert 0 <= box["x"] <= box["x"] + box["width"] <= drawn["width"] + 2
    for one in drawn["moments"]:
        assert 0 <= one["x"] <= drawn["width"]
        assert one["row"] in range(4)


def test_neighbours_that_say_the_same_are_written_once(bench) -> None:
    line = build_timeline(bench.entries(), [bench.manifest(one) for one in bench.recordings()])
    start, mark = line.start_ns, next(one for one in line.moments if one.kind == "mark")
    near = [replace(mark, at_ns=start + ms * 1_000_000) for ms in (0, 300, 600, 20_000)]
    assert [one["label"] for one in draw(replace(line, moments=tuple(near)))["moments"]] == ["mark ×3", "mark"]


def test_stills_are_asked_for_where_they_matter(bench) -> None:
    first, second = (bench.manifest(one) for one in bench.recordings())
    labels = [label for label, _ in still_moments(first)]
    assert labels[:2] == ["first picture kept", "at the press"]
    assert any(label.startswith("mark") for label in labels)
    assert still_moments(second)[-1][0] == "last picture before the power loss"


def test_a_recording_that_a_dead_recorder_left_and_the_one_that_goes_on_are_not_called_a_press_and_a_power_loss(bench) -> None:
    second = bench.manifest(bench.recordings()[1])
    died = replace(second, end=replace(second.end, cause="fault"), begin=replace(second.begin, cause="recovery"))
    assert [label for label, _ in still_moments(died)][1:] == ["activation (recovery)", "last picture before the recorder died"]
    changed = {"begin": {"cause": "recovery"}, "boot": {"previous": "crash"}}
    entries = [replace(one, fields={**one.fields, **changed.get(one.kind, {})}) for one in bench.entries()]
    labels = [one.label for one in build_timeline(entries, []).moments]
    assert "goes on" in labels
    assert "restarted" in labels
    assert "pressed" not in labels


def test_hostile_text_is_escaped(bench, tmp_path: Path) -> None:
    """Sealed notes and names come from outside: nothing of them becomes markup."""
    recording = bench.recordings()[0]
    nasty = '"><script>alert(1)</script>'
    pages = [RecordingPage(bench.manifest(recording), {"officer": nasty}, nasty, 1, [(nasty, "data:,")])]
    report = Report("SIM-0001", (), tuple(one for one in bench.verify().recordings if one.recording == recording))
    page = ShiftPage(nasty, bench.entries(), report, pages, None, {nasty: nasty}, [(nasty, nasty)], nasty, nasty, nasty)
    write_report(tmp_path / "report.html", page)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
