"""Clocks that lie, on the real daemon: recording never stops, decode times never jump, and every step of the wall clock is signed.

There is no row for daylight saving time: a camera knows UTC alone, and nothing in it has a zone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from camerabench import START_WALL_NS, Bench, leave, picture_times, receipt_for
from clockbench import Dock, Dying, Refusing

from firmware.boot import boot as boot_firmware
from firmware.custody.entries import Entry
from firmware.evidence.findings import Report, Verdict
from firmware.timekeeper import OffsetRecorded
from hal.errors import PowerCut
from hal.interfaces import ButtonName, ClockTrust, Colour, DockSense, LampName
from hal.sim.boot import boot as boot_world
from hal.sim.card import CardFault
from hal.sim.timeline import SECOND
from hal.sim.world import World
from tests.prepared import prepare

RECORD = ButtonName.RECORD
MINUTES, YEARS = 2 * 60.0, 10 * 365 * 86_400.0
STEPS = (MINUTES, -MINUTES, YEARS, -YEARS)
FRAME_S = 1 / 30


def clocks(bench: Bench) -> list[Entry]:
    return [one for one in bench.entries(after_cut=True) if one.kind == "clock"]


def refusals(bench: Bench) -> list[str]:
    return [one.fields["reason"] for one in bench.entries() if one.kind == "fault" and one.fields["port"] == "dock"]


def error_s(world: World) -> float:
    return world.wall.error_ns / 1e9


def sound(bench: Bench) -> Report:
    """Every recording is authentic and has its pictures at their distance, whatever the wall clock did."""
    report = bench.verify()
    assert report.verdict is Verdict.AUTHENTIC, [one.sentence() for one in report.findings]
    assert report.accounting is not None
    for recording in bench.recordings():
        times = picture_times(bench, recording)
        assert all(abs(after - before - FRAME_S) < 0.001 for before, after in pairwise(times)), recording
    assert "time-unaccounted" not in codes(report)
    return report


def codes(report: Report) -> set[str]:
    return {one.code for one in report.findings}


def recorded(bench: Bench, press: float, stop: float) -> None:
    bench.world.double_press(bench.at(press))
    bench.world.press(RECORD, bench.at(stop), hold_ms=3300)


# --- steps by somebody else


@pytest.mark.parametrize("delta", STEPS)
@pytest.mark.parametrize("at", [1.4, 2.99, 3.15, 5.53], ids=["ready", "before a press", "in a press", "recording"])
def test_a_step_by_somebody_else(make_bench: Callable, delta: float, at: float) -> None:
    """BWC-POL-26: noticed within the second, signed with its size; the recording, its decode times and the verdict do not move."""
    bench = make_bench(pre_event=1)
    recorded(bench, 3, 8)
    bench.world.step_wall(bench.at(delta), bench.at(at))
    bench.run(14)
    (leaf,) = clocks(bench)
    assert leaf.fields["offset_us"] == round(delta * 1e6)
    assert (leaf.fields["source"], leaf.fields["action"], leaf.fields["new_trust"]) == ("system", "noticed", "rtc")
    assert 0 <= leaf.time.boottime_ns / 1e9 - 4 - at <= 1.01
    assert bench.kinds().count("end") == 1
    report = sound(bench)
    assert "clock-jumped" not in codes(report)
    (note,) = [one for one in report.findings if one.code == "clock-stepped"]
    assert (note.recording != "") == (at > 3)


@pytest.mark.parametrize("delta", STEPS)
def test_a_step_in_the_dock_and_one_between_boots(make_bench: Callable, delta: float) -> None:
    """BWC-POL-26: in the dock it is noticed as anywhere; between two boots nothing can measure it, and the order of boots stands."""
    bench = make_bench(pre_event=1)
    recorded(bench, 2, 4)
    bench.world.dock(bench.at(10))
    bench.world.step_wall(bench.at(delta), bench.at(12.5))
    bench.run(16)
    assert [one.fields["offset_us"] for one in clocks(bench)] == [round(delta * 1e6)]
    bench.world.undock()
    bench.world.step_wall(bench.at(-delta))
    recorded(bench, 20, 22)
    bench.run(28)
    assert len(clocks(bench)) == 1
    assert len(bench.recordings()) == 2
    sound(bench)


def test_small_steps_add_up_until_they_are_told(make_bench: Callable) -> None:
    """Below the reading's error nothing is told; what creeps is."""
    bench = make_bench(pre_event=1)
    for second in range(1, 5):
        bench.world.step_wall(bench.at(0.004), bench.at(second + 0.3))
    bench.run(8)
    assert [one.fields["offset_us"] for one in clocks(bench)] == [12_000]


