"""Values as TOML text, for the files that tools write. Pure. ``tomllib.loads(f"x = {toml(v)}")["x"] == v``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def toml(value: Any) -> str:
    """A text, number, flag, list or table. JSON's forms are TOML's, but for characters beyond 16 bits, which TOML does not take as a pair
    of escapes, and for DEL."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
