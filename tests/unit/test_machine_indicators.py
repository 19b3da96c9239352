"""The indicator grammar against its golden file (BWC-POL-13, BWC-POL-14)."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from firmware.machine.indicators import CUES, Colour, Counted, Cue, CueName, Lamp, View, choose_cue, count, felt_only, lamps
from firmware.machine.states import Battery, State
from firmware.policy.lists import MAX_CHOICES

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
    "question asked": View(asking=True),
    "stealth": View(stealth=True),
    "offloaded, charged and outdated": View(offloaded=True, charged=True, up_to_date=False),
    "everything at once": View(True, Battery.LOW, True, True, True, True, True, True),
}
NUMBERS = [count(Counted(place, "words")) for place in range(MAX_CHOICES)]


def _lamp(lamp: Lamp) -> str:
    return f"{lamp.colour.value} {lamp.blink_ms} ms" if lamp.blink_ms else lamp.colour.value


def grammar() -> dict[str, Any]:
    shown = {}
    for state, (name, view) in product(State, VIEWS.items()):
        subject, status = lamps(state, view)
        shown[f"{state.value}, {name}" if name else state.value] = {"subject": _lamp(subject), "status": _lamp(status)}
    numbers = {f"choice {place + 1}": _cue(cue) for place, cue in enumerate(NUMBERS)}
    return {"lamps": shown, "cues": {name.value: _cue(cue) for name, cue in CUES.items()} | numbers}


def _cue(cue: Cue) -> dict[str, Any]:
    return {"tones": [list(t) for t in cue.tones], "pulses": [list(p) for p in cue.pulses]} | ({"words": cue.words} if cue.words else {})


def test_golden_file() -> None:
    """What people learn to read must not change unnoticed (BWC-POL-14)."""
    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == grammar()


def test_subject_lamp_is_red_and_steady_exactly_while_recording() -> None:
    """BWC-POL-13; dark in stealth alone (BWC-POL-15), and then the status lamp is dark too."""
    for state, view in product(State, VIEWS.values()):
        lit = state is State.RECORDING and not view.stealth
        assert lamps(state, view)[0] == (Lamp(Colour.RED) if lit else Lamp())
        assert not view.stealth or lamps(state, view)[1] == Lamp()


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
    assert not {cue.pulses for cue in NUMBERS} & {cue.pulses for cue in CUES.values()}


def test_a_choice_is_counted_by_its_pulses() -> None:
    """BWC-POL-18: one short pulse each, one long pulse for five; a tone with every pulse, and the words with it."""
    counts = [sum(5 if on_ms >= 400 else 1 for on_ms, _ in cue.pulses) for cue in NUMBERS]
    assert counts == list(range(1, MAX_CHOICES + 1))
    assert [len([hz for hz, _ in cue.tones if hz]) for cue in NUMBERS] == [len(cue.pulses) for cue in NUMBERS]
    assert {cue.words for cue in NUMBERS} == {"words"}


def test_what_is_left_of_a_cue_in_stealth() -> None:
    """BWC-POL-15: nothing is heard or said, all is felt; what was for the ear alone is not played."""
    for cue in (*CUES.values(), *NUMBERS):
        left = felt_only(cue)
        assert left == (Cue((), cue.pulses) if cue.pulses else None)
    assert felt_only(None) is None


def test_resting_states_and_warnings_look_different() -> None:
    plain = [lamps(state, View())[1] for state in State]
    assert len(set(plain)) == len(plain)
    warnings = [lamps(State.READY, VIEWS[name])[1] for name in ("", "partial fault", "battery low", "battery critical", "storage low")]
    warnings += [lamps(State.READY, VIEWS["clock unset"])[1], lamps(State.READY, VIEWS["question asked"])[1]]
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
