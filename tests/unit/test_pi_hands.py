"""Buttons, lamps and cues of the Pi back-end, on real gpiozero and a fake lgpio: what goes beyond the contract."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from pibench.hands import PINS, Header, pause_until, wait

from hal.errors import DeviceFault, HalUnavailable
from hal.interfaces import ButtonEdge, ButtonName, Colour, Cue, Lamp, LampName
from hal.pi.board import BOARDS
from hal.pi.buttons import open_buttons
from hal.pi.cues import score
from hal.pi.dock_link import open_dock_link
from hal.pi.gpio import Gpio, open_gpio
from hal.pi.indicators import PiIndicators, open_indicators
from hal.posix import PosixClock

MS = 1_000_000
FIRST_TOUCH_NS = MS
"""The contract's tolerance."""


@pytest.fixture
def header(tmp_path: Path) -> Header:
    return Header(tmp_path)


@pytest.fixture
def gpio(header: Header, stack: ExitStack) -> Gpio:
    opened = header.open()
    stack.callback(opened.close)
    return opened


@pytest.fixture
def indicators(header: Header, gpio: Gpio, stack: ExitStack) -> PiIndicators:
    opened = open_indicators(gpio, header.board)
    stack.callback(opened.close)
    return opened


def to_boottime(monotonic_ns: int) -> int:
    return monotonic_ns + time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns()


# The controller.


def test_the_controller_is_found_by_its_label(gpio: Gpio) -> None:
    assert gpio.chip == "gpiochip10"


