"""``oathcamd`` on a back-end for the machine: buttons and lamps on GPIO, a V4L2 camera, an ext4 card.

The daemon's own ``main`` runs; this file only adds the back-end ``machine`` to those that it may open, and puts it together of the
product's own ports: clock, buttons, lamps, dock contact and hint channel are the Pi's, on real gpiozero, lgpio and pyserial; the camera is
the laptop's, on a real V4L2 device; inbox, worker, key store, volume and watchdog are everybody's. What the machine does not have
(sound, a gauge, a receiver) is absent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from guest import BOARD, SERIAL, vivid

from firmware import __version__
from firmware.__main__ import main
from hal import backends
from hal.directory_volume import DirectoryVolume
from hal.file_key_store import FileKeyStore
from hal.hint import Hello
from hal.interfaces import Hal, HalConfig
from hal.none import Mains, NoAccelerometer, NoMicrophone, NoReceiver
from hal.pc.camera import PcCamera
from hal.pc.v4l2 import V4l2Feed
from hal.pi.buttons import PiButtons, open_buttons
from hal.pi.dock_link import PiDockLink, open_dock_link
from hal.pi.gpio import Gpio, open_gpio
from hal.pi.indicators import PiIndicators, open_indicators
from hal.pi.rtc import ClockPaths, PiClock, open_clock
from hal.posix import QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker


@dataclass(frozen=True, slots=True)
class Hands:
    """What is wired to the header, and the clock."""

    clock: PiClock
    gpio: Gpio
    buttons: PiButtons
    indicators: PiIndicators
    dock_link: PiDockLink

    def close(self) -> None:
        for each in (self.dock_link, self.indicators, self.buttons, self.gpio, self.clock):
            each.close()


def open_hands(request: Path) -> Hands:
    """The product's ports, as the Pi's back-end opens them."""
    clock = open_clock(BOARD, ClockPaths())
    gpio = open_gpio(BOARD, BOARD.sample_revision)
    dock_link = open_dock_link(gpio, BOARD, clock, request, lambda: Hello(SERIAL, __version__, 1))
    return Hands(clock, gpio, open_buttons(gpio, BOARD, clock), open_indicators(gpio, BOARD), dock_link)


def open_hal(config: HalConfig) -> Hal:
    hands = open_hands(Path(config["sync_request"]))
    camera = PcCamera(V4l2Feed(str(vivid()), hands.clock), hands.clock)
    return Hal(
        backend="machine",
        clock=hands.clock,
        inbox=QueueInbox(),
        camera=camera,
        microphone=NoMicrophone("no microphone in this machine"),
        buttons=hands.buttons,
        indicators=hands.indicators,
        key_store=FileKeyStore(Path(config["keys"])),
        entropy=SystemEntropy(),
        volume=DirectoryVolume(Path(config["volume"])),
        power=Mains(),
        positioning=NoReceiver(),
        orientation=NoAccelerometer(),
        dock_link=hands.dock_link,
        watchdog=SdNotifyWatchdog(os.environ),
        make_worker=ThreadWorker,
        describe={"backend": "machine"},
        closers=(camera.close, hands.close),
    )


if __name__ == "__main__":
    backends.BACKENDS["machine"] = "__main__"
    main()
