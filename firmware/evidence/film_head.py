"""What `oathcam open` puts before a recording's fragments: length, chapters, title and comment, derived from its manifest.

Responsible for deriving them, and for telling which of them a film carries unchanged. Refuses to know files, keys and verdicts.
Pure: exporter and verifier call the same functions, so what the verifier calls the manifest's was not typed in by anybody.
"""

from __future__ import annotations

from firmware.custody.clock_bounds import Bounds, offset_words
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256
from firmware.media.fmp4_export import MAX_CHAPTERS, Chapter, Label, export_head, head_additions

LENGTH = "mehd"
"""Name of the length among :func:`head_additions`."""


def chapters_of(manifest: Manifest) -> list[Chapter]:
    """The pre-event part, the activation and the wearer's marks, each with its wall time; ``chpl`` holds the first 255."""
    first = manifest.fragments[0]
    pressed_us = max(manifest.begin.boottime_us - first.boottime_us, 0)
    found = [Chapter(0, f"pre-event part, from {_clock(first.utc)}")] if pressed_us else []
    found.append(Chapter(pressed_us, f"activation ({manifest.begin.cause}), {_clock(manifest.begin.utc)}"))
    for number, mark in enumerate(manifest.marks, 1):
        found.append(Chapter(max(mark.boottime_us - first.boottime_us, 0), f"mark {number}, {_clock(mark.utc)}"))
    return sorted(found, key=lambda one: one.start_us)[:MAX_CHAPTERS]


def _clock(utc: str) -> str:
    return f"{utc[:10]} {utc[11:23]} UTC"


def duration_ms(manifest: Manifest) -> int:
    """From the first picture kept to the end of the last fragment, holes included."""
    first, last = manifest.fragments[0], manifest.fragments[-1]
    return (last.boottime_us + last.duration_us - first.boottime_us + 500) // 1000


def label_of(manifest: Manifest, *, unverified: bool = False, clock: str = "") -> Label:
    """Title, comment and date as players show them; ``clock`` as :func:`clock_words` says it."""
    digest = sha256(manifest.to_bytes()).hex()
    note = "UNVERIFIED: not every check passed. " if unverified else ""
    title = manifest.recording + (" (UNVERIFIED)" if unverified else "")
    comment = f"{note}Oathcam camera {manifest.device.serial}, manifest SHA-256 {digest}"
    return Label(title, comment, manifest.fragments[0].utc, clock)


def clock_words(manifest: Manifest, offset: Bounds | None) -> str:
    """How good the recording's times are (NIST IR 8161r1; BWC-POL-26). ``offset`` comes from the ledger: the one thing in a film's head
    that the manifest does not give."""
    measured = "" if offset is None else offset_words(offset)
    said = f"the camera's clock was {measured} at the activation, by its dock's" if measured else "offset not measured"
    return f"{said}; trust: {manifest.begin.trust} at the activation, {manifest.end.trust} at the end"


def head_of(init: bytes, manifest: Manifest, *, unverified: bool = False, clock: str = "") -> bytes:
    """``ftyp moov`` of the export. FormatError when ``init`` is no init segment of ours."""
    return export_head(init, duration_ms(manifest), chapters_of(manifest), label_of(manifest, unverified=unverified, clock=clock))


def not_derived(head: bytes, init: bytes, manifest: Manifest) -> list[str]:
    """Names of what stands in a film's head, and is neither in its init segment nor derived from its manifest."""
    if not manifest.fragments:
        return [name for name, _ in head_additions(head)]
    unmeasured = clock_words(manifest, None)
    ours = {one for unverified in (False, True) for one in head_additions(head_of(init, manifest, unverified=unverified, clock=unmeasured))}
    return [name for name, data in head_additions(head) if (name, data) not in ours]