def test_the_working_directory_is_as_it_was(header: Header, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lgpio makes its pipe in the working directory; a service's is not writable, and a technician's is not littered."""
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    header.open().close()
    assert Path.cwd() == tmp_path
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("board", BOARDS.values(), ids=lambda one: one.name)
def test_every_board_has_its_lines_in_gpiozeros_tables(tmp_path: Path, board) -> None:
    """The revision is told to gpiozero, which must know every pin of the map for it."""
    gpio = Header(tmp_path, board).open()
    with ExitStack() as stack:
        stack.callback(gpio.close)
        clock = PosixClock()
        for opened in (
            open_buttons(gpio, board, clock),
            open_indicators(gpio, board),
            open_dock_link(gpio, board, clock, tmp_path / "sync"),
        ):
            stack.callback(opened.close)


def no_chip(header: Header) -> None:
    header.lgpio.chips.clear()
    header.lgpio.chips[0] = "some-expander"


def no_right(header: Header) -> None:
    header.lgpio.refusals["gpiochip_open"] = "can not open gpiochip"


@pytest.mark.parametrize(
    ("harm", "said"),
    [(no_chip, "there is: 'some-expander'"), (no_right, "gpiochip10: can not open gpiochip); add the")],
)
def test_a_controller_that_is_not_there(header: Header, harm, said: str) -> None:
    harm(header)
    with pytest.raises(HalUnavailable, match="no GPIO controller 'pinctrl-bcm2835'") as caught:
        header.open()
    assert said in str(caught.value)


@pytest.mark.parametrize("library", ["lgpio", "gpiozero.pins.lgpio"])
def test_a_library_that_is_not_there_is_named(header: Header, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Never gpiozero's chain of fall-backs: without this factory there is no GPIO."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(HalUnavailable, match="install gpiozero and lgpio"):
        header.open()


def test_a_line_that_somebody_else_has_is_named(header: Header, gpio: Gpio, clock: PosixClock) -> None:
    header.lgpio.lines[PINS.record_button].busy = True
    with pytest.raises(HalUnavailable, match=f"cannot claim GPIO {PINS.record_button} for the buttons: GPIO busy; .*overlays"):
        open_buttons(gpio, header.board, clock)


def test_no_board_without_a_header(tmp_path: Path) -> None:
    Header(tmp_path)
    with pytest.raises(HalUnavailable, match="none can be opened"):
        open_gpio(BOARDS["5"], BOARDS["5"].sample_revision, tmp_path / "nowhere")


# Buttons.


def test_an_edge_is_at_the_first_touch(header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack) -> None:
    """BWC-POL-01: to a millisecond the instant of the kernel's stamp, however long the contact chatters and the debounce takes."""
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    edges: list[ButtonEdge] = []
    buttons.subscribe(edges.append)
    first = []
    for closed in (True, False):
        first.append(to_boottime(header.contact(PINS.record_button, closed, bounce=True)))
        wait(lambda closed=closed: buttons.is_pressed(ButtonName.RECORD) is closed)
    assert [edge.pressed for edge in edges] == [True, False]
    assert [edge.at.boottime_ns for edge in edges] == [pytest.approx(at, abs=FIRST_TOUCH_NS) for at in first]
    now = clock.now()
    assert all(edge.at.wall_ns - edge.at.boottime_ns == pytest.approx(now.wall_ns - now.boottime_ns, abs=50 * MS) for edge in edges)


def test_lgpios_own_debounce_loses_the_first_touch(header: Header, gpio: Gpio) -> None:
    """Why it is not used: it stamps the last change of the chatter plus the quiet time (as the fake, after lgPthAlerts.c)."""
    from gpiozero import Button

    button = Button(PINS.record_button, bounce_time=0.015, pin_factory=gpio.factory)
    stamps: list[float] = []

    def note(ticks: float, _state: int) -> None:
        stamps.append(ticks)

    button.pin.when_changed = note
    first_ns = header.contact(PINS.record_button, True, bounce=True)
    last_ns = header.lgpio.lines[PINS.record_button].last_edge[0]
    wait(lambda: stamps)
    assert stamps == [pytest.approx(last_ns / 1e9 + 0.015, abs=1e-6)]
    assert last_ns - first_ns > 2 * MS
    button.close()


def test_a_glitch_is_no_press(header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack) -> None:
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    edges: list[ButtonEdge] = []
    buttons.subscribe(edges.append)
    header.contact(PINS.record_button, True)
    header.contact(PINS.record_button, False)
    header.contact(PINS.function_button, True)
    wait(lambda: buttons.is_pressed(ButtonName.FUNCTION))
    assert [edge.button for edge in edges] == [ButtonName.FUNCTION]


def test_a_button_held_at_boot_makes_no_press_and_its_release_is_told(
    header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack
) -> None:
    header.contact(PINS.record_button, True)
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    edges: list[ButtonEdge] = []
    buttons.subscribe(edges.append)
    assert buttons.is_pressed(ButtonName.RECORD)
    header.contact(PINS.record_button, False, bounce=True)
    wait(lambda: edges)
    assert [edge.pressed for edge in edges] == [False]


def test_a_press_before_anybody_listens_waits(header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack) -> None:
    """BWC-POL-01: a press while the camera still boots is a press."""
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    pressed_ns = to_boottime(header.contact(PINS.record_button, True))
    wait(lambda: buttons.is_pressed(ButtonName.RECORD))
    header.contact(PINS.record_button, False)
    wait(lambda: not buttons.is_pressed(ButtonName.RECORD))
    edges: list[ButtonEdge] = []
    buttons.subscribe(edges.append)
    assert [edge.pressed for edge in edges] == [True, False]
    assert edges[0].at.boottime_ns == pytest.approx(pressed_ns, abs=FIRST_TOUCH_NS)
    again: list[ButtonEdge] = []
    buttons.subscribe(again.append)
    assert again == []


def test_a_subscriber_that_raises_silences_no_button(
    header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lgpio's thread ends for good with an exception in a callback; none gets there."""
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    edges: list[ButtonEdge] = []

    def raise_once(edge: ButtonEdge) -> None:
        edges.append(edge)
        if len(edges) == 1:
            raise RuntimeError("a defect elsewhere")

    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    buttons.subscribe(raise_once)
    header.contact(PINS.record_button, True)
    wait(lambda: edges)
    header.contact(PINS.record_button, False)
    wait(lambda: len(edges) == 2 and told)
    assert [edge.pressed for edge in edges] == [True, False]


def test_a_line_that_cannot_be_read_any_more_still_tells_its_edges(header: Header, gpio: Gpio, clock: PosixClock, stack: ExitStack) -> None:
    buttons = open_buttons(gpio, header.board, clock)
    stack.callback(buttons.close)
    edges: list[ButtonEdge] = []
    buttons.subscribe(edges.append)
    header.lgpio.refusals["gpio_read"] = "device gone"
    header.contact(PINS.record_button, True)
    wait(lambda: edges)
    header.lgpio.refusals.clear()
    assert edges[0].pressed


# Lamps.


def colours(header: Header) -> list[int]:
    return [header.lgpio.level(pin) for pin in (PINS.status_red, PINS.status_green, PINS.status_blue)]


@pytest.mark.parametrize(
    ("colour", "parts"),
    [(Colour.RED, [1, 0, 0]), (Colour.GREEN, [0, 1, 0]), (Colour.AMBER, [1, 1, 0]), (Colour.BLUE, [0, 0, 1]), (Colour.OFF, [0, 0, 0])],
)
def test_the_status_lamp_mixes_its_colours(header: Header, indicators: PiIndicators, colour: Colour, parts: list[int]) -> None:
    indicators.set_lamp(LampName.STATUS, Lamp(Colour.GREEN))
    indicators.set_lamp(LampName.STATUS, Lamp(colour))
    assert colours(header) == parts
    assert indicators.read_back(LampName.STATUS) is colour


def test_a_subject_lamp_that_burns_by_itself_is_seen(header: Header, indicators: PiIndicators) -> None:
    """BWC-POL-13: told dark, and current flows."""
    assert indicators.read_back(LampName.SUBJECT) is Colour.OFF
    header.lgpio.wire(PINS.subject_sense, 0)
    assert indicators.read_back(LampName.SUBJECT) is Colour.RED


def test_a_lamp_that_breaks_while_it_is_lit_is_seen(header: Header, indicators: PiIndicators) -> None:
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    assert indicators.read_back(LampName.SUBJECT) is Colour.RED
    header.lgpio.wire(PINS.subject_sense, None)
    assert indicators.read_back(LampName.SUBJECT) is Colour.OFF
    assert header.lgpio.level(PINS.subject_lamp) == 1


def changes(header: Header, pin: int, count: int) -> list[tuple[int, int]]:
    history = header.lgpio.lines[pin].history
    wait(lambda: len(history) >= count)
    return history[:count]


def test_a_lamp_blinks_with_its_half_period(header: Header, indicators: PiIndicators) -> None:
    header.lgpio.lines[PINS.subject_lamp].history.clear()
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED, blink_ms=50))
    found = changes(header, PINS.subject_lamp, 7)
    assert [level for _, level in found] == [1, 0, 1, 0, 1, 0, 1]
    assert (found[-1][0] - found[0][0]) / MS == pytest.approx(300, abs=40)  # counted on, not drifting
    indicators.set_lamp(LampName.SUBJECT, Lamp())
    assert header.lgpio.level(PINS.subject_lamp) == 0


