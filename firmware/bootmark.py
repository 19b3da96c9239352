"""Whether the machine stayed up between two runs of the recorder: a mark in the volatile run directory (docs/time.md).

Responsible for one small file: the kernel's name of this boot, and the number of the run that wrote it. It lies outside the evidence
volume, where whoever held the card cannot plant one, and systemd keeps it while the unit is restarted (``RuntimeDirectoryPreserve=``).
Refuses to matter: what cannot be read or written is unknown, and then the clocks decide (``recovery.previous_end``).
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("oathcamd")

NAME = "boot-id"


class BootMark:
    """``boot_id``: the kernel's name of this boot, empty when it has none. What the run before left is read when this is made."""

    def __init__(self, directory: Path, boot_id: str) -> None:
        self._path = directory / NAME
        self._boot_id = boot_id
        try:
            self._found = self._path.read_text(encoding="ascii").split()
        except (OSError, UnicodeDecodeError):
            self._found = []

    def stayed_up(self, last_run: int) -> bool | None:
        """Whether run ``last_run``, the newest of the ledger, was in this boot of the machine; ``None``: unknown."""
        if not self._boot_id or self._found[1:] != [str(last_run)]:
            return None
        return self._found[0] == self._boot_id

    def leave(self, run: int) -> None:
        """Nothing is synced: it is to be lost with the machine's power."""
        if not self._boot_id:
            return
        try:
            self._path.write_text(f"{self._boot_id} {run}\n", encoding="ascii")
        except OSError as error:
            log.warning("the next run will not know for sure whether the machine stayed up: %s", error)
