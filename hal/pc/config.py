"""The laptop's settings, checked: an unknown key is an error, not a wish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal.interfaces import HalConfig
from hal.key_store import KeyStoreSettings, split_settings
from hal.settings import Check, Mismatch, integer, parse_settings, path, text

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, slots=True)
class PcConfig:
    """``volume`` and ``keys`` are directories. The rest has defaults.

    ``source``: a V4L2 device below ``/dev`` or a video file; empty for the first webcam. ``microphone``: an ALSA device; ``auto`` is the
    sound of a source that is a file, else ALSA's ``default``; ``none`` for a laptop that has no ears. ``keyboard``: a terminal or FIFO
    whose bytes are keys, ``-`` for standard input. ``hold_ms``: how long a hold key presses. ``dock_file``: while this file is there, the
    camera counts as docked, beside the key for it. ``sync_request``: the file to make when a dock sync is wanted.
    """

    volume: Path
    keys: Path
    source: str = ""
    microphone: str = AUTO
    keyboard: str = "-"
    hold_ms: int = 3500
    dock_file: Path | None = None
    sync_request: Path | None = None
    inbox_limit: int = 256


def parse_config(config: HalConfig) -> tuple[PcConfig, KeyStoreSettings]:
    """``HalError`` naming the key for anything unknown, missing or of another type."""
    key_store, rest = split_settings(config)
    return parse_settings(PcConfig, _CHECKS, rest, "laptop back-end"), key_store


def _source(key: str, value: Any) -> str:
    if not isinstance(value, (str, Path)):
        raise Mismatch(key, "a video file or a device below /dev", value)
    return str(value)


def _hold(key: str, value: Any) -> int:
    if integer(key, value) < 500:
        raise Mismatch(key, "at least 500 (ms)", value)
    return int(value)


_CHECKS: dict[str, Check] = {
    "volume": path,
    "keys": path,
    "source": _source,
    "microphone": text,
    "keyboard": text,
    "hold_ms": _hold,
    "dock_file": path,
    "sync_request": path,
    "inbox_limit": integer,
}
