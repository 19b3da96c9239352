"""What lies aside and no leaf tells of: power went, or the card failed, after it was moved there and before the ledger said so.

Responsible for finding it while the camera rests, so that every file set aside is told in the end (W2, house law 11). Refuses to move
anything. Nobody can hide by it, and who plants a file there gets a leaf that says so, as in the vault.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from firmware.custody.entries import printable
from firmware.evidence.jcs import canonical
from firmware.evidence.primitives import sha256
from firmware.storage.durable import TEMPORARY
from firmware.storage.ledger_file import Draft, Ledger
from firmware.storage.vault import ASIDE, Vault
from firmware.timebase import Timestamp
from hal.errors import HalError


def untold(vault: Vault, ledger: Ledger, now: Timestamp, beat: Callable[[], object]) -> list[Draft]:
    """Drafts of the leaves that are missing; the whole log is searched, and only when something lies aside. A file that cannot be read (a
    bad sector, a trap) is left for the next run: it must not keep the camera from recording. ``beat`` is
    called as the work goes on. Raises the volume's error for the log."""
    paths = [path for path in vault.aside() if not path.endswith(TEMPORARY)]
    told = ledger.read_all() if paths else b""
    drafts: list[Draft] = []
    for path in paths:
        if canonical(printable(path)) in told:
            continue
        beat()
        with suppress(HalError):
            drafts += _draft(path, vault.read_aside(path), told, now)
    return drafts


def _draft(path: str, data: bytes, told: bytes, now: Timestamp) -> list[Draft]:
    """A part of the ledger is told by what it holds, a file of a recording by where it lies."""
    digest = sha256(data).hex()
    directory = path.rpartition("/")[0]
    if directory != ASIDE:
        recording = directory.removeprefix(f"{ASIDE}/")
        return [Draft("unattested", now, {"recording": recording, "name": path, "sealed": digest})]
    if digest.encode("ascii") in told:
        return []
    return [Draft("torn", now, {"bytes_sha256": digest, "bytes": len(data), "unattested_leaves": data.count(b"\n")})]
