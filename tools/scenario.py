"""A scenario: what happens to a camera, when, and what must be found afterwards. The format is docs/scenarios.md.

Responsible for reading it strictly: an unknown name is an error, not a wish. Refuses to perform anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from firmware.custody.entries import KINDS
from firmware.errors import UsageError
from firmware.evidence.findings import Verdict
from firmware.machine.states import State
from tools.scenario_verbs import VERBS

FORMAT = "oathcam-scenario/1"
MAX_SECONDS = 4 * 3600
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_AT_LEAST = re.compile(r"[1-9][0-9]{0,5}\+", re.ASCII)
_PICTURES = ("small", "policy")


@dataclass(frozen=True, slots=True)
class Action:
    """``at`` is seconds of the scenario; ``fields`` holds a value for every field of the verb."""

    at: float
    do: str
    fields: Mapping[str, Any] = field(default_factory=dict)


Count = int | str
"""A number, or ``"2+"``: at least so many."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be found; ``None`` or an absent key: not looked at."""

    verdict: str | None = None
    state: str | None = None
    recordings: Count | None = None
    ends: Sequence[str] | None = None
    lengths: Sequence[float] | None = None
    gaps: Sequence[str] | None = None
    marks: Count | None = None
    answers: Sequence[str] | None = None
    leaves: Mapping[str, Count] = field(default_factory=dict)
    findings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file. The first boot reaches the recorder at second 0; at ``end`` the recorder is ended in order."""

    name: str
    description: str
    end: float
    profile: str = "default"
    seed: int = 0
    officer: str = ""
    picture: str = "small"
    policy: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    expect: Expect = field(default_factory=Expect)


class _Refused(Exception):
    """Where in the file, and what was expected."""


Check = Callable[[Any], str]
"""What was expected instead of a value; empty when it fits."""


def _text(low: int, high: int) -> Check:
    return lambda value: "" if isinstance(value, str) and low <= len(value) <= high else f"a text of {low} to {high} characters"


def _number(low: float, high: float) -> Check:
    return lambda value: "" if type(value) in (int, float) and low <= value <= high else f"a number from {low:g} to {high:g}"


def _choice(*names: str) -> Check:
    return lambda value: "" if isinstance(value, str) and value in names else "one of " + ", ".join(names)


def _list_of(check: Check) -> Check:
    def look(value: Any) -> str:
        if not isinstance(value, list):
            return "a list"
        return next((f"a list, each {problem}" for problem in map(check, value) if problem), "")

    return look


def _integer(value: Any) -> str:
    return "" if type(value) is int and 0 <= value < 2**32 else "a whole number from 0 to 4294967295"


def _count(value: Any) -> str:
    fits = (type(value) is int and 0 <= value <= 999_999) or (isinstance(value, str) and _AT_LEAST.fullmatch(value))
    return "" if fits else 'a whole number, or a text such as "2+" for at least so many'


def _name(value: Any) -> str:
    return "" if isinstance(value, str) and _NAME.fullmatch(value) else "small letters, digits and hyphens"


def _tables(value: Any) -> str:
    fits = isinstance(value, dict) and all(isinstance(one, dict) for one in value.values())
    return "" if fits else "tables as a policy has them, such as [policy.pre_event]"


_HEAD: Mapping[str, Check] = {
    "format": _choice(FORMAT),
    "name": _name,
    "description": _text(1, 2000),
    "profile": _text(1, 200),
    "seed": _integer,
    "officer": _text(0, 100),
    "picture": _choice(*_PICTURES),
    "end": _number(0.1, MAX_SECONDS),
    "policy": _tables,
    "action": lambda value: "" if isinstance(value, list) else "a list of [[action]] tables",
    "expect": lambda value: "" if isinstance(value, dict) else "a table [expect]",
}
_REQUIRED = ("format", "name", "description", "end")
_EXPECT: Mapping[str, Check] = {
    "verdict": _choice(*(verdict.value for verdict in Verdict)),
    "state": _choice("off", *(state.value for state in State)),
    "recordings": _count,
    "ends": _list_of(_name),
    "lengths": _list_of(_number(0, MAX_SECONDS)),
    "gaps": _list_of(_name),
    "answers": _list_of(_text(1, 60)),
    "marks": _count,
    "leaves": lambda value: "" if isinstance(value, dict) else "a table of kinds of leaves and numbers",
    "findings": _list_of(_name),
}


def parse_scenario(text: str, place: str) -> Scenario:
    """``UsageError`` that names ``place``, the action by its number and instant, and what was expected."""
    try:
        return _parse(text)
    except _Refused as error:
        raise UsageError(f"{place}: {error}", remedy="Correct the file; docs/scenarios.md has the format.") from None


def _parse(text: str) -> Scenario:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _Refused(f"not TOML: {error}") from None
    for name in _REQUIRED:
        if name not in table:
            raise _Refused(f"{name!r} is missing")
    _check("", table, _HEAD)
    actions = tuple(_action(number, one) for number, one in enumerate(table.get("action", []), 1))
    _in_order(actions, table["end"])
    expect = table.get("expect", {})
    _check("expect.", expect, _EXPECT)
    _check("expect.leaves.", expect.get("leaves", {}), dict.fromkeys(KINDS, _count))
    head = {name: table[name] for name in _HEAD if name in table and name not in ("format", "action", "expect")}
    return Scenario(**head, actions=actions, expect=Expect(**expect))


def _check(prefix: str, table: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    for name, value in table.items():
        if name not in checks:
            raise _Refused(f"unknown field {prefix + name!r}; known are {', '.join(checks)}")
        if problem := checks[name](value):
            raise _Refused(f"{prefix}{name}: expected {problem}, got {value!r}")


def _action(number: int, table: Any) -> Action:
    if not isinstance(table, dict) or "at" not in table or "do" not in table:
        raise _Refused(f"action {number}: expected a table with 'at' and 'do'")
    at, do = table["at"], table["do"]
    where = f"action {number} (at {at!r}, do {do!r})"
    if problem := _number(0, MAX_SECONDS)(at):
        raise _Refused(f"{where}: at: expected {problem}")
    if do not in VERBS:
        raise _Refused(f"{where}: unknown action; known are {', '.join(VERBS)}")
    return Action(float(at), do, action_fields(do, {name: value for name, value in table.items() if name not in ("at", "do")}, where))


def action_fields(do: str, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A value for each field of a known verb; raises for one that is unknown, missing or out of its bounds."""
    known = VERBS[do].fields
    for name in given:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise _Refused(f"{where}: unknown field {name!r}; {has}")
    values = {name: given.get(name, one.default) for name, one in known.items()}
    for name, value in values.items():
        if value is None:
            raise _Refused(f"{where}: field {name!r} is missing")
        if problem := known[name].problem(value):
            raise _Refused(f"{where}: {name}: expected {problem}, got {value!r}")
    return values


