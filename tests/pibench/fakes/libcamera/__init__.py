"""A FAKE of libcamera's Python bindings, for tests: one camera like an IMX708 on a VC4 pipeline, as far as picamera2 asks.

Nothing here is libcamera. Real are the protocols around it: requests, event descriptors, buffers that the caller owns, statuses,
controls and their types. What no test on it can show: image processing, exposure and white balance, the sensor's timing, CMA.
``bench.hand`` is the test's hand on the sensor; the encoder behind ``/dev/video11`` is ``fake_video11``.
"""

from __future__ import annotations

import sys
import types

from libcamera import _shapes
from libcamera._camera import CameraManager, FrameBufferAllocator
from libcamera._shapes import (
    CameraConfiguration,
    ColorSpace,
    ControlId,
    ControlInfo,
    ControlType,
    FrameBuffer,
    FrameMetadata,
    Orientation,
    PixelFormat,
    Rectangle,
    Request,
    SensorConfiguration,
    Size,
    Stream,
    StreamConfiguration,
    StreamFormats,
    StreamRole,
    Transform,
    controls,
    properties,
)

__all__ = [
    "CameraConfiguration",
    "CameraManager",
    "ColorSpace",
    "ControlId",
    "ControlInfo",
    "ControlType",
    "FrameBuffer",
    "FrameBufferAllocator",
    "FrameMetadata",
    "Orientation",
    "PixelFormat",
    "Rectangle",
    "Request",
    "SensorConfiguration",
    "Size",
    "Stream",
    "StreamConfiguration",
    "StreamFormats",
    "StreamRole",
    "Transform",
    "controls",
    "log_set_level",
    "properties",
]

_libcamera = types.ModuleType("libcamera._libcamera")
_libcamera.ColorSpace, _libcamera.Transform = _shapes.ColorSpace, _shapes.Transform  # type: ignore[attr-defined]
sys.modules["libcamera._libcamera"] = _libcamera


def log_set_level(*_arguments: object) -> None:
    """There is no log."""
