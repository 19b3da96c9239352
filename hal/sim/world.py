"""The world around one simulated camera: what a scenario does to it, and what outlives a power cut.

Responsible for the time line, true time, the wearer's hands, the dock's bay, the cell and the card's fault plan. Refuses
to know the firmware.

Invariants: at most one life of the camera is on; when its power is cut nothing of it runs or writes again, whatever its
``finally`` clauses try; everything random comes from ``seed``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from hal.canvas import Plane
from hal.errors import DeviceFault, HalError, PowerCut
from hal.interfaces import ButtonName, ClockReading, LampName
from hal.sim.card import Card
from hal.sim.sight import Sight
from hal.sim.surroundings import Battery, Bystander, Delay, Faults, Signal, WallClock, released
from hal.sim.timeline import MS, SECOND, Event, TimeLine

START_UP_NS = 4 * SECOND
"""From power on to the first instruction of the daemon: what boot time shows when it starts."""
RESTART_NS = 1 * SECOND
"""RestartSec of oathcamd.service."""
_TAP_MS = 80
_PAUSE_MS = 150
_BOUNCES_NS = (0, 400_000, 900_000, 1_700_000, 2_600_000)
"""A worn contact: an odd number of changes within 3 ms, so that the last one is the wanted level."""


class Life:
    """One life of the camera, from power on to its end; every device of one ``Hal`` holds the same one."""

    def __init__(self, world: World, power_on_ns: int, number: int) -> None:
        self.world = world
        self.power_on_ns = power_on_ns
        self.number = number
        self.on = True
        self.cut = False
        self.before_power_loss: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []
        """When this life is over, orderly or not: what still hangs is let go."""
        self.hang: Callable[[int | None], None] = self.wait
        """What a device calls that does not answer until an instant of the world, or ever; a worker that can hang puts its own here."""

    @property
    def slow(self) -> bool:
        """Whether something of this world may take time to answer."""
        world = self.world
        return world.anything_may_be_slow or world.signer.planned or world.card.delay.planned or world.card.stall_ns > 0

    def answer(self, delay: Delay) -> None:
        """Every device call that may be late begins here: returns when the scenario lets it answer."""
        if self.slow:
            until_ns = delay.until(self.world.now_ns)
            if until_ns is None or until_ns > self.world.now_ns:
                self.hang(until_ns)
            self.check()

    def at(self, at_ns: int, callback: Callable[[], None]) -> Event:
        """An event that happens only while this life lasts."""
        return self.world.at(at_ns, lambda: callback() if self.on else None)

    def reading(self, at_ns: int | None = None) -> ClockReading:
        """The camera's clocks at an instant of the world (default: now)."""
        instant = self.world.now_ns if at_ns is None else at_ns
        wall = self.world.wall
        return ClockReading(instant - self.power_on_ns, self.world.true_wall_ns(instant) + wall.error_ns, wall.trust, wall.uncertainty_ns)

    def world_ns(self, boottime_ns: int) -> int:
        return self.power_on_ns + boottime_ns

    def check(self) -> None:
        """Every device call that leaves a trace begins here: the dead do nothing."""
        if self.cut:
            raise PowerCut("this camera lost its power")

    def end(self) -> None:
        """Orderly end: the devices fall silent, what was written stays."""
        self.on = False
        self.world.forget(self)
        self.let_go()

    def let_go(self) -> None:
        """Whatever hangs ends."""
        for each in self.at_end:
            each()

    def wait(self, until_ns: int | None) -> None:
        """The loop's own thread hangs in a device: the world goes on, and nobody reads the inbox."""
        if until_ns is not None:
            self.world.at(until_ns, lambda: None)
        while (until_ns is None or self.world.now_ns < until_ns) and self.world.step():
            pass
        if until_ns is None:
            raise DeviceFault("the simulated device does not answer")


