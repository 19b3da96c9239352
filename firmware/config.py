"""The device's configuration file, ``oathcamd.toml``: where things are and who this camera is.

Responsible for reading it strictly. Refuses to hold policy (``firmware.policy``) or secrets (the key store has them).
Relative paths are relative to the file, so that a provisioned directory can be moved.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firmware.errors import UsageError

_FIELDS: dict[str, type] = {
    "serial": str,
    "model": str,
    "state_directory": str,
    "key_directory": str,
    "link_directory": str,
    "trust_directory": str,
    "policy": str,
    "run_directory": str,
    "hal": dict,
    "dock": dict,
}
_OPTIONAL = {"dock"}
_DOCK_FIELDS: dict[str, type] = {"host": str, "port": int}


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One camera's configuration. ``hal_options`` is the back-end's own table, checked by the back-end."""

    path: Path
    serial: str
    model: str
    state_directory: Path
    """Root of the evidence volume: vault, ledger, spool of receipts."""
    key_directory: Path
    """The key store's files, and what a dock brought (``firmware.board``); the recorder alone may read them."""
    link_directory: Path
    """The TLS identity of the dock-sync process, which alone may read it."""
    trust_directory: Path
    """Agency root, Dock CA and the recipients' certificates."""
    policy: Path
    run_directory: Path
    """Volatile: status and the request for a sync."""
    backend: str
    hal_options: Mapping[str, Any]
    dock_host: str
    dock_port: int


def load_config(path: Path) -> DeviceConfig:
    """Read ``oathcamd.toml``. Raises UsageError naming the file, the field and the remedy."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read configuration {str(path)!r}: {error.strerror}", remedy="Give the file that provisioning made."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"configuration {str(path)!r} is not TOML: {error}", remedy="Correct the file or provision again.") from None
    _check(path, "", table, _FIELDS, _OPTIONAL)
    hal = table["hal"]
    backend = hal.get("backend")
    if not isinstance(backend, str):
        raise UsageError(f"{path}: hal.backend: expected a name, got {backend!r}", remedy="Name the back-end: pi, pc or sim.")
    dock = table.get("dock", {})
    _check(path, "dock.", dock, _DOCK_FIELDS, set(_DOCK_FIELDS))
    base = path.resolve().parent
    return DeviceConfig(
        path=path,
        serial=table["serial"],
        model=table["model"],
        state_directory=base / table["state_directory"],
        key_directory=base / table["key_directory"],
        link_directory=base / table["link_directory"],
        trust_directory=base / table["trust_directory"],
        policy=base / table["policy"],
        run_directory=base / table["run_directory"],
        backend=backend,
        hal_options=hal.get(backend, {}),
        dock_host=dock.get("host", ""),
        dock_port=dock.get("port", 0),
    )


def with_backend(config: DeviceConfig, backend: str) -> DeviceConfig:
    """The same camera on another back-end, with that one's table of the file if it has one."""
    if backend == config.backend:
        return config
    options = tomllib.loads(config.path.read_text(encoding="utf-8"))["hal"].get(backend, {})
    if not isinstance(options, dict):
        raise UsageError(f"{config.path}: hal.{backend}: expected a table, got {options!r}", remedy="Correct the file.")
    return replace(config, backend=backend, hal_options=options)


def _check(path: Path, prefix: str, table: Mapping[str, Any], fields: Mapping[str, type], optional: set[str]) -> None:
    for name in table:
        if name not in fields:
            raise UsageError(f"{path}: unknown field {prefix + name!r}", remedy=f"Use one of: {', '.join(sorted(fields))}.")
    for name, kind in fields.items():
        if name not in table:
            if name in optional:
                continue
            raise UsageError(f"{path}: field {prefix + name!r} is missing", remedy="Provision the camera again, or add the field.")
        if type(table[name]) is not kind:
            raise UsageError(f"{path}: {prefix + name}: expected {kind.__name__}, got {table[name]!r}", remedy="Correct the value.")
