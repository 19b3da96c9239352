"""What a store adds to a camera's evidence after the camera: the log of what left it in clear.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`. Nothing here is needed for a verdict; what is there
and does not hold is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware.custody.exports import read_exports
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence.findings import Finding, Severity

if TYPE_CHECKING:
    from firmware.evidence.verify import Source

EXPORTS = "ledger/exports"


def export_findings(source: Source) -> list[Finding]:
    """The export log's chain, and each entry as a note; nothing where there is no log."""
    if "exports" not in source.names("ledger"):
        return []
    try:
        entries = read_exports(source.read(EXPORTS))
    except (FormatError, IntegrityError, UnavailableError) as error:
        return [Finding(Severity.BAD, "exports", str(error), file=EXPORTS)]
    found = [Finding(Severity.GOOD, "exports", f"{len(entries)} exports, each line continues the one before it", file=EXPORTS)]
    for one in entries:
        text = f"exported by {one.who!r} as {one.file!r}, {one.verdict}, SHA-256 {one.sha256}"
        found.append(Finding(Severity.NOTE, "exports", text, one.recording, EXPORTS, utc=one.utc))
    return found
