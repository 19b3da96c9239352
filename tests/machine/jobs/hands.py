"""The product's buttons, lamps and cues alone: what they say of a press, a bouncing press and a hold, and what the lines do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import guest
import machine_hal

from hal.interfaces import ButtonEdge, ButtonName, Colour, Cue, Lamp, LampName

SPARE = 5
"""A line that this build leaves free."""


def boottime() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def touched(act: Callable[[], object], edges: list[ButtonEdge]) -> dict[str, object]:
    """Edges of the record button that ``act`` made: level, seconds since the first; and how far the first is from its beginning."""
    edges.clear()
    began_ns = boottime()
    act()
    time.sleep(0.3)
    found = [edge for edge in edges if edge.button is ButtonName.RECORD]
    first_ns = found[0].at.boottime_ns if found else 0
    steps = [(edge.pressed, (edge.at.boottime_ns - first_ns) / 1e9) for edge in found]
    return {"edges": steps, "after_touch_s": (first_ns - began_ns) / 1e9}


def debounced_by_lgpio(hands: machine_hal.Hands, chip: guest.SimulatedChip) -> float:
    """Seconds from the first touch of a chatter to the instant that lgpio's own debounce stamps, for 15 ms."""
    from gpiozero import Button

    finger = guest.Finger(chip, SPARE)
    button = Button(SPARE, bounce_time=0.015, pin_factory=hands.gpio.factory)
    stamps: list[float] = []

    def note(ticks: float, _state: int) -> None:
        stamps.append(ticks)

    button.pin.when_changed = note
    began = time.monotonic()
    finger.bounce()
    guest.wait("lgpio's debounced edge", lambda: stamps)
    button.close()
    return stamps[0] - began


def run() -> None:
    # A controller that came first and is not the header's: chips are told apart by label, not by number.
    guest.SimulatedChip("other", "some-expander")
    chip = guest.SimulatedChip("header", guest.BOARD.chip_label)
    circuit = guest.LampCircuit(chip)
    before = sorted(Path.cwd().iterdir())
    hands = machine_hal.open_hands(Path("/run/sync-request"))
    littered = sorted(Path.cwd().iterdir()) != before
    record = guest.PINS.record_button
    asked_pull = chip.pull(record)
    finger = guest.Finger(chip, record)
    edges: list[ButtonEdge] = []
    hands.buttons.subscribe(edges.append)
    heard = {"press": touched(lambda: finger.press(0.2), edges)}
    held = []

    def bounce() -> None:
        finger.bounce()
        time.sleep(0.2)
        held.append(hands.buttons.is_pressed(ButtonName.RECORD))
        finger.up()

    heard["bounce"] = touched(bounce, edges)
    heard["hold"] = touched(lambda: finger.press(3.2), edges)
    lamps = []
    for colour, whole in ((Colour.RED, True), (Colour.OFF, True), (Colour.RED, False), (Colour.OFF, True)):
        circuit.whole = whole
        hands.indicators.set_lamp(LampName.SUBJECT, Lamp(colour))
        found = hands.indicators.read_back(LampName.SUBJECT)
        lamps.append((colour.value, chip.level(guest.PINS.subject_lamp), found.value))
    hands.indicators.play(Cue(((880, 3000),), ((3000, 0),)))  # two hundred looks take a second where the host is slow
    time.sleep(0.1)
    buzz = {chip.level(guest.PINS.sounder) for _ in range(200)}
    motor = [chip.level(guest.PINS.vibration)]
    time.sleep(3.2)
    buzz_after = {chip.level(guest.PINS.sounder) for _ in range(200)}
    motor.append(chip.level(guest.PINS.vibration))
    by_lgpio_s = debounced_by_lgpio(hands, chip)
    busy, began = time.process_time(), time.monotonic()
    time.sleep(2)
    idle = (time.process_time() - busy) / (time.monotonic() - began)
    hands.close()
    facts = {"chip": chip.name, "pull": asked_pull, "heard": heard, "held": held, "lamps": lamps, "littered": littered}
    facts |= {"buzz": sorted(buzz), "motor": motor, "buzz_after": sorted(buzz_after), "by_lgpio_s": by_lgpio_s, "idle_cpu": idle}
    guest.report(**facts)
