"""The record button in the middle of everything that can go wrong: a press starts a recording at its own instant, or is felt to be refused
within two seconds, is written, and is obeyed as soon as it can be (BWC-POL-01, -47). None is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from camerabench import Bench, leave, receipt_for

from firmware.evidence.findings import Severity, Verdict
from firmware.machine.indicators import CUES, CueName
from hal.interfaces import ButtonName
from hal.sim.card import CardFault
from hal.sim.world import START_UP_NS
from tests.prepared import prepare

PRESS_S = 12.0
END_S = 30.0
TEN_YEARS_NS = 10 * 365 * 86_400 * 10**9
TWO_MINUTES_NS = 120 * 10**9
RESERVE = 16_777_216
Make = Callable[..., Bench]


@dataclass(frozen=True, slots=True)
class Trouble:
    """What happens, and from when on a press can be obeyed (``None``: never, on this card)."""

    arrange: Callable[[Bench], object]
    obeyed_s: float | None = PRESS_S + 0.5
    options: tuple[tuple[str, object], ...] = ()
    changes: tuple[tuple[str, str], ...] = ()


def card_fails(bench: Bench, fault: CardFault, until_s: float | None) -> None:
    bench.world.at(bench.at(PRESS_S - 2), lambda: bench.world.card.fail_always(fault))
    if until_s is not None:
        bench.world.at(bench.at(until_s), lambda: bench.world.card.fail_always(None))


def dock_with_receipt(bench: Bench) -> None:
    """In the dock, a recording is receipted and released, while the button is pressed."""
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.world.dock(bench.at(PRESS_S - 1.5))
    bench.world.at(bench.at(PRESS_S - 1), lambda: leave(bench, receipt_for(bench), bench.agency.directory / "dock"))


def dock_and_pull(bench: Bench) -> None:
    bench.world.dock(bench.at(PRESS_S - 3))
    bench.world.undock(bench.at(PRESS_S + 0.1))


def stop_camera(bench: Bench) -> None:
    bench.world.at(bench.at(PRESS_S - 1), lambda: bench.world.camera.stall_until(bench.at(PRESS_S + 4)))


TROUBLES = {
    "nothing": Trouble(lambda bench: None),
    "the clock steps two minutes ahead": Trouble(lambda bench: bench.world.step_wall(TWO_MINUTES_NS, bench.at(PRESS_S + 0.1))),
    "the clock steps two minutes back": Trouble(lambda bench: bench.world.step_wall(-TWO_MINUTES_NS, bench.at(PRESS_S + 0.1))),
    "the clock steps ten years ahead": Trouble(lambda bench: bench.world.step_wall(TEN_YEARS_NS, bench.at(PRESS_S + 0.1))),
    "the clock steps ten years back": Trouble(lambda bench: bench.world.step_wall(-TEN_YEARS_NS, bench.at(PRESS_S + 0.1))),
    "docked, a recording is just being released": Trouble(dock_with_receipt),
    "just being pulled from the dock": Trouble(dock_and_pull),
    "the card fails for seconds": Trouble(lambda bench: card_fails(bench, CardFault.IO_ERROR, PRESS_S + 5), PRESS_S + 7),
    "the card takes half of each write": Trouble(lambda bench: card_fails(bench, CardFault.SHORT_WRITE, PRESS_S + 5), PRESS_S + 7),
    "the card is dead": Trouble(lambda bench: card_fails(bench, CardFault.IO_ERROR, None), None),
    "the card is full": Trouble(
        lambda bench: bench.world.double_press(bench.at(2)),
        None,
        (("capacity_bytes", RESERVE + 150_000),),
        (("reserve_bytes = 67108864", f"reserve_bytes = {RESERVE}"),),
    ),
    "the camera gives no picture": Trouble(stop_camera, PRESS_S + 8),
    "hot": Trouble(lambda bench: bench.world.set_power(celsius=90, at_ns=bench.at(PRESS_S - 1))),
}


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def felt(bench: Bench, names: tuple[CueName, ...]) -> list[float]:
    """Seconds at which one of these cues was felt."""
    patterns = [CUES[name].pulses for name in names]
    return [each.at_ns / 1e9 for each in bench.world.seen.cues if each.cue.pulses in patterns]


@pytest.mark.parametrize("name", TROUBLES)
def test_a_press_while(make_bench: Make, name: str) -> None:
    """BWC-POL-01, BWC-POL-47."""
    trouble = TROUBLES[name]
    bench = make_bench(pre_event=2, changes=dict(trouble.changes))
    bench.options.update(trouble.options)
    trouble.arrange(bench)
    bench.world.double_press(bench.at(PRESS_S))
    bench.run(END_S)
    if trouble.obeyed_s is None:
        answers = felt(bench, (CueName.FAULT, CueName.FULL))
        assert any(PRESS_S <= second <= PRESS_S + 2.2 for second in answers), answers
    if name == "the card is dead":
        bench.world.card.fail_always(None)
        bench.run(END_S + 10)  # another battery: the card works again
    begun = [one for one in bench.entries() if one.kind == "begin" and one.time.boottime_ns - START_UP_NS > bench.at(PRESS_S - 1)]
    refused = [one for one in bench.entries() if one.kind == "fault" and "recording asked for" in one.fields["reason"]]
    if trouble.obeyed_s is not None:
        # What a fault ends goes on by itself; the first one begins with the press, whenever it could be written.
        assert [one.fields["cause"] for one in begun] == ["button", "recovery"][: len(begun)]
        assert PRESS_S <= (begun[0].time.boottime_ns - START_UP_NS) / 1e9 <= PRESS_S + 0.5
        started = felt(bench, (CueName.START, CueName.START_SHORT))
        assert started
        assert started[-1] <= trouble.obeyed_s
        assert bench.manifest(begun[-1].fields["recording"]).end.cause == "shutdown"
    else:
        assert begun == []
        assert len(refused) == (1 if name == "the card is full" else 0)  # a dead card takes no leaf
    report = bench.verify()
    assert [one.sentence() for one in report.findings if one.severity is Severity.BAD] == []
    assert report.verdict is Verdict.AUTHENTIC
