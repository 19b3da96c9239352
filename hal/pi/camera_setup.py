"""Whether a camera grants what it was asked for.

libcamera adjusts what a pipeline cannot give, picamera2 notes that in its log, and recording goes on in another size, format or rate
(seen with libcamera 0.7.2's virtual camera: 1280x720 for 800x600, NV12 for YUV420, 30 pictures a second for 15). Evidence would differ
from its policy without a word. Refuses to correct anything: the remedy is another policy or another sensor.
"""

from __future__ import annotations

from typing import Any

from hal.errors import HalError
from hal.interfaces import VideoFormat

LUMA_FIRST = ("YUV420", "YVU420", "NV12", "NV21")
"""libcamera's names of the formats that both encoders take and whose first plane is grey, for stamp and small picture."""
_SPARE = 0.02
"""Sensors give 29.97 for 30."""


def check_granted(device: Any, video: VideoFormat) -> None:
    """After ``configure``: ``HalError`` naming what the camera would deliver instead of ``video``."""
    main = device.camera_configuration()["main"]
    if tuple(main["size"]) != (video.width, video.height):
        width, height = main["size"]
        raise HalError(f"the camera delivers {width}x{height} instead of {video.width}x{video.height}; choose a size that it has")
    if main["format"] not in LUMA_FIRST:
        raise HalError(f"the camera delivers {main['format']!r}; expected one of {', '.join(LUMA_FIRST)}")
    limits = device.camera_controls.get("FrameDurationLimits")
    if limits is None:
        return
    least_us, most_us = limits[0], limits[1]
    if not least_us * (1 - _SPARE) <= 1_000_000 / video.fps <= most_us * (1 + _SPARE):
        slowest, fastest = 1_000_000 / most_us, 1_000_000 / least_us
        raise HalError(
            f"the camera gives {slowest:.4g} to {fastest:.4g} pictures a second in this mode, not {video.fps}; choose another rate"
        )
