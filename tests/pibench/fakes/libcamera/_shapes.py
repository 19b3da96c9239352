"""FAKE libcamera, for tests: values, controls, configurations and buffers."""

from __future__ import annotations

import enum
import mmap
import os
import types
from collections.abc import Iterator
from typing import Any

import bench


class Size:
    def __init__(self, width: float = 0, height: float = 0) -> None:
        self.width, self.height = int(width), int(height)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and (self.width, self.height) == (other.width, other.height)

    def __hash__(self) -> int:
        return hash((self.width, self.height))

    def __repr__(self) -> str:
        return f"{self.width}x{self.height}"


class Rectangle:
    def __init__(self, x: int = 0, y: int = 0, width: int = 0, height: int = 0) -> None:
        self.x, self.y, self.width, self.height = x, y, width, height

    def __repr__(self) -> str:
        return f"({self.x}, {self.y})/{self.width}x{self.height}"


class Transform:
    def __init__(self, other: Transform | None = None, hflip: int = 0, vflip: int = 0, transpose: int = 0) -> None:
        if other is not None:
            hflip, vflip, transpose = other.hflip, other.vflip, other.transpose
        self.hflip, self.vflip, self.transpose = bool(hflip), bool(vflip), bool(transpose)

    def __str__(self) -> str:
        return f"hflip={self.hflip} vflip={self.vflip} transpose={self.transpose}"


class ColorSpace:
    Primaries = enum.Enum("Primaries", "Raw Smpte170m Rec709 Rec2020")
    TransferFunction = enum.Enum("TransferFunction", "Linear Srgb Rec709")
    YcbcrEncoding = enum.Enum("YcbcrEncoding", {"Null": 0, "Rec601": 1, "Rec709": 2, "Rec2020": 3})
    Range = enum.Enum("Range", "Full Limited")

    def __init__(self, primaries: Any, transfer: Any = None, encoding: Any = None, span: Any = None) -> None:
        if isinstance(primaries, ColorSpace):
            other = primaries
            primaries, transfer, encoding, span = other.primaries, other.transferFunction, other.ycbcrEncoding, other.range
        self.primaries, self.transferFunction, self.ycbcrEncoding, self.range = primaries, transfer, encoding, span

    def __str__(self) -> str:
        return f"{self.primaries.name}/{self.transferFunction.name}/{self.ycbcrEncoding.name}/{self.range.name}"

    @classmethod
    def Raw(cls) -> ColorSpace:
        return cls(cls.Primaries.Raw, cls.TransferFunction.Linear, cls.YcbcrEncoding.Null, cls.Range.Full)

    @classmethod
    def Sycc(cls) -> ColorSpace:
        return cls(cls.Primaries.Rec709, cls.TransferFunction.Srgb, cls.YcbcrEncoding.Rec601, cls.Range.Full)

    @classmethod
    def Smpte170m(cls) -> ColorSpace:
        return cls(cls.Primaries.Smpte170m, cls.TransferFunction.Rec709, cls.YcbcrEncoding.Rec601, cls.Range.Limited)

    @classmethod
    def Rec709(cls) -> ColorSpace:
        return cls(cls.Primaries.Rec709, cls.TransferFunction.Rec709, cls.YcbcrEncoding.Rec709, cls.Range.Limited)


Orientation = enum.Enum("Orientation", "Rotate0 Rotate0Mirror Rotate180 Rotate180Mirror Rotate90Mirror Rotate270 Rotate270Mirror Rotate90")
StreamRole = enum.Enum("StreamRole", "Raw StillCapture VideoRecording Viewfinder")
ControlType = enum.Enum("ControlType", "Null Bool Byte Integer32 Integer64 Float String Rectangle Size Point")


class PixelFormat(str):
    __slots__ = ()


class FrameMetadata:
    Status = enum.Enum("FrameMetadataStatus", "Success Error Cancelled Startup")

    def __init__(self) -> None:
        self.status, self.sequence, self.timestamp = FrameMetadata.Status.Success, 0, 0
        self.planes: list[Any] = []


class SensorConfiguration:
    def __init__(self) -> None:
        self.bit_depth, self.output_size = 10, Size()


class ControlId:
    def __init__(self, name: str, kind: Any) -> None:
        self.name, self.type = name, kind

    def __repr__(self) -> str:
        return f"ControlId({self.name})"


class ControlInfo:
    def __init__(self, least: Any, most: Any, default: Any = None) -> None:
        self.min, self.max, self.default = least, most, default


_INTEGER, _LONG, _FLOAT, _BOOL = ControlType.Integer32, ControlType.Integer64, ControlType.Float, ControlType.Bool
CONTROLS: dict[str, tuple[Any, Any, Any, Any]] = {
    "AeEnable": (_BOOL, False, True, True),
    "ExposureTime": (_INTEGER, 14, 220_416_802, 20_000),
    "ExposureTimeMode": (_INTEGER, 0, 1, 0),
    "AnalogueGain": (_FLOAT, 1.12, 16.0, 1.0),
    "AnalogueGainMode": (_INTEGER, 0, 1, 0),
    "NoiseReductionMode": (_INTEGER, 0, 4, 0),
    "AfMode": (_INTEGER, 0, 2, 0),
    "LensPosition": (_FLOAT, 0.0, 32.0, 1.0),
    "FrameDurationLimits": (_LONG, 16_666, 220_535_845, 33_333),
    "ScalerCrop": (ControlType.Rectangle, Rectangle(0, 0, 64, 64), Rectangle(0, 0, 4608, 2592), Rectangle(0, 0, 4608, 2592)),
}
METADATA = {"SensorTimestamp": _LONG, "FrameDuration": _LONG, "DigitalGain": _FLOAT, "SensorTemperature": _FLOAT}

