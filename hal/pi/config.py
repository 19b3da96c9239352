"""The Pi's settings, checked: an unknown key is an error, not a wish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal.interfaces import HalConfig
from hal.key_store import KeyStoreSettings, split_settings
from hal.pi.accelerometer import AXES
from hal.settings import Check, Mismatch, boolean, integer, one_of, parse_settings, path, text

PROCESS, THREAD = "process", "thread"
NONE = "none"


@dataclass(frozen=True, slots=True)
class PiConfig:
    """``volume`` and ``keys`` are directories, ``sync_request`` the file to make when a dock sync is wanted. The rest has defaults.

    ``board``: its name, where it cannot be read. ``capture``: in a ``process`` of its own, or in a ``thread`` of the recorder (for
    debugging). ``camera_index``, ``lens_position`` (dioptres), ``rotate`` (0 or 180): as :class:`hal.pi.camera.CameraOptions`.
    ``microphone``: an ALSA device, or ``none``; ``microphone_bits`` 16 or 32, ``microphone_channels``, ``microphone_channel`` (from
    0), ``microphone_gain`` (a factor). ``gnss``, ``gauge``, ``hint``: whether there is a receiver, a fuel gauge, a serial hint channel.
    ``accelerometer``: the chip's axis that points to the top of the picture, ``none`` without one.
    ``serial`` and ``firmware``: what the hint channel says of this camera. ``devices``: where the nodes of GPIO controllers are.
    """

    volume: Path
    keys: Path
    sync_request: Path
    board: str = ""
    capture: str = PROCESS
    camera_index: int = 0
    lens_position: float | None = None
    rotate: int = 0
    microphone: str = NONE
    microphone_bits: int = 32
    microphone_channels: int = 2
    microphone_channel: int = 0
    microphone_gain: float = 1.0
    gnss: bool = True
    gauge: bool = True
    hint: bool = True
    accelerometer: str = NONE
    serial: str = ""
    firmware: str = ""
    devices: Path = Path("/dev")
    inbox_limit: int = 256


def parse_config(config: HalConfig) -> tuple[PiConfig, KeyStoreSettings]:
    """``HalError`` naming the key for anything unknown, missing or of another type."""
    key_store, rest = split_settings(config)
    return parse_settings(PiConfig, _CHECKS, rest, "Pi back-end"), key_store


def _number(key: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 100:
        raise Mismatch(key, "a number from 0 to 100", value)
    return float(value)


def _rotation(key: str, value: Any) -> int:
    if value not in (0, 180):
        raise Mismatch(key, "0 or 180", value)
    return int(value)


def _word(key: str, value: Any) -> str:
    return "" if value == "" else text(key, value)


_CHECKS: Mapping[str, Check] = {
    "volume": path,
    "keys": path,
    "sync_request": path,
    "board": _word,
    "capture": one_of(PROCESS, THREAD),
    "camera_index": integer,
    "lens_position": _number,
    "rotate": _rotation,
    "microphone": text,
    "microphone_bits": integer,
    "microphone_channels": integer,
    "microphone_channel": integer,
    "microphone_gain": _number,
    "gnss": boolean,
    "gauge": boolean,
    "hint": boolean,
    "accelerometer": one_of(NONE, *AXES),
    "serial": _word,
    "firmware": _word,
    "devices": path,
    "inbox_limit": integer,
}
