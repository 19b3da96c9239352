"""The boot after whatever happened: its time does not grow with the card, its button does not wait, and what it does not look at is read
again while the camera rests."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from camerabench import RECORDING, Bench, leave, receipt_for

from firmware.boot import boot
from firmware.config import load_config
from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign
from firmware.custody.merkle import CompactTree, leaf_hash
from firmware.custody.snapshot import Snapshot, read_snapshot, write_snapshot
from firmware.errors import FormatError, IntegrityError
from firmware.evidence import pki
from firmware.evidence.findings import Verdict
from firmware.evidence.verify import verify_device
from firmware.machine.indicators import CUES, CueName
from firmware.machine.states import State
from hal.file_key_store import FileKeyStore
from hal.interfaces import ButtonName, Colour, KeyProtection, LampName
from tests.bench.footage import Span
from tests.bench.live import Durable, open_live
from tests.cards import Gated, Slow
from tests.disk.campaign import make_rig
from tools.sources import DirectorySource, load_key, load_roots

LOG, SNAPSHOT = "ledger/log", "ledger/snapshot"


def record(bench: Bench, start: float) -> None:
    bench.world.double_press(bench.at(start))
    bench.world.press(ButtonName.RECORD, bench.at(start + 1), hold_ms=3300)


def watched(bench: Bench) -> list[Slow]:
    """The card of each boot from now on, counting."""
    cards: list[Slow] = []

    def change(hal: Any) -> Any:
        cards.append(Slow(hal.volume))
        return replace(hal, volume=cards[-1])

    bench.change = change
    return cards


@pytest.fixture
def bench(make_bench: Callable) -> Bench:
    """Two recordings, closed."""
    one = make_bench(pre_event=1)
    record(one, 2)
    record(one, 9)
    one.run(15)
    return one


def cut_in_a_recording(bench: Bench) -> None:
    now = bench.world.now_ns / 1e9
    bench.world.double_press(bench.at(now + 2))
    bench.world.cut_power(bench.at(now + 5.5))
    bench.run_into_cut()


def test_a_boot_reads_the_ledger_from_its_snapshot_on(bench: Bench) -> None:
    """And closes what was open all the same (BWC-POL-28)."""
    cut_in_a_recording(bench)
    cards = watched(bench)
    whole = (bench.card / LOG).stat().st_size
    bench.run(bench.world.now_ns / 1e9 + 4)
    assert cards[0].read_bytes[SNAPSHOT] > 0
    peeked = min(whole, 65_536)
    assert cards[0].read_bytes[LOG] - peeked < whole * 2 / 3
    assert [bench.manifest(one).end.cause for one in bench.recordings()] == ["button", "button", "power-loss"]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def damaged(data: bytes) -> dict[str, bytes]:
    return {
        "empty": b"",
        "cut": data[:-10],
        "another byte": data.replace(b'"size":', b'"size":1', 1),
        "garbage": b"\xff" * 300,
        "no signature": data[: data.index(b"\n") + 1] + b"AAAA\n",
        "endless": b"{" * 5_000_000,
    }


@pytest.mark.parametrize("how", damaged(b"a\nb\n"))
def test_a_snapshot_that_is_not_the_cameras_is_passed_over(bench: Bench, how: str) -> None:
    """A hostile card may make a boot read more; it cannot make it believe anything."""
    path = bench.card / SNAPSHOT
    path.write_bytes(damaged(path.read_bytes())[how])
    cut_in_a_recording(bench)
    bench.run(bench.world.now_ns / 1e9 + 4)
    assert [bench.manifest(one).end.cause for one in bench.recordings()] == ["button", "button", "power-loss"]
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_snapshot_of_another_log_is_passed_over(bench: Bench, make_bench: Callable) -> None:
    """Signed by the camera's own key, as another card of it would be; the log there does not fit it."""
    key = FileKeyStore(bench.config.key_directory, KeyProtection.SIMULATED)
    public = pki.public_key(pki.load_certificates_pem((bench.card / "ledger" / "device.pem").read_bytes())[0])
    path = bench.card / SNAPSHOT
    told = read_snapshot(path.read_bytes(), public)
    for wrong in (replace(told, line_at=told.line_at + 1), replace(told, line_at=10**9), replace(told, edge=("00" * 32,) * len(told.edge))):
        path.write_bytes(write_snapshot(wrong, key.sign_digest))
        bench.run(bench.world.now_ns / 1e9 + 3)
    assert bench.kinds().count("boot") == 4
    assert bench.verify().verdict is Verdict.AUTHENTIC
    with pytest.raises(IntegrityError):
        read_snapshot(path.read_bytes().replace(b'"size"', b'"sizf"'), public)
    with pytest.raises(FormatError):
        read_snapshot(b"", public)


