"""Policy files: strict, bounded, and every error one line that names the field and the remedy."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import resources
from typing import Any, get_type_hints

import pytest

from firmware.errors import UsageError
from firmware.policy.lists import is_code
from firmware.policy.load import PRE_EVENT_SECONDS, parse_policy
from firmware.policy.model import FORMAT, MuteMode, Policy

FOLDER = resources.files("firmware.policy") / "profiles"
PROFILES = {
    entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8") for entry in FOLDER.iterdir() if entry.name.endswith(".toml")
}
DEFAULT = PROFILES["default"]


def changed(before: str, after: str, text: str = DEFAULT) -> str:
    assert text.count(before) == 1, before
    return text.replace(before, after)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_policy(text)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy.endswith(".")
    return caught.value


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_is_a_complete_policy(name: str) -> None:
    """The shipped profiles, with their pre-event lengths (BWC-POL-08) and without sound from before the press (BWC-POL-10)."""
    policy = parse_policy(PROFILES[name])
    assert policy.profile == name
    assert policy.pre_event.seconds == {"cbp-idvrs": 120, "usss": 60}.get(name, 30)
    assert policy.pre_event.audio is False
    assert policy.indicators.stealth is False
    assert policy.mute.mode is MuteMode.OFF
    low, high = PRE_EVENT_SECONDS.get(name, (0, 120))
    assert low <= policy.pre_event.seconds <= high


def test_the_profiles_are_those_of_the_sources() -> None:
    assert set(PROFILES) == {"default", "dhs", "ice", "cbp-idvrs", "usss", "doj", "fws"}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_rule_of_a_profile_names_its_requirement(name: str) -> None:
    """A rule without a source is an opinion; a quotation would be a claim (BWC-POL-50)."""
    text = PROFILES[name]
    rules = [line for line in text.splitlines() if " = " in line and not line.startswith("#")]
    continued = {"height", "fps", "bitrate_bps", "warn_minutes_last", "format", "profile"}
    for line in rules:
        rule = line.split(" = ")[0]
        assert "# BWC-POL-" in line or rule in continued or is_code(rule), line
    assert "Derived from" in text or name == "default"
    assert "FA_INCIDENTAL" in text  # BWC-POL-19
    comments = [line.partition("#")[2] for line in text.splitlines()]
    assert not [comment for comment in comments if '"' in comment and "minisign" not in comment and "profile" not in comment]


def test_the_default_profile_is_the_default_policy() -> None:
    assert parse_policy(DEFAULT) == Policy()


def leaves(kind: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    found = []
    for rule in fields(kind):
        hint = get_type_hints(kind)[rule.name]
        inner = is_dataclass(hint)
        found += leaves(hint, f"{path}{rule.name}.") if inner else [(path + rule.name, hint, rule.metadata)]
    return found


def test_every_rule_has_a_requirement_and_a_description_and_bounds() -> None:
    for path, hint, metadata in leaves(Policy):
        assert metadata["requirement"].startswith("BWC-POL-"), path
        assert metadata["text"], path
        assert hint is not int or metadata["low"] <= metadata["high"], path


def assemble(tables: dict[str, Any]) -> str:
    """TOML of nested tables; enough for policies."""
    plain = [f"{name} = {toml(value)}" for name, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            plain += [f"[{name}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(plain)


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(inner)}" for key, inner in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool | int) else f'"{value}"'


def with_leaf(path: str, value: object, remove: bool = False) -> str:
    tables = tomllib.loads(DEFAULT)
    *above, name = path.split(".")
    table = tables[above[0]] if above else tables
    table[name] = value
    if remove:
        del table[name]
    return assemble(tables)


@pytest.mark.parametrize(("path", "hint", "metadata"), leaves(Policy), ids=lambda value: value if isinstance(value, str) else "")
def test_each_field_missing_of_wrong_type_and_out_of_bounds(path: str, hint: Any, metadata: Any) -> None:
    """Every leaf, one at a time: the message begins with its name (house rule: one line, the thing and the remedy)."""
    assert str(refusal(with_leaf(path, None, remove=True))).startswith(f"policy: {path}: expected the field")
    wrong: list[object] = [True, "x" * 200] if hint is int else [7]
    if hint is int:
        wrong += [metadata["low"] - 1, metadata["high"] + 1]
    if issubclass(hint, Enum) or hint is bool:
        wrong += ["sometimes"]
    for value in wrong:
        assert str(refusal(with_leaf(path, value))).startswith(f"policy: {path}: expected"), value


def test_unknown_fields_and_tables_are_refused_with_the_nearest_name() -> None:
    error = refusal(changed("seconds = 30 ", "seconds = 30\nsecond = 31 "))
    assert str(error).startswith("policy: pre_event.second: unknown field")
    assert "'seconds'" in error.remedy
    assert str(refusal(DEFAULT + "\n[live_stream]\nallowed = true\n")).startswith("policy: live_stream: unknown field")
    assert str(refusal(DEFAULT.replace("[mute]", "[mumble]"))).startswith("policy: mumble: unknown field")


def test_a_table_where_a_rule_should_be_and_the_other_way() -> None:
    assert "expected a table, got 5" in str(refusal(with_leaf("mute", 5)))
    assert "pre_event.seconds: expected an integer, got a dict" in str(refusal(changed("seconds = 30 ", "seconds = {a = 1} ")))


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ("critical_percent = 4 ", "critical_percent = 15 ", "battery.critical_percent"),
        ("warn_minutes_last = 30", "warn_minutes_last = 60", "storage.warn_minutes_last"),
        ("width = 1280 ", "width = 1279 ", "video.width"),
        ("max_bytes = 33554432 ", "max_bytes = 18749999 ", "pre_event.max_bytes"),
        ('critical = "CRITICAL" ', 'critical = "RIOT" ', "categories.critical"),
        ('CRITICAL = "critical', 'critical = "critical', "categories.choices"),
        ('SEARCH = "search"', 'NOT_GIVEN = "nothing"', "categories.choices"),
        ('SEARCH = "search"', 'SEARCH = ""', "categories.choices"),
        ('SEARCH = "search"', "SEARCH = 5", "categories.choices"),
        ('SEARCH = "search"', "\n".join(f'C{i} = "x"' for i in range(9)), "categories.choices"),
        ("critical_days = 14 ", "critical_days = 0\n#", "retention.critical_days"),
        ("gop_seconds = 1 ", "gop_seconds = 2 ", "video.gop_seconds"),
        (f'format = "{FORMAT}"', 'format = "oathcam-policy/2"', "format"),
        ('agency = "unnamed agency"', 'agency = ""', "agency"),
        ('agency = "unnamed agency"', 'agency = "a\\nb"', "agency"),
    ],
)
def test_rules_between_fields_and_closed_choices(before: str, after: str, field: str) -> None:
    """Among them: lists that a thumb can count (BWC-POL-18), a critical category that is one (BWC-POL-21), a GOP of one second
    (BWC-POL-28), a buffer that can be as long as it says (BWC-POL-08)."""
    text = DEFAULT.replace("grace_days = 0 ", "grace_days = 1 ", 1) if field == "retention.critical_days" else DEFAULT
    assert str(refusal(changed(before, after, text))).startswith(f"policy: {field}: expected")


@pytest.mark.parametrize(("profile", "seconds"), [("cbp-idvrs", 119), ("usss", 29), ("fws", 29)])
def test_a_profile_keeps_at_least_what_its_name_says(profile: str, seconds: int) -> None:
    """BWC-POL-08."""
    line = next(line for line in PROFILES[profile].splitlines() if line.startswith("seconds"))
    error = refusal(changed(line, f"seconds = {seconds}", PROFILES[profile]))
    assert str(error).startswith("policy: pre_event.seconds: expected")


@pytest.mark.parametrize(
    "text", ["", "format", "a = " + "[" * 20_000, "a = " + "9" * 10_000, "\x00", "a = 1\na = 2", "x" * 70_000, "\ud800"]
)
def test_what_is_no_policy_at_all(text: str) -> None:
    refusal(text)
