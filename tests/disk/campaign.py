"""One recorded run, then many power cuts of it; a program, because its mounts are to go with it (``mounts.run_apart``).

    python -m tests.disk.campaign RIG FILE_SYSTEM TWIN POINTS SEED [IGNORED_FLUSHES [SPOILED_BYTES]]

``RIG`` is a directory as :func:`make_rig` leaves it, ``FILE_SYSTEM`` a name of ``mounts.FILE_SYSTEMS``. Prints a JSON object: what was
recorded, and what was found, cut by cut.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.config import load_config
from firmware.custody.entries import Entry
from hal.interfaces import KeyProtection
from tests.disk.camera import LIVES
from tests.disk.crashes import Card, Crash, Crashes, candidates
from tests.disk.dock import leave_receipts
from tests.disk.judge import Court, Judgement, judge
from tests.disk.log import Flush, Mark, Record, Write, read_log
from tests.disk.mounts import FILE_SYSTEMS, FileSystem, in_memory, make_disk, mounted, recorded
from tests.disk.pictures import HEIGHT, WIDTH, make_footage
from tests.disk.recorder import die_with_parent
from tests.disk.witness import Twin
from tools.policies import read_profile
from tools.provision import Agency, CameraOrder, make_camera
from tools.sources import load_key, load_roots

_POLICY = {"width": WIDTH, "height": HEIGHT, "bitrate_bps": 250_000, "seconds": 2, "reserve_bytes": 16_777_216}


def make_rig(directory: Path, agency: Agency, system: FileSystem = FILE_SYSTEMS["ext4"]) -> Path:
    """A provisioned camera, its pictures, a card that it has never seen, and what a verifier needs."""
    _, text = read_profile("default")
    for name, value in _POLICY.items():
        text, count = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        assert count == 1, name
    policy = directory / "policy.toml"
    policy.write_text(text, encoding="utf-8")
    make_camera(directory / "camera", agency, CameraOrder("DISK-1", "bench", "officer 4711", str(policy), "pi", KeyProtection.FILE))
    make_footage(directory / "footage.h264")
    for name in ("root.crt", "agency.key", "agency.crt", "dock/store.key", "dock/store.crt"):
        shutil.copy(agency.directory / name, directory / Path(name).name)
    (directory / "holds/card").mkdir(parents=True)
    make_disk(directory / "card.img", directory / "holds", system)
    return directory


@dataclass(frozen=True, slots=True)
class Recording:
    """A disk as it was, and everything that then reached it."""

    start: Path
    system: FileSystem
    records: tuple[Record, ...]
    leaves: tuple[Entry, ...]
    """All that the camera ever wrote into its ledger."""

    def facts(self) -> dict[str, int]:
        kinds = Counter(next(iter(one.fields)) for one in self.records if isinstance(one, Mark))
        writes, flushes = (sum(isinstance(one, kind) for one in self.records) for kind in (Write, Flush))
        told = {name: kinds[name] for name in ("stored", "promised", "closed")}
        return {"writes": writes, "flushes": flushes, **told, "released": sum(one.kind == "release" for one in self.leaves)}


def open_court(rig: Path, work: Path) -> Court:
    """A camera of its own: its counter goes on from the recorded lives to each boot after a cut."""
    shutil.copytree(rig / "camera", work / "camera")
    key = load_key(rig / "agency.key", None)
    return Court(load_config(work / "camera/oathcamd.toml"), rig / "footage.h264", tuple(load_roots(rig / "root.crt")), key)


def record(rig: Path, work: Path, system: FileSystem, twin: Twin, court: Court) -> Recording:
    """Every life of the camera, one after the other, on one disk. What the end of the mount writes is not part of it."""
    image, log, at = work / "start.img", work / "log", work / "recorded"
    at.mkdir()
    subprocess.run(["cp", "--sparse=always", rig / "card.img", image], check=True)
    with recorded(image, log, work / "disk") as disk, mounted(disk, at, system):
        for life, hands in enumerate(LIVES):
            if hands.docked_at is not None:
                leave_receipts(at / "card", rig, court.config.serial, court.leaves(at / "card"))
            arguments = (work / "camera/oathcamd.toml", at / "card", rig / "footage.h264", log, str(life), twin.value)
            subprocess.run([sys.executable, "-m", "tests.disk.camera", *arguments], check=True, stdin=subprocess.DEVNULL)
        return Recording(image, system, tuple(read_log(log)), court.leaves(at / "card"))


def choose(records: Sequence[Record], count: int, seed: int, life: int = 0) -> list[int]:
    """So many points from the start of this life on, ascending; more than there are: some of them again, to be cut in another way."""
    start = next(number for number, one in enumerate(records) if isinstance(one, Mark) and one.fields.get("life") == life)
    dice, known = random.Random(seed), [point for point in candidates(records) if point > start]
    again = [dice.choice(known) for _ in range(count - len(known))]
    return sorted(again + dice.sample(known, min(count, len(known))))


def cut(recording: Recording, court: Court, work: Path, points: Sequence[int], seed: int, card: Card) -> tuple[list[dict[str, Any]], int]:
    """One line for each point at which something was found; and how many of the cuts came in the middle of a release."""
    image, at = work / "crash.img", work / "crash"
    at.mkdir()
    found, half = [], 0
    for crash in Crashes(recording.records, recording.start, image, seed, card).at(points):
        judgement = judge_image(image, at, crash, recording, court)
        half += judgement.half_released
        if judgement.lost or judgement.unexplained:
            found.append({"at": crash.at, "kept": crash.kept, **judgement.as_dict()})
    return found, half


def judge_image(image: Path, at: Path, crash: Crash, recording: Recording, court: Court) -> Judgement:
    try:
        with mounted(image, at, recording.system):
            return judge(at / "card", crash.marks, court, recording.leaves)
    except OSError as error:
        return Judgement(unexplained=[f"no file system: {error}"], reported=["file system"])


def main(rig: str, file_system: str, twin: str, points: str, seed: str, ignored_flushes: str = "0", spoiled_bytes: str = "0") -> None:
    die_with_parent()
    started = time.monotonic()
    with in_memory(Path(tempfile.mkdtemp(prefix="work-", dir=rig))) as work:
        court = open_court(Path(rig), work)
        recording = record(Path(rig), work, FILE_SYSTEMS[file_system], Twin(twin), court)
        since = len(LIVES) - 1 if Twin(twin) in (Twin.EARLY_RELEASE, Twin.EAGER_KERNEL) else 0
        chosen = choose(recording.records, int(points), int(seed), since)
        card = Card(int(ignored_flushes), int(spoiled_bytes))
        found, half = cut(recording, court, work, chosen, int(seed), card)
    facts = {"points": len(chosen), "seconds": round(time.monotonic() - started, 1), **recording.facts(), "half_released": half}
    json.dump({"facts": facts, "found": found}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
