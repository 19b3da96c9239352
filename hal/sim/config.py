"""The simulator's settings, checked: an unknown key is an error, not a wish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hal.errors import HalError
from hal.interfaces import HalConfig


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
    known = {each.name for each in fields(SimConfig)}
    unknown = sorted(set(config) - known)
    if unknown:
        raise HalError(f"simulator has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for key in ("volume", "keys"):
        if key not in config:
            raise HalError(f"simulator needs the setting {key!r}: a directory")
    return SimConfig(**{key: _CHECKS[key](key, value) for key, value in config.items()})


def _integer(key: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _wrong(key, "a whole number, not negative", value)
    return value


def _boolean(key: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _wrong(key, "true or false", value)
    return value


def _path(key: str, value: Any) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise _wrong(key, "a directory", value)
    return Path(value)


def _source(key: str, value: Any) -> str | None:
    if value in (None, ""):
        return None
    # Not through Path, which would tidy what the user typed: messages name the source as it was given.
    return value if isinstance(value, str) else str(_path(key, value))


def _start(key: str, value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(each, (int, float)) for each in value):
        raise _wrong(key, "latitude and longitude", value)
    return float(value[0]), float(value[1])


def _script(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) for each in value):
        raise _wrong(key, "a list of lines", value)
    return tuple(value)


def _wrong(key: str, expected: str, value: Any) -> HalError:
    return HalError(f"simulator setting {key!r}: expected {expected}, got {value!r}")


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "volume": _path,
    "keys": _path,
    "source": _source,
    "capacity_bytes": _integer,
    "host_sync": _boolean,
    "sync_request": _path,
    "inbox_limit": _integer,
    "jitter_ns": _integer,
    "start": _start,
    "epoch_wall_ns": _integer,
    "seed": _integer,
    "realtime": _boolean,
    "script": _script,
}