controls = types.SimpleNamespace(
    draft=types.SimpleNamespace(
        NoiseReductionModeEnum=enum.IntEnum("NoiseReductionModeEnum", {"Off": 0, "Fast": 1, "HighQuality": 2, "Minimal": 3, "ZSL": 4})
    ),
    AfModeEnum=enum.IntEnum("AfModeEnum", {"Manual": 0, "Auto": 1, "Continuous": 2}),
    rpi=types.SimpleNamespace(),
    **{name: ControlId(name, row[0]) for name, row in CONTROLS.items()},
    **{name: ControlId(name, kind) for name, kind in METADATA.items()},
)
properties = types.SimpleNamespace(
    draft=types.SimpleNamespace(
        ColorFilterArrangementEnum=enum.IntEnum(
            "ColorFilterArrangementEnum", {"RGGB": 0, "GRBG": 1, "GBRG": 2, "BGGR": 3, "RGB": 4, "MONO": 5}
        )
    )
)


class FrameBuffer:
    """Keeps its own duplicate of the descriptor, as libcamera does."""

    class Plane:
        def __init__(self) -> None:
            self.fd, self.offset, self.length = -1, 0, 0

    def __init__(self, planes: list[Any]) -> None:
        self.planes = [types.SimpleNamespace(fd=plane.fd, offset=plane.offset, length=plane.length) for plane in planes]
        self._fd = os.dup(planes[0].fd)
        self.map = mmap.mmap(self._fd, planes[0].length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.metadata = FrameMetadata()
        self.metadata.planes = [types.SimpleNamespace(bytes_used=plane.length) for plane in planes]

    def __del__(self) -> None:
        try:
            self.map.close()
            os.close(self._fd)
        except (AttributeError, BufferError, OSError):
            return


MODES = (("SRGGB10_CSI2P", (1536, 864), 120.13), ("SRGGB10_CSI2P", (2304, 1296), 56.03), ("SRGGB10_CSI2P", (4608, 2592), 14.35))
_BYTES_PER_PIXEL = {"YUV420": 1.5, "NV12": 1.5, "RGB888": 3, "BGR888": 3, "XRGB8888": 4, "XBGR8888": 4, "YUYV": 2}
_LARGEST = (4608, 2592)


class Stream:
    configuration: Any = None


class StreamFormats:
    def __init__(self, raw: bool) -> None:
        self._raw = raw

    @property
    def pixel_formats(self) -> list[PixelFormat]:
        return [PixelFormat("SRGGB10_CSI2P")] if self._raw else [PixelFormat(each) for each in _BYTES_PER_PIXEL]

    def sizes(self, _format: object) -> list[Size]:
        return [Size(*mode[1]) for mode in MODES] if self._raw else [Size(*_LARGEST)]


class StreamConfiguration:
    def __init__(self, raw: bool) -> None:
        self.raw, self.size, self.pixel_format = raw, Size(1536, 864), PixelFormat("SRGGB10_CSI2P" if raw else "XBGR8888")
        self.buffer_count, self.stride, self.frame_size = 4, 0, 0
        self.color_space = ColorSpace.Raw() if raw else ColorSpace.Sycc()
        self.formats, self.stream = StreamFormats(raw), Stream()

    def settle(self) -> bool | None:
        """Set stride and size as the pipeline would; ``True`` when something was changed, ``None`` when it cannot be."""
        width, height, name = self.size.width, self.size.height, str(self.pixel_format)
        if self.raw:
            nearest = min(MODES, key=lambda mode: abs(mode[1][0] - width))[1]
            self.size = Size(*nearest)
            self.stride = (nearest[0] * 10 // 8 + 31) // 32 * 32
            self.frame_size = self.stride * nearest[1]
            return nearest != (width, height)
        if width > _LARGEST[0] or height > _LARGEST[1]:
            return None
        adjusted = bench.hand.only_size not in (None, (width, height))
        if bench.hand.only_size is not None:
            width, height = bench.hand.only_size
            self.size = Size(width, height)
        if name in ("YUV420", "NV12"):
            unit = 64 if name == "YUV420" else 32
            self.stride = (width + unit - 1) // unit * unit
            self.frame_size = self.stride * height * 3 // 2
        else:
            self.stride = (int(width * _BYTES_PER_PIXEL[name]) + 31) // 32 * 32
            self.frame_size = self.stride * height
        return adjusted


class CameraConfiguration:
    Status = enum.Enum("Status", "Valid Adjusted Invalid")

    def __init__(self, streams: list[StreamConfiguration]) -> None:
        self._streams, self.orientation = streams, Orientation.Rotate0
        self.sensor_config: SensorConfiguration | None = None

    def at(self, index: int) -> StreamConfiguration:
        return self._streams[index]

    def __iter__(self) -> Iterator[StreamConfiguration]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)

    def validate(self) -> Any:
        changed = [stream.settle() for stream in self._streams]
        if None in changed:
            return self.Status.Invalid
        return self.Status.Adjusted if any(changed) else self.Status.Valid


class Request:
    Status = enum.Enum("RequestStatus", "Pending Complete Cancelled")

    def __init__(self, cookie: int) -> None:
        self.cookie, self.status = cookie, self.Status.Pending
        self.buffers: dict[Stream, FrameBuffer] = {}
        self.metadata: dict[ControlId, Any] = {}
        self.wanted: dict[ControlId, Any] = {}

    def add_buffer(self, stream: Stream, buffer: FrameBuffer) -> None:
        self.buffers[stream] = buffer

    def reuse(self) -> None:
        self.status, self.metadata, self.wanted = self.Status.Pending, {}, {}

    def set_control(self, control: ControlId, value: Any) -> None:
        self.wanted[control] = value
