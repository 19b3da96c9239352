"""More marks, mutes and gaps than a manifest's lists hold: the recording is closed all the same, the ledger tells of all of them, and
the verifier accepts leaves beyond a list that is full, and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from camerabench import RECORDING, Bench

from firmware import recorder
from firmware.evidence import manifest as m
from firmware.evidence import verify_recording
from firmware.evidence.continuity import Hole, unexplained
from firmware.evidence.fields import MAX_INTEGER
from firmware.evidence.findings import Verdict
from firmware.evidence.verify_recording import agrees
from firmware.recorder import build_manifest
from firmware.shellclock import read_clock
from hal.interfaces import ButtonName
from tests.unit import helpers_evidence as house

LISTS = [
    ("marks", m.MAX_MARKS, m.Mark(62_500_000, house.UTC, 2)),
    ("mutes", m.MAX_MUTES, m.Mute(61_000_000, 61_500_000, "button")),
    ("gaps", m.MAX_GAPS, m.Gap(1, 62_000_000, 1_000_000, 30, "queue-full")),
]


def built(**changes: Any) -> m.Manifest:
    """As the recorder and the boot after a power cut make it."""
    whole = house.manifest()
    parts = {"begin": house.begin(), "fragments": whole.fragments, "marks": (), "gaps": (), "mutes": (), **changes}
    return build_manifest(end=whole.end, init=whole.init, notes=whole.notes, span=whole.ledger, **parts)


@pytest.mark.parametrize(("name", "limit", "one"), LISTS)
def test_a_full_list_is_the_formats_and_one_more_is_refused(name: str, limit: int, one: Any) -> None:
    """The named limits are the bounds that a reader holds."""
    full = replace(house.manifest(), **{name: (one,) * limit})
    assert m.Manifest.from_bytes(full.to_bytes()) == full
    with pytest.raises(m.FormatError, match=f"{name}: expected an array of 0 to {limit} items"):
        replace(full, **{name: (one,) * (limit + 1)}).to_bytes()


@pytest.mark.parametrize(("name", "limit", "one"), LISTS)
def test_what_a_list_cannot_hold_does_not_keep_a_recording_open(name: str, limit: int, one: Any) -> None:
    """BWC-POL-24: the first ones stand in it."""
    first = replace(one, utc="2026-11-23T08:14:46.000000Z") if name == "marks" else replace(one, cause="first")
    made = built(**{name: [first, *(one,) * limit]})
    assert getattr(made, name) == (first, *(one,) * (limit - 1))
    assert m.Manifest.from_bytes(made.to_bytes()) == made


@pytest.mark.parametrize(("before_us", "actual_ms"), [(599_999_999, 599_999), (600_001_000, 600_000), (MAX_INTEGER - 65_000_000, 600_000)])
def test_a_pre_event_part_beyond_the_format_does_not_keep_a_recording_open(before_us: int, actual_ms: int) -> None:
    """BWC-POL-24."""
    begun = replace(house.begin(), boottime_us=60_000_000 + before_us)
    made = built(begin=begun, fragments=[house.fragment(0)])
    assert made.pre_event.actual_ms == actual_ms <= m.MAX_PRE_EVENT_MS
    made.to_bytes()
    with pytest.raises(m.FormatError):
        replace(made, pre_event=replace(made.pre_event, actual_ms=m.MAX_PRE_EVENT_MS + 1)).to_bytes()


def mark_often(bench: Bench, count: int) -> None:
    """As many taps on a button, in a recording."""
    custodian = bench.daemon._custodian
    at = read_clock(bench.daemon._hal.clock)
    for _ in range(count):
        custodian.submit_mark(at)
    custodian.kick()


@pytest.mark.parametrize("ended", ["in order", "by a power cut"])
def test_a_recording_of_more_marks_than_its_manifest_holds(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, ended: str
) -> None:
    """BWC-POL-18, BWC-POL-24, BWC-POL-28: closed, by the boot after a power cut too, whole and authentic; every mark is a leaf.
    The limit is a hundredth of the format's here."""
    limit = m.MAX_MARKS // 100
    for module in (recorder, verify_recording):
        monkeypatch.setattr(module, "MAX_MARKS", limit)
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(6), lambda: mark_often(bench, limit + 1))
    if ended == "in order":
        bench.world.press(ButtonName.RECORD, bench.at(8), hold_ms=3300)
        bench.run(16)
    else:
        bench.world.cut_power(bench.at(8))
        bench.run_into_cut()
        bench.run(bench.world.now_ns / 1e9 + 8)
    manifest = bench.manifest(RECORDING)
    assert manifest.end.cause == ("button" if ended == "in order" else "power-loss")
    assert bench.kinds().count("mark") == limit + 1
    assert len(manifest.marks) == limit
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize(
    ("told", "listed", "good"),
    [
        (0, 0, True),
        (7, 7, True),
        (7, 6, False),
        (6, 7, False),
        (9, 9, True),
        (9, 10, False),
        (10, 10, True),
        (11, 10, True),
        (12, 9, False),
    ],
)
def test_only_leaves_beyond_a_full_list_are_accepted(told: int, listed: int, good: bool) -> None:
    """BWC-POL-26: ten is the limit here."""
    assert agrees(told, listed, 10) is good


def test_a_gap_that_stands_in_the_ledger_alone_explains_its_time() -> None:
    """BWC-POL-05, house law 4."""
    whole = house.manifest()
    after = replace(whole.fragments[3], boottime_us=whole.fragments[3].boottime_us + 2_000_000)
    late = replace(whole, fragments=(*whole.fragments[:3], after), end=replace(whole.end, boottime_us=66_000_000), gaps=())
    assert list(unexplained(late)) == [Hole(2, 63_000_000, 2_000_000)]
    assert list(unexplained(late, [m.Gap(2, 63_000_000, 2_000_000, 60, "camera")])) == []