def test_trust_that_changes_by_itself_is_told_and_shown(make_bench: Callable) -> None:
    """BWC-POL-27: the warning goes out when the clock becomes worth something, and comes on when it stops being so."""
    bench = make_bench(pre_event=1)
    bench.world.wall.has_rtc = False
    shown: list[Colour] = []

    def trust(now: ClockTrust) -> None:
        bench.world.wall.trust = now

    bench.world.at(bench.at(4), lambda: trust(ClockTrust.RTC))
    bench.world.at(bench.at(8), lambda: trust(ClockTrust.UNSET))
    for second in (3.5, 6.5, 10.5):
        bench.world.at(bench.at(second), lambda: shown.append(bench.world.seen.colour(LampName.STATUS)))
    bench.run(12)
    assert shown == [Colour.BLUE, Colour.GREEN, Colour.BLUE]
    assert [(one.fields["offset_us"], one.fields["old_trust"], one.fields["new_trust"]) for one in clocks(bench)] == [
        (0, "unset", "rtc"),
        (0, "rtc", "unset"),
    ]
    assert "clock-compared" in codes(bench.verify())


# --- no clock at boot, and the dock


def test_a_camera_without_a_clock_records_and_gets_its_time_at_the_dock(make_bench: Callable) -> None:
    """BWC-POL-27: recording as ever, its trust in every leaf; in the dock the clock is set to the signed time of the cosignature."""
    bench = make_bench(pre_event=1)
    bench.world.wall.has_rtc = False
    recorded(bench, 2, 5)
    bench.world.dock(bench.at(12))
    Dock(bench)
    bench.run(22)
    (leaf,) = clocks(bench)
    assert (leaf.fields["action"], leaf.fields["source"]) == ("set", "dock")
    assert (leaf.fields["old_trust"], leaf.fields["new_trust"], leaf.time.trust.value) == ("unset", "synced", "unset")
    true_offset_us = START_WALL_NS // 1000 - 4_000_000  # such a clock begins in 1970, four seconds before the daemon
    assert abs(leaf.fields["offset_us"] - true_offset_us) <= leaf.fields["uncertainty_us"] < 3_000_000
    assert abs(error_s(bench.world)) <= leaf.fields["uncertainty_us"] / 1e6
    before, after = [one for one in bench.entries() if one.n < leaf.n], [one for one in bench.entries() if one.n > leaf.n]
    assert {one.time.trust.value for one in before} == {"unset"}
    assert {one.time.trust.value for one in after} == {"synced"}
    assert bench.manifest(bench.recordings()[0]).begin.trust == "unset"
    assert {one for one in codes(sound(bench)) if one.startswith("clock-")} == {"clock-stepped"}


def test_the_offset_is_durable_before_the_step(make_bench: Callable) -> None:
    """BWC-POL-26: power goes between the two: the leaf is on the card, the clock as it was, and the verifier says which."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    bench.change = lambda hal: replace(hal, clock=Dying(hal.clock, bench.world))
    bench.world.dock(bench.at(3))
    Dock(bench)
    with pytest.raises(PowerCut):
        bench.run(20)
    (leaf,) = clocks(bench)
    assert leaf.fields["action"] == "set"
    assert abs(leaf.fields["offset_us"] - 90_000_000) <= leaf.fields["uncertainty_us"]
    assert error_s(bench.world) == -90


def test_a_clock_that_moved_was_told_of_before(make_bench: Callable) -> None:
    """BWC-POL-26, with the power cut inside each write of a dock visit: never a step without its leaf."""

    def docking(seed: int) -> Bench:
        bench = make_bench(pre_event=1, seed=seed)
        bench.world.step_wall(bench.at(-90))
        bench.world.dock(bench.at(1))
        Dock(bench, delay_s=1)
        return bench

    whole = docking(1)
    whole.run(5)
    outcomes = set()
    for number in range(whole.world.card.operations - 16, whole.world.card.operations + 1):
        bench = docking(number)
        bench.world.card.fail_at(number, CardFault.POWER_CUT)
        with pytest.raises(PowerCut):
            bench.run(5)
        moved = error_s(bench.world) != -90
        outcomes.add((moved, [one.fields["action"] for one in clocks(bench)] == ["set"]))
    assert outcomes >= {(False, False), (True, True)}
    assert (True, False) not in outcomes


def test_a_clock_that_agrees_is_left_alone(make_bench: Callable) -> None:
    """An offset that is smaller than its uncertainty is written down, and nothing is stepped."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(0.3))
    bench.world.dock(bench.at(3))
    Dock(bench)
    bench.run(14)
    (leaf,) = clocks(bench)
    assert (leaf.fields["action"], leaf.fields["new_trust"], error_s(bench.world)) == ("kept", "rtc", 0.3)
    assert abs(leaf.fields["offset_us"] + 300_000) <= leaf.fields["uncertainty_us"]
    assert "clock-compared" in codes(sound(bench))


