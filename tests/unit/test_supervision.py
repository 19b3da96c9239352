"""The ladder, rung by rung: which stage has stopped, and what is tried next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.machine.supervision import (
    ENCODER_NS,
    GIVE_UP_NS,
    PROVEN_NS,
    STALL_NS,
    START_NS,
    CameraWatch,
    Finding,
    Stages,
    Step,
    look,
)

S = 1_000_000_000
BEGAN = 100 * S


def stages(sensor: float, encoder: float, *, starting: bool = False, started: float = 0) -> Stages:
    """Seconds after :data:`BEGAN`."""
    return Stages(BEGAN + round(started * S), starting, BEGAN + round(sensor * S), BEGAN + round(encoder * S))


def at(seconds: float) -> int:
    return BEGAN + round(seconds * S)


def worked_for(seconds: float, watch: CameraWatch | None = None) -> CameraWatch:
    """A watch that saw pictures until then."""
    watch, found = look(watch or CameraWatch(), stages(0.1, 0.1), False, at(0.1))
    assert found is None
    watch, found = look(watch, stages(seconds, seconds), False, at(seconds))
    assert found is None
    return watch


def test_pictures_in_time_are_no_finding() -> None:
    for now in (0.1, 1, 50, 3600):
        assert look(CameraWatch(), stages(now, now - 0.1), False, at(now))[1] is None


def test_an_encoder_behind_a_moving_sensor_is_replaced_before_it_is_a_fault() -> None:
    """BWC-POL-47: so early that the recording need not end."""
    watch, found = look(worked_for(5), stages(6, 5.2), False, at(6))
    assert found is not None
    assert found.step is Step.ENCODER
    assert ENCODER_NS <= STALL_NS // 2
    again, found = look(watch, stages(6.3, 5.2), False, at(6.3))
    assert found is None, "one try at a time"
    _, found = look(again, stages(6.8, 5.2), False, at(6.8))
    assert found == Finding(None, "encoder: no picture for 1.6 s")


def test_a_sensor_that_stands_still_is_a_fault_that_says_so() -> None:
    _, found = look(worked_for(5), stages(5, 5), False, at(6))
    assert found is None
    _, found = look(worked_for(5), stages(5, 5), False, at(6.6))
    assert found == Finding(None, "sensor: no picture for 1.6 s")


def test_a_start_has_its_time_and_no_more() -> None:
    watch = CameraWatch()
    for now in (1, 4, 7.9):
        watch, found = look(watch, stages(0, 0, starting=True), False, at(now))
        assert found is None
    _, found = look(watch, stages(0, 0, starting=True), False, BEGAN + START_NS + S)
    assert found is not None
    assert found.step is None
    assert "does not start" in found.reason


def faulted(watch: CameraWatch, since: float, until: float) -> list[Step | None]:
    """Every finding of a fault that lasts from ``since`` to ``until``."""
    steps = []
    now = since
    while now <= until:
        watch, found = look(watch, stages(since, since), True, at(now))
        if found is not None:
            steps.append(found.step)
        now += 0.25
    return steps


def test_a_fault_that_lasts_ends_the_run_once_and_only_if_the_camera_had_proven_itself() -> None:
    proven, fresh = PROVEN_NS / S + 5, PROVEN_NS / S - 5
    assert faulted(worked_for(proven), proven, proven + 9.5) == []
    assert faulted(worked_for(proven), proven, proven + 600) == [Step.RESTART]
    assert faulted(worked_for(fresh), fresh, fresh + 600) == []
    assert faulted(CameraWatch(), 0, 600) == []


@pytest.mark.parametrize(("inherited", "steps"), [(None, []), (Step.RESTART, [Step.REBOOT]), (Step.REBOOT, [])])
def test_a_new_process_without_a_picture_asks_for_a_reboot_once(inherited: Step | None, steps: list[Step]) -> None:
    """A broken ribbon must not make the board boot for ever."""
    assert faulted(CameraWatch(inherited), 0, 3600) == steps


def test_a_camera_that_works_again_forgets_the_ladder() -> None:
    watch = worked_for(PROVEN_NS / S + 1, CameraWatch(Step.REBOOT))
    watch, found = look(watch, stages(70, 70), False, at(70))
    assert found is None
    assert faulted(watch, 70, 90) == [Step.RESTART]


@given(st.lists(st.tuples(st.sampled_from(["both", "sensor", "none"]), st.booleans()), max_size=400))
def test_whatever_happens_a_run_ends_itself_at_most_once_and_never_early(turns: list[tuple[str, bool]]) -> None:
    """Any mixture of progress, at a look a second: no ending step before the fault is old enough, and one at the most."""
    watch, sensor, encoder, faults = CameraWatch(Step.RESTART), 0.0, 0.0, 0
    ended = []
    for second, (moves, known) in enumerate(turns, start=1):
        sensor = float(second) if moves != "none" else sensor
        encoder = float(second) if moves == "both" else encoder
        faults = faults + 1 if known else 0
        watch, found = look(watch, stages(sensor, encoder), known, at(second))
        if found is not None and found.step in (Step.RESTART, Step.REBOOT):
            ended.append(found.step)
            assert known
            assert (faults - 1) * S >= GIVE_UP_NS
    assert len(ended) <= 1
