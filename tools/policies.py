"""``oathcam policy``: which profiles there are, what they say, whether a file is a policy, how two differ, what one makes a camera do."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from firmware.config import load_config
from firmware.errors import UsageError, escaped
from firmware.evidence.primitives import sha256
from firmware.installed import check_known, choose_policy
from firmware.policy.load import parse_policy
from firmware.policy.model import Policy
from tools.console import output
from tools.policy_words import compare, explain
from tools.requirements import shipped_requirements

app = typer.Typer(help="Policies: list, show, check, diff, explain.", no_args_is_help=True)
CONFIG = "oathcamd.toml"

_Policy = Annotated[str, typer.Argument(help="Profile name, policy file, or a camera's oathcamd.toml.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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


def read_policy(name_or_path: str) -> tuple[Policy, str, str]:
    """As :func:`read_profile`, or of a camera's configuration the policy that is in force there; and where it came from, in words."""
    if Path(name_or_path).name == CONFIG:
        config = load_config(Path(name_or_path))
        installed, troubles = choose_policy(config)
        more = "".join(f"; refused: {escaped(one)}" for one in troubles)
        return installed.policy, installed.text, f"camera {config.serial}, {installed.source}{more}"
    policy, text = read_profile(name_or_path)
    return policy, text, f"profile {name_or_path}" if name_or_path in profile_names() else f"file {name_or_path}"


def _say(line: str, style: str = "") -> None:
    output.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


def _head(policy: Policy, text: str, origin: str) -> dict[str, Any]:
    digest = sha256(text.encode("utf-8")).hex()
    return {"profile": policy.profile, "version": policy.version, "agency": policy.agency, "sha256": digest, "from": origin}


@app.command("list")
def list_profiles(as_json: _Json = False) -> None:
    """List the shipped profiles."""
    found = [(name, *read_profile(name)) for name in profile_names()]
    if as_json:
        _print_json(
            [_head(policy, text, f"profile {name}") | {"pre_event_seconds": policy.pre_event.seconds} for name, policy, text in found]
        )
        return
    table = Table("profile", "version", "pre-event", "pre-event sound", "video")
    for name, policy, _ in found:
        video = f"{policy.video.width}x{policy.video.height} at {policy.video.fps}"
        table.add_row(name, str(policy.version), f"{policy.pre_event.seconds} s", "yes" if policy.pre_event.audio else "no", video)
    output.print(table)


@app.command()
def show(policy: _Policy, as_json: _Json = False) -> None:
    """Print a policy as it is written, with the requirement that each rule is derived from."""
    found, text, origin = read_policy(policy)
    if as_json:
        rules = {one.path: one.value for one in explain(found, text, shipped_requirements())}
        _print_json(_head(found, text, origin) | {"rules": rules})
        return
    output.print(text, highlight=False, markup=False)


@app.command()
def check(file: Annotated[str, typer.Argument(help="Policy file to check.")], as_json: _Json = False) -> None:
    """Check a policy file; exit 0 when the device would accept its content."""
    policy, text, origin = read_policy(file)
    check_known(policy)
    if as_json:
        _print_json(_head(policy, text, origin) | {"well_formed": True})
        return
    output.print(f"{file}: profile {policy.profile!r}, version {policy.version}: well formed")


@app.command()
def diff(old: _Policy, new: _Policy, as_json: _Json = False) -> None:
    """Say rule by rule what differs, and what each makes the camera do. Exit 0: nothing differs; 1: something does."""
    (one, first, origin), (other, second, whence) = read_policy(old), read_policy(new)
    changes = compare(one, other)
    if as_json:
        heads = {"old": _head(one, first, origin), "new": _head(other, second, whence)}
        _print_json({**heads, "changes": [asdict(change) for change in changes]})
        raise typer.Exit(1 if changes else 0)
    for change in changes:
        _say(f"{change.path}: {change.old} → {change.new}  ({change.requirement})")
        _say(f"  before: {change.before}")
        _say(f"  after:  {change.after}")
    if not changes:
        _say("the same rules")
    raise typer.Exit(1 if changes else 0)


@app.command("explain")
def explain_policy(policy: _Policy, as_json: _Json = False) -> None:
    """Say in plain words what a camera under this policy does, each sentence with its requirement and what that is derived from."""
    found, text, origin = read_policy(policy)
    rules = explain(found, text, shipped_requirements())
    if as_json:
        _print_json(_head(found, text, origin) | {"rules": [asdict(rule) for rule in rules]})
        return
    _say(f"{origin}: {found.profile}, version {found.version}")
    for rule in rules:
        _say(rule.sentence)
        _say(f"  {rule.path}, {rule.requirement}, derived from: {rule.source}" + (f"; here: {rule.why}" if rule.why else ""), "dim")
