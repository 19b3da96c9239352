"""What keeps a camera from recording is felt within two seconds, whatever broke (BWC-POL-47)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from camerabench import Bench

from firmware.machine.indicators import CUES, CueName
from hal.interfaces import ButtonName
from hal.sim.card import CardFault

BREAK_AT_S = 5.0
LIMIT_NS = 2_000_000_000

BREAKS: dict[str, Callable[[Bench], None]] = {
    "camera reports a fault": lambda bench: bench.world.camera.fail("frontend timed out", 99),
    "camera stalls": lambda bench: bench.world.camera.stall_until(bench.at(99)),
    "microphone": lambda bench: bench.world.microphone.fail("unplugged", 99),
    "card refuses": lambda bench: bench.world.card.fail_always(CardFault.IO_ERROR),
    "card is full": lambda bench: bench.world.card.fail_always(CardFault.FULL),
}


def felt(bench: Bench) -> list[int]:
    """Instants from the break on at which the motor told of trouble."""
    alarms = [CUES[name].pulses for name in (CueName.FAULT, CueName.FULL, CueName.PARTIAL_FAULT)]
    return [one.at_ns for one in bench.world.seen.cues if one.cue.pulses in alarms and one.at_ns >= bench.at(BREAK_AT_S)]


@pytest.mark.parametrize("what", BREAKS)
def test_a_break_while_recording_is_felt(make_bench: Callable, what: str) -> None:
    """BWC-POL-47."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.at(bench.at(BREAK_AT_S), lambda: BREAKS[what](bench))
    bench.world.at(bench.at(9), lambda: bench.world.card.fail_always(None))
    bench.run(10)
    assert felt(bench), what
    assert felt(bench)[0] - bench.at(BREAK_AT_S) <= LIMIT_NS


@pytest.mark.parametrize("what", ["camera reports a fault", "card is full"])
def test_a_press_that_cannot_be_obeyed_is_felt(make_bench: Callable, what: str) -> None:
    """BWC-POL-01, BWC-POL-47: each one of them, at once, and written."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.at(bench.at(BREAK_AT_S), lambda: BREAKS[what](bench))
    second = bench.world.double_press(bench.at(8))
    bench.world.at(bench.at(9), lambda: bench.world.card.fail_always(None))
    bench.run(11)
    assert [one for one in felt(bench) if bench.at(8) <= one <= second + LIMIT_NS]
    reasons = [str(entry.fields["reason"]) for entry in bench.entries() if entry.kind == "fault"]
    assert [one for one in reasons if one.startswith("recording asked for while")]


def test_a_hold_right_after_a_tap_stops(make_bench: Callable) -> None:
    """BWC-POL-02: a mark and, within the double press's window, the hold: the wearer who holds is done."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    released = bench.world.press(ButtonName.RECORD, bench.at(6))
    bench.world.press(ButtonName.RECORD, released + 200_000_000, hold_ms=3300)
    bench.run(14)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.end.cause == "button"
    assert manifest.end.boottime_us < (6 + 4 + 4) * 1_000_000
    assert len(manifest.marks) == 2


def test_the_press_that_starts_may_be_held_for_long(make_bench: Callable) -> None:
    """BWC-POL-01, BWC-POL-02: who clings to the button in the moment of danger is recorded."""
    bench = make_bench(pre_event=1)
    released = bench.world.press(ButtonName.RECORD, bench.at(2))
    bench.world.press(ButtonName.RECORD, released + 150_000_000, hold_ms=6000)
    bench.run(12)
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.cause == "shutdown"
