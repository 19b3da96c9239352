"""One call at the worst moment fails, once: what the camera then owes is done all the same, and told. Found by the sweeps
(``test_every_syscall.py``, ``test_every_call_fails.py``); each stands here by its name.

The moods are those of a volume around the simulated one.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from camerabench import RECORDING, Bench, leave, receipt_for

from firmware.evidence.findings import Verdict
from firmware.evidence.primitives import sha256
from firmware.receipts import ReceiptInbox
from firmware.storage.vault import Vault
from firmware.storage.watched import WatchedVolume
from hal.directory_volume import DirectoryVolume
from hal.errors import DeviceFault
from hal.interfaces import ButtonName, Hal
from hal.sim.card import CardFault
from tests.prepared import prepare

Make = Callable[..., Bench]


@dataclass
class Mood:
    """Which calls fail, by what they are about to do; each once, unless it is the question for room."""

    refused: list[str] = field(default_factory=list)
    after: str = ""
    then: Callable[[], None] = lambda: None
    """Called once, when ``after`` was done."""
    no_room_told: Callable[[], bool] = lambda: False

    def meet(self, what: str) -> None:
        if self.refused and what.startswith(self.refused[0]):
            self.refused.pop(0)
            raise DeviceFault(f"volume failed at {what!r}: input/output error")

    def did(self, what: str) -> None:
        if what == self.after:
            self.after = ""
            self.then()


class Moody(WatchedVolume):
    def __init__(self, hal: Hal, mood: Mood) -> None:
        super().__init__(hal.volume, hal.clock)
        self._mood = mood

    def read(self, name: str, start: int = 0, fresh: bool = False) -> bytes:
        self._mood.meet(f"read {name}")
        return super().read(name, start, fresh)

    def append(self, name: str):
        self._mood.meet(f"append {name}")
        return super().append(name)

    def rename(self, old: str, new: str) -> None:
        self._mood.meet(f"rename {old}")
        super().rename(old, new)

    def remove(self, name: str) -> None:
        self._mood.meet(f"remove {name}")
        super().remove(name)

    def make_directory(self, name: str) -> None:
        self._mood.meet(f"make_directory {name}")
        super().make_directory(name)

    def sync_directory(self, name: str) -> None:
        self._mood.meet(f"sync_directory {name}")
        super().sync_directory(name)
        self._mood.did(f"sync_directory {name}")

    def free_bytes(self) -> int:
        if self._mood.no_room_told():
            raise DeviceFault("volume failed: input/output error")
        return super().free_bytes()


@pytest.fixture(autouse=True)
def prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


def moody(bench: Bench, mood: Mood) -> Mood:
    bench.change = lambda hal: replace(hal, volume=Moody(hal, mood))
    return mood


def record(bench: Bench, start: float, end: float) -> None:
    bench.world.double_press(bench.at(start))
    bench.world.press(ButtonName.RECORD, bench.at(end), hold_ms=3300)


def leaves(bench: Bench, kind: str) -> list[dict]:
    return [dict(one.fields) for one in bench.entries() if one.kind == kind]


def planted(bench: Bench) -> None:
    """A card whose battery was pulled, with a fragment that no leaf names."""
    bench.world.double_press(bench.at(2))
    bench.world.cut_power(bench.at(5.5))
    bench.run_into_cut()
    folder = bench.card / "vault" / RECORDING
    shutil.copy(folder / "000001.m4s.p7m", folder / "000099.m4s.p7m")


def test_a_release_whose_leaf_was_refused_has_its_leaf(make_bench: Make) -> None:
    """BWC-POL-43: the recording was gone and nothing said so; the second try was taken for a release without a receipt."""
    bench = make_bench(pre_event=1)
    record(bench, 2, 3)
    bench.run(8)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    mood = moody(bench, Mood(after="sync_directory vault", then=lambda: bench.world.card.fail_at(1, CardFault.IO_ERROR)))
    bench.world.dock(bench.at(14))
    bench.run(20)
    assert mood.after == ""
    assert bench.world.card.faults == {}
    assert bench.recordings() == []
    assert (bench.kinds().count("release"), leaves(bench, "fault")) == (1, [])
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_receipt_whose_spool_could_not_be_cleared_releases(make_bench: Make) -> None:
    """BWC-POL-43: the acceptance was told only behind the clearing, and a second look passed it over."""
    bench = make_bench(pre_event=1)
    record(bench, 2, 3)
    bench.run(8)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    mood = moody(bench, Mood([f"remove sync/receipts/{RECORDING}.json"]))
    bench.world.dock(bench.at(14))
    bench.run(20)
    assert mood.refused == []
    assert bench.recordings() == []
    assert bench.kinds().count("receipt") == bench.kinds().count("release") == 1


def test_a_refused_receipt_is_told_though_it_could_not_be_moved(make_bench: Make) -> None:
    """BWC-POL-42: its leaf comes first."""
    bench = make_bench(pre_event=1)
    record(bench, 2, 3)
    bench.run(8)
    leave(bench, receipt_for(bench, manifest_sha256="11" * 32), bench.agency.directory / "dock")
    mood = moody(bench, Mood([f"rename sync/receipts/{RECORDING}.json.p7s"]))
    bench.world.dock(bench.at(14))
    bench.run(20)
    assert mood.refused == []
    assert any("refused" in one["reason"] for one in leaves(bench, "fault"))
    assert bench.recordings() == [RECORDING]


@pytest.mark.parametrize("missing", ["sync/receipts/refused", "sync/receipts"])
def test_a_spool_that_was_made_in_part_is_made_whole_by_the_next_boot(tmp_path: Path, missing: str) -> None:
    """BWC-POL-23: power went after its first directory: no receipt could ever be left, or a bad one held up the writer for good."""
    spool = ReceiptInbox(DirectoryVolume(tmp_path), (), "SIM-0001")
    vault = Vault(DirectoryVolume(tmp_path))
    spool.prepare(vault)
    shutil.rmtree(tmp_path / missing)
    spool.prepare(vault)
    assert (tmp_path / "sync/receipts/refused").is_dir()


def test_an_open_recording_that_could_not_be_read_at_once_is_closed_by_this_boot(make_bench: Make) -> None:
    """BWC-POL-28: it stayed open, and the card "not authentic", until the next boot, which took its end for a fault."""
    bench = make_bench(pre_event=1)
    planted(bench)
    mood = moody(bench, Mood([f"read vault/{RECORDING}/begin.json"]))
    bench.run(14)
    assert mood.refused == []
    assert bench.manifest(RECORDING).end.cause == "power-loss"
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("call", ["sync_directory unattested", "make_directory unattested/", "rename vault/"])
def test_a_planted_file_that_could_not_be_set_aside_at_once_is(make_bench: Make, call: str) -> None:
    """BWC-POL-40: left in the vault it makes a good recording look planted."""
    bench = make_bench(pre_event=1)
    planted(bench)
    mood = moody(bench, Mood([call]))
    bench.run(14)
    assert mood.refused == []
    assert (bench.card / "unattested" / RECORDING / "000099.m4s.p7m").exists()
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_file_set_aside_without_a_leaf_is_told_while_the_camera_rests(make_bench: Make) -> None:
    """BWC-POL-40, W2: moved, and then the card failed; told once, not in every run."""
    bench = make_bench(pre_event=1)
    planted(bench)
    mood = moody(bench, Mood([f"sync_directory unattested/{RECORDING}"]))
    bench.run(14)
    assert mood.refused == []
    assert [one["reason"].partition(":")[0] for one in leaves(bench, "fault")] == [f"cannot set aside 000099.m4s.p7m of {RECORDING}"]
    name = f"unattested/{RECORDING}/000099.m4s.p7m"
    told = [{"recording": RECORDING, "name": name, "sealed": sha256((bench.card / name).read_bytes()).hex()}]
    assert leaves(bench, "unattested") == told
    record(bench, 20, 22)
    bench.run(30)
    bench.run(40)
    assert leaves(bench, "unattested") == told
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_what_power_left_aside_without_a_leaf_is_told_once(make_bench: Make) -> None:
    """BWC-POL-29, BWC-POL-40: power went between the move, or the cut of a torn ledger, and the leaf; strange names cost nothing."""
    bench = make_bench(pre_event=1)
    record(bench, 2, 3)
    bench.run(8)
    tail = b'{"boot":1,'
    strange = b"\xff\n name".decode("utf-8", "surrogateescape")
    (bench.card / "unattested" / RECORDING).mkdir()
    for name in ("000007.m4s.p7m", strange):
        (bench.card / "unattested" / RECORDING / name).write_bytes(b"left")
    (bench.card / "unattested" / f"ledger-tail-{sha256(tail).hex()[:16]}").write_bytes(tail)
    for start in (14, 24):
        record(bench, start, start + 1)
        bench.run(start + 8)
    assert [one["sealed"] for one in leaves(bench, "unattested")] == [sha256(b"left").hex()] * 2
    assert [(one["bytes"], one["bytes_sha256"]) for one in leaves(bench, "torn")] == [(len(tail), sha256(tail).hex())]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_torn_ledger_tail_is_told_though_its_leaf_was_refused(make_bench: Make) -> None:
    """BWC-POL-29: the second try of the boot finds the ledger without the tail."""
    bench = make_bench(pre_event=1)
    bench.run(3)
    torn = b'{"boot":1,"boottime_us":'
    with (bench.card / "ledger/log").open("ab") as log:
        log.write(torn)
    mood = moody(bench, Mood(["append ledger/log"]))
    bench.run(8)
    assert mood.refused == []
    assert [(one["bytes"], one["bytes_sha256"]) for one in leaves(bench, "torn")] == [(len(torn), sha256(torn).hex())]
    bench.run(14)
    assert len(leaves(bench, "torn")) == 1
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_does_not_tell_its_room_has_nothing_written_twice(make_bench: Make) -> None:
    """BWC-POL-28: asked after a commit; its error sent the fragments, which were durable, through the writer again."""
    bench = make_bench(pre_event=1)
    calls = iter([False] * 6 + [True] + [False] * 1000)
    moody(bench, Mood(no_room_told=lambda: next(calls)))
    record(bench, 2, 8)
    bench.run(16)
    (recording,) = bench.recordings()
    starts = [one.boottime_us for one in bench.manifest(recording).fragments]
    assert len(starts) == len(set(starts))
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_tells_its_room_again_is_no_fault_any_more(make_bench: Make) -> None:
    """BWC-POL-06, BWC-POL-47: told while it lasts; it was one for the rest of the run, and nothing could be recorded."""
    bench = make_bench(pre_event=1)
    world = bench.world
    moody(bench, Mood(no_room_told=lambda: bench.at(4) < world.now_ns < bench.at(9)))
    record(bench, 12, 14)
    bench.run(22)
    told = [(one.kind, one.fields["port"]) for one in bench.entries() if one.kind in ("fault", "recovered")]
    assert told == [("fault", "storage"), ("recovered", "storage")]
    assert bench.manifest(bench.recordings()[0]).end.cause == "button"
