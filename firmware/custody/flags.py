"""What the ledger says in plain of critical recordings: which they are, and whether the camera is held after one (BWC-POL-21).

Responsible for finding those leaves among all others. Refuses to judge signatures: whoever asks (the order of an upload, how long a
recording stays) loses nothing by an unsigned tail.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware.custody.entries import Entry
from firmware.errors import FormatError

_MARK = b'"type":"critical"'


def critical_recordings(log: bytes) -> frozenset[str]:
    """Recordings that a leaf of ``ledger/log`` flags as critical."""
    found = set()
    place = log.find(_MARK)
    while place >= 0:
        end = log.find(b"\n", place)
        line = log[log.rfind(b"\n", 0, place) + 1 : end if end >= 0 else len(log)]
        try:
            entry = Entry.from_bytes(line)
        except FormatError:
            entry = None  # words in another leaf's text, or a torn line
        if entry is not None and entry.kind == "critical":
            found.add(str(entry.fields["recording"]))
        place = log.find(_MARK, place + len(_MARK))
    return frozenset(found)


def is_on_hold(entries: Sequence[Entry], before: bool = False) -> bool:
    """Whether a hold is open behind ``entries``; ``before``: whether one was ahead of them."""
    return next((bool(entry.fields["entered"]) for entry in reversed(entries) if entry.kind == "hold"), before)
