"""Buttons and lamps alone: what the ports say of a press, a bouncing press and a hold, and what the lines do for a lamp."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import guest
import machine_hal

from hal.interfaces import ButtonEdge, ButtonName, Colour, Lamp, LampName


def run() -> None:
    # A controller that came first and is not the header's: chips are told apart by label, not by number.
    guest.SimulatedChip("other", "some-expander")
    chip = guest.SimulatedChip("header", guest.BOARD.chip_label)
    hands = machine_hal.open_hands(Path("/run/sync-request"))
    record = guest.PINS.record_button
    asked_pull = chip.pull(record)
    finger = guest.Finger(chip, record)
    edges: list[ButtonEdge] = []
    arrived = threading.Condition()

    def note(edge: ButtonEdge) -> None:
        with arrived:
            edges.append(edge)
            arrived.notify()

    hands.buttons.subscribe(note)

    def told(action: str) -> list[tuple[bool, float]]:
        """Edges of the record button since the last question: level, and seconds since the first. Waits for the last to arrive."""
        time.sleep(0.3)
        found = [edge for edge in edges if edge.button is ButtonName.RECORD]
        edges.clear()
        return [(edge.pressed, (edge.at.boottime_ns - found[0].at.boottime_ns) / 1e9) for edge in found]

    heard = {}
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    finger.press(0.2)
    latency_s = (edges[0].at.boottime_ns - began_ns) / 1e9 if edges else -1
    heard["press"] = told("press")
    finger.bounce()
    held = hands.buttons.is_pressed(ButtonName.RECORD)
    time.sleep(0.2)
    held = hands.buttons.is_pressed(ButtonName.RECORD)
    finger.up()
    heard["bounce"] = told("bounce")
    finger.press(3.2)
    heard["hold"] = told("hold")
    lamps = []
    for colour in (Colour.RED, Colour.OFF, Colour.RED):
        hands.indicators.set_lamp(LampName.SUBJECT, Lamp(colour))
        time.sleep(0.05)
        lamps.append((colour.value, chip.level(guest.PINS.subject_lamp), hands.indicators.read_back(LampName.SUBJECT).value))
    hands.close()
    guest.report(chip=chip.name, pull=asked_pull, heard=heard, held=held, lamps=lamps, latency_s=latency_s)
