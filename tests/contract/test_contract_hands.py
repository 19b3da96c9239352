"""What every button, lamp, power gauge, receiver and dock contact owes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers_hal import HANDS
from rigs import HandsRig

from hal.interfaces import ButtonEdge, ButtonName, Colour, Cue, DockSense, Lamp, LampName, PowerState

pytestmark = pytest.mark.xdist_group("real time 1")

MS = 1_000_000


@pytest.fixture(params=HANDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HandsRig]:
    with HANDS[request.param](tmp_path) as opened:
        yield opened


def test_one_press_is_two_edges_however_the_contact_chatters(rig: HandsRig) -> None:
    """BWC-POL-01: no press is lost, none is made up; the instants are those of the first touch and of the release."""
    edges: list[ButtonEdge] = []
    rig.buttons.subscribe(edges.append)
    for hold_ms in (80, 3500):
        rig.press(ButtonName.RECORD, hold_ms)
    assert [(edge.button, edge.pressed) for edge in edges] == [(ButtonName.RECORD, True), (ButtonName.RECORD, False)] * 2
    held = [release.at.boottime_ns - press.at.boottime_ns for press, release in zip(edges[::2], edges[1::2], strict=True)]
    assert held == [pytest.approx(80 * MS, abs=MS), pytest.approx(3500 * MS, abs=MS)]


def test_buttons_are_told_apart_and_released_at_rest(rig: HandsRig) -> None:
    edges: list[ButtonEdge] = []
    rig.buttons.subscribe(edges.append)
    rig.press(ButtonName.FUNCTION, 100)
    assert {edge.button for edge in edges} == {ButtonName.FUNCTION}
    assert not any(rig.buttons.is_pressed(name) for name in ButtonName)


def test_a_lamp_reads_back_what_it_drives(rig: HandsRig) -> None:
    """BWC-POL-13."""
    assert {rig.indicators.read_back(name) for name in LampName} == {Colour.OFF}
    rig.indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED, blink_ms=500))
    rig.indicators.set_lamp(LampName.STATUS, Lamp(Colour.GREEN))
    assert rig.indicators.read_back(LampName.SUBJECT) is Colour.RED
    assert rig.indicators.read_back(LampName.STATUS) is Colour.GREEN
    rig.indicators.set_lamp(LampName.SUBJECT, Lamp())
    assert rig.indicators.read_back(LampName.SUBJECT) is Colour.OFF


def test_a_broken_lamp_reads_back_dark(rig: HandsRig) -> None:
    """BWC-POL-13: the fault is seen, whatever the lamp was told."""
    rig.break_lamp(LampName.SUBJECT)
    rig.indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    rig.indicators.set_lamp(LampName.STATUS, Lamp(Colour.RED))
    assert rig.indicators.read_back(LampName.SUBJECT) is Colour.OFF
    assert rig.indicators.read_back(LampName.STATUS) is Colour.RED


def test_a_cue_returns_at_once(rig: HandsRig) -> None:
    rig.indicators.play(Cue(tones=((880, 60_000),), pulses=((30_000, 30_000),)))
    rig.indicators.play(Cue())


def test_a_change_of_power_is_told(rig: HandsRig) -> None:
    """BWC-POL-48."""
    states: list[PowerState] = []
    rig.power.subscribe(states.append)
    rig.set_percent(20)
    assert states[-1].percent == rig.power.state().percent == 20
    assert 2500 < states[-1].millivolts < 4500


def test_the_dock_is_sensed_once_each_way(rig: HandsRig) -> None:
    senses: list[DockSense] = []
    rig.dock_link.subscribe(senses.append)
    assert not rig.dock_link.docked()
    rig.dock(True)
    rig.dock(True)
    assert rig.dock_link.docked()
    rig.dock_link.request_sync()
    rig.dock(False)
    assert [sense.docked for sense in senses] == [True, False]
    assert not rig.dock_link.docked()


def test_up_is_within_what_a_chip_can_measure(rig: HandsRig) -> None:
    up_g = rig.orientation.up_g()
    assert up_g is None or -16 <= up_g <= 16


def test_a_fix_is_on_earth_and_not_from_the_future(rig: HandsRig) -> None:
    fix = rig.positioning.fix()
    if fix is not None:
        assert -90 <= fix.latitude <= 90
        assert -180 <= fix.longitude <= 180
        assert fix.accuracy_m > 0
        assert fix.at.boottime_ns >= 0
