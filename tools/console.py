"""Consoles and progress bars, the same for every command. Progress goes to standard error, results to standard output."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

output = Console()
errors = Console(stderr=True)


def progress() -> Progress:
    """A bar that goes away when it is done; silent when standard error is no terminal."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )
