"""The camera's ledger as it grows, read beside the recorder from its file, and the recordings that it tells of.

Responsible for following the file without reading it anew: only whole batches count, those that end in a checkpoint line. Refuses to
check signatures: this is a view, ``oathcam verify`` judges. A file that got shorter (a power cut took its tail) is begun again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.custody.entries import Entry
from firmware.errors import FormatError
from firmware.timebase import format_utc
from tools.simweb.words import leaf_words


class LedgerTail:
    """``generation`` grows when what was read before is no longer there."""

    def __init__(self, card: Path) -> None:
        self._log = card / "ledger" / "log"
        self._read_bytes = 0
        self.generation = 0
        self.entries: list[Entry] = []

    def poll(self) -> None:
        """Read what came since; nothing when the file is not there yet."""
        try:
            size = self._log.stat().st_size
            if size < self._read_bytes:
                self._read_bytes, self.entries = 0, []
                self.generation += 1
            if size == self._read_bytes:
                return
            with self._log.open("rb") as file:
                file.seek(self._read_bytes)
                data = file.read(size - self._read_bytes)
        except FileNotFoundError:
            return
        self._take(data)

    def _take(self, data: bytes) -> None:
        mark = data.rfind(b"\n= ")
        end = data.find(b"\n", mark + 1) if mark >= 0 else -1
        if end < 0:
            return
        found = []
        try:
            for line in data[: end + 1].splitlines():
                if not line.startswith(b"= "):
                    found.append(Entry.from_bytes(line))
        except FormatError:
            return  # a torn batch; the boot that comes cuts it off
        self.entries += found
        self._read_bytes += end + 1


def leaf_row(entry: Entry) -> dict[str, Any]:
    """One leaf for the page."""
    return {
        "n": entry.n,
        "kind": entry.kind,
        "boot": entry.boot,
        "utc": format_utc(entry.time.wall_ns),
        "trust": entry.time.trust.value,
        "boottime_s": entry.time.boottime_ns / 1e9,
        "words": leaf_words(entry),
        "fields": dict(entry.fields),
    }


@dataclass(slots=True)
class RecordingRow:
    """One recording, as the ledger tells of it. ``place``: recording, card, receipted (on the card, and in the store) or store."""

    recording: str
    began: str
    seconds: float = 0.0
    marks: int = 0
    end: str = ""
    place: str = "recording"


def recording_rows(entries: Sequence[Entry]) -> list[RecordingRow]:
    """In the order in which they were begun."""
    rows: dict[str, RecordingRow] = {}
    for entry in entries:
        name = entry.fields.get("recording", "")
        if entry.kind == "begin":
            rows[name] = RecordingRow(name, format_utc(entry.time.wall_ns))
        row = rows.get(name)
        if row is None:
            continue
        match entry.kind:
            case "fragment":
                row.seconds += entry.fields["duration_us"] / 1e6
            case "mark":
                row.marks += 1
            case "end":
                row.end, row.place = entry.fields["cause"], "card"
            case "receipt":
                row.place = "receipted"
            case "release":
                row.place = "store"
    return list(rows.values())