def test_the_dark_half_of_a_blinking_lamp_is_no_fault(header: Header, indicators: PiIndicators) -> None:
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED, blink_ms=40))
    seen = set()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        seen.add((header.lgpio.level(PINS.subject_lamp), indicators.read_back(LampName.SUBJECT)))
    assert {level for level, _ in seen} == {0, 1}
    assert {colour for _, colour in seen} == {Colour.RED}


def test_a_blinking_lamp_that_broke_is_one_within_a_period(header: Header, indicators: PiIndicators) -> None:
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED, blink_ms=40))
    header.lamp_is_broken = True
    header.lgpio.wire(PINS.subject_sense, None)
    pause_until(time.monotonic() + 0.12)
    found = {indicators.read_back(LampName.SUBJECT) for _ in range(20)}
    assert found == {Colour.OFF}


def test_the_same_lamp_once_more_keeps_its_rhythm(header: Header, indicators: PiIndicators) -> None:
    """The daemon shows its signal with every change of anything."""
    lamp = Lamp(Colour.RED, blink_ms=60)
    header.lgpio.lines[PINS.subject_lamp].history.clear()
    for _ in range(30):
        indicators.set_lamp(LampName.SUBJECT, lamp)
        time.sleep(0.01)
    found = header.lgpio.lines[PINS.subject_lamp].history
    assert [level for _, level in found[:4]] == [1, 0, 1, 0]