def test_each_visit_measures_once_and_steps_at_most_then(make_bench: Callable) -> None:
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    Dock(bench)
    for at in (3, 20):
        bench.world.dock(bench.at(at))
        bench.world.undock(bench.at(at + 10))
    bench.run(36)
    assert [one.fields["action"] for one in clocks(bench)] == ["set", "kept"]
    sound(bench)


def test_nothing_is_stepped_while_recording_nor_undocked(make_bench: Callable) -> None:
    """BWC-POL-26: what a dock signed is not looked at by a camera that records in it, or has left it."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    dock = Dock(bench)
    bench.world.double_press(bench.at(2))
    bench.world.dock(bench.at(4))
    for second in (6, 9):
        bench.world.at(bench.at(second), lambda: dock.leave(dock.note()))
    bench.world.undock(bench.at(8))
    bench.world.press(RECORD, bench.at(10), hold_ms=3300)
    bench.run(17)
    assert (clocks(bench), error_s(bench.world)) == ([], -90)
    assert bench.kinds().count("end") == 1
    sound(bench)


def test_a_step_that_is_refused_is_told(make_bench: Callable) -> None:
    """BWC-POL-26: the leaf says what was to be; the fault says that it was not, and so does the verifier."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    Dock(bench)
    bench.world.dock(bench.at(3))
    bench.change = lambda hal: replace(hal, clock=Refusing(hal.clock, bench.world))
    bench.run(14)
    faults = [one.fields for one in bench.entries() if one.kind == "fault"]
    assert [(one["port"], "CAP_SYS_TIME" in one["reason"]) for one in faults] == [("clock", True)]
    assert "clock-not-set" in codes(sound(bench))


def test_a_camera_taken_up_between_the_leaf_and_the_step_keeps_its_clock(make_bench: Callable) -> None:
    """BWC-POL-26: whether it lies idle in the dock is asked again when the leaf is durable."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    Dock(bench)
    bench.world.dock(bench.at(3))
    bench.world.horizon_ns = bench.at(14)
    with bench.life() as daemon:
        handle = daemon.handle
        while (item := daemon._hal.inbox.get()) is not None:
            if isinstance(item, OffsetRecorded):
                handle(DockSense(False, daemon._hal.clock.now()))
            handle(item)
        bench.world.horizon_ns = None
    assert error_s(bench.world) == -90
    assert [one.fields["action"] for one in clocks(bench)] == ["set"]
    assert [one.fields["reason"] for one in bench.entries() if one.kind == "fault"] == ["not set: the camera was taken into use first"]
    assert "clock-not-set" in codes(sound(bench))


def test_a_clock_that_is_not_the_recorders_is_compared_and_left(make_bench: Callable) -> None:
    """A laptop: what the dock says is written down, and the clock is its owner's."""
    bench = make_bench(pre_event=1)

    class Owned(Dying):
        may_set = False

    bench.world.step_wall(bench.at(-90))
    bench.change = lambda hal: replace(hal, clock=Owned(hal.clock, bench.world))
    Dock(bench)
    bench.world.dock(bench.at(3))
    bench.run(14)
    assert [one.fields["action"] for one in clocks(bench)] == ["kept"]
    assert error_s(bench.world) == -90


