"""The export log: which recordings left a store in clear, when, by whom, as which bytes.

Responsible for the entries and their chain: one canonical JSON object a line, each carrying the SHA-256 of the line before it.
Refuses to know the file. The chain shows a line that was changed, removed or put in between; it is signed by nobody, so it
does not show a tail cut off or a whole log written anew: for that, keep a copy of its last hash elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.errors import FormatError, IntegrityError
from firmware.evidence import fields as f
from firmware.evidence import jcs, primitives
from firmware.evidence.fields import field

LAYER = "export log"
FIRST = "0" * 64
"""What the first entry names as the hash of the line before it."""
MAX_LINE_BYTES = 4096
MAX_WORDS = 200
"""Characters of ``who`` and of ``reason``."""
VERDICTS = ("authentic", "unverified")


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One file that was made. An entry without a file is an export that failed in its last step."""

    n: int = field(f.integer())
    previous: str = field(f.digest)
    utc: str = field(f.utc)
    who: str = field(f.text(MAX_WORDS))
    reason: str | None = field(f.nullable(f.text(MAX_WORDS)))
    recording: str = field(f.name)
    manifest_sha256: str = field(f.digest)
    verdict: str = field(f.one_of(*VERDICTS))
    """"authentic": every check was made and passed before; "unverified": made in spite of one that was not."""
    file: str = field(f.text(255))
    sha256: str = field(f.digest)
    file_bytes: int = field(f.integer(1))
    recipient: str = field(f.digest)
    """Key id of the recipient whose key opened it."""
    c2pa: bool = field(f.boolean)
    tool: str = field(f.text(64))

    def to_line(self) -> bytes:
        """Canonical JSON and a newline."""
        value = f.to_value(self)
        f.read(ExportEntry, value, LAYER)
        return jcs.canonical(value) + b"\n"


def read_exports(data: bytes) -> tuple[ExportEntry, ...]:
    """All entries. ``FormatError``: a line does not parse. ``IntegrityError``: one does not continue the line before it."""
    lines = bytes(data).split(b"\n")
    if lines.pop():
        raise FormatError(LAYER, f"line {len(lines) + 1} has no end")
    entries: list[ExportEntry] = []
    previous = FIRST
    for number, line in enumerate(lines):
        if len(line) > MAX_LINE_BYTES:
            raise FormatError(LAYER, f"line {number + 1} is longer than {MAX_LINE_BYTES} bytes")
        entry = f.read(ExportEntry, jcs.parse(line, LAYER), LAYER)
        if (entry.n, entry.previous) != (number, previous):
            raise IntegrityError(LAYER, f"line {number + 1} does not continue the line before it")
        previous = primitives.sha256(line).hex()
        entries.append(entry)
    return tuple(entries)


def next_place(data: bytes) -> tuple[int, str]:
    """Number of the next entry and the hash that it names; raises as :func:`read_exports`."""
    count = len(read_exports(data))
    return count, primitives.sha256(bytes(data).split(b"\n")[-2]).hex() if count else FIRST
