"""Keys, lamps, battery, clock and terminal of the laptop."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import ButtonName, ClockTrust, Colour, Cue, Lamp, LampName, PowerState
from hal.pc.clock import LaptopClock, judge, kernel_trust
from hal.pc.config import parse_config
from hal.pc.fingers import AHEAD_NS, PAUSE_NS, TAP_NS, Edge, Fingers
from hal.pc.hands import KeyboardDock
from hal.pc.indicators import TerminalIndicators, cue_words
from hal.pc.power import LaptopPower
from hal.pc.terminal import KeyInput, StatusLine
from hal.posix import PosixClock

pytestmark = pytest.mark.xdist_group("real time 1")

MS = 1_000_000
HOLD_NS = 3500 * MS
RECORD, FUNCTION = ButtonName.RECORD, ButtonName.FUNCTION
PLACES = {"volume": "card", "keys": "keys"}


def edges(*typed: tuple[str, int]) -> list[Edge]:
    fingers = Fingers(HOLD_NS)
    for keys, at_ms in typed:
        fingers.type(keys, at_ms * MS)
    return fingers.due(10**18)


def downs(found: list[Edge], button: ButtonName = RECORD) -> list[int]:
    return [edge.at_ns // MS for edge in found if edge.pressed and edge.button is button]


def test_a_key_is_a_press_of_its_kind() -> None:
    assert edges((" ", 10)) == [Edge(RECORD, True, 10 * MS), Edge(RECORD, False, 10 * MS + TAP_NS)]
    assert edges(("h", 10)) == [Edge(RECORD, True, 10 * MS), Edge(RECORD, False, 10 * MS + HOLD_NS)]
    assert edges(("m", 10)) == edges(("f", 10)) == [Edge(FUNCTION, True, 10 * MS), Edge(FUNCTION, False, 10 * MS + TAP_NS)]
    assert edges(("M", 10))[1].at_ns == 10 * MS + HOLD_NS
    assert edges(("xq\x1b[A", 10)) == []


def test_two_spaces_are_two_presses_typed_or_piped() -> None:
    """Within any policy's double-press window of 200 ms and more, and never within its bounce of 50 ms at most."""
    assert downs(edges((" ", 0), (" ", 250))) == [0, 250]
    (first, second) = downs(edges(("  ", 0)))
    assert second - first == (TAP_NS + PAUSE_NS) // MS == 200


def test_a_key_that_is_held_down_is_never_a_hold() -> None:
    """Repeated at 30 ms after half a second: one press, then one more; a recording can be started by this, never ended."""
    found = edges((" ", 0), *((" ", 500 + 30 * count) for count in range(200)))
    assert downs(found) == [0, 500]
    assert all(up.at_ns - down.at_ns == TAP_NS for down, up in zip(found[::2], found[1::2], strict=True))


def test_the_other_button_does_not_wait() -> None:
    found = edges(("h", 0), ("m", 1000), (" ", 1200))
    assert downs(found, FUNCTION) == [1000]
    assert downs(found) == [0, 3620]


@given(st.lists(st.tuples(st.text(" hmMfFd", max_size=5), st.integers(0, 2000)), max_size=30))
def test_edges_alternate_and_keep_their_distance(typed: list[tuple[str, int]]) -> None:
    """Whatever is typed: down, up, down, up; pauses that no debouncing swallows; nothing later than it may be."""
    at_ms, fingers = 0, Fingers(HOLD_NS)
    for keys, pause in typed:
        at_ms += pause
        fingers.type(keys, at_ms * MS)
    found = fingers.due(10**18)
    assert [edge.at_ns for edge in found] == sorted(edge.at_ns for edge in found)
    for button in ButtonName:
        mine = [edge for edge in found if edge.button is button]
        assert [edge.pressed for edge in mine] == [True, False] * (len(mine) // 2)
        assert all(down.at_ns - up.at_ns >= PAUSE_NS for up, down in zip(mine[1::2], mine[2::2], strict=False))
    assert all(edge.at_ns <= at_ms * MS + AHEAD_NS + HOLD_NS for edge in found)


def test_due_edges_come_once() -> None:
    fingers = Fingers(HOLD_NS)
    fingers.type(" ", 0)
    assert fingers.next_ns() == 0
    assert len(fingers.due(0)) == 1
    assert fingers.next_ns() == TAP_NS
    assert fingers.due(TAP_NS - 1) == []
    assert len(fingers.due(TAP_NS)) == 1
    assert fingers.next_ns() is None


def test_a_killed_process_leaves_the_terminal_as_it_was() -> None:
    """Not even SIGKILL, or a crash in a codec, leaves a shell without echo."""
    keyboard, terminal = pty.openpty()
    before = termios.tcgetattr(terminal)
    program = "import sys; from hal.pc.terminal import KeyInput; KeyInput('-'); print('raw', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=terminal, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == b"raw\n"
    assert termios.tcgetattr(terminal) != before
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 10
    while termios.tcgetattr(terminal) != before and time.monotonic() < end:
        time.sleep(0.01)
    assert termios.tcgetattr(terminal) == before
    os.close(keyboard)
    os.close(terminal)


def test_a_keyboard_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HalUnavailable, match="FIFO"):
        KeyInput(str(tmp_path / "absent"))


def test_a_fifo_gives_keys_and_stays_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys")
    keys = KeyInput(str(tmp_path / "keys"))
    assert keys.read() == ""
    (tmp_path / "keys").write_text("  ")
    assert keys.read() == "  "
    assert keys.read() == ""
    keys.close()
    keys.close()


