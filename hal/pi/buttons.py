"""The two buttons on the header.

Responsible for edges with the instant of the first touch: the kernel's stamp of the interrupt, brought to boot time. Refuses to know
gestures. A button that is held when the camera starts is pressed and makes no edge until it is let go; what is pressed before
anybody listens waits for the first subscriber.
"""

from __future__ import annotations

from collections.abc import Callable

from hal.instants import of_monotonic
from hal.interfaces import ButtonEdge, ButtonName, Buttons, Clock
from hal.pi.board import Board
from hal.pi.contacts import Contacts
from hal.pi.gpio import Gpio
from hal.subscribers import Subscribers


class PiButtons(Buttons):
    """Closes its lines in :meth:`close`; the GPIO controller is closed after it."""

    def __init__(self, gpio: Gpio, board: Board, clock: Clock) -> None:
        self._clock = clock
        self._subscribers: Subscribers[ButtonEdge] = Subscribers()
        pins = {ButtonName.RECORD: board.build.pins.record_button, ButtonName.FUNCTION: board.build.pins.function_button}
        self._contacts = Contacts(gpio, pins, board.build.button_debounce_ms, self._changed, "buttons")

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        self._subscribers.subscribe(callback)

    def is_pressed(self, button: ButtonName) -> bool:
        return self._contacts.closed(button)

    def close(self) -> None:
        self._contacts.close()

    def _changed(self, button: ButtonName, pressed: bool, monotonic_ns: int) -> None:
        self._subscribers.tell(ButtonEdge(button, pressed, of_monotonic(self._clock, monotonic_ns)))


def open_buttons(gpio: Gpio, board: Board, clock: Clock) -> PiButtons:
    """``HalUnavailable`` when a line cannot be claimed."""
    return PiButtons(gpio, board, clock)