class World(TimeLine):
    """``start_wall_ns`` is true UTC at world time 0, which is when the first boot reaches the daemon."""

    def __init__(self, start_wall_ns: int, seed: int = 0, realtime: bool = False) -> None:
        super().__init__(realtime)
        self.start_wall_ns = start_wall_ns
        self.seed = seed
        self.life: Life | None = None
        self.lives = 0
        self.last_cut_ns: int | None = None
        self.stays_up = False
        """The board does: the next life is another process, started by the service manager, and boot time goes on."""
        self._up_since_ns = 0
        self.wall = WallClock()
        self.contacts = released()
        self.docked = False
        self.sight = Sight.CLEAR
        self.upside_down = False
        self.battery = Battery()
        self.camera = Faults()
        self.microphone = Faults()
        self.card = Card(self.rng("card"))
        self.signer = Delay()
        self.seen = Bystander()
        self.anything_may_be_slow = False
        """A card or a key store may become slow in mid-life: every life's worker is one that can hang."""
        self.viewfinder: Callable[[int, Plane], None] | None = None
        """Shown every picture that the sensor exposes: its instant, and I420 planes that are valid during the call only."""
        self.sync_requests: list[int] = []
        self.on_sync_request: Callable[[], None] | None = None
        self.contact_changed: Signal[ButtonName] = Signal()
        self.dock_changed: Signal[bool] = Signal()
        self.power_changed: Signal[None] = Signal()

    def rng(self, name: str) -> random.Random:
        """A generator of its own per purpose, so that one more draw here changes nothing there."""
        return random.Random(f"{self.seed}:{name}")  # noqa: S311 - a simulator's dice, not secrets

    def true_wall_ns(self, at_ns: int | None = None) -> int:
        return self.start_wall_ns + (self.now_ns if at_ns is None else at_ns)

    def power_on(self) -> Life:
        """Begin a life. After a cut, time passes for the start-up: boot time counts from the cut or from later. Where the board stayed up,
        the service manager's pause passes."""
        if self.life is not None:
            raise HalError("the simulated camera is on; cut its power or close its Hal first")
        if self.battery.state(self.now_ns).percent == 0:
            raise HalError("the simulated cell is empty; set_power or dock first")
        if self.stays_up and self.lives:
            since_ns = self._up_since_ns
            self.run_until(self.now_ns + RESTART_NS)
        else:
            since_ns = self.now_ns - START_UP_NS if self.last_cut_ns is None else max(self.now_ns - START_UP_NS, self.last_cut_ns)
            self.run_until(since_ns + START_UP_NS)
            self.wall.power_on(self.true_wall_ns(since_ns))
        self._up_since_ns = since_ns
        self.lives += 1
        self.battery.settle(self.now_ns, powered=True)
        self.life = Life(self, since_ns, self.lives)
        return self.life

    def forget(self, life: Life) -> None:
        """The end of a life, orderly or not."""
        if self.life is life:
            self.life = None
            self.battery.settle(self.now_ns, powered=False)
            for signal in (self.contact_changed, self.dock_changed, self.power_changed):
                signal.disconnect_all()

    def lose_power(self) -> None:
        """The cell is out now. Raises ``PowerCut`` when the camera was on."""
        life = self.life
        if life is None:
            return
        for each in life.before_power_loss:
            each()
        life.on, life.cut = False, True
        self.last_cut_ns = self.now_ns
        self.forget(life)
        life.let_go()
        raise PowerCut(f"power cut at {self.now_ns} ns of world time")

    def cut_power(self, at_ns: int | None = None) -> Event:
        """Pull the cell at ``at_ns``: ``PowerCut`` comes out of ``Inbox.get``. For a cut inside a write see ``card``."""
        return self.at(self._instant(at_ns), self.lose_power)

    def set_power(
        self, percent: float | None = None, *, celsius: int | None = None, charging: bool | None = None, at_ns: int | None = None
    ) -> None:
        """Set the cell or the board's temperature. Percent 0 is a dead cell: the camera loses its power."""

        def change() -> None:
            self.battery.settle(self.now_ns, level=percent, charging=charging)
            self.battery.celsius = self.battery.celsius if celsius is None else celsius
            self.power_changed.emit(None)
            if self.battery.state(self.now_ns).percent == 0:
                self.lose_power()

        self._do(at_ns, change)

    def press(self, button: ButtonName, at_ns: int | None = None, hold_ms: int = _TAP_MS, *, bounce: bool = False) -> int:
        """Press and release; ``bounce`` makes the contact chatter. Returns the instant of the release."""
        begin_ns = self._instant(at_ns)
        end_ns = begin_ns + hold_ms * MS
        self._contact(button, begin_ns, True, bounce)
        self._contact(button, end_ns, False, bounce)
        return end_ns

    def double_press(self, at_ns: int | None = None, button: ButtonName = ButtonName.RECORD, *, bounce: bool = False) -> int:
        """Two taps, 150 ms apart. Returns the instant of the last release."""
        end_ns = self.press(button, at_ns, bounce=bounce)
        return self.press(button, end_ns + _PAUSE_MS * MS, bounce=bounce)

    @property
    def lens_covered(self) -> bool:
        return self.sight is Sight.COVERED

    def cover_lens(self, at_ns: int | None = None, covered: bool = True) -> None:
        self.change_sight(Sight.COVERED if covered else Sight.CLEAR, at_ns)

    def change_sight(self, sight: Sight, at_ns: int | None = None) -> None:
        """What the sensor sees of the scene from then on."""

        def change() -> None:
            self.sight = sight

        self._do(at_ns, change)

    def turn_over(self, at_ns: int | None = None, upside_down: bool = True) -> None:
        """It hangs by its strap: the picture stands on its head, and the accelerometer says so."""

        def turn() -> None:
            self.upside_down = upside_down

        self._do(at_ns, turn)

    def break_lamp(self, name: LampName, at_ns: int | None = None) -> None:
        """From then on the lamp's driver drives nothing, and its read-back says so (BWC-POL-13)."""
        self._do(at_ns, lambda: self.seen.broken_lamps.add(name))

    def dock(self, at_ns: int | None = None) -> None:
        self._do(at_ns, lambda: self._set_docked(True))

    def undock(self, at_ns: int | None = None) -> None:
        self._do(at_ns, lambda: self._set_docked(False))

    def step_wall(self, delta_ns: int, at_ns: int | None = None) -> None:
        """Something that is not the firmware steps the camera's wall clock."""

        def change() -> None:
            self.wall.error_ns += delta_ns

        self._do(at_ns, change)

    def _set_docked(self, docked: bool) -> None:
        if docked == self.docked:
            return
        self.docked = docked
        self.battery.settle(self.now_ns, charging=docked)
        self.dock_changed.emit(docked)
        self.power_changed.emit(None)

    def _contact(self, button: ButtonName, at_ns: int, closed: bool, bounce: bool) -> None:
        changes = _BOUNCES_NS if bounce else _BOUNCES_NS[:1]
        for index, offset_ns in enumerate(changes):
            level = closed if index % 2 == 0 else not closed
            self.at(at_ns + offset_ns, partial(self.set_contact, button, level))

    def set_contact(self, button: ButtonName, closed: bool) -> None:
        """The bare contact, now: what a finger does."""
        self.contacts[button] = closed
        self.contact_changed.emit(button)

    def _instant(self, at_ns: int | None) -> int:
        return self.now_ns if at_ns is None else at_ns

    def _do(self, at_ns: int | None, change: Callable[[], None]) -> None:
        if at_ns is None:
            change()
        else:
            self.at(at_ns, change)
