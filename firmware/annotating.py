"""From an answer of the wearer to the leaves that keep it.

Responsible for the leaves of one answer, sealed and in plain. Refuses to know who asked, and to change a leaf that stands: a later answer
is another annotation (BWC-POL-31).
"""

from __future__ import annotations

from firmware.evidence.annotation import Annotation, seal_annotation
from firmware.identity import RecordingContext
from firmware.storage.ledger_file import Draft
from firmware.timebase import Timestamp


def annotation_drafts(
    context: RecordingContext, recording: str, about: str, code: str, at: Timestamp, critical: bool, hold: bool
) -> list[Draft]:
    """The sealed leaf, and beside it what is said in plain: that the recording is critical, and that a hold begins (BWC-POL-21)."""
    sealed = seal_annotation(Annotation(recording, about, code, at.boottime_ns // 1000), context.recipients, context.random_bytes)
    drafts = [Draft("annotation", at, {"recording": recording, "about": about, "sealed": sealed})]
    if critical:
        drafts.append(Draft("critical", at, {"recording": recording}))
    return [*drafts, Draft("hold", at, {"entered": True, "cause": "critical"})] if hold else drafts
