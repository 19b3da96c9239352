"""``oathcam policy``: which profiles there are, what they say, whether a file is a policy."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from firmware.errors import UsageError
from firmware.policy.load import parse_policy
from firmware.policy.model import Policy
from tools.console import output

app = typer.Typer(help="Policy profiles: list, show, check.", no_args_is_help=True)


def profile_names() -> list[str]:
    """Names of the shipped profiles."""
    folder = resources.files("firmware.policy") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def read_profile(name_or_path: str) -> tuple[Policy, str]:
    """A shipped profile by name, or a policy file by path; UsageError names what is wrong."""
    if name_or_path in profile_names():
        text = (resources.files("firmware.policy") / "profiles" / f"{name_or_path}.toml").read_text(encoding="utf-8")
        return parse_policy(text), text
    path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"{name_or_path!r} is neither a profile nor a readable policy file",
            remedy=f"Use one of {', '.join(profile_names())}, or the path of a policy file.",
        ) from None
    return parse_policy(text), text


@app.command("list")
def list_profiles() -> None:
    """List the shipped profiles."""
    table = Table("profile", "version", "pre-event", "pre-event sound", "video")
    for name in profile_names():
        policy, _ = read_profile(name)
        video = f"{policy.video.width}x{policy.video.height} at {policy.video.fps}"
        table.add_row(name, str(policy.version), f"{policy.pre_event.seconds} s", "yes" if policy.pre_event.audio else "no", video)
    output.print(table)


@app.command()
def show(profile: Annotated[str, typer.Argument(help="Profile name or policy file.")]) -> None:
    """Print a policy as it is written, with the requirement that each rule is derived from."""
    _, text = read_profile(profile)
    output.print(text, highlight=False, markup=False)


@app.command()
def check(file: Annotated[str, typer.Argument(help="Policy file to check.")]) -> None:
    """Check a policy file; exit 0 when the device would accept its content."""
    policy, _ = read_profile(file)
    output.print(f"{file}: profile {policy.profile!r}, version {policy.version}: well formed")