def test_a_receipt_from_before_the_snapshot_still_releases(make_bench: Callable) -> None:
    """BWC-POL-43: the grace period ends after reboots that did not read the receipt's leaf."""
    bench = make_bench(pre_event=1, changes={"grace_days = 0": "grace_days = 2"})
    record(bench, 2)
    bench.run(8)
    leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    now = bench.world.now_ns / 1e9
    bench.world.dock(bench.at(now + 3))
    bench.world.undock(bench.at(now + 8))
    record(bench, now + 10)
    bench.run(now + 16)
    cut_in_a_recording(bench)
    cards = watched(bench)
    bench.run(bench.world.now_ns / 1e9 + 4)
    assert SNAPSHOT in cards[0].read_bytes
    assert RECORDING in bench.recordings()
    bench.world.run_until(bench.at(2 * 86_400))
    bench.run(2 * 86_400 + 30)
    assert RECORDING not in bench.recordings()
    assert bench.kinds().count("receipt") == bench.kinds().count("release") == 1


FRAGMENTS, HOURS_4 = 252_000, 14_400
"""What 128 GB hold at 4 Mbit/s, in recordings of four hours."""


def fill_ledger(bench: Bench) -> list[str]:
    """The ledger of a card that is full, with its snapshot, as if written by the camera's first run; its recordings' names."""
    key = FileKeyStore(bench.config.key_directory, KeyProtection.SIMULATED)
    key.counter_increment()
    tree, log, names = CompactTree(), bytearray(), []
    head = b'"boot":1,"boottime_us":%d,'
    for seq in range(FRAGMENTS):
        if seq % HOURS_4 == 0:
            names.append(f"SIM-0001-000001-{len(names) + 1:04d}")
        leaf = b"{%s%s}" % (
            b'"audio_frames":47,' + head % (seq * 1_000_000),
            b'"duration_us":1000000,"n":%d,"pictures":30,"plain":"%064x","plain_bytes":508000,"recording":"%s","sealed":"%064x",'
            b'"sealed_bytes":508600,"seq":%d,"start_us":%d,"start_utc":"2026-11-23T08:14:47.123456Z","trust":"rtc","type":"fragment",'
            b'"utc":"2026-11-23T08:14:47.123456Z"' % (seq, seq, names[-1].encode(), seq, seq % HOURS_4, seq * 1_000_000),
        )
        tree.append(leaf_hash(leaf))
        log += leaf + b"\n"
    checkpoint = Checkpoint("oathcam/SIM-0001", tree.size, tree.root())
    line_at = len(log)
    log += checkpoint_line(checkpoint, key.sign_digest(digest_to_sign(checkpoint.text())))
    snapshot = Snapshot(line_at, tree.size, tuple(one.hex() for one in tree.hashes()), "SIM-0001-000002-0001", False, ())
    (bench.card / "ledger").mkdir(parents=True)
    (bench.card / LOG).write_bytes(log)
    (bench.card / SNAPSHOT).write_bytes(write_snapshot(snapshot, key.sign_digest))
    return names


@pytest.mark.timeout(300)
def test_a_full_card_is_ready_in_no_time(make_bench: Callable) -> None:
    """BWC-POL-28: 128 GB of recordings, one of which a power cut ended: under ten seconds of a slow card's time to READY, recovery
    included."""
    bench = make_bench(pre_event=1)
    names = fill_ledger(bench)
    files = tuple((f"{seq:06d}.m4s.p7m", 508_600) for seq in range(HOURS_4))
    more = {"vault": tuple((name, -1) for name in names), **{f"vault/{name}": (*files, ("manifest.json.p7s", 2000)) for name in names}}
    bench.change = lambda hal: replace(hal, volume=Slow(hal.volume, more))
    cut_in_a_recording(bench)
    cards: list[Slow] = []

    def change(hal: Any) -> Any:
        cards.append(Slow(hal.volume, more))
        return replace(hal, volume=cards[-1])

    bench.change = change
    bench.world.horizon_ns = bench.world.now_ns + bench.at(1)
    with bench.life() as daemon:
        daemon.run()
        assert daemon.model.state is State.READY
    assert bench.manifest("SIM-0001-000002-0001").end.cause == "power-loss"
    assert cards[0].read_bytes[LOG] < 1_000_000
    assert (bench.card / LOG).stat().st_size > 100_000_000
    assert cards[0].spent_ns < 10_000_000_000
    print(f"{cards[0].spent_ns / 1e9:.2f} s of a slow card's time to READY, recovery included")  # noqa: T201 - a figure, for `pytest -rP`


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory, agency: Any) -> Path:
    return make_rig(tmp_path_factory.mktemp("rig"), agency)


