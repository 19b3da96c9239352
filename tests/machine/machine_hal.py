"""``oathcamd`` on a back-end for the machine: buttons and lamps on GPIO, a V4L2 camera, an ext4 card.

The daemon's own ``main`` runs; this file only adds the back-end ``machine`` to those that it may open. Clock, inbox, worker, key store,
volume and watchdog are the product's. Camera, buttons, lamps and dock contact are small ones of this file, over the libraries and pins
that the Pi's use (PyAV, gpiozero's lgpio factory, ``hal.pi.board``): what they show is the daemon on real kernel interfaces, not the
Pi's own ports. The rest is absent or constant.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from guest import BOARD, PINS, vivid

from firmware.__main__ import main
from hal import backends
from hal.directory_volume import DirectoryVolume
from hal.errors import HalUnavailable
from hal.file_key_store import FileKeyStore
from hal.interfaces import (
    AudioFormat,
    AudioSink,
    ButtonEdge,
    ButtonName,
    Buttons,
    Camera,
    CameraSink,
    ClockReading,
    ClockTrust,
    Colour,
    Cue,
    DockLink,
    DockSense,
    Fix,
    Hal,
    HalConfig,
    Indicators,
    Lamp,
    LampName,
    Microphone,
    Picture,
    Positioning,
    Power,
    PowerState,
    VideoFormat,
)
from hal.posix import PosixClock, QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker, request_by_file
from hal.x264 import H264Encoder


class V4l2Camera(Camera):
    """A V4L2 device and libx264. A picture's time is the driver's own: CLOCK_MONOTONIC at the end of its capture."""

    def __init__(self, device: str, clock: PosixClock) -> None:
        self._device, self._clock = device, clock
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, video: VideoFormat, sink: CameraSink) -> None:
        options = {"video_size": f"{video.width}x{video.height}", "framerate": str(video.fps), "input_format": "yuyv422"}
        try:
            container = av.open(self._device, format="v4l2", options=options)
        except (av.FFmpegError, OSError) as error:
            raise HalUnavailable(f"camera {self._device}: {error}") from error
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(container, video, sink), daemon=True)
        self._thread.start()

    def _run(self, container, video, sink) -> None:
        encoder = H264Encoder(video, 1)
        number = 0
        try:
            for frame in container.decode(video=0):
                if self._stopping.is_set():
                    return
                mono = int(frame.pts * frame.time_base * 1_000_000_000)
                for one in encoder.encode(frame.reformat(format="yuv420p").to_ndarray(), number):
                    now = self._clock.now()
                    back = time.clock_gettime_ns(time.CLOCK_MONOTONIC) - mono
                    at = ClockReading(now.boottime_ns - back, now.wall_ns - back, now.trust)
                    sink.picture(Picture(one.data, one.keyframe, at))
                number += 1
            reason = "end of stream"
        except (av.FFmpegError, OSError) as error:
            reason = str(error)
        finally:
            container.close()
        if not self._stopping.is_set():
            sink.camera_fault(f"{self._device}: {reason}")

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(5)

    def set_bitrate(self, bitrate_bps: int) -> None:
        pass

    def describe(self) -> Mapping[str, str]:
        return {"camera": self._device}


class GpioButtons(Buttons):
    """Debounced by the kernel, through lgpio."""

    def __init__(self, factory, clock) -> None:
        from gpiozero import Button

        self._callback = None
        self._clock = clock
        self._buttons = {}
        for name, pin in ((ButtonName.RECORD, PINS.record_button), (ButtonName.FUNCTION, PINS.function_button)):
            button = Button(pin, bounce_time=0.015, pin_factory=factory)
            button.when_pressed = lambda name=name: self._edge(name, True)
            button.when_released = lambda name=name: self._edge(name, False)
            self._buttons[name] = button

    def _edge(self, name, pressed) -> None:
        if self._callback is not None:
            self._callback(ButtonEdge(name, pressed, self._clock.now()))

    def subscribe(self, callback: Callable[[ButtonEdge], None]) -> None:
        self._callback = callback

    def is_pressed(self, button: ButtonName) -> bool:
        return self._buttons[button].is_pressed


class GpioIndicators(Indicators):
    """The subject lamp's line, lit or not."""

    def __init__(self, factory) -> None:
        from gpiozero import LED

        self._led = LED(PINS.subject_lamp, pin_factory=factory)
        self._colour = Colour.OFF

    def set_lamp(self, name: LampName, lamp: Lamp) -> None:
        if name is LampName.SUBJECT:
            self._led.value = lamp.colour is not Colour.OFF
            self._colour = lamp.colour

    def play(self, cue: Cue) -> None:
        pass

    def read_back(self, name: LampName) -> Colour:
        return self._colour if self._led.value else Colour.OFF


