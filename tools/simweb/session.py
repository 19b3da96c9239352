"""One virtual camera behind the page: its world in real time, its thread, what was done to it, and what can be seen of it.

Responsible for the bridge between two threads: the camera's, which owns the world, and the page's, which posts actions and looks.
Refuses to know HTTP. Everything that is done is noted at the instant of the world at which it happened, so that a replay repeats it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from firmware.installed import choose_policy
from firmware.timebase import format_utc
from hal.errors import HalError
from hal.interfaces import LampName
from hal.sim.paced import PacedWorld
from hal.sim.surroundings import CuePlayed
from hal.sim.timeline import MS, SECOND
from tools.scenario import Action, Scenario, make_action
from tools.scenario_run import make_place
from tools.simulated import SimulatedCamera
from tools.simweb.docking import Docking
from tools.simweb.leaves import LedgerTail
from tools.simweb.viewer import Viewer
from tools.simweb.words import cue_name, hint, question_words

log = logging.getLogger("oathcam.sim")

T = TypeVar("T")
_WAIT_S = 20.0
_AHEAD_NS = 100 * MS
"""A finger's first edge is put so far ahead that the next ones, which may come late, still keep their distance."""
_GESTURE_NS = SECOND
_FINGER_NS = 10 * SECOND
"""Longer between two edges than this, and the page's clock says nothing about their distance."""


class Session:
    """From a new agency and camera to :meth:`close`."""

    def __init__(self, directory: Path, head: Scenario, source: str = "") -> None:
        self.place = make_place(directory, head, source)
        self.head = head
        self.actions: list[Action] = []
        self.failed = ""
        self.viewer = Viewer()
        self.ledger = LedgerTail(self.place.card)
        self.world = PacedWorld(time.time_ns(), head.seed)
        self.policy = choose_policy(self.place.config)[0].policy
        self.docking = Docking(self.place.agency / "dock", self.place.store, directory / "dock.log")
        self.camera = SimulatedCamera(self.world, self.place.config, self._sync_asked, self.docking.unplug)
        self.world.viewfinder = self.viewer.show
        self._set: dict[str, Any] = {"card": "none", "microphone": "none", "camera": "none", "lamp": "none"}
        self._edge: tuple[int, float] = (0, 0.0)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def act(self, do: Any, fields: Mapping[str, Any], finger_ms: float | None = None) -> None:
        """Let something happen now. ``finger_ms``: for edges of a button, the page's own clock; their distance is the finger's, whatever
        the way took. ``UsageError`` for what is no action."""
        action = make_action(0.0, do, fields)
        with self._lock:
            at_ns = self.world.outside_ns()
            if finger_ms is not None:
                at_ns = self._finger(at_ns, finger_ms)
            self.world.post(lambda: self._perform(action), at_ns)

    def in_world(self, job: Callable[[], T]) -> T:
        """Run ``job`` between two events of the world and return what it gives; ``HalError`` when the camera's thread does not answer."""
        done: Future[T] = Future()

        def do() -> None:
            try:
                done.set_result(job())
            except OSError as error:
                done.set_exception(error)

        self.world.post(do)
        try:
            return done.result(_WAIT_S)
        except TimeoutError:
            raise HalError("the virtual camera does not answer") from None

    def close(self) -> None:
        """End the recorder in order, then the dock."""
        self.world.post(self.camera.end)
        self._thread.join(_WAIT_S)
        self.docking.close()

    @property
    def seconds(self) -> float:
        """Of the scenario that is being played."""
        return self.world.outside_ns() / SECOND

    def scenario(self, name: str, description: str) -> Scenario:
        """What was done so far, from the first boot on, ending now."""
        at_ns, actions = self.in_world(lambda: (self.world.now_ns, tuple(self.actions)))
        end = max(round(at_ns / SECOND, 3), 1.0, *(action.at for action in actions))
        return replace(self.head, name=name, description=description, picture="small", end=end, actions=actions)

    def cues(self, after: int) -> list[dict[str, Any]]:
        """Cues from number ``after`` on, with what each means."""
        played = self.world.seen.cues[after:]
        return [_cue_row(number, one) for number, one in enumerate(played, after)]

    @property
    def cues_played(self) -> int:
        return len(self.world.seen.cues)

    def snapshot(self) -> dict[str, Any]:
        """All that is to be seen from outside, now."""
        world, camera = self.world, self.camera
        state = camera.state
        battery = world.battery.state(world.outside_ns())
        return {
            "phase": camera.phase.value,
            "state": state,
            "hint": self.failed or hint(state, self.policy),
            "question": question_words(camera.question),
            "lamps": {name.value: self._lamp(name) for name in LampName},
            "battery": {"in": camera.battery_in, "percent": battery.percent, "charging": battery.charging, "celsius": battery.celsius},
            "docked": world.docked,
            "covered": world.lens_covered,
            "upside_down": world.upside_down,
            "looking": camera.phase.value == "on" and state in ("ready", "recording", "booting"),
            "faults": dict(self._set),
            "room_mb": self._room_mb(),
            "clock_error_s": round(world.wall.error_ns / SECOND, 3),
            "dock": {"running": self.docking.running, "said": self.docking.said},
            "boots": world.lives,
            "actions": len(self.actions),
        }

    def clock(self) -> dict[str, Any]:
        """What grows all the time: the camera's clock and how far the world lags behind the wall's."""
        at_ns = self.world.outside_ns()
        wall_ns = self.world.true_wall_ns(at_ns) + self.world.wall.error_ns
        return {
            "seconds": int(at_ns / SECOND),
            "wall": format_utc(wall_ns)[:19] + "Z",
            "slipped_s": round(self.world.slipped_ns / SECOND, 1),
        }

    def _run(self) -> None:
        try:
            self.camera.run()
        finally:
            if not self.camera.ended:
                self.failed = "The virtual camera has stopped; its log says why. Start over."

    def _sync_asked(self) -> None:
        self.docking.request(self.place.config)

    def _perform(self, action: Action) -> None:
        self.actions.append(replace(action, at=round(self.world.now_ns / SECOND, 6)))
        if "fault" in action.fields:
            self._set[action.do] = action.fields["fault"]
        self.camera.perform(action)

    def _finger(self, now_ns: int, finger_ms: float) -> int:
        before_ns, before_ms = self._edge
        apart_ns = round((finger_ms - before_ms) * MS)
        kept_ns = before_ns + (apart_ns if 0 <= apart_ns <= _FINGER_NS else 0)
        # One that comes late, yet belongs to the edge before it, is late by no more than it must; any other begins a gesture.
        at_ns = kept_ns if kept_ns >= now_ns else now_ns if apart_ns <= _GESTURE_NS else now_ns + _AHEAD_NS
        self._edge = (at_ns, finger_ms)
        return at_ns

    def _lamp(self, name: LampName) -> dict[str, Any]:
        seen = self.world.seen
        newest = next((each.lamp for each in reversed(seen.lamps) if each.name is name), None)
        if newest is None or name in seen.broken_lamps:
            return {"colour": "off", "blink_ms": 0}
        return {"colour": newest.colour.value, "blink_ms": newest.blink_ms}

    def _room_mb(self) -> int:
        card = self.world.card
        limit = 32 * 10**9 if card.limit_bytes is None else card.limit_bytes
        return max(0, limit - card.used_bytes) // 10**6


def _cue_row(number: int, played: CuePlayed) -> dict[str, Any]:
    cue = played.cue
    return {"number": number, "name": cue_name(cue), "tones": [list(one) for one in cue.tones], "pulses": [list(one) for one in cue.pulses]}
