"""``oathcam sim``: the virtual camera, on a page or by a scenario file.

Exit codes: 0 as the scenario says, 1 not, 2 a file or option that cannot be used, 3 something that is needed is not there.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from firmware.errors import UnavailableError, UsageError
from tools.console import output, progress
from tools.scenario import Scenario, load_scenario, parse_scenario, shipped

DEFAULT_PORT = 8040


def sim(
    scenario: Annotated[str | None, typer.Argument(help="A scenario file, or the name of one that --list shows.")] = None,
    web: Annotated[bool, typer.Option("--web", help="Serve a page with the camera in your hand, on this machine only.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="With --web: the page's port; 0 takes any free one.")] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="With --web: the address; only those of this machine are accepted.")] = "127.0.0.1",
    profile: Annotated[str, typer.Option(help="With --web: policy profile or policy file.")] = "default",
    source: Annotated[str, typer.Option(help="With --web: a video file to look at; without one, a street is drawn.")] = "",
    officer: Annotated[str, typer.Option(help="With --web: the assigned officer; empty is an unassigned camera.")] = "officer 4711",
    keep: Annotated[Path | None, typer.Option(help="Keep what the run leaves (agency, card, store) in this directory.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List the scenarios that come with oathcam.")] = False,
) -> None:
    """The virtual camera: the real recorder on simulated hardware. With --web in your hand, with a scenario as fast as it computes."""
    chosen = [bool(scenario), web, listing]
    if chosen.count(True) != 1:
        raise UsageError("expected one of a scenario, --web and --list", remedy="See `oathcam sim --help`.")
    if listing:
        _list(as_json)
    elif scenario:
        raise typer.Exit(_headless(load_scenario(scenario), keep, as_json))
    else:
        _serve(host, port, profile, source, officer, keep)


def _list(as_json: bool) -> None:
    known = {name: parse_scenario(text, name) for name, text in shipped().items()}
    if as_json:
        rows = [{"name": name, "description": one.description, "profile": one.profile, "seconds": one.end} for name, one in known.items()]
        output.print_json(json.dumps(rows))
        return
    table = Table("scenario", "profile", "seconds", "what happens")
    for name, one in known.items():
        table.add_row(name, one.profile, f"{one.end:g}", one.description)
    output.print(table)


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    """A directory for the run: a new one that stays, or one that is gone afterwards."""
    if keep is not None:
        from tools.exhibit import fresh_directory  # here: it brings the codecs

        fresh_directory(keep)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="oathcam-sim-") as directory:
        yield Path(directory)


def _headless(scenario: Scenario, keep: Path | None, as_json: bool) -> int:
    """Run, verify, compare; returns the exit code."""
    from tools.scenario_expect import differences  # here: what follows brings OpenCV and the simulator
    from tools.scenario_run import run_scenario

    began = time.monotonic()
    with _place(keep) as directory, progress() as bars:
        logging.basicConfig(filename=directory / "oathcamd.log", level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        task = bars.add_task(scenario.name, total=scenario.end, note="")
        found = run_scenario(scenario, directory, lambda seconds: bars.update(task, completed=seconds))
    wrong = differences(scenario.expect, found)
    if as_json:
        result = {"scenario": scenario.name, "as_expected": not wrong, "differences": wrong, "found": found.as_dict()}
        output.print_json(json.dumps(result))
        return 1 if wrong else 0
    output.print(f"{scenario.name}: {scenario.end:g} s of camera time in {time.monotonic() - began:.1f} s", highlight=False)
    lengths = ", ".join(f"{seconds:.1f} s ({how})" for seconds, how in zip(found.lengths, [*found.ends, *["open"] * 99], strict=False))
    output.print(f"recordings: {lengths or 'none'}; marks: {found.marks}; gaps: {', '.join(found.gaps) or 'none'}", highlight=False)
    output.print(f"verdict: {found.verdict}", highlight=False)
    for sentence in [*found.bad, *wrong]:
        output.print(f"  {sentence}", soft_wrap=True, highlight=False, markup=False)
    output.print("[bold red]not as expected[/]" if wrong else "[green]as expected[/]")
    if keep is not None:
        output.print(f"to check again: oathcam verify {keep}/camera/card --trust {keep}/agency/root.crt --key {keep}/agency/agency.key")
    return 1 if wrong else 0


def _serve(host: str, port: int, profile: str, source: str, officer: str, keep: Path | None) -> None:
    try:
        from tools.simweb.serve import serve
    except ModuleNotFoundError as error:
        remedy = "In the directory of oathcam's source: pip install '.[sim]'"
        raise UnavailableError(f"the page needs the library {error.name!r}", remedy=remedy) from None
    if source:
        from tools.exhibit import check_source

        check_source(source, keep or Path("/nonexistent"))
    with _place(keep) as directory:
        logging.basicConfig(filename=directory / "oathcamd.log", level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
        serve(host, port, profile, str(Path(source).resolve()) if source else "", officer, directory)
