"""The vault: one directory per recording, sealed files only.

Responsible for names and places on the volume. Refuses to know what a fragment is or whether it is authentic. There is no
method by which a wearer could remove anything (house law 9, BWC-POL-22): :meth:`Vault.release` wants the proof that a
receipt's leaf is durable (W3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from firmware.storage import durable
from hal.interfaces import Volume

VAULT = "vault"
ASIDE = "unattested"
RELEASE_FILES = 256
"""Removed in one go: a press must not wait for the thousands of a long recording."""
_RECORDING_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}\Z")
_ORDER = re.compile(r"-([0-9]{6,18})-([0-9]{4,18})\Z", re.ASCII)
_SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")

BEGIN = "begin.json"
BEGIN_SIGNATURE = "begin.json.p7s"
INIT = "init.mp4.p7m"
NOTES = "notes.json.p7m"
ASSIGNMENT = "assignment.json.p7m"
MANIFEST = "manifest.json"
MANIFEST_SIGNATURE = "manifest.json.p7s"


def fragment_name(seq: int) -> str:
    """File name of fragment ``seq`` (0 …): ``000000.m4s.p7m``."""
    return f"{seq:06d}.m4s.p7m"


def is_serial(text: str) -> bool:
    """Whether recordings, the ledger and a store's directories can be named after it, for the life of a device."""
    return _SERIAL.match(text) is not None


def recording_id(serial: str, boot: int, ordinal: int) -> str:
    """``<serial>-<boot>-<ordinal>``: unique for the life of the device without needing a clock."""
    name = f"{serial}-{boot:06d}-{ordinal:04d}"
    if not _RECORDING_ID.match(name):
        raise ValueError(f"recording id must match {_RECORDING_ID.pattern!r}, got {name!r}")
    return name


def order_of(recording: str) -> tuple[int, int] | None:
    """Boot and ordinal of a recording's id, by which recordings of one camera are ordered; ``None`` for another name."""
    match = _ORDER.search(recording)
    return (int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class ReleaseWarrant:
    """What :meth:`Vault.release` asks to see: the ledger index of the durable leaf of the verified receipt."""

    recording: str
    receipt_leaf: int


class Vault:
    """Files of recordings on the volume. Called from the custodian's worker only."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume

    def prepare(self) -> None:
        """Make the top directories; idempotent."""
        have = {name for name, _ in self._volume.list("")}
        for name in (VAULT, ASIDE):
            if name not in have:
                durable.make_directory(self._volume, name)

    def begin(self, recording: str, papers: durable.Files) -> None:
        """A recording's directory with its first papers, durable on return (W1). Raises ``VolumeFull`` or ``DeviceFault``."""
        durable.write_new(self._volume, f"{VAULT}/{recording}", papers, make=True)

    def add(self, recording: str, files: durable.Files) -> None:
        """Files that the next leaves will name, durable on return (W1). Raises ``VolumeFull`` or ``DeviceFault``."""
        durable.write_new(self._volume, f"{VAULT}/{recording}", files)

    def close(self, recording: str, papers: durable.Files) -> None:
        """The papers by which dock sync knows a recording for closed: whole as soon as they are seen (W5). As :meth:`add` otherwise."""
        durable.replace_group(self._volume, f"{VAULT}/{recording}", papers)

    def read(self, recording: str, name: str, fresh: bool = False) -> bytes:
        """``fresh``: from the card, not from memory that still holds what was written."""
        return self._volume.read(f"{VAULT}/{recording}/{name}", fresh=fresh)

    def recordings(self) -> tuple[str, ...]:
        return tuple(name for name, size in self._volume.list(VAULT) if size < 0)

    def files(self, recording: str) -> dict[str, int]:
        """Name → size in bytes; empty when the recording is not there."""
        return {name: size for name, size in self._volume.list(f"{VAULT}/{recording}") if size >= 0}

    def set_aside(self, recording: str, name: str) -> str:
        """Move a file that no leaf names out of the vault, keeping its bytes (W2); returns its new name."""
        directory = f"{ASIDE}/{recording}"
        durable.make_directory(self._volume, directory)
        return self._move(f"{VAULT}/{recording}/{name}", directory, name)

    def _move(self, path: str, directory: str, name: str) -> str:
        """Under a name that is not taken there; returns it."""
        taken = {entry for entry, _ in self._volume.list(directory)}
        kept, number = name, 1
        while kept in taken:
            kept, number = f"{name}.{number}", number + 1
        durable.move(self._volume, path, f"{directory}/{kept}")
        return f"{directory}/{kept}"

    def strangers(self, recording: str) -> tuple[str, ...]:
        """Directories in a recording's directory: no camera made them."""
        return tuple(name for name, size in self._volume.list(f"{VAULT}/{recording}") if size < 0)

    def remove_empty(self, recording: str) -> None:
        """Remove the directory of a recording that never began, once everything in it was set aside."""
        durable.remove_empty_directory(self._volume, f"{VAULT}/{recording}")

    def keep_aside(self, name: str, data: bytes) -> str:
        """Keep bytes that are not a file of the vault (a torn ledger tail); returns their name."""
        durable.write_file(self._volume, f"{ASIDE}/{name}", data)
        return f"{ASIDE}/{name}"

    def move_aside(self, path: str, name: str) -> str:
        """Move a file of the volume that cannot be read to where what nobody vouches for lies; returns its name there."""
        return self._move(path, ASIDE, name)

    def aside(self) -> tuple[str, ...]:
        """Every file that lies aside, by its name on the volume; what is not a file is no business of ours."""
        found = []
        for name, size in self._volume.list(ASIDE):
            below = self._volume.list(f"{ASIDE}/{name}") if size < 0 else ()
            found += [f"{ASIDE}/{name}"] if size >= 0 else [f"{ASIDE}/{name}/{file}" for file, file_size in below if file_size >= 0]
        return tuple(found)

    def read_aside(self, name: str) -> bytes:
        """One of :meth:`aside`, whose name is durable on return: a leaf may name it (W1)."""
        self._volume.sync_directory(durable.parent_of(name))
        return self._volume.read(name)

    def release(self, warrant: ReleaseWarrant) -> bool:
        """Remove one recording that a store has receipted (W3, BWC-POL-23, -43), some hundred files at a time: ``False`` until it is gone.
        Idempotent."""
        if warrant.receipt_leaf < 0:
            raise ValueError(f"receipt_leaf must be the index of a durable leaf, got {warrant.receipt_leaf!r}")
        return durable.remove_directory(self._volume, f"{VAULT}/{warrant.recording}", RELEASE_FILES)
