"""What the wearer said of a recording, told with a key and counted without one.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`. All annotations are told, in the ledger's order: a later one
changes nothing of an earlier one (BWC-POL-31).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from firmware.custody.entries import Entry
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence.annotation import LAYER, NOT_GIVEN, open_annotation
from firmware.evidence.findings import Notebook, Severity

if TYPE_CHECKING:
    from firmware.evidence.verify import OpeningKey


def check_annotations(leaves: Sequence[Entry], key: OpeningKey | None, book: Notebook) -> None:
    """``leaves``: those that speak of the recording."""
    for leaf in leaves:
        if leaf.kind == "critical":
            book.add(Severity.NOTE, LAYER, "critical", "flagged as critical by the wearer", utc=leaf.time.utc)
        elif leaf.kind == "annotation":
            _check(leaf, key, book)


def _check(leaf: Entry, key: OpeningKey | None, book: Notebook) -> None:
    about, utc = leaf.fields["about"], leaf.time.utc
    if key is None:
        book.add(Severity.NOTE, LAYER, "annotation-sealed", f"sealed annotation: {_words(about)}", utc=utc)
        return
    try:
        found = open_annotation(leaf.fields["sealed"], leaf.fields["recording"], about, key.private_key, key.certificate)
    except UnavailableError as error:
        text = f"sealed annotation: {_words(about)}, not opened: {error}"
        book.add(Severity.UNCHECKED, LAYER, "not-a-recipient", text, utc=utc, remedy="Give the key of one of the recipients.")
        return
    except (FormatError, IntegrityError) as error:
        book.add(Severity.BAD, LAYER, "does-not-open", f"leaf {leaf.n}: {error}", utc=utc)
        return
    said = "the wearer gave no answer" if found.code == NOT_GIVEN else found.code
    book.add(Severity.NOTE, LAYER, "annotation", f"{_words(about)}: {said}", utc=utc)


def _words(about: str) -> str:
    return {"category": "category", "stop-reason": "reason of the stop", "mute-reason": "reason of a mute"}[about]
