"""``oathcamd`` on a back-end for the machine: buttons and lamps on GPIO, a V4L2 camera, an ext4 card.

The daemon's own ``main`` runs; this file only adds the back-end ``machine`` to those that it may open. Camera (the laptop's, ``hal.pc``),
clock, inbox, worker, key store, volume and watchdog are the product's. Buttons, lamps and dock contact are small ones of this file, over
the library and pins that the Pi's use (gpiozero's lgpio factory, ``hal.pi.board``): what they show is the daemon on real kernel
interfaces, not the Pi's own ports. The rest is absent or constant.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    Positioning,
    Power,
    PowerState,
)
from hal.pc.camera import PcCamera
from hal.pc.v4l2 import V4l2Feed
from hal.posix import PosixClock, QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker, request_by_file


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
        camera=PcCamera(V4l2Feed(str(vivid()), hands.clock), hands.clock),
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
