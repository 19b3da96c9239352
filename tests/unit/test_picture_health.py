"""Whether the lens sees (BWC-POL-40): the judgement by itself, the measuring, and the daemon with a simulated lens that is covered."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.custody.entries import KINDS, Entry
from firmware.evidence.findings import Verdict
from firmware.lens import measure
from firmware.machine.indicators import CUES, CueName
from firmware.machine.picture_health import (
    BLURRED,
    BLURRED_LEFT,
    DARK,
    DARK_LEFT,
    FLAT,
    FLAT_LEFT,
    HOLD_NS,
    Finding,
    LensState,
    Measure,
    glance,
    judge,
)
from firmware.timebase import Timestamp
from hal.canvas import Canvas
from hal.errors import DeviceFault
from hal.interfaces import ButtonName, ClockReading, ClockTrust, LumaPicture
from hal.luma import shrink
from hal.sim.orientation import SimOrientation
from hal.sim.scene import DrawnStreet
from hal.sim.sight import Sight, seen

S = 1_000_000_000
STREET = Measure(131, 37, 1.5, False)
FLAT_PICTURE = Measure(20, 1, 0, True)
NIGHT = Measure(30, 6, 1.5, False)
SMEAR = Measure(131, 27, 0.02, False)
STILL = Measure(131, 37, 1.5, True)


def told(measures: list[Measure], state: LensState | None = None) -> list[tuple[int, Finding]]:
    """(second, finding), one picture a second."""
    state, found = state or LensState(), []
    for second, one in enumerate(measures):
        state, news = judge(state, one, second * S)
        if news is not None:
            found.append((second, news))
    return found


@pytest.mark.parametrize(
    ("seen", "finding", "after"),
    [(FLAT_PICTURE, "covered", 5), (NIGHT, "dark", 10), (SMEAR, "blurred", 10), (STILL, "frozen", 5)],
)
def test_a_finding_holds_for_seconds_before_it_is_told_and_is_told_once(seen: Measure, finding: str, after: int) -> None:
    assert told([STREET] * 3 + [seen] * after) == []
    assert told([STREET] * 3 + [seen] * 30 + [STREET] * 30) == [(3 + after, Finding(finding)), (36, Finding.CLEAR)]


def test_what_comes_and_goes_is_not_told() -> None:
    assert told(([FLAT_PICTURE] * 4 + [STREET]) * 20) == []
    assert told([FLAT_PICTURE] * 6 + ([STREET] * 2 + [FLAT_PICTURE]) * 20) == [(5, Finding.COVERED)]


@pytest.mark.parametrize(
    ("inside", "between", "finding"),
    [
        (Measure(20, FLAT - 0.1, 1, False), Measure(99, (FLAT + FLAT_LEFT) / 2, 1, False), Finding.COVERED),
        (Measure(DARK - 0.1, 9, 1, False), Measure((DARK + DARK_LEFT) / 2, 9, 1, False), Finding.DARK),
        (Measure(99, 30, BLURRED - 0.01, False), Measure(99, 30, (BLURRED + BLURRED_LEFT) / 2, False), Finding.BLURRED),
    ],
)
def test_a_threshold_is_left_further_out_than_it_was_entered(inside: Measure, between: Measure, finding: Finding) -> None:
    assert glance(inside, Finding.CLEAR) is finding
    assert glance(between, Finding.CLEAR) is Finding.CLEAR
    assert glance(between, finding) is finding


def test_pictures_far_apart_say_nothing_of_the_time_between() -> None:
    """The camera was off: two dark pictures an hour apart are not an hour of darkness."""
    state, _ = judge(LensState(), FLAT_PICTURE, 0)
    state, news = judge(state, FLAT_PICTURE, 3600 * S)
    assert news is None
    assert state.since_ns == 3600 * S


@given(st.lists(st.sampled_from([STREET, FLAT_PICTURE, NIGHT, SMEAR, STILL]), max_size=80))
def test_findings_alternate_and_never_come_sooner_than_their_time(measures: list[Measure]) -> None:
    found = told(measures)
    names = [Finding.CLEAR, *(one for _, one in found)]
    assert all(one is not other for one, other in pairwise(names))
    for second, finding in found:
        assert {glance(one, Finding.CLEAR) for one in measures[second - HOLD_NS[finding] // S : second + 1]} == {finding}


def test_the_ledger_knows_every_finding() -> None:
    at = Timestamp(1000, 1_800_000_000_000_000_000)
    for finding in Finding:
        assert Entry.from_bytes(Entry(0, "picture", at, 1, {"finding": finding.value}).to_bytes()).fields == {"finding": finding.value}
    assert KINDS["picture"].keys() == {"finding"}


def street(width: int, height: int, second: float) -> Canvas:
    canvas, scene = Canvas(width, height), DrawnStreet(7)
    scene.aim(canvas, 0)
    scene.look(round(second * S), 10**18, 0)
    return canvas


def reading(second: float) -> ClockReading:
    return ClockReading(round(second * S), round(second * S), ClockTrust.RTC)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (320, 240)])
@pytest.mark.parametrize(
    ("sight", "finding"),
    [(Sight.CLEAR, "clear"), (Sight.COVERED, "covered"), (Sight.DARK, "dark"), (Sight.SMEARED, "blurred")],
)
@pytest.mark.parametrize("noise", [0.0, 4.0])
def test_the_simulated_lens_is_judged_through_a_sensors_noise(width: int, height: int, sight: Sight, finding: str, noise: float) -> None:
    """``noise``: standard deviation per pixel at 1280 columns, more than a small sensor's in daylight; fewer are averages of those."""
    planes = seen(sight, street(width, height, 3).planes, height, None)
    dice = np.random.default_rng(3)
    luma = np.clip(planes[:height] + dice.normal(0, noise * (width / 1280) ** 0.5, (height, width)), 16, 235).astype(np.uint8)
    assert glance(measure(shrink(luma, reading(3)), None), Finding.CLEAR) is Finding(finding)