def make_action(at: float, do: Any, given: Mapping[str, Any]) -> Action:
    """An action from outside (the page). ``UsageError``."""
    if not isinstance(do, str) or do not in VERBS:
        raise UsageError(f"{do!r} is no action", remedy=f"Use one of {', '.join(VERBS)}.")
    try:
        return Action(at, do, action_fields(do, given, do))
    except _Refused as error:
        raise UsageError(str(error), remedy="See docs/scenarios.md.") from None


def _in_order(actions: Sequence[Action], end: float) -> None:
    latest = 0.0
    for number, action in enumerate(actions, 1):
        if action.at < latest:
            raise _Refused(f"action {number} (at {action.at:g}, do {action.do!r}): it stands after one at {latest:g}; put them in order")
        latest = action.at
    if latest > end:
        raise _Refused(f"end: expected at least {latest:g}, the last action's instant, got {end:g}")


def shipped() -> dict[str, str]:
    """Name → text of the scenarios that come with the package."""
    folder = resources.files("tools") / "scenarios"
    files = sorted((one for one in folder.iterdir() if one.name.endswith(".toml")), key=lambda one: one.name)
    return {one.name.removesuffix(".toml"): one.read_text(encoding="utf-8") for one in files}


def load_scenario(name_or_path: str) -> Scenario:
    """A file by its path, or a shipped scenario by its name."""
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.is_file() and name_or_path in (texts := shipped()):
        return parse_scenario(texts[name_or_path], name_or_path)
    try:
        return parse_scenario(path.read_text(encoding="utf-8"), name_or_path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise UsageError(
            f"cannot read scenario {name_or_path!r}: {why}", remedy="Give a TOML file, or a name that `oathcam sim --list` shows."
        ) from None