# --- docks that lie


def docked(bench: Bench, wrong_s: float, unset: bool) -> Dock:
    bench.world.wall.has_rtc = not unset
    recorded(bench, 2, 4)
    bench.world.dock(bench.at(10))
    dock = Dock(bench, wrong_s)
    bench.run(20)
    sound(bench)
    return dock


@pytest.mark.parametrize("wrong", [YEARS, -YEARS, 7200.0, -7200.0])
def test_a_dock_that_lies_by_much_is_refused_by_a_clock_that_is_trusted(make_bench: Callable, wrong: float) -> None:
    """BWC-POL-26: more than a battery-backed clock can be off: the clock stays, and a leaf says whose word was refused."""
    bench = make_bench(pre_event=1)
    docked(bench, wrong, unset=False)
    assert (clocks(bench), error_s(bench.world)) == ([], 0)
    (refusal,) = refusals(bench)
    assert "witness 'dock'" in refusal


@pytest.mark.parametrize("wrong", [MINUTES, -MINUTES])
def test_a_dock_that_lies_by_little_is_believed_and_the_lie_is_signed(make_bench: Callable, wrong: float) -> None:
    """Within what the clock's drift could be nobody can tell; the leaf, and the dock's cosignature, say whose time it is from then on."""
    bench = make_bench(pre_event=1)
    docked(bench, wrong, unset=False)
    (leaf,) = clocks(bench)
    assert leaf.fields["action"] == "set"
    assert abs(error_s(bench.world) - wrong) <= leaf.fields["uncertainty_us"] / 1e6


def test_a_second_lie_in_the_same_boot_is_refused(make_bench: Callable) -> None:
    """A clock that a dock has set in this boot drifts by less than a minute: the next dock cannot walk it on."""
    bench = make_bench(pre_event=1)
    dock = Dock(bench, MINUTES)
    bench.world.dock(bench.at(3))
    bench.world.undock(bench.at(12))

    def turn() -> None:
        dock.wrong_s = 2 * MINUTES

    bench.world.at(bench.at(13), turn)
    bench.world.dock(bench.at(15))
    bench.run(26)
    assert [one.fields["action"] for one in clocks(bench)] == ["set"]
    assert len(refusals(bench)) == 1
    assert abs(error_s(bench.world) - MINUTES) < 3


@pytest.mark.parametrize(("wrong", "taken"), [(YEARS, True), (MINUTES, True), (-YEARS, False), (3e9, False)])
def test_a_dock_that_lies_to_a_clock_that_was_never_set(make_bench: Callable, wrong: float, taken: bool) -> None:
    """BWC-POL-27: what lies in the camera's own life cannot be told from the truth, and is better than 1970; the rest is refused."""
    bench = make_bench(pre_event=1)
    docked(bench, wrong, unset=True)
    assert [one.fields["new_trust"] for one in clocks(bench)] == (["synced"] if taken else [])
    assert len(refusals(bench)) == (0 if taken else 1)
    assert bench.world.wall.trust is (ClockTrust.SYNCED if taken else ClockTrust.UNSET)


@pytest.mark.parametrize(
    "how", ["garbage", "another's ledger", "a point that was never reached", "an unknown dock", "cut", "too long", "a directory"]
)
def test_what_no_dock_signed_sets_no_clock(make_bench: Callable, how: str) -> None:
    """BWC-POL-40: whatever lies in the spool, the recorder goes on, and the clock stays."""
    bench = make_bench(pre_event=1)
    bench.world.step_wall(bench.at(-90))
    dock = Dock(bench, answers=False)
    recorded(bench, 2, 4)
    bench.world.dock(bench.at(10))

    def plant() -> None:
        if how == "an unknown dock":
            dock.seed = bytes(32)
        note = dock.note()
        place = bench.card / "sync" / "checkpoint"
        match how:
            case "garbage":
                dock.leave(b"\xff\n\n" + bytes(100))
            case "another's ledger":
                dock.leave(note.replace(b"oathcam/SIM-0001", b"oathcam/SIM-0002"))
            case "a point that was never reached":
                size = note.split(b"\n")[1]
                dock.leave(dock.note(lambda text: text.replace(b"\n" + size + b"\n", b"\n9" + size + b"\n")))
            case "an unknown dock":
                dock.leave(note)
            case "cut":
                dock.leave(note[:-9])
            case "too long":
                dock.leave(note + b"x" * 100_000)
            case _:
                place.mkdir()

    bench.world.at(bench.at(12), plant)
    bench.run(18)
    assert (clocks(bench), error_s(bench.world)) == ([], -90)
    assert len(refusals(bench)) == (0 if how in ("too long", "a directory") else 1)
    sound(bench)


