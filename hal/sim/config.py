"""The simulator's settings, checked: an unknown key is an error, not a wish."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hal.interfaces import HalConfig
from hal.settings import Check, Mismatch, boolean, integer, parse_settings, path, texts


@dataclass(frozen=True, slots=True)
class SimConfig:
    """``volume`` and ``keys`` are directories (``keys`` is made when absent). The rest has defaults.


    ``sync_request``: the file to make when a dock sync is wanted. ``source``: ``None`` for the drawn street, a video
    file, or a V4L2 device below ``/dev``. ``start``: latitude and longitude of the walk, ``None`` for no reception.
    ``epoch_wall_ns``, ``seed``, ``realtime`` and ``script`` matter only to ``open_hal``, which makes its own world.
    """

    volume: Path
    keys: Path
    source: str | None = None
    capacity_bytes: int = 32 * 10**9
    host_sync: bool = False
    sync_request: Path | None = None
    inbox_limit: int = 256
    jitter_ns: int = 0
    start: tuple[float, float] | None = (38.8977, -77.0365)
    epoch_wall_ns: int = 0
    seed: int = 0
    realtime: bool = True
    script: tuple[str, ...] = ()


def parse_config(config: HalConfig) -> SimConfig:
    """``HalError`` naming the key for anything unknown, missing or of another type."""
    return parse_settings(SimConfig, _CHECKS, config, "simulator")


def _source(key: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    # Not through Path, which would tidy what the user typed: messages name the source as it was given.
    return value if isinstance(value, str) else str(path(key, value))


def _start(key: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(each, (int, float)) for each in value):
        raise Mismatch(key, "latitude and longitude", value)
    return float(value[0]), float(value[1])


_CHECKS: dict[str, Check] = {
    "volume": path,
    "keys": path,
    "source": _source,
    "capacity_bytes": integer,
    "host_sync": boolean,
    "sync_request": path,
    "inbox_limit": integer,
    "jitter_ns": integer,
    "start": _start,
    "epoch_wall_ns": integer,
    "seed": integer,
    "realtime": boolean,
    "script": texts,
}