class Screen(io.StringIO):
    """A terminal that can break."""

    broken = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.broken:
            raise OSError(5, "Input/output error")
        return super().write(text)


def test_one_line_shows_everything_and_tones_ring() -> None:
    screen = Screen()
    line = StatusLine(screen)
    indicators = TerminalIndicators(line)
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    indicators.set_lamp(LampName.STATUS, Lamp(Colour.GREEN, 1000))
    indicators.show_state("recording; pre-event 3 s")
    indicators.play(Cue(((880, 120), (0, 80), (880, 120)), ((120, 80), (400, 0))))
    last = screen.getvalue().rpartition("\r")[2]
    for words in ("subject", "red", "green blinking", "recording; pre-event 3 s", "heard 880 880 Hz, felt short long", "\a"):
        assert words in last
    assert "\n" not in screen.getvalue()
    drawn = len(screen.getvalue())
    indicators.show_state("recording; pre-event 3 s")
    assert len(screen.getvalue()) == drawn
    line.close()
    assert screen.getvalue().endswith("\n")


def test_a_terminal_that_is_gone_shows_no_lamp() -> None:
    """BWC-POL-13: a lamp nobody can see is dark, and comes back with the terminal."""
    screen = Screen()
    indicators = TerminalIndicators(StatusLine(screen))
    indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
    assert indicators.read_back(LampName.SUBJECT) is Colour.RED
    screen.broken = True
    indicators.show_state("recording")
    assert indicators.read_back(LampName.SUBJECT) is Colour.OFF
    screen.broken = False
    indicators.show_state("recording; pre-event 0 s")
    assert indicators.read_back(LampName.SUBJECT) is Colour.RED


def test_a_log_gets_a_line_per_change() -> None:
    paper = io.StringIO()
    indicators = TerminalIndicators(StatusLine(paper))
    for second in range(3):
        indicators.set_lamp(LampName.SUBJECT, Lamp(Colour.RED))
        indicators.show_state(f"recording; pre-event {second} s")
    indicators.play(Cue(pulses=((120, 0),)))
    indicators.play(Cue())
    assert paper.getvalue().splitlines() == ["subject lamp: red", "state: recording; pre-event 0 s", "cue: felt short"]


def test_a_silent_cue_has_no_words() -> None:
    assert cue_words(Cue()) == ""
    assert cue_words(Cue(pulses=((100, 0),), words="search")) == "said 'search', felt short"


def supply(directory: Path, name: str, **fields: object) -> None:
    (directory / name).mkdir(parents=True)
    for field, value in fields.items():
        (directory / name / field).write_text(f"{value}\n")


def test_the_battery_is_the_laptops_and_a_cell_is_one_of_its_pack(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online=1)
    supply(tmp_path, "hidpp_battery_0", type="Battery", scope="Device", capacity=5, status="Discharging")
    supply(tmp_path, "BAT0", type="Battery", capacity=57, status="Charging", voltage_now=11_940_000, voltage_min_design=11_100_000)
    power = LaptopPower(PosixClock(), tmp_path)
    assert power.state() == PowerState(57, 3980, True)
    assert power.describe() == "battery BAT0"


def test_without_a_battery_it_is_the_mains(tmp_path: Path) -> None:
    supply(tmp_path, "AC", type="Mains", online=1)
    power = LaptopPower(PosixClock(), tmp_path)
    assert (power.state().percent, power.state().charging, power.describe()) == (100, False, "mains")


def test_only_the_kernels_word_makes_a_clock_trusted() -> None:
    """BWC-POL-27: adjtimex(2)'s answers; an unsynchronised clock is as good as the RTC that it started from."""
    assert judge(0, 0x2001, 1500) == (ClockTrust.SYNCED, 1_500_000)
    assert judge(5, 0x2001, 1500) == (ClockTrust.RTC, 0)
    assert judge(0, 0x40, 1500) == (ClockTrust.RTC, 0)
    assert judge(-1, 0, 0) == (ClockTrust.RTC, 0)
    assert kernel_trust()[0] in (ClockTrust.RTC, ClockTrust.SYNCED)


def test_the_recorder_does_not_set_a_laptops_clock() -> None:
    clock = LaptopClock()
    with pytest.raises(DeviceFault, match="not the recorder's"):
        clock.set_wall(0, ClockTrust.SYNCED, 0)
    clock.close()


def test_the_dock_is_a_key_or_a_file(tmp_path: Path) -> None:
    clock, senses = PosixClock(), []
    dock = KeyboardDock(clock, None, tmp_path / "docked")
    dock.subscribe(senses.append)
    dock.toggle()
    (tmp_path / "docked").touch()
    dock.look()
    dock.toggle()
    assert dock.docked()
    (tmp_path / "docked").unlink()
    dock.look()
    assert [sense.docked for sense in senses] == [True, False]
    dock.request_sync()
    dock.close()
    clock.close()


@pytest.mark.parametrize(
    ("change", "named"),
    [({"sauce": "x"}, "sauce"), ({"hold_ms": 10}, "hold_ms"), ({"microphone": ""}, "microphone"), ({"source": 3}, "source")],
)
def test_settings_are_checked(change: dict[str, object], named: str) -> None:
    with pytest.raises(HalError, match=named):
        parse_config({**PLACES, **change})
