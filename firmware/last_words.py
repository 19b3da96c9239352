"""What a run could not write into its ledger, because the key store hung or the card was dead: left for the next run, which writes it.

Responsible for one small file in the volatile run directory. It lasts as long as the board stays up, which is as long as it is needed:
a board that lost its power has another reason for its gap. Whoever may write that directory may write this; the leaf says only that
the recorder found it there.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

log = logging.getLogger("oathcamd")

FILE = "last-words"
_MAX_BYTES = 1000
_PORT = re.compile(r"[a-z]{1,20}")


def leave(directory: Path, port: str, words: str) -> None:
    """For the next run; a place that cannot be written costs no more than the words. ``port``: what kept the ledger from being written."""
    try:
        (directory / FILE).write_text(f"{port}\n{words}", encoding="utf-8")
    except OSError as error:
        log.error("last words %r are lost: %s", words, error.strerror)


def take(directory: Path) -> tuple[str, str] | None:
    """Port and words that the run before left, once; ``None`` when it left nothing, or what no port's name stands before."""
    path = directory / FILE
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES)
        path.unlink()
    except OSError:
        return None
    port, _, words = data.decode("utf-8", "replace").partition("\n")
    return (port, words) if _PORT.fullmatch(port) else None
