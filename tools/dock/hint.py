"""The dock's end of one bay's serial hint channel: which bay a camera sits in, and where the station listens.

Responsible for answering HELLO with BAY. Refuses to command: there is no message that would (``hal.hint``), and what a camera says
here is shown to people and believed by nobody. One thread per bay.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from hal.hint import Bay, Hello, LineReader, State, encode
from hal.loop import Loop
from hal.serial_line import SerialLine


class HintResponder:
    """Answers until it is closed; an adapter that is unplugged is waited for."""

    def __init__(self, line: SerialLine, bay: Bay, report: Callable[[str], None]) -> None:
        self._line, self._bay, self._report = line, bay, report
        self._answer = encode(bay)
        self._reader = LineReader()
        self._trouble = ""
        self._loop = Loop(f"bay {bay.bay}", self._step, line.interrupt)
        self._loop.start()

    def close(self) -> None:
        self._loop.close()
        self._line.close()

    def _step(self) -> None:
        for message in self._reader.feed(self._line.read(), time.monotonic()):
            match message:
                case Hello(serial, firmware, boot):
                    self._line.write(self._answer)
                    self._report(f"bay {self._bay.bay}: camera {serial}, firmware {firmware}, boot {boot}")
                case State(state):
                    self._report(f"bay {self._bay.bay}: {state}")
        if self._line.trouble != self._trouble:
            self._trouble = self._line.trouble
            if self._trouble:
                self._report(f"bay {self._bay.bay}: {self._line.device}: {self._trouble}")
