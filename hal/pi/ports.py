"""The Pi's ports, opened one after the other, once the capture process is on its way (``boot.py``).

A port whose part a camera needs is an error when it is missing; what it can do without (receiver, gauge, hint channel) is switched off in
the settings, never silently. What was opened is closed again when a later port cannot be.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

from hal.alsa_card import SoundCard
from hal.alsa_microphone import AlsaMicrophone
from hal.directory_volume import DirectoryVolume, make_root
from hal.hint import Hello
from hal.interfaces import Clock, Hal, HalConfig, KeyStore, Microphone, Positioning, Power
from hal.key_store import open_key_store
from hal.none import Mains, NoAccelerometer, NoMicrophone, NoReceiver
from hal.pi.accelerometer import open_orientation
from hal.pi.board import Board, detect_board
from hal.pi.buttons import open_buttons
from hal.pi.camera import CameraOptions, PiCamera
from hal.pi.config import NONE, THREAD, PiConfig, parse_config
from hal.pi.dock_link import PiDockLink, open_dock_link
from hal.pi.gnss import open_positioning
from hal.pi.gpio import Gpio, open_gpio
from hal.pi.indicators import open_indicators
from hal.pi.power import open_power
from hal.pi.process_camera import ProcessCamera
from hal.pi.rtc import ClockPaths, PiClock, open_clock
from hal.pi.spawn import CaptureProcess
from hal.posix import QueueInbox, SdNotifyWatchdog, SystemEntropy, ThreadWorker


def open_ports(config: HalConfig, spawned: CaptureProcess | None) -> Hal:
    """Every port. ``spawned`` is the capture process that waits for its orders. ``HalUnavailable`` names what is missing."""
    settings, key_settings = parse_config(config)
    board, revision = detect_board(settings.board or None)
    with ExitStack() as opened:
        clock = open_clock(board, ClockPaths(newest=settings.volume / "ledger" / "log"))
        opened.callback(clock.close)
        camera = _open_camera(settings, board, clock, spawned)
        opened.callback(camera.close)
        key_store = open_key_store(key_settings.key_store, settings.keys, key_settings)
        opened.callback(key_store.close)
        gpio = open_gpio(board, revision, settings.devices)
        opened.callback(gpio.close)
        return _open_rest(settings, board, opened, clock, camera, key_store, gpio)


def _open_rest(
    settings: PiConfig,
    board: Board,
    opened: ExitStack,
    clock: PiClock,
    camera: PiCamera | ProcessCamera,
    key_store: KeyStore,
    gpio: Gpio,
) -> Hal:
    buttons = open_buttons(gpio, board, clock)
    opened.callback(buttons.close)
    indicators = open_indicators(gpio, board)
    opened.callback(indicators.close)
    dock_link = _open_dock_link(settings, board, gpio, clock, key_store)
    opened.callback(dock_link.close)
    microphone = _open_microphone(settings, clock)
    opened.callback(microphone.stop)
    power = _open_power(settings, board, opened)
    positioning = _open_positioning(settings, board, clock, opened)
    orientation = NoAccelerometer() if settings.accelerometer == NONE else open_orientation(settings.accelerometer)
    watchdog = SdNotifyWatchdog(os.environ)
    opened.callback(watchdog.close)
    return Hal(
        backend="pi",
        clock=clock,
        inbox=QueueInbox(settings.inbox_limit),
        camera=camera,
        microphone=microphone,
        buttons=buttons,
        indicators=indicators,
        key_store=key_store,
        entropy=SystemEntropy(),
        volume=DirectoryVolume(make_root(settings.volume)),
        power=power,
        positioning=positioning,
        orientation=orientation,
        dock_link=dock_link,
        watchdog=watchdog,
        make_worker=ThreadWorker,
        describe={
            "backend": "raspberry pi",
            **camera.describe(),
            "board": board.title,
            "microphone": settings.microphone,
            "rtc": clock.judgement.found,
        },
        pre_event_limit_bytes=board.pre_event_limit_bytes,
        closers=(opened.pop_all().close,),
    )


def _open_camera(settings: PiConfig, board: Board, clock: Clock, spawned: CaptureProcess | None) -> PiCamera | ProcessCamera:
    options = CameraOptions(settings.camera_index, settings.lens_position, settings.rotate)
    return PiCamera(board, clock, options) if settings.capture == THREAD else ProcessCamera(board, clock, options, spawned)


def _open_dock_link(settings: PiConfig, board: Board, gpio: Gpio, clock: Clock, key_store: KeyStore) -> PiDockLink:
    def hello() -> Hello:
        return Hello(settings.serial or "unnamed", settings.firmware or "unknown", key_store.counter_read())

    return open_dock_link(gpio, board, clock, settings.sync_request, hello if settings.hint else None)


def _open_microphone(settings: PiConfig, clock: Clock) -> Microphone:
    if settings.microphone == NONE:
        return NoMicrophone("the settings name no microphone; name the card as hal.pi.microphone")
    card = SoundCard(
        settings.microphone,
        settings.microphone_bits,
        settings.microphone_channels,
        settings.microphone_channel,
        settings.microphone_gain,
    )
    return AlsaMicrophone(clock, card)


def _open_power(settings: PiConfig, board: Board, opened: ExitStack) -> Power:
    if not settings.gauge:
        return Mains()
    power = open_power(board)
    opened.callback(power.close)
    return power


def _open_positioning(settings: PiConfig, board: Board, clock: Clock, opened: ExitStack) -> Positioning:
    if not settings.gnss:
        return NoReceiver()
    positioning = open_positioning(board, clock)
    opened.callback(positioning.close)
    return positioning
