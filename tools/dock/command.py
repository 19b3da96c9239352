"""``oathcam dock``: run a dock station in the foreground."""

from __future__ import annotations

import os
import signal
import tomllib
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from firmware.errors import UsageError
from tools.console import errors, output
from tools.dock.config import Identity, StationConfig
from tools.dock.station import run_station

_SETTINGS = {"host": str, "port": int, "site": str}


def dock(
    identity: Annotated[Path, typer.Argument(help="The dock's identity: the directory that provisioning made.")],
    store: Annotated[Path, typer.Option(help="Directory of the evidence store; made when it is not there.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; nothing else is listened on. Default: as in dock.toml, else 127.0.0.1.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one. Default: as in dock.toml, else 8443.")
    ] = None,
    port_file: Annotated[Path | None, typer.Option(help="Write HOST:PORT here once it listens.")] = None,
) -> None:
    """Run a dock station: receive, check, store and receipt what cameras bring."""
    if not identity.is_dir():
        raise UsageError(f"{str(identity)!r} is no directory", remedy="give the dock directory that `oathcam provision` made")
    settings = _settings(identity / "dock.toml")
    config = StationConfig(
        store=store,
        identity=Identity.in_directory(identity),
        host=host or settings.get("host", "127.0.0.1"),
        port=port if port is not None else settings.get("port", 8443),
        site=settings.get("site", "dock"),
    )
    signal.signal(signal.SIGTERM, _interrupt)

    def listening(bound_host: str, bound_port: int) -> None:
        output.print(f"listening on {bound_host}:{bound_port}", highlight=False)
        if port_file is not None:
            temporary = port_file.with_name(port_file.name + ".tmp")
            temporary.write_text(f"{bound_host}:{bound_port}\n", encoding="ascii")
            os.replace(temporary, port_file)

    try:
        run_station(config, listening=listening, report=lambda line: errors.print(line, markup=False, highlight=False))
    except KeyboardInterrupt:
        return


def _settings(path: Path) -> dict[str, Any]:
    """``dock.toml`` beside the keys: host, port and site; absent is empty."""
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not TOML: {error}", remedy="correct the file") from None
    for name, value in table.items():
        if name not in _SETTINGS or not isinstance(value, _SETTINGS[name]):
            raise UsageError(f"{path}: expected only {sorted(_SETTINGS)!r}, got {name} = {value!r}", remedy="correct the file")
    return table


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