def test_a_picture_that_comes_again_is_seen_and_the_same_one_is_not() -> None:
    data = shrink(street(320, 240, 1).y, reading(1))
    again = LumaPicture(data.width, data.height, data.data, reading(2))
    assert measure(again, data).repeated
    assert not measure(data, data).repeated
    assert not measure(again, None).repeated
    assert not measure(shrink(street(320, 240, 2).y, reading(2)), data).repeated


def test_a_tiny_picture_is_measured() -> None:
    assert measure(LumaPicture(2, 2, b"\x10\xeb\x10\xeb", reading(1)), None).contrast > 100


def pictures(bench) -> list[tuple[float, str]]:
    """(second of the world, finding) of every leaf."""
    return [(one.time.boottime_ns / S - 4, one.fields["finding"]) for one in bench.entries() if one.kind == "picture"]


@pytest.mark.parametrize(
    ("sight", "finding", "hold"), [("covered", "covered", 5), ("dark", "dark", 10), ("smeared", "blurred", 10), ("frozen", "frozen", 5)]
)
def test_a_lens_that_does_not_see_is_felt_and_written_and_records_on(make_bench: Callable, sight: str, finding: str, hold: int) -> None:
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(4))
    bench.world.change_sight(Sight(sight), bench.at(14.5))
    bench.world.change_sight(Sight.CLEAR, bench.at(30.5))
    bench.world.press(ButtonName.RECORD, bench.at(38), hold_ms=3300)
    bench.run(44)
    (first, name), (second, clear) = pictures(bench)
    assert (name, clear) == (finding, "clear")
    assert 14.5 + hold <= first <= 14.5 + hold + 2
    assert 33.5 <= second <= 35.5
    assert [one.at_ns / S for one in bench.world.seen.cues if one.cue.tones == CUES[CueName.LENS].tones] == [pytest.approx(first, abs=1.1)]
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert (manifest.end.cause, manifest.gaps) == ("button", ())
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_camera_that_hangs_by_its_strap_is_felt_and_written(make_bench: Callable) -> None:
    bench = make_bench(pre_event=2)
    bench.world.turn_over(bench.at(14.5))
    bench.world.turn_over(bench.at(30.5), upside_down=False)
    bench.run(40)
    (first, name), (second, clear) = pictures(bench)
    assert (name, clear) == ("upside-down", "clear")
    assert 24.5 <= first <= 26.5
    assert 33.5 <= second <= 35.5
    assert [one.at_ns / S for one in bench.world.seen.cues if one.cue.tones == CUES[CueName.LENS].tones] == [pytest.approx(first, abs=1.1)]


@pytest.mark.parametrize(
    ("up_g", "told", "finding"),
    [
        (1.0, "clear", "clear"),
        (0.0, "clear", "clear"),
        (-0.49, "clear", "clear"),
        (-0.51, "clear", "upside-down"),
        (-0.21, "upside-down", "upside-down"),
        (-0.19, "upside-down", "clear"),
        (None, "clear", "clear"),
        (None, "upside-down", "clear"),
    ],
)
def test_upside_down_is_what_gravity_says(up_g: float | None, told: str, finding: str) -> None:
    """Lying on its side or back is not upside down; a camera that measures nothing is never called so."""
    assert glance(Measure(120, 40, 0.5, False, up_g), Finding(told)) is Finding(finding)


def test_what_cannot_be_seen_at_all_is_told_first() -> None:
    assert glance(Measure(20, 1, 0.5, False, -1.0), Finding.CLEAR) is Finding.COVERED


def test_an_accelerometer_that_fails_costs_its_finding_alone(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: SimOrientation) -> float:
        raise DeviceFault("no answer")

    monkeypatch.setattr(SimOrientation, "up_g", fails)
    bench = make_bench(pre_event=2)
    bench.world.turn_over(bench.at(2))
    bench.world.change_sight(Sight.COVERED, bench.at(14.5))
    bench.run(25)
    assert [finding for _, finding in pictures(bench)] == ["covered"]


def test_a_street_by_day_raises_no_alarm(make_bench: Callable) -> None:
    bench = make_bench(pre_event=2)
    bench.run(60)
    assert pictures(bench) == []
