"""``oathcam run``: the camera's own daemon in the foreground, for benches and laptops.

Without a configuration and with ``--hal pc`` it makes a throwaway agency and a camera that belongs to it, once, and runs that. A
composition root: the daemon is ``firmware.__main__``'s, and the dock-sync process is started as systemd would start it.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from firmware.__main__ import run as run_daemon
from firmware.config import DeviceConfig, load_config, with_backend
from firmware.errors import UsageError
from hal.interfaces import KeyProtection
from tools.console import output
from tools.provision import CameraOrder, hal_lines, load_agency, make_agency, make_camera
from tools.sync_runner import SyncRunner

SERIAL = "PC-0001"
DOCK = ("127.0.0.1", 8443)
"""Where `oathcam dock` listens unless it is told otherwise."""
_CLEAR = "\r\x1b[2K"
"""The laptop's status line gives way to a line of the log."""


def run(
    config: Annotated[Path | None, typer.Argument(help="The camera's oathcamd.toml. Without one, --hal pc makes a camera to try.")] = None,
    hal: Annotated[str, typer.Option(help="Back-end to run on instead of the configured one: pi, pc or sim.")] = "",
    source: Annotated[str, typer.Option(help="What the camera looks at: a video file, or a device below /dev.")] = "",
    microphone: Annotated[str, typer.Option(help="Microphone of pc: an ALSA device, auto or none.")] = "",
    directory: Annotated[Path, typer.Option(help="Where the camera to try is made, and found again.")] = Path("oathcam-pc"),
) -> None:
    """Run a camera until Ctrl-C: the same daemon that systemd starts. With --hal pc this machine is the camera."""
    if config is None:
        if hal != "pc":
            raise UsageError("no configuration", remedy="Give the camera's oathcamd.toml, or --hal pc for a camera to try on this machine.")
        config = camera_to_try(directory)
    settings = load_config(config)
    settings = with_backend(settings, hal or settings.backend)
    given = {name: value for name, value in (("source", _absolute(source)), ("microphone", microphone)) if value}
    settings = replace(settings, hal_options={**settings.hal_options, **given})
    _log_to_terminal()
    if settings.backend == "pc":
        raise typer.Exit(_run_laptop(settings))
    raise typer.Exit(run_daemon(settings))


def camera_to_try(directory: Path) -> Path:
    """An agency and its one camera below ``directory``, made when it is not there yet; returns the configuration."""
    config = directory / "camera" / "oathcamd.toml"
    if config.is_file():
        output.print(f"the camera of {directory} again", soft_wrap=True, highlight=False)
        return config
    agency = load_agency(directory / "agency") if (directory / "agency").exists() else make_agency(directory / "agency", "Throwaway Agency")
    order = CameraOrder(SERIAL, "laptop", "", "default", "pc", KeyProtection.FILE, *DOCK)
    made = make_camera(directory / "camera", agency, order, lambda: hal_lines(order))
    output.print(f"made a throwaway agency and its camera {SERIAL} in {directory}", soft_wrap=True, highlight=False)
    return made


def _run_laptop(config: DeviceConfig) -> int:
    from hal.pc.fingers import LEGEND  # here: no other back-end has keys

    config.run_directory.mkdir(parents=True, exist_ok=True)
    for line in (LEGEND, "Ctrl-C ends in order.", *_whereabouts(config)):
        output.print(line, soft_wrap=True, highlight=False)
    with SyncRunner(config):
        code = run_daemon(config)
    for line in _whereabouts(config):
        output.print(line, soft_wrap=True, highlight=False)
    return code


def _whereabouts(config: DeviceConfig) -> list[str]:
    """Where the evidence is and how to check it; the commands are whole only where the agency lies beside the camera."""
    agency = config.path.parent.parent / "agency"
    lines = [f"evidence: {_shown(config.state_directory)}"]
    if agency.is_dir():
        trust = f"--trust {_shown(agency / 'root.crt')} --key {_shown(agency / 'agency.key')}"
        lines.append(f"to check: oathcam verify {_shown(config.state_directory)} {trust}")
        lines.append(f"to dock:  oathcam dock {_shown(agency / 'dock')} --store {_shown(agency.parent / 'store')}, then press d here")
    return lines


def _shown(path: Path) -> str:
    """As short as it can be typed from here."""
    path, here = path.resolve(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _absolute(source: str) -> str:
    return source if not source or source.startswith("/dev/") else str(Path(source).resolve())


def _log_to_terminal() -> None:
    clear = _CLEAR if sys.stderr.isatty() else ""
    logging.basicConfig(level=logging.INFO, format=f"{clear}%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
