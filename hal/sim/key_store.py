"""The simulated camera's key store: a file that says that it is simulated, and that may be late or hang."""

from __future__ import annotations

from pathlib import Path

from hal.file_key_store import FileKeyStore
from hal.interfaces import KeyProtection
from hal.sim.world import Life


class SimKeyStore(FileKeyStore):
    def __init__(self, directory: Path, life: Life) -> None:
        super().__init__(directory, KeyProtection.SIMULATED)
        self._life = life

    def sign_digest(self, digest: bytes) -> bytes:
        self._life.answer(self._life.world.signer)
        return super().sign_digest(digest)

    def counter_increment(self) -> int:
        self._life.answer(self._life.world.signer)
        return super().counter_increment()
