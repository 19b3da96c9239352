"""A policy file to a :class:`Policy`, strictly: nothing missing, nothing unknown, nothing out of bounds.

Responsible for naming the field, what was expected, what was found, and the remedy. Refuses to know files and signatures.
Invariant: :func:`parse_policy` returns a complete policy or raises ``UsageError``, whatever the text.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import Field, fields, is_dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar, get_type_hints

from firmware.errors import UsageError
from firmware.policy.lists import Choices, read_choices
from firmware.policy.model import Policy

_T = TypeVar("_T")

MAX_CHARACTERS = 65_536
TEXT_CHARACTERS = 120

PROFILES = ("cbp-idvrs", "default", "dhs", "doj", "fws", "ice", "usss")
"""Those that come with the firmware (``profiles/``)."""

PRE_EVENT_SECONDS = {"cbp-idvrs": (120, 120), "fws": (30, 120), "usss": (30, 120)}
"""What a profile of that name must keep at least and at most (BWC-POL-08)."""


def parse_policy(toml_text: str) -> Policy:
    """The policy in ``toml_text``; ``UsageError`` names the first thing that is wrong."""
    policy = _build(Policy, _parse_toml(toml_text), "")
    for check in _CROSS_CHECKS:
        check(policy)
    return policy


def _parse_toml(text: str) -> dict[str, Any]:
    if len(text) > MAX_CHARACTERS:
        raise UsageError(f"policy: expected at most {MAX_CHARACTERS} characters, got {len(text)}", remedy="Give a policy file.")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise UsageError("policy: expected flat tables, got values nested too deeply", remedy="Give a policy file.") from None
    except ValueError as error:
        raise UsageError(f"policy: not TOML: {error}", remedy="Correct the file at the place named.") from None


def _build(kind: type[_T], table: Mapping[str, Any], path: str) -> _T:
    rules = {rule.name: rule for rule in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    for name in table:
        if name not in rules:
            raise _unknown(path + name, name, rules)
    for name in rules:
        if name not in table:
            raise _missing(path + name, hints[name])
    return kind(**{name: _value(hints[name], rule, table[name], path + name) for name, rule in rules.items()})


def _value(kind: Any, rule: Field[Any], value: object, path: str) -> object:
    if is_dataclass(kind):
        if not isinstance(value, dict):
            raise _wrong(path, "a table", value)
        return _build(kind, value, path + ".")  # type: ignore[arg-type]
    if kind == Choices:
        return _list(value, path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice(kind, value, path)
    if type(value) is not kind:
        raise _wrong(path, _NAMES[kind], value)
    if isinstance(value, str):
        _check_text(value, path)
    allowed, low, high = rule.metadata["allowed"], rule.metadata["low"], rule.metadata["high"]
    if allowed is not None and value not in allowed:
        raise _wrong(path, " or ".join(_toml(one) for one in allowed), value)
    if low is not None and isinstance(value, int) and not low <= value <= high:
        raise _wrong(path, f"an integer from {low} to {high} ({rule.metadata['requirement']})", value)
    return value


_NAMES = {int: "an integer", bool: "true or false", str: "a text"}


def _toml(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 64:  # TOML has no larger ones, and Python prints none of many digits
        return "an integer of more than 64 bits"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _list(value: object, path: str) -> Choices:
    if not isinstance(value, dict):
        raise _wrong(path, "a table", value)
    try:
        return read_choices(value)
    except ValueError as error:
        raise _wrong(path, str(error), value) from None


def _choice(kind: type[Enum], value: object, path: str) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _wrong(path, "one of " + ", ".join(repr(member.value) for member in kind), value)


def _check_text(value: str, path: str) -> None:
    if not 1 <= len(value) <= TEXT_CHARACTERS or not value.isprintable():
        raise _wrong(path, f"1 to {TEXT_CHARACTERS} printable characters", value[: TEXT_CHARACTERS + 1])


def _wrong(path: str, expected: str, value: object) -> UsageError:
    shown = _toml(value) if isinstance(value, bool | int | float | str) else f"a {type(value).__name__}"
    return UsageError(f"policy: {path}: expected {expected}, got {shown[:200]}", remedy=f"Correct {path} in the policy file.")


def _unknown(path: str, name: str, rules: Mapping[str, object]) -> UsageError:
    near = get_close_matches(name[:64], rules, n=1)
    hint = f"Write {near[0]!r} instead, or remove it." if near else "Remove it: a rule that nobody enforces is not a rule."
    return UsageError(f"policy: {path[:200]}: unknown field, expected one of {', '.join(rules)}", remedy=hint)


def _missing(path: str, kind: Any) -> UsageError:
    what = "table" if is_dataclass(kind) else "field"
    return UsageError(f"policy: {path}: expected the {what}, got nothing", remedy=f"Add {path}; a policy is complete or is none.")


# Rules between fields.


def _check_profile(policy: Policy) -> None:
    low, high = PRE_EVENT_SECONDS.get(policy.profile, (0, 120))
    if not low <= policy.pre_event.seconds <= high:
        raise _wrong("pre_event.seconds", f"{low} to {high} for the profile {policy.profile!r} (BWC-POL-08)", policy.pre_event.seconds)


def _check_pre_event_bytes(policy: Policy) -> None:
    """A quarter above the nominal rate: an encoder's rate varies, and a bound that always binds shortens every buffer."""
    need = policy.pre_event.seconds * policy.video.bitrate_bps // 8 * 5 // 4
    if policy.pre_event.max_bytes < need:
        raise _wrong(
            "pre_event.max_bytes", f"at least {need} for {policy.pre_event.seconds} s at video.bitrate_bps", policy.pre_event.max_bytes
        )


def _check_picture(policy: Policy) -> None:
    """4:2:0 pictures have even sides."""
    for name, value in (("video.width", policy.video.width), ("video.height", policy.video.height)):
        if value % 2:
            raise _wrong(name, "an even number", value)


def _check_levels(policy: Policy) -> None:
    battery, storage = policy.battery, policy.storage
    if battery.critical_percent >= battery.warn_percent:
        raise _wrong("battery.critical_percent", f"less than warn_percent, {battery.warn_percent}", battery.critical_percent)
    if storage.warn_minutes_last >= storage.warn_minutes_first:
        raise _wrong("storage.warn_minutes_last", f"less than warn_minutes_first, {storage.warn_minutes_first}", storage.warn_minutes_last)


def _check_critical(policy: Policy) -> None:
    categories, retention = policy.categories, policy.retention
    if categories.choices and categories.critical not in [one.code for one in categories.choices]:
        raise _wrong("categories.critical", "one of the codes of categories.choices", categories.critical)
    if retention.critical_days < retention.grace_days:
        raise _wrong("retention.critical_days", f"at least grace_days, {retention.grace_days}", retention.critical_days)


_CROSS_CHECKS: tuple[Callable[[Policy], None], ...] = (
    _check_profile,
    _check_pre_event_bytes,
    _check_picture,
    _check_levels,
    _check_critical,
)
