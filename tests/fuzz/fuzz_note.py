"""A signed note is a FormatError or a text and its signatures; one that verifies has the text that was signed."""

from __future__ import annotations

from firmware.custody.checkpoint import Checkpoint
from firmware.custody.note import parse_note, verify_cosignature, verify_note
from firmware.errors import FormatError, IntegrityError
from tests.unit.helpers_evidence import ORIGIN, agency
from tests.vectors.build import people, proofs

_CHECKPOINTS = [one for one in proofs.checkpoint_vectors() if one.expect == "success"]
_COSIGNED = [one for one in proofs.cosignature_vectors() if one.expect == "success"]
WHOLE = [one.inputs["checkpoint"] for one in (*_CHECKPOINTS, *_COSIGNED)]
TEXTS = {one.released for one in (*_CHECKPOINTS, *_COSIGNED)}
DOCK = people.house_public(people.DOCK_SEED)

SEEDS = (*WHOLE,)


def target(data: bytes) -> None:
    try:
        note = parse_note(data)
        Checkpoint.from_text(note.text)
    except FormatError:
        return
    for check in (lambda: verify_note(note, ORIGIN, agency().camera.certificate), lambda: verify_cosignature(note, people.DOCK_NAME, DOCK)):
        try:
            check()
        except IntegrityError:
            continue
        assert note.text in TEXTS
