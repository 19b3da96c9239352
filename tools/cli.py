"""The ``oathcam`` command: one module per subcommand, errors in one line, exit codes that scripts can trust.

Exit codes: 0 done / authentic, 1 not, 2 usage, 3 cannot tell.
"""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated

import typer

import firmware
from firmware.errors import OathcamError, UnavailableError, UsageError, escaped
from hal.errors import HalError, HalUnavailable
from tools import doctor, export, policies, provision, run, sim, stamp, status, verify
from tools.console import errors
from tools.dock import command as dock

app = typer.Typer(
    name="oathcam",
    help="Body-worn camera footage that can be sworn to: provision, check, run, dock, verify, open.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oathcam {firmware.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass


@app.command("demo")
def demo(
    source: Annotated[str, typer.Option(help="Video file or V4L2 device for the camera to look at; without one, a street is drawn.")] = "",
    target: Annotated[Path, typer.Option("--output", help="Directory to fill; an earlier demo's is replaced.")] = Path("demo"),
    profile: Annotated[str, typer.Option(help="Policy profile or policy file.")] = "dhs",
) -> None:
    """Run one officer's shift: provision, record, lose power, dock, verify, open, report."""
    from tools.demo import run_demo  # here: it brings OpenCV and the simulator, which no other command needs

    raise typer.Exit(run_demo(source, target, profile))


app.add_typer(provision.app, name="provision")
app.command("run")(run.run)
app.command("sim")(sim.sim)
app.command("doctor")(doctor.doctor)
app.command("status")(status.status)
app.add_typer(dock.app, name="dock")
app.command("verify")(verify.verify)
app.command("stamp")(stamp.stamp)
app.command("open")(export.open_evidence)
app.add_typer(policies.app, name="policy")


def exit_code_of(error: Exception) -> int:
    """2: what the user gave cannot be used; 3: something needed is not there; 1: everything else that was refused."""
    if isinstance(error, UsageError):
        return 2
    if isinstance(error, (UnavailableError, HalUnavailable)):
        return 3
    return 1


def report_error(error: Exception) -> int:
    """One line that names the thing, one that says what to do; returns the exit code."""
    errors.print(f"[bold red]oathcam:[/] {_escape(str(error))}", soft_wrap=True, highlight=False)
    remedy = getattr(error, "remedy", "")
    if remedy:
        errors.print(f"  {_escape(remedy)}", soft_wrap=True, highlight=False)
    return exit_code_of(error)


def describe_os_error(error: OSError) -> OathcamError:
    """What the machine refused, named, with the remedy: a full disk, a missing right, a path that is something else."""
    remedies = {
        errno.ENOSPC: "Free some space, or choose a directory on another disk.",
        errno.EACCES: "Choose a directory that you may write to, or run as a user who may.",
        errno.EROFS: "Choose a directory on a disk that can be written.",
    }
    name = repr(error.filename) if error.filename is not None else "a file or connection"
    return OathcamError(f"{name}: {error.strerror or error}", remedy=remedies.get(error.errno or 0, ""))


def _escape(text: str) -> str:
    return escaped(text.replace("\n", " ")).replace("[", "\\[")


def main() -> None:
    """Entry point of the console script."""
    try:
        app()
    except (OathcamError, HalError) as error:
        sys.exit(report_error(error))
    except OSError as error:
        sys.exit(report_error(describe_os_error(error)))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
