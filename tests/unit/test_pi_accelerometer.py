"""The accelerometer as a driver of the kernel serves it: a directory with a few files (sysfs-bus-iio)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.errors import DeviceFault, HalUnavailable
from hal.pi.accelerometer import AXES, open_orientation

MPU_SCALE = "0.000598\n"
"""What inv_mpu6050 prints for its range of 2 g: 9.80665 / 16384, in micro."""


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """As the driver of an MPU-6050 makes it, at rest with y up; before it stands a device that is no accelerometer."""
    other = tmp_path / "bus/iio/devices/iio:device0"
    other.mkdir(parents=True)
    (other / "in_voltage0_raw").write_text("12\n")
    made = tmp_path / "bus/iio/devices/iio:device1"
    made.mkdir()
    for axis, raw in (("x", 120), ("y", 16400), ("z", -300)):
        (made / f"in_accel_{axis}_raw").write_text(f"{raw}\n")
    (made / "in_accel_scale").write_text(MPU_SCALE)
    return made


@pytest.mark.parametrize(("axis", "up_g"), [("y", 1.0), ("-y", -1.0), ("x", 0.0), ("z", 0.0), ("-z", 0.0)])
def test_an_axis_in_g(tmp_path: Path, device: Path, axis: str, up_g: float) -> None:
    assert open_orientation(axis, tmp_path).up_g() == pytest.approx(up_g, abs=0.02)


def test_an_offset_is_added_before_the_scale(tmp_path: Path, device: Path) -> None:
    (device / "in_accel_offset").write_text("-16400\n")
    assert open_orientation("y", tmp_path).up_g() == 0


def test_without_a_driver_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(HalUnavailable, match="overlay"):
        open_orientation("y", tmp_path)


def test_a_device_without_a_scale_cannot_be_used(tmp_path: Path, device: Path) -> None:
    (device / "in_accel_scale").unlink()
    with pytest.raises(HalUnavailable, match="scale"):
        open_orientation("y", tmp_path)


def test_a_chip_that_stops_answering_or_lies_is_a_fault(tmp_path: Path, device: Path) -> None:
    opened = open_orientation("y", tmp_path)
    (device / "in_accel_y_raw").write_text("nonsense\n")
    with pytest.raises(DeviceFault, match="a number"):
        opened.up_g()
    (device / "in_accel_y_raw").unlink()
    with pytest.raises(DeviceFault, match="in_accel_y_raw"):
        opened.up_g()


def test_each_axis_is_one_of_the_chip() -> None:
    assert {axis.lstrip("-") for axis in AXES} == {"x", "y", "z"}
