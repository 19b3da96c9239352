"""What a run could not write into its ledger, because the key store hung: left for the next run, which writes it.

Responsible for one small file in the volatile run directory. It lasts as long as the board stays up, which is as long as it is needed:
a board that lost its power has another reason for its gap. Whoever may write that directory may write this; the leaf says only that
the recorder found it there.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("oathcamd")

FILE = "last-words"
_MAX_BYTES = 1000


def leave(directory: Path, words: str) -> None:
    """For the next run; a place that cannot be written costs no more than the words."""
    try:
        (directory / FILE).write_text(words, encoding="utf-8")
    except OSError as error:
        log.error("last words %r are lost: %s", words, error.strerror)


def take(directory: Path) -> str:
    """What the run before left, once; empty when it left nothing."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
        path.unlink()
    except OSError:
        return ""
    return data.decode("utf-8", "replace")