class NoMicrophone(Microphone):
    def format(self) -> AudioFormat:
        raise HalUnavailable("no microphone in this machine")

    def start(self, sink: AudioSink) -> None:
        raise HalUnavailable("no microphone in this machine")

    def stop(self) -> None:
        pass


class Mains(Power):
    def state(self) -> PowerState:
        return PowerState(80, 3900, False)

    def subscribe(self, callback) -> None:
        pass


class NoReceiver(Positioning):
    def fix(self) -> Fix | None:
        return None


class GpioDock(DockLink):
    """A contact that the dock closes."""

    def __init__(self, factory, clock, request: Path) -> None:
        from gpiozero import Button

        self._contact = Button(PINS.dock_contact, bounce_time=0.3, pin_factory=factory)
        self._request, self._clock = request, clock

    def docked(self) -> bool:
        return self._contact.is_pressed

    def subscribe(self, callback) -> None:
        self._contact.when_pressed = lambda: callback(DockSense(True, self._clock.now()))
        self._contact.when_released = lambda: callback(DockSense(False, self._clock.now()))

    def request_sync(self) -> None:
        request_by_file(self._request)


def chip_number(label: str) -> int:
    """The controller that has this label; its number depends on which driver came first."""
    import lgpio

    for path in sorted(Path("/dev").glob("gpiochip*")):
        handle = lgpio.gpiochip_open(int(path.name[8:]))
        found = lgpio.gpio_get_chip_info(handle)[3]
        lgpio.gpiochip_close(handle)
        if found == label:
            return int(path.name[8:])
    raise HalUnavailable(label)


@dataclass(frozen=True, slots=True)
class Hands:
    """What is wired to the header."""

    clock: PosixClock
    buttons: Buttons
    indicators: Indicators
    dock_link: DockLink
    close: Callable[[], None]


def open_hands(request: Path) -> Hands:
    """The header's ports on the real lgpio factory: chip by label, board by name."""
    from gpiozero.pins.lgpio import LGPIOFactory

    class Factory(LGPIOFactory):
        def _get_revision(self) -> int:
            return BOARD.sample_revision

    clock = PosixClock(ClockTrust.RTC)
    factory = Factory(chip=chip_number(BOARD.chip_label))
    return Hands(clock, GpioButtons(factory, clock), GpioIndicators(factory), GpioDock(factory, clock, request), factory.close)


def open_hal(config: HalConfig) -> Hal:
    hands = open_hands(Path(config["sync_request"]))
    return Hal(
        backend="machine",
        clock=hands.clock,
        inbox=QueueInbox(),
        camera=V4l2Camera(str(vivid()), hands.clock),
        microphone=NoMicrophone(),
        buttons=hands.buttons,
        indicators=hands.indicators,
        key_store=FileKeyStore(Path(config["keys"])),
        entropy=SystemEntropy(),
        volume=DirectoryVolume(Path(config["volume"])),
        power=Mains(),
        positioning=NoReceiver(),
        dock_link=hands.dock_link,
        watchdog=SdNotifyWatchdog(os.environ),
        make_worker=ThreadWorker,
        describe={"backend": "machine"},
        closers=(hands.clock.close, hands.close),
    )


if __name__ == "__main__":
    backends.BACKENDS["machine"] = "__main__"
    main()
