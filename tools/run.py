"""``oathcam run``: the camera's own daemon in the foreground, for benches and laptops."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from firmware.__main__ import run as run_daemon
from firmware.config import load_config


def run(
    config: Annotated[Path, typer.Argument(help="The camera's oathcamd.toml.")],
) -> None:
    """Run a provisioned camera until Ctrl-C: the same daemon that systemd starts."""
    raise typer.Exit(run_daemon(load_config(config)))
