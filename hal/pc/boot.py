"""The laptop's ports, opened."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from hal.alsa_card import SoundCard
from hal.alsa_microphone import AlsaMicrophone
from hal.directory_volume import DirectoryVolume, make_root
from hal.errors import HalUnavailable
from hal.interfaces import Clock, Hal, HalConfig, Microphone
from hal.key_store import KeyStoreSettings, open_key_store
from hal.none import NoAccelerometer, NoMicrophone, NoReceiver
from hal.pc.camera import PcCamera
from hal.pc.clock import LaptopClock
from hal.pc.config import AUTO, NONE, PcConfig, parse_config
from hal.pc.feed import Feed, FileFeed
from hal.pc.file_microphone import FileMicrophone
from hal.pc.hands import KeyboardButtons, KeyboardDock
from hal.pc.indicators import ShownWatchdog, TerminalIndicators
from hal.pc.power import LaptopPower
from hal.pc.terminal import KeyInput, StatusLine
from hal.pc.v4l2 import V4l2Feed, find_webcam
from hal.posix import QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker

_DEAF = "the settings say that this laptop has no microphone; name one as hal.pc.microphone, or switch sound off in the policy"


def open_feed(source: str, clock: Clock) -> Feed:
    """A device below /dev, a file, or the first webcam. ``HalUnavailable`` names the remedy."""
    source = source or find_webcam()
    return V4l2Feed(source, clock) if source.startswith("/dev/") else FileFeed(source, clock)


def open_microphone(settings: PcConfig, clock: Clock) -> Microphone:
    """What ``microphone`` says; ``auto`` is the sound of a file that has some, none beside a file that has none, else ALSA's default."""
    if settings.microphone == NONE:
        return NoMicrophone(_DEAF)
    if settings.microphone != AUTO:
        return AlsaMicrophone(clock, SoundCard(settings.microphone))
    if not settings.source or settings.source.startswith("/dev/"):
        return AlsaMicrophone(clock, SoundCard())
    try:
        return FileMicrophone(settings.source, clock)
    except HalUnavailable:
        return NoMicrophone(_DEAF)


def open_hal(config: HalConfig) -> Hal:
    """Every port. What was opened is closed again when a later one cannot be."""
    settings, key_settings = parse_config(config)
    with ExitStack() as opened:
        return _open_ports(settings, key_settings, opened)


def _open_ports(settings: PcConfig, key_settings: KeyStoreSettings, opened: ExitStack) -> Hal:
    clock = LaptopClock()
    opened.callback(clock.close)
    key_store = open_key_store(key_settings.key_store, settings.keys, key_settings)
    opened.callback(key_store.close)
    volume = DirectoryVolume(make_root(settings.volume))
    camera = PcCamera(open_feed(settings.source, clock), clock)
    opened.callback(camera.close)
    microphone = open_microphone(settings, clock)
    opened.callback(microphone.stop)
    power = LaptopPower(clock)
    opened.callback(power.close)
    watchdog = SdNotifyWatchdog(os.environ)
    opened.callback(watchdog.close)
    line = StatusLine(sys.stderr)
    opened.callback(line.close)
    indicators = TerminalIndicators(line)
    dock_link = KeyboardDock(clock, settings.sync_request, settings.dock_file)
    opened.callback(dock_link.close)
    # Last of all, and closed first: from here on the terminal is not as its owner left it.
    buttons = KeyboardButtons(KeyInput(settings.keyboard), clock, settings.hold_ms, dock_link.toggle)
    opened.callback(buttons.close)
    return Hal(
        backend="pc",
        clock=clock,
        inbox=QueueInbox(settings.inbox_limit),
        camera=camera,
        microphone=microphone,
        buttons=buttons,
        indicators=indicators,
        key_store=key_store,
        entropy=SystemEntropy(),
        volume=volume,
        power=power,
        positioning=NoReceiver(),
        orientation=NoAccelerometer(),
        dock_link=dock_link,
        watchdog=ShownWatchdog(watchdog, indicators),
        make_worker=ThreadWorker,
        describe={"backend": "laptop", **camera.describe(), "microphone": settings.microphone, "power": power.describe()},
        closers=(opened.pop_all().close,),
    )
