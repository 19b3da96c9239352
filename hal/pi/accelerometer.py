"""Which way is up: an accelerometer that a driver of the kernel serves (Linux IIO, Documentation/ABI/testing/sysfs-bus-iio).

Responsible for one axis of the first accelerometer below /sys/bus/iio, in g. Refuses to judge, and to know chips: the kernel's driver and
an overlay name them. The build's settings say which axis of the chip points to the top of the picture.
"""

from __future__ import annotations

from pathlib import Path

from hal.errors import DeviceFault, HalUnavailable
from hal.interfaces import Orientation
from hal.pi.sysfs import read_number

STANDARD_GRAVITY = 9.80665
"""m/s2; the ABI's unit is m/s2 after offset and scale."""
AXES = ("x", "y", "z", "-x", "-y", "-z")


class PiOrientation(Orientation):
    """``directory`` is the device's; ``axis`` one of :data:`AXES`."""

    def __init__(self, directory: Path, axis: str) -> None:
        self._name, self._sign = axis[-1], -1 if axis.startswith("-") else 1
        self._directory = directory
        self._scale = self._number("in_accel_scale")
        offset = directory / "in_accel_offset"
        self._offset = self._number(offset.name) if offset.exists() else 0.0

    def up_g(self) -> float | None:
        raw = self._number(f"in_accel_{self._name}_raw")
        return self._sign * (raw + self._offset) * self._scale / STANDARD_GRAVITY

    def _number(self, name: str) -> float:
        return read_number(self._directory / name, float)


def open_orientation(axis: str, sysfs: Path = Path("/sys")) -> PiOrientation:
    """``HalUnavailable`` when no driver serves an accelerometer."""
    found = sorted((sysfs / "bus/iio/devices").glob("iio:device*/in_accel_x_raw"))
    if not found:
        raise HalUnavailable("the kernel serves no accelerometer; add its overlay to config.txt, or set hal.pi.accelerometer to 'none'")
    try:
        return PiOrientation(found[0].parent, axis)
    except DeviceFault as error:
        raise HalUnavailable(f"the accelerometer gives no scale: {error}") from error
