"""``oathcam status``: is the recorder well, and how much does it have in hand? Reads the file that it writes each second.

Refuses to talk to the recorder: it has no socket (BWC-POL-38), and nothing here can change what it does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from firmware.config import load_config
from firmware.errors import UnavailableError
from firmware.status import FILE
from tools.checkup import Light, worst
from tools.console import output
from tools.doctor import DEFAULT_CONFIG, print_rows
from tools.status_file import read_status
from tools.status_rows import NOT_RUNNING, rows_of

_ENDINGS = {
    Light.GREEN: "well",
    Light.AMBER: "records; look at what is amber",
    Light.RED: "at fault",
}


def status(
    config: Annotated[Path | None, typer.Argument(help="The camera's oathcamd.toml.", show_default=str(DEFAULT_CONFIG))] = None,
    file: Annotated[Path | None, typer.Option(help="The status file itself, instead of a configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what the recorder wrote, with its age and the rows, as JSON.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again each second, until Ctrl-C.")] = False,
) -> None:
    """Show what a running recorder tells of itself. Exit code 0 well, 1 a fault, 2 usage, 3 cannot tell: no file, or an old one."""
    path = file if file is not None else load_config(config or DEFAULT_CONFIG).run_directory / FILE
    if watch:
        show_again(path, as_json, time.sleep)
    raise typer.Exit(show(path, as_json))


def show(path: Path, as_json: bool) -> int:
    """Once; the exit code."""
    told = read_status(path)
    if not told.is_fresh:
        raise UnavailableError(f"{str(path)!r} is not of now: {told.age}", remedy=NOT_RUNNING)
    rows = rows_of(told.facts)
    if as_json:
        found = {
            "verdict": worst(rows).value,
            "age_us": round(told.age_s * 1e6),
            "status": told.facts,
            "rows": [one.as_dict() for one in rows],
        }
        output.print_json(json.dumps(found))
    else:
        facts = told.facts
        print_rows(rows, f"camera {facts['serial']}, boot {facts['boot']}, {facts['utc']}", _ENDINGS)
    return 1 if worst(rows) is Light.RED else 0


def show_again(path: Path, as_json: bool, pause: Callable[[float], object]) -> None:
    """Each second until ``pause`` raises (Ctrl-C); a recorder that is away for a moment may come back."""
    while True:
        if output.is_terminal and not as_json:
            output.clear()
        try:
            show(path, as_json)
        except UnavailableError as error:
            output.print(f"{error}. {error.remedy}", markup=False, soft_wrap=True, highlight=False)
        pause(1.0)
