"""What docks signed about the time, as it lies in the spool, checked by the camera itself (BWC-POL-26, -27).

Responsible for two statements: a checkpoint of this camera's ledger that a dock cosigned, whose time is signed with it, and a store's
receipt. Believes neither the spool nor the process that writes it: a cosignature counts by a witness's key that provisioning left in
``trust/witnesses``, a receipt by the agency's root, and both only over a ledger point of this very request, which nobody could have
signed before. Refuses to judge the time (``custody.clock_steps``) and to set it. Called from the custodian's worker.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.checkpoint import Checkpoint, Note, parse_note, verify_cosignature, verify_note
from firmware.custody.clock_steps import Bracket, Lifetime, bracket
from firmware.errors import FormatError, IntegrityError
from firmware.shellclock import read_clock
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Clock, Volume

log = logging.getLogger("oathcamd")

WRITTEN_US = 1_780_000_000_000_000
"""2026-05-28: no camera with this firmware ran before."""
WITNESS_KEY_BYTES = 32
SPOOL = "sync"
NOTE = "checkpoint"
_MAX_NOTE_BYTES = 64 * 1024
_MAX_SECONDS = 2**40
"""Bounds the arithmetic; what is plausible is judged later."""


@dataclass(frozen=True, slots=True)
class Published:
    """The ledger as it was offered to a dock: ``size`` leaves, the newest of which was not written before boot time ``newest_us``."""

    size: int
    newest_us: int


@dataclass(frozen=True, slots=True)
class DockTime:
    """What was found: a bracket, or the sentence that says why what lies there is nobody's word."""

    bracket: Bracket | None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class StoreTime:
    """An accepted receipt says that its store signed at ``received_us``, over a ledger of ``size`` leaves; it was here by ``at``."""

    size: int
    received_us: int
    store: str
    at: Timestamp


def load_witnesses(directory: Path) -> tuple[bytes, ...]:
    """Ed25519 keys of the docks that this camera believes, one ``*.pub`` in hex each; none when the directory is absent.

    The file's name is for people: a cosignature names its witness itself. A file that holds no key is logged: it costs the dock's time,
    and must not cost a recording.
    """
    found = []
    for path in sorted(directory.glob("*.pub")):
        try:
            key = bytes.fromhex(path.read_text(encoding="ascii").strip())
        except (OSError, ValueError):
            key = b""
        if len(key) == WITNESS_KEY_BYTES:
            found.append(key)
        else:
            log.error("%s holds no witness key of %d bytes in hex: copy the dock's witness.pub again", path, WITNESS_KEY_BYTES)
    return tuple(found)


def lifetime(certificate_der: bytes) -> Lifetime:
    """Within which a dock's time can be true: this firmware's and the camera's certificate's."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    first, last = (round(one.timestamp()) * 1_000_000 for one in (certificate.not_valid_before_utc, certificate.not_valid_after_utc))
    return Lifetime(max(first, WRITTEN_US), last)


class DockClock:
    """Reads ``sync/checkpoint``. ``life``: what :func:`lifetime` says of this camera."""

    def __init__(
        self,
        volume: Volume,
        clock: Clock,
        origin: str,
        public_key: ec.EllipticCurvePublicKey,
        witnesses: Sequence[bytes],
        life: Lifetime,
    ) -> None:
        self.life = life
        self._volume = volume
        self._clock = clock
        self._origin = origin
        self._key = public_key
        self._witnesses = tuple(witnesses)

    def look(self, since: Published) -> DockTime | None:
        """``None``: nothing yet for this request. Raises nothing of the volume's: the spool is another process's."""
        if not self._witnesses:
            return None
        try:
            sizes = dict(self._volume.list(SPOOL))
            if not 0 <= sizes.get(NOTE, -1) <= _MAX_NOTE_BYTES:
                return None
            data = self._volume.read(f"{SPOOL}/{NOTE}")
        except HalError:
            return None
        latest_us = read_clock(self._clock).boottime_ns // 1000
        try:
            note = parse_note(data)
            verify_note(note, self._origin, self._key)
            if Checkpoint.from_text(note.text).size < since.size:
                return None  # of an earlier visit: this one's is still to come
            seconds, who = self._said(note)
        except (FormatError, IntegrityError) as error:
            return DockTime(None, f"time of the dock refused: {error}")
        # The cosignature's time is in whole seconds, cut.
        said = (seconds * 1_000_000, (seconds + 1) * 1_000_000)
        return DockTime(bracket(said, (since.newest_us, latest_us), who))

    def _said(self, note: Note) -> tuple[int, str]:
        """Seconds since 1970 UTC of the first cosignature by a trusted witness, and who that is."""
        others = [line for line in note.signatures if line.name != self._origin]
        for line in others:
            for key in self._witnesses:
                try:
                    seconds = verify_cosignature(note, line.name, key)
                except IntegrityError:
                    continue
                if seconds > _MAX_SECONDS:
                    raise IntegrityError("checkpoint", f"witness {line.name!r} says {seconds} s since 1970")
                return seconds, f"witness {line.name!r}"
        names = ", ".join(repr(line.name) for line in others) or "nobody"
        raise IntegrityError("checkpoint", f"no cosignature by a witness that this camera knows; it has those of {names}")


def by_receipt(received_us: int, store: str, since: Published, latest_us: int) -> Bracket:
    """A store's receipt over a ledger point of this request: signed after the publishing, before boot time ``latest_us``."""
    return bracket((received_us, received_us), (since.newest_us, latest_us), f"store {store!r}")
