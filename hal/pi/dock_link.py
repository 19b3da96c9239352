"""The dock's contact, the request for a sync, and the hint channel beside them.

Responsible for dock sense: a contact of its own that the dock ties to ground, quiet for 300 ms. Refuses to talk to a dock over any
network and to believe that a contact proves one (house law 8).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from hal.hint import HINT_FILE, Hello
from hal.instants import of_monotonic
from hal.interfaces import Clock, DockLink, DockSense
from hal.pi.board import Board
from hal.pi.contacts import Contacts
from hal.pi.gpio import Gpio
from hal.pi.hint import HintChannel
from hal.posix import request_by_file
from hal.serial_line import SerialLine
from hal.subscribers import Subscribers


class PiDockLink(DockLink):
    """``hint`` is closed with it."""

    def __init__(self, gpio: Gpio, board: Board, clock: Clock, request_file: Path, hint: HintChannel | None = None) -> None:
        self._clock, self._request_file, self._hint = clock, request_file, hint
        self._subscribers: Subscribers[DockSense] = Subscribers()
        build = board.build
        self._contacts = Contacts(gpio, {"dock": build.pins.dock_contact}, build.dock_debounce_ms, self._changed, "dock contact")
        self._tell_hint(self._contacts.closed("dock"))

    def docked(self) -> bool:
        return self._contacts.closed("dock")

    def subscribe(self, callback: Callable[[DockSense], None]) -> None:
        self._subscribers.subscribe(callback)

    def request_sync(self) -> None:
        request_by_file(self._request_file)
        if self._hint is not None:
            self._hint.set_state("sync requested")

    def close(self) -> None:
        self._contacts.close()
        if self._hint is not None:
            self._hint.close()

    def _changed(self, _name: str, docked: bool, monotonic_ns: int) -> None:
        self._tell_hint(docked)
        self._subscribers.tell(DockSense(docked, of_monotonic(self._clock, monotonic_ns)))

    def _tell_hint(self, docked: bool) -> None:
        if self._hint is not None:
            self._hint.set_docked(docked)


def open_dock_link(gpio: Gpio, board: Board, clock: Clock, request_file: Path, hello: Callable[[], Hello] | None = None) -> PiDockLink:
    """Without ``hello`` the hint channel stays closed. ``HalUnavailable`` when the line cannot be claimed, or pyserial is missing."""
    with ExitStack() as opened:
        hint = None
        if hello is not None:
            line = SerialLine(board.build.hint_device, board.build.hint_baud)
            hint = HintChannel(line, request_file.with_name(HINT_FILE), hello)
            opened.callback(hint.close)
        link = PiDockLink(gpio, board, clock, request_file, hint)
        opened.pop_all()
        return link
