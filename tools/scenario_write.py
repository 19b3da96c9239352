"""A scenario as text. Invariant: ``parse_scenario(write_scenario(s)) == s``."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tools.scenario import FORMAT, Action, Expect, Scenario
from tools.scenario_verbs import VERBS
from tools.toml import toml

_HEAD = ("name", "description", "profile", "seed", "officer", "picture", "end")


def write_scenario(scenario: Scenario) -> str:
    """TOML: the head, then policy, actions and expectations. Values that are an action's defaults are left out."""
    lines = [f"format = {toml(FORMAT)}", *(f"{name} = {toml(getattr(scenario, name))}" for name in _HEAD)]
    for section, rules in scenario.policy.items():
        lines += ["", f"[policy.{section}]", *(f"{name} = {toml(value)}" for name, value in rules.items())]
    for action in scenario.actions:
        lines += ["", "[[action]]", *_action(action)]
    expected = _expected(scenario.expect)
    if expected:
        lines += ["", "[expect]", *expected]
    return "\n".join(lines) + "\n"


def _action(action: Action) -> list[str]:
    known = VERBS[action.do].fields
    given = {name: value for name, value in action.fields.items() if value != known[name].default}
    return [f"at = {toml(round(action.at, 6))}", f"do = {toml(action.do)}", *(f"{name} = {toml(value)}" for name, value in given.items())]


def _expected(expect: Expect) -> list[str]:
    values = {one.name: getattr(expect, one.name) for one in fields(expect)}
    empty: tuple[Any, ...] = (None, {}, ())
    return [f"{name} = {toml(value)}" for name, value in values.items() if value not in empty]
