"""A FAKE lgpio: the functions that gpiozero's real lgpio factory calls, on lines in memory. Test code; it drives nothing.

Put this directory in front of ``sys.path`` and gpiozero takes it for the library. The test's hand is on the other side of the lines:
:func:`wire`, :func:`level`, :data:`circuits`, :func:`tone`. What it models after joan2937/lg 0.2.2 (lgPthAlerts.c, lgpio.py):

* edges carry the kernel's CLOCK_MONOTONIC time and are handed over by one thread some 0.5 ms later, in order of their times;
* debounce is lgpio's own: a level is told once no edge came for that long, if it is another than was told last, and is stamped with
  the *last* edge plus the debounce time;
* an exception in a callback ends that thread: no edge is ever told again;
* a line that somebody else has is ``GPIO busy``.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

IS_FAKE = True
FALLING_EDGE, RISING_EDGE, BOTH_EDGES = 2, 1, 3
SET_ACTIVE_LOW, SET_OPEN_DRAIN, SET_OPEN_SOURCE, SET_PULL_UP, SET_PULL_DOWN, SET_PULL_NONE = 4, 8, 16, 32, 64, 128
_OUT, _INPUT, _OUTPUT, _ALERT = 1 << 1, 1 << 8, 1 << 9, 1 << 10
DELAY_NS = 500_000
"""Between an edge and its report (lgPthAlerts.c waits so long, to sort)."""
LINES = 54
HISTORY = 1024
"""Writes of one line that are remembered: a recorder may run here for hours."""


class error(Exception):
    pass


@dataclass
class Line:
    """One line and what is wired to it. ``outside`` is the level that drives it, ``None`` when nothing does."""

    outside: int | None = None
    mode: int = 0
    flags: int = 0
    driven: int = 0
    pwm: tuple[float, float] | None = None
    busy: bool = False
    debounce_ns: int = 0
    edges: int = BOTH_EDGES
    callbacks: list[_Callback] = field(default_factory=list)
    last_edge: tuple[int, int] = (0, 0)
    told: int = -1
    history: list[tuple[int, int]] = field(default_factory=list)
    """(monotonic ns, level) of every change of an output."""

    def level(self) -> int:
        if self.mode & _OUT:
            return self.driven
        if self.outside is not None:
            return self.outside
        return 1 if self.flags & SET_PULL_UP else 0


lines: dict[int, Line] = {}
chips: dict[int, str] = {}
"""Number to label. A number that is not here cannot be opened."""
refusals: dict[str, str] = {}
"""Name of a function to the message that it fails with."""
circuits: list[Callable[[int, int], None]] = []
"""Called with (line, level) when an output changes: what is soldered to it."""
watchers: list[Callable[[int, float], None]] = []
"""Called with (line, level or duty) whatever way an output is driven."""
_lock = threading.RLock()
_reports: list[tuple[int, int, int, int]] = []
_numbers = itertools.count()
_news = threading.Condition()
_thread: threading.Thread | None = None


def reset(labels: dict[int, str]) -> None:
    """A header as it is after power on."""
    with _lock, _news:
        lines.clear()
        lines.update({number: Line() for number in range(LINES)})
        chips.clear()
        chips.update(labels)
        refusals.clear()
        circuits.clear()
        _reports.clear()


# The test's hand.


def wire(gpio: int, level: int | None, at_ns: int | None = None) -> int:
    """Drive an input from outside, or let go of it; returns the instant (CLOCK_MONOTONIC, ns) as the kernel would stamp it.

    ``at_ns``: the instant at which the hand meant to move, so that a busy machine does not make it a slower hand.
    """
    with _lock:
        line = lines[gpio]
        before, line.outside = line.level(), level
        at_ns = time.monotonic_ns() if at_ns is None else at_ns
        if line.level() != before and line.mode & _ALERT:
            _edge(gpio, line, at_ns)
        return at_ns


def level(gpio: int) -> int:
    with _lock:
        return lines[gpio].level()


def tone(gpio: int) -> float:
    """Frequency of the PWM on a line; 0 when it makes no sound."""
    with _lock:
        pwm = lines[gpio].pwm
        return pwm[0] if pwm is not None and pwm[1] > 0 else 0


def _edge(gpio: int, line: Line, at_ns: int) -> None:
    line.last_edge = (at_ns, line.level())
    wait_ns = line.debounce_ns or 0
    _report(at_ns + wait_ns, gpio, line.level())


def _report(due_ns: int, gpio: int, told: int) -> None:
    global _thread
    with _news:
        heapq.heappush(_reports, (due_ns, next(_numbers), gpio, told))
        if _thread is None:
            _thread = threading.Thread(target=_run, name="fake lgpio", daemon=True)
            _thread.start()
        _news.notify()


def _run() -> None:
    while True:
        with _news:
            while not _reports or _reports[0][0] + DELAY_NS > time.monotonic_ns():
                _news.wait((_reports[0][0] + DELAY_NS - time.monotonic_ns()) / 1e9 if _reports else None)
            stamp_ns, _, gpio, told = heapq.heappop(_reports)
        with _lock:
            line = lines[gpio]
            if line.debounce_ns and (line.last_edge[0] + line.debounce_ns != stamp_ns or line.told == told):
                continue  # there was a later edge, or it came back to what was told
            line.told = told
            callbacks = [each for each in line.callbacks if each.edges & (RISING_EDGE if told else FALLING_EDGE)]
        for each in callbacks:
            each.function(0, gpio, told, stamp_ns)


# What gpiozero calls.


def _tell(gpio: int, value: float) -> None:
    for watcher in watchers:
        watcher(gpio, value)


def _check(name: str) -> None:
    if name in refusals:
        raise error(refusals[name])


def gpiochip_open(number: int) -> int:
    _check("gpiochip_open")
    if number not in chips:
        raise error("can not open gpiochip")
    return number


def gpiochip_close(handle: int) -> int:
    return 0


def gpio_get_chip_info(handle: int) -> list[object]:
    return [0, LINES, f"gpiochip{handle}", chips[handle]]


def _claim(gpio: int, mode: int, flags: int) -> Line:
    line = lines[gpio]
    if line.busy:
        raise error("GPIO busy")
    line.mode, line.flags, line.pwm = mode, flags, None
    return line


def gpio_claim_input(handle: int, gpio: int, flags: int = 0) -> int:
    with _lock:
        _claim(gpio, _INPUT, flags)
    return 0


def gpio_claim_output(handle: int, gpio: int, level: int = 0, flags: int = 0) -> int:
    with _lock:
        _claim(gpio, _OUT | _OUTPUT, flags)
    return gpio_write(handle, gpio, level)


def gpio_claim_alert(handle: int, gpio: int, edges: int, flags: int = 0, notify_handle: int | None = None) -> int:
    with _lock:
        line = _claim(gpio, _ALERT, flags)
        line.edges, line.told = edges, -1
    return 0


def gpio_free(handle: int, gpio: int) -> int:
    with _lock:
        lines[gpio].mode = 0
    return 0


def gpio_get_mode(handle: int, gpio: int) -> int:
    with _lock:
        return lines[gpio].mode | lines[gpio].flags


def gpio_read(handle: int, gpio: int) -> int:
    _check("gpio_read")
    return level(gpio)


def gpio_write(handle: int, gpio: int, value: int) -> int:
    _check("gpio_write")
    with _lock:
        line = lines[gpio]
        line.pwm = None
        line.driven = int(bool(value))
        line.history.append((time.monotonic_ns(), line.driven))
        del line.history[:-HISTORY]
    for circuit in circuits:
        circuit(gpio, int(bool(value)))
    _tell(gpio, int(bool(value)))
    return 0


def gpio_set_debounce_micros(handle: int, gpio: int, micros: int) -> int:
    with _lock:
        lines[gpio].debounce_ns = micros * 1000
    return 0


def tx_pwm(handle: int, gpio: int, frequency: float, duty: float, offset: int = 0, cycles: int = 0) -> int:
    if frequency and not 0.1 <= frequency <= 10_000:
        raise error("bad PWM frequency")
    with _lock:
        lines[gpio].pwm = (frequency, duty) if frequency else None
    _tell(gpio, duty if frequency else 0)
    return 0


class _Callback:
    def __init__(self, gpio: int, edges: int, function: Callable[[int, int, int, int], None]) -> None:
        self.gpio, self.edges, self.function = gpio, edges, function
        lines[gpio].callbacks.append(self)

    def cancel(self) -> None:
        with _lock:
            if self in lines[self.gpio].callbacks:
                lines[self.gpio].callbacks.remove(self)


def callback(handle: int, gpio: int, edge: int = RISING_EDGE, func: Callable[[int, int, int, int], None] | None = None) -> _Callback:
    assert func is not None
    with _lock:
        return _Callback(gpio, edge, func)


if os.environ.get("OATHCAM_HEADER"):
    import remote_header

    remote_header.serve(Path(os.environ["OATHCAM_HEADER"]))
