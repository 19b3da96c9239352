"""What the recorder asks of itself beside its work: does the lens see, how long will it last, is it fit for the shift.

Responsible for when each is asked, and for the one place where the daemon asks. Refuses to judge and to act: what is found goes through
the inbox to the machine, as events. Called from the loop only.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware.lens import LensWatch
from firmware.machine import events as ev
from firmware.machine.machine import Model
from firmware.machine.states import State
from firmware.timebase import Timestamp
from hal.interfaces import Hal

Found = ev.PictureJudged


class Checks:
    """Of one run. ``post`` puts an item into the inbox."""

    def __init__(self, hal: Hal, post: Callable[[object], None], now: Timestamp) -> None:
        self._lens = LensWatch(hal.camera, hal.make_worker("lens", 1), post, now)

    def tick(self, model: Model, now: Timestamp) -> None:
        """Once a second."""
        if model.camera_on and model.state in (State.READY, State.RECORDING):
            self._lens.look(now)

    def close(self) -> None:
        self._lens.close()
