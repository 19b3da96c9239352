"""From activation to end every moment of a recording is in a fragment or in a gap entry; what is not is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from firmware.evidence.continuity import Hole, unexplained
from firmware.evidence.manifest import Gap, Manifest, Moment
from tests.unit.helpers_evidence import UTC, fragment, manifest

SECOND = 1_000_000


def made(seqs: list[int], *gaps: tuple[float, float], begin: float = 61, end: float = 66, cause: str = "button") -> Manifest:
    """Fragments of a second each, ``seqs`` seconds after 60 s; gaps and moments in seconds."""
    whole = manifest()
    records = tuple(replace(fragment(seq), seq=number) for number, seq in enumerate(seqs))
    entries = tuple(Gap(-1, round(at * SECOND), round(length * SECOND), 1, "camera") for at, length in gaps)
    begun = Moment(7, round(begin * SECOND), UTC, "rtc", cause)
    return replace(whole, fragments=records, gaps=entries, begin=begun, end=replace(whole.end, boottime_us=round(end * SECOND)))


@pytest.mark.parametrize(
    ("recording", "holes"),
    [
        (made([0, 1, 2, 3, 4, 5]), []),
        (made([0, 1, 3, 4, 5]), [Hole(1, 62 * SECOND, SECOND)]),
        (made([0, 1, 3, 4, 5], (62, 1)), []),
        (made([0, 1, 3, 4, 5], (61.9, 1.06)), []),
        (made([0, 1, 3, 4, 5], (62, 0.5)), [Hole(1, 62_500_000, SECOND // 2)]),
        (made([0, 1, 3, 4, 5], (62.25, 0.5)), [Hole(1, 62 * SECOND, SECOND // 4), Hole(1, 62_750_000, SECOND // 4)]),
        (made([0, 1, 3, 4, 5], (62.5, 0.5), (62, 0.5)), []),
        (made([0, 2, 3, 4, 5]), [Hole(0, 61 * SECOND, SECOND)]),
        (made([2, 3, 4, 5]), [Hole(-1, 61 * SECOND, SECOND)]),
        (made([2, 3, 4, 5], (61, 1)), []),
        (made([2, 3, 4, 5], cause="max-length"), []),
        (made([0, 1, 2, 3]), [Hole(3, 64 * SECOND, 2 * SECOND)]),
        (made([0, 1, 2, 3], end=63.5), []),
        (made([0, 1, 2, 3], end=64.06), []),
        (made([], begin=61, end=64), [Hole(-1, 61 * SECOND, 3 * SECOND)]),
        (made([], begin=61, end=61), []),
    ],
)
def test_what_neither_fragments_nor_entries_explain(recording: Manifest, holes: list[Hole]) -> None:
    assert list(unexplained(recording)) == holes
