"""Where things lie in a store; the camera's own layout under each serial, so that one verifier reads both.

``<store>/<serial>/vault/<recording>/…``, ``<store>/<serial>/ledger/{device.pem,log,checkpoint,receipts/…}``,
``<store>/incoming/<serial>/<sha256>.part``, ``<store>/orders/<serial>.json``,
``<store>/quarantine/<serial>/<recording>.<n>/…``, ``<store>/store.sqlite``.
Serials and ids were checked before they come here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from firmware.dock.protocol import ProblemBody, Refusal
from tools.dock import files
from tools.dock.uploads import Incoming

RESERVED = frozenset({"incoming", "orders", "quarantine", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm"})
"""Names at the top of the store that no camera may have as its serial."""


class Rejected(Exception):
    """A request is refused; the problem goes to the camera."""

    def __init__(self, problem: ProblemBody) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def reject(status: int, kind: Refusal, detail: str) -> Rejected:
    """The exception to raise."""
    return Rejected(ProblemBody(status, kind, "".join(c if c.isprintable() else "?" for c in detail)[:400]))


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one store."""

    root: Path

    def prepare(self) -> None:
        """Make the top directories; idempotent."""
        for directory in (self.root, self.root / "incoming", self.root / "quarantine"):
            files.make_directory(directory)

    @property
    def database(self) -> Path:
        return self.root / "store.sqlite"

    def incoming(self, serial: str) -> Incoming:
        return Incoming(self.root / "incoming" / serial)

    def recording(self, serial: str, recording: str) -> Path:
        return self.root / serial / "vault" / recording

    def log(self, serial: str) -> Path:
        return self.root / serial / "ledger" / "log"

    def checkpoint(self, serial: str) -> Path:
        return self.root / serial / "ledger" / "checkpoint"

    def device_chain(self, serial: str) -> Path:
        """The camera's certificates, as beside its own ledger: a verifier of the store needs only the root."""
        return self.root / serial / "ledger" / "device.pem"

    def receipts(self, serial: str) -> Path:
        return self.root / serial / "ledger" / "receipts"

    def order(self, serial: str) -> Path:
        return self.root / "orders" / f"{serial}.json"

    def quarantine(self, serial: str, recording: str) -> Path:
        """The first free place for a refused recording."""
        number = 0
        while (path := self.root / "quarantine" / serial / f"{recording}.{number}").exists():
            number += 1
        return path
