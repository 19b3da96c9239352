"""What the contract suites hold a port by: the port, how to let time pass, and the hand on the other side of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hal.interfaces import (
    AudioFrame,
    ButtonName,
    Buttons,
    Camera,
    Clock,
    ClockReading,
    DockLink,
    Indicators,
    LampName,
    Microphone,
    Orientation,
    Picture,
    Positioning,
    Power,
    VideoFormat,
)

SMALL = VideoFormat(width=320, height=180, fps=15, bitrate_bps=300_000, gop_pictures=15)


def let_pass(seconds: float) -> None:
    """Real time, which nobody here can step."""
    threading.Event().wait(seconds)


@dataclass
class Heard:
    """A sink that keeps what it was given; counts as camera and microphone sink."""

    pictures: list[Picture] = field(default_factory=list)
    frames: list[AudioFrame] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def picture(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def camera_fault(self, reason: str) -> None:
        self.faults.append(reason)

    def audio(self, frame: AudioFrame) -> None:
        self.frames.append(frame)

    def microphone_fault(self, reason: str) -> None:
        self.faults.append(reason)


@dataclass
class CameraRig:
    """``pass_time(seconds)`` lets the device deliver for so long."""

    camera: Camera
    now: Callable[[], ClockReading]
    pass_time: Callable[[float], None]
    clock_tolerance_ns: int = 5_000_000
    """How far wall and boot time of two readings may move against each other while nobody steps the clock."""


@dataclass
class MicrophoneRig:
    microphone: Microphone
    now: Callable[[], ClockReading]
    pass_time: Callable[[float], None]


@dataclass
class ClockRig:
    """``wait(event)`` returns once the event is set; fails the test when it never is."""

    clock: Clock
    wait: Callable[[threading.Event], None]


@dataclass
class HandsRig:
    """The ports that face the wearer and the dock, and the hands that move them."""

    buttons: Buttons
    indicators: Indicators
    power: Power
    positioning: Positioning
    orientation: Orientation
    dock_link: DockLink
    press: Callable[[ButtonName, int], None]
    """Press for so many milliseconds, with a bouncing contact, and let it settle."""
    dock: Callable[[bool], None]
    set_percent: Callable[[int], None]
    break_lamp: Callable[[LampName], None]