@pytest.mark.timeout(120)
def test_the_button_works_before_recovery_has_finished(rig: Path) -> None:
    """BWC-POL-01: in real time, with real threads. The card does not give the ledger out; the press is obeyed and shown, the recording has
    its pre-event part, and reaches the card when that answers."""
    config = load_config(rig / "camera/oathcamd.toml")
    spans = [Span(*fields) for fields in json.loads((rig / "footage.json").read_text())]
    whole = (rig / "footage.h264").read_bytes()
    coded = [(whole[span.offset : span.offset + span.size], span.keyframe) for span in spans]
    for life in range(2):  # the first leaves a ledger that the second cannot read for a while
        hal, finger = open_live(config.state_directory, config.key_directory, itertools.cycle(coded), Durable(0))
        volume = Gated(hal.volume, LOG)
        if life == 0:
            volume.gate.set()
        daemon = boot(replace(hal, volume=volume), config)
        seen: list[State] = []

        def hands(volume: Gated = volume, daemon: Any = daemon, finger: Any = finger, seen: list[State] = seen) -> None:
            pause = threading.Event()
            pause.wait(3.5)
            finger.press(0.06)
            finger.press(0.06)
            pause.wait(1.0)
            seen.append(daemon.model.state)
            volume.gate.set()
            pause.wait(0.5)
            finger.press(3.2)
            pause.wait(0.5)
            daemon.ask_shutdown("end of test")

        thread = threading.Thread(target=hands)
        thread.start()
        daemon.run()
        thread.join()
        daemon.close()
        hal.close()
        assert volume.reached.is_set() is (life == 1) or life == 0
        assert seen == [State.RECORDING]
        assert len(daemon.closed_recordings) == 1
    report = verify_device(DirectorySource(config.state_directory), load_roots(rig / "root.crt"), load_key(rig / "agency.key", None))
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.findings]
    manifest = json.loads((config.state_directory / "vault" / daemon.closed_recordings[0] / "manifest.json").read_bytes())
    assert manifest["gaps"] == []
    assert manifest["pre_event"]["actual_ms"] > 1000


# What the card holds is read again.


def damages(bench: Bench) -> list[str]:
    return [one.fields["reason"] for one in bench.entries() if one.kind == "fault" and one.fields["port"] == "vault"]


def rest(bench: Bench, seconds: float = 30) -> None:
    bench.run(bench.world.now_ns / 1e9 + seconds)


def test_an_undamaged_card_is_read_again_in_silence(bench: Bench) -> None:
    cards = watched(bench)
    rest(bench)
    read = {name for name in cards[0].read_bytes if name.startswith("vault/")}
    sealed = {str(one.relative_to(bench.card)) for one in (bench.card / "vault").rglob("*") if one.suffix in (".p7m", ".json")}
    assert sealed <= read
    assert damages(bench) == []


def test_a_flipped_bit_is_found_felt_and_written(bench: Bench) -> None:
    """BWC-POL-40, -47: silent corruption of the card, while the recordings are still on it and nowhere else."""
    victims = sorted((bench.card / "vault" / RECORDING).glob("*.m4s.p7m"))[:2]
    for victim in victims:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    rest(bench)
    assert damages(bench) == [f"{victim.name} of {RECORDING} reads back wrong: is not what was written" for victim in victims]
    assert CUES[CueName.PARTIAL_FAULT].pulses in [each.cue.pulses for each in bench.world.seen.cues]
    assert bench.world.seen.colour(LampName.SUBJECT) is Colour.OFF
    assert bench.verify().verdict is Verdict.NOT_AUTHENTIC


def test_a_bad_sector_and_a_lost_manifest_are_found(bench: Bench) -> None:
    bench.world.card.spoilt.add(f"vault/{RECORDING}/000000.m4s.p7m")
    other = next(one for one in bench.recordings() if one != RECORDING)
    (bench.card / "vault" / other / "manifest.json").write_bytes(b"{}")
    (bench.card / "vault" / RECORDING / "planted.bin").write_bytes(b"?")
    rest(bench)
    found = " / ".join(damages(bench))
    assert f"000000.m4s.p7m of {RECORDING} reads back wrong: volume failed" in found
    assert f"{other} reads back without a manifest of this camera" in found
    assert f"{RECORDING} holds planted.bin, which its manifest does not name" in found
    assert (bench.card / "vault" / RECORDING / "planted.bin").exists()