def test_an_old_cosignature_is_no_news(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-26: a true word of the morning, put back in the evening, is over a ledger point that was before this request."""
    prepare(monkeypatch)
    bench = make_bench(pre_event=1)
    dock = Dock(bench)
    bench.world.dock(bench.at(3))
    bench.world.undock(bench.at(12))
    old: list[bytes] = []
    bench.world.at(bench.at(11), lambda: old.append((bench.card / "sync" / "checkpoint").read_bytes()))

    def silence() -> None:
        dock.answers = False
        bench.world.wall.error_ns = -round(90 * SECOND)

    bench.world.at(bench.at(13), silence)
    bench.world.dock(bench.at(1000))
    bench.world.at(bench.at(1002), lambda: dock.leave(old[0]))
    bench.run(1010)
    assert [one.fields["action"] for one in clocks(bench)] == ["kept", "noticed"]
    assert error_s(bench.world) == -90


def test_a_receipts_time_serves_where_no_witness_is_known(make_bench: Callable) -> None:
    """BWC-POL-26: a store is known by the agency's root; its receipt is over the ledger that this request published."""
    bench = make_bench(pre_event=1)
    for key in (bench.config.trust_directory / "witnesses").iterdir():
        key.unlink()
    bench.world.step_wall(bench.at(-90))
    recorded(bench, 2, 4)
    bench.world.dock(bench.at(10))
    bench.world.on_sync_request = lambda: bench.world.after(
        2 * SECOND, lambda: bench.recordings() and leave(bench, receipt_for(bench), bench.agency.directory / "dock")
    )
    bench.run(20)
    (leaf,) = clocks(bench)
    assert leaf.fields["action"] == "set"
    assert abs(leaf.fields["offset_us"] - 90_000_000) <= leaf.fields["uncertainty_us"] < 2_500_000
    assert bench.verify().verdict is Verdict.AUTHENTIC


# --- how the last run ended


@pytest.mark.parametrize("delta", STEPS)
def test_a_crash_is_no_power_loss_because_somebody_stepped_the_clock(make_bench: Callable, delta: float) -> None:
    """BWC-POL-47: the recorder dies and the machine stays up: the kernel's name of the boot says so, whatever the wall clock says."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.horizon_ns = bench.at(5)
    die(bench)
    bench.world.stays_up = True
    bench.world.step_wall(bench.at(delta))
    bench.world.press(RECORD, bench.at(12), hold_ms=3300)
    bench.run(18)
    boots = [one.fields for one in bench.entries() if one.kind == "boot"]
    assert [one["previous"] for one in boots] == ["first", "crash"]
    assert boots[1]["down_us"] is not None
    assert boots[1]["down_us"] < 10_000_000
    assert len(bench.recordings()) == 2  # the encounter is still on: it goes on in the next one
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_power_loss_is_no_crash_because_no_clock_counts_it(make_bench: Callable) -> None:
    """Without a clock chip wall time begins anew with boot time: both agree on any two boots, and the kernel's name of them does not."""
    bench = make_bench(pre_event=1)
    bench.world.wall.has_rtc = False
    bench.world.double_press(bench.at(1))
    bench.world.cut_power(bench.at(3))
    bench.run_into_cut()
    bench.world.run_until(bench.at(10))
    bench.run(bench.world.now_ns / 1e9 + 8)
    assert [one.fields["previous"] for one in bench.entries() if one.kind == "boot"] == ["first", "power-loss"]


def die(bench: Bench) -> None:
    """The recorder's process ends; the kernel closes what it had opened, and nothing is written any more."""
    hal = boot_world(bench.world, {"volume": bench.config.state_directory, "keys": bench.config.key_directory})
    boot_firmware(hal, bench.config).run()
    hal.close()
