"""A laptop's battery, as the kernel tells it; a machine without one is on the mains, always.

Responsible for /sys/class/power_supply. Refuses to guess a temperature: the laptop looks after its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hal.interfaces import Clock, Power, PowerState
from hal.pc.looking import Looking

CLASS = Path("/sys/class/power_supply")
_MAINS = PowerState(percent=100, millivolts=4200, charging=False)
_CELL_UV = 3_700_000
"""A lithium cell's nominal voltage: a laptop's pack has several in a row, and the port speaks of one."""
_LOOK_NS = 10_000_000_000


class LaptopPower(Power):
    """Looks every ten seconds, on the clock's timer thread."""

    def __init__(self, clock: Clock, directory: Path = CLASS) -> None:
        self._clock = clock
        self._directory = directory
        self._battery = find_battery(directory)
        self._subscribers: list[Callable[[PowerState], None]] = []
        self._told = self.state()
        self._looking = Looking(clock, self.look, _LOOK_NS) if self._battery is not None else None

    def state(self) -> PowerState:
        return _MAINS if self._battery is None else read_battery(self._battery)

    def subscribe(self, callback: Callable[[PowerState], None]) -> None:
        self._subscribers.append(callback)

    def look(self) -> None:
        """Tell a change."""
        state = self.state()
        if (state.percent, state.charging) != (self._told.percent, self._told.charging):
            self._told = state
            for each in self._subscribers:
                each(state)

    def describe(self) -> str:
        return "mains" if self._battery is None else f"battery {self._battery.name}"

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()


def find_battery(directory: Path) -> Path | None:
    """The laptop's own battery; a mouse's has the scope "Device"."""
    for path in sorted(directory.glob("*")):
        if _text(path / "type") == "Battery" and _text(path / "scope") != "Device" and _text(path / "capacity").isdigit():
            return path
    return None


def read_battery(path: Path) -> PowerState:
    """A battery that was taken out reads as what is left without it: the mains."""
    capacity = _text(path / "capacity")
    if not capacity.isdigit():
        return _MAINS
    microvolts = _number(path / "voltage_now")
    cells = max(1, round(_number(path / "voltage_min_design") / _CELL_UV))
    charging = _text(path / "status") in ("Charging", "Full", "Not charging")
    return PowerState(min(100, int(capacity)), microvolts // cells // 1000, charging)


def _number(path: Path) -> int:
    text = _text(path)
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
