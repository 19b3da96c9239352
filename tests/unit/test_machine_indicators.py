"""The indicator grammar against its golden file (BWC-POL-13, BWC-POL-14)."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from firmware.machine.indicators import CUES, Colour, CueName, Lamp, View, choose_cue, lamps
from firmware.machine.states import Battery, State

GOLDEN = Path(__file__).resolve().parent.parent / "vectors" / "indicators.json"

VIEWS = {
    "": View(),
    "partial fault": View(partial_fault=True),
    "battery low": View(battery=Battery.LOW),
    "battery critical": View(battery=Battery.CRITICAL),
    "storage low": View(low_storage=True),
    "clock unset": View(clock_unset=True),
    "muted": View(muted=True),
    "offloaded": View(offloaded=True),
    "charged": View(charged=True),
    "offloaded and charged": View(offloaded=True, charged=True),
    "offloaded, charged and outdated": View(offloaded=True, charged=True, up_to_date=False),
    "everything at once": View(True, Battery.LOW, True, True, True, True, True),
}


def _lamp(lamp: Lamp) -> str:
    return f"{lamp.colour.value} {lamp.blink_ms} ms" if lamp.blink_ms else lamp.colour.value


def grammar() -> dict[str, Any]:
    shown = {}
    for state, (name, view) in product(State, VIEWS.items()):
        subject, status = lamps(state, view)
        shown[f"{state.value}, {name}" if name else state.value] = {"subject": _lamp(subject), "status": _lamp(status)}
    cues = {name.value: {"tones": [list(t) for t in cue.tones], "pulses": [list(p) for p in cue.pulses]} for name, cue in CUES.items()}
    return {"lamps": shown, "cues": cues}


def test_golden_file() -> None:
    """What people learn to read must not change unnoticed (BWC-POL-14)."""
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == grammar()


def test_subject_lamp_is_red_and_steady_exactly_while_recording() -> None:
    """BWC-POL-13."""
    for state, view in product(State, VIEWS.values()):
        assert (lamps(state, view)[0] == Lamp(Colour.RED)) is (state is State.RECORDING)
        assert (lamps(state, view)[0] == Lamp()) is (state is not State.RECORDING)


def test_start_stop_and_mark() -> None:
    """Start is two tones and two vibrations, stop one long, mark one short (BWC-POL-14)."""
    for name in (CueName.START, CueName.START_SHORT):
        assert len(CUES[name].pulses) == 2
    assert [hz for hz, _ in CUES[CueName.START].tones if hz] == [880, 880]
    (stop,), (mark,) = CUES[CueName.STOP].pulses, CUES[CueName.MARK].pulses
    assert len(CUES[CueName.STOP].tones) == len(CUES[CueName.MARK].tones) == 1
    assert stop[0] >= 4 * mark[0]


def test_cues_are_distinct_by_ear_and_by_hand() -> None:
    """BWC-POL-14. What a hand must tell apart in the field has its own vibration; the dock's two are for the ear."""
    assert set(CUES) == set(CueName)
    assert len(set(CUES.values())) == len(CUES)
    assert len({cue.tones for cue in CUES.values()}) == len(CUES)
    by_hand = [cue.pulses for name, cue in CUES.items() if name not in (CueName.DOCKED, CueName.SAFE_TO_REMOVE)]
    alike = {pulses for pulses in by_hand if by_hand.count(pulses) > 1}
    assert alike == {CUES[CueName.START].pulses}


def test_resting_states_and_warnings_look_different() -> None:
    plain = [lamps(state, View())[1] for state in State]
    assert len(set(plain)) == len(plain)
    warnings = [lamps(State.READY, VIEWS[name])[1] for name in ("", "partial fault", "battery low", "battery critical", "storage low")]
    warnings.append(lamps(State.READY, VIEWS["clock unset"])[1])
    assert len(set(warnings)) == len(warnings)


def test_dock_is_green_only_when_charged_and_all_transferred() -> None:
    """The truth table of BWC-POL-45."""
    shown = set()
    for offloaded, charged, newest in product((False, True), repeat=3):
        lamp = lamps(State.DOCKED, View(offloaded=offloaded, charged=charged, up_to_date=newest))[1]
        assert (lamp.colour is Colour.GREEN) is (offloaded and charged and newest)
        shown.add(lamp)
    assert len(shown) == 4, "what is wanting is told apart: transfer, update, charge"


def test_the_most_urgent_cue_is_played() -> None:
    assert choose_cue((CueName.STOP, CueName.FAULT, CueName.READY)) == CUES[CueName.FAULT]
    assert choose_cue((CueName.READY, CueName.STOP)) == CUES[CueName.STOP]
    assert choose_cue(()) is None
