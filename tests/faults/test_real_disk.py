"""Power cuts of the recorder on a real ext4: no promise is broken; twins of it that do not sync are caught by the same judge; what a card
loses that does not keep its own word is told.

The daemon runs in a process of its own on a file system whose disk logs every write and flush (``tests/disk``). From that log come the
images that a card may hold after a cut at any point of it; on each the camera boots, and the verifier reads what it left.
`make test` tries a sample; with ``OATHCAM_TORTURE=1`` (`make torture`) it is three times a thousand.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.disk.campaign import make_rig
from tests.disk.mounts import require, run_apart
from tests.disk.witness import Twin

TORTURE = bool(os.environ.get("OATHCAM_TORTURE"))
POINTS = 1000 if TORTURE else 250
SEEDS = (1, 2, 3) if TORTURE else (1,)
TWIN_POINTS = 200 if TORTURE else 40
RELEASE_POINTS = 200 if TORTURE else 25
CARD_POINTS = 200 if TORTURE else 30

pytestmark = [pytest.mark.xdist_group("real disk"), pytest.mark.system, pytest.mark.timeout(3600 if TORTURE else 300)]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Path:
    require()
    return make_rig(tmp_path_factory.mktemp("rig"), agency)


def campaign(rig: Path, twin: Twin, points: int, seed: int, *card: int) -> dict[str, Any]:
    found = json.loads(run_apart("tests.disk.campaign", rig, "ext4", twin.value, str(points), str(seed), *(str(one) for one in card)))
    print(twin.value, card, found["facts"], len(found["found"]), "cuts found something")  # noqa: T201 - figures, for `pytest -rP`
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_no_promise_is_broken_on_a_card_that_honours_flushes(rig: Path, seed: int) -> None:
    """BWC-POL-28: writes that no flush followed are lost, torn and reordered; at most the open fragment goes with them. BWC-POL-23: what
    has left for a dock has its receipt, and that its leaf; what has not is all there; a release in the middle is finished."""
    outcome = campaign(rig, Twin.RIGHT, POINTS, seed)
    facts = outcome["facts"]
    assert outcome["found"] == []
    assert facts["points"] == POINTS
    assert (facts["promised"], facts["closed"]) == (23, 2)
    assert facts["stored"] > 100
    assert facts["released"] == 2
    assert facts["flushes"] > 200


def test_nor_where_evidence_shares_its_file_system(rig: Path) -> None:
    """BWC-POL-28: on a laptop nothing is flushed as a whole; each file and each directory is, by itself."""
    outcome = campaign(rig, Twin.SHARED, POINTS // 4, 1)
    assert outcome["found"] == []
    assert outcome["facts"]["promised"] == 23


def test_a_writer_that_does_not_sync_its_files_is_caught(rig: Path) -> None:
    """The judge's own test: the same run, and ``sync`` returns at once."""
    outcome = campaign(rig, Twin.NO_SYNC, TWIN_POINTS, 1)
    assert len(outcome["found"]) > TWIN_POINTS / 2
    assert any("fragment" in lost for one in outcome["found"] for lost in one["lost"])


def test_a_writer_that_does_not_sync_its_directories_is_caught(rig: Path) -> None:
    """The judge's own test. On ext4 the sync of a new file makes its name durable too, and the ledger's sync that of a renamed one: what
    is broken meanwhile is the word of ``durable``, that a file is there once the call that renamed it has returned."""
    outcome = campaign(rig, Twin.NO_DIRECTORY_SYNC, 2 * TWIN_POINTS, 1)
    assert len(outcome["found"]) >= TWIN_POINTS / 20
    assert any("No such file" in lost for one in outcome["found"] for lost in one["lost"])


def test_a_release_that_a_cut_halved_is_finished(rig: Path) -> None:
    """W3: with some files of a recording gone and others not, the next boot removes the rest and says so."""
    outcome = campaign(rig, Twin.EAGER_KERNEL, RELEASE_POINTS, 1)
    assert outcome["found"] == []
    assert outcome["facts"]["half_released"] >= RELEASE_POINTS / 10


def test_a_writer_that_releases_before_the_receipts_leaf_is_caught(rig: Path) -> None:
    """The judge's own test, for W3: cut between the two, a recording has left the card and nothing on it says that somebody has it."""
    outcome = campaign(rig, Twin.EARLY_RELEASE, RELEASE_POINTS, 1)
    assert outcome["found"]
    assert all(any("its receipt has no leaf" in lost for lost in one["lost"]) for one in outcome["found"])


@pytest.mark.parametrize(
    "card",
    [
        pytest.param((4, 0), id="ignores its last four flushes"),
        pytest.param((0, 16_384), id="spoils the page that it was writing"),
        pytest.param((0, 4_194_304), id="spoils the erase block that it was writing"),
        pytest.param((2, 131_072), id="does both"),
    ],
)
def test_what_a_bad_card_loses_is_told(rig: Path, card: tuple[int, int]) -> None:
    """BWC-POL-29, BWC-POL-40: no file system, no boot, a verdict, or a ledger that ends before what was lost, and says why."""
    outcome = campaign(rig, Twin.RIGHT, CARD_POINTS, 1, *card)
    assert [one for one in outcome["found"] if one["silent"]] == []
    assert sum(bool(one["lost"] or one["reported"]) for one in outcome["found"]) >= CARD_POINTS / 10