def test_a_line_that_cannot_be_driven_is_a_fault(header: Header, indicators: PiIndicators) -> None:
    header.lgpio.refusals["gpio_write"] = "device gone"
    with pytest.raises(DeviceFault, match="subject lamp: device gone"):
        indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    header.lgpio.refusals.clear()
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    assert indicators.read_back(LampName.SUBJECT) is Colour.RED


def test_closed_indicators_are_dark_and_silent(header: Header, gpio: Gpio) -> None:
    indicators = open_indicators(gpio, header.board)
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    indicators.set_lamp(LampName.STATUS, Lamp(Colour.AMBER, blink_ms=100))
    indicators.play(Cue(((880, 60_000),), ((60_000, 0),)))
    wait(lambda: header.lgpio.tone(PINS.sounder))
    indicators.close()
    assert [header.lgpio.lines[pin].driven for pin in (PINS.subject_lamp, PINS.status_red, PINS.status_green, PINS.vibration)] == [0] * 4
    assert header.lgpio.tone(PINS.sounder) == 0


# Cues.


def test_a_cue_is_one_score() -> None:
    """Tones and pulses side by side; a pause of no length joins two pulses."""
    assert score(Cue(((880, 120), (0, 80), (440, 120)), ((120, 80), (120, 0)))) == [
        (0, 880, True),
        (120, 0, False),
        (200, 440, True),
        (320, 0, False),
    ]
    assert score(Cue()) == []
    assert score(Cue((), ((50, 0), (50, 0)))) == [(0, None, True), (50, None, True), (100, None, False)]


def test_a_cue_is_played_and_ends_in_silence(header: Header, indicators: PiIndicators) -> None:
    motor = header.lgpio.lines[PINS.vibration].history
    motor.clear()
    began_ns = time.monotonic_ns()
    indicators.play(Cue(((880, 60), (0, 40), (440, 60)), ((60, 40), (60, 0))))
    heard = [wait(lambda: header.lgpio.tone(PINS.sounder))]
    wait(lambda: header.lgpio.tone(PINS.sounder) == 0)
    heard.append(wait(lambda: header.lgpio.tone(PINS.sounder)))
    wait(lambda: header.lgpio.tone(PINS.sounder) == 0)
    assert heard == [880, 440]
    wait(lambda: len(motor) >= 5)
    pulses = [(level, round((at_ns - began_ns) / MS)) for at_ns, level in motor if at_ns]
    assert [level for level, _ in pulses] == [0, 1, 0, 1, 0]  # the first is the silence that a new cue begins with
    assert [at for _, at in pulses[1:]] == [pytest.approx(at, abs=25) for at in (0, 60, 100, 160)]


def test_a_new_cue_replaces_the_running_one(header: Header, indicators: PiIndicators) -> None:
    indicators.play(Cue(((880, 60_000),), ((60_000, 0),)))
    wait(lambda: header.lgpio.tone(PINS.sounder) == 880 and header.lgpio.level(PINS.vibration))
    indicators.play(Cue(((440, 60_000),)))
    wait(lambda: header.lgpio.tone(PINS.sounder) == 440)
    assert header.lgpio.level(PINS.vibration) == 0
    indicators.play(Cue())
    wait(lambda: header.lgpio.tone(PINS.sounder) == 0)
