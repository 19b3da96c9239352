"""The agency's lists: what a wearer may answer, by code and in words (BWC-POL-04, BWC-POL-18, BWC-POL-20).

Responsible for what a list may hold. Refuses to know files, and who is asked. A list is a table of codes and words; its order is the
order in which the function button steps through it. A code once given stays in the evidence, so a reader takes any code, also one
that its own list has not, or not any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

NOT_GIVEN = "NOT_GIVEN"
"""The answer of who gave none; no list may hold it."""
MAX_CHOICES = 12
"""More than a thumb can count."""
LABEL_CHARACTERS = 40
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Choice:
    """``code`` goes into the evidence; ``label`` is what is said or shown."""

    code: str
    label: str


Choices = tuple[Choice, ...]


def is_code(text: object) -> bool:
    """Capital letters, digits and underscores, 1 to 40, a letter first."""
    return type(text) is str and _CODE.fullmatch(text) is not None


def read_choices(table: Mapping[str, object]) -> Choices:
    """The list in a table of code = words; ``ValueError`` saying what was expected."""
    if len(table) > MAX_CHOICES:
        raise ValueError(f"at most {MAX_CHOICES} choices")
    for code, label in table.items():
        if not is_code(code) or code == NOT_GIVEN:
            raise ValueError(f"codes of 1 to 40 capital letters, digits and underscores, and not {NOT_GIVEN}")
        if type(label) is not str or not 1 <= len(label) <= LABEL_CHARACTERS or not label.isprintable():
            raise ValueError(f"words of 1 to {LABEL_CHARACTERS} printable characters for each code")
    return tuple(Choice(code, str(label)) for code, label in table.items())


CATEGORIES = read_choices(
    {
        "ENFORCEMENT": "enforcement",
        "SEARCH": "search",
        "INTERVIEW": "interview",
        "TRANSPORT": "transport",
        "FA_INCIDENTAL": "First Amendment activity, incidental",
        "RESTRICTED_PLACE": "restricted place",
        "CRITICAL": "critical incident",
        "TRAINING": "training or test",
        "OTHER": "other",
    }
)
STOP_REASONS = read_choices(
    {
        "EVENT_OVER": "event over",
        "PLACE_MEDICAL": "medical care",
        "PLACE_RESTROOM": "restroom",
        "PLACE_ATTORNEY": "attorney and client",
        "INFORMANT": "informant",
        "TACTICAL": "tactical discussion",
        "ORDERED": "supervisor's order",
        "OTHER": "other",
    }
)
MUTE_REASONS = read_choices(
    {
        "TACTICAL": "tactical discussion",
        "PLACE_MEDICAL": "medical care",
        "PLACE_ATTORNEY": "attorney and client",
        "INFORMANT": "informant",
        "PERSONAL": "personal call",
        "OTHER": "other",
    }
)
