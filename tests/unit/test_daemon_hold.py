"""The real daemon on the simulated camera, by a policy that holds it after a critical recording (BWC-POL-21)."""

from __future__ import annotations

from collections.abc import Callable

from camerabench import START_WALL_NS, Bench

from firmware.custody.accounting import account
from firmware.daemon import EXIT_RESTART
from firmware.evidence.findings import Verdict
from firmware.lastrun import LastRun
from firmware.machine.indicators import CUES, CueName
from firmware.machine.states import Cause
from firmware.policy.minisign import sign_minisign
from firmware.policy.model import Categories, Policy
from firmware.recovery import Previous
from firmware.reports import HoldRead
from firmware.storage.ledger_file import LOG, SNAPSHOT
from firmware.timebase import Timestamp, Trust
from hal.interfaces import ButtonEdge, ButtonName, ClockReading, ClockTrust, Colour, LampName
from hal.sim.card import CardFault
from tools.timeline import build_timeline

BOOT_NS = 4_000_000_000
"""Boot time of the world's second 0."""
RECORD, FUNCTION = ButtonName.RECORD, ButtonName.FUNCTION
HOLDS = {"critical_hold = false": "critical_hold = true"}


def critical(bench: Bench, seconds: float) -> None:
    """One tap opens the categories, seven step to the critical one; eleven seconds in all."""
    for tap in range(8):
        bench.world.press(FUNCTION, bench.at(seconds + tap))


def stop(bench: Bench, seconds: float) -> None:
    bench.world.press(RECORD, bench.at(seconds), hold_ms=3300)


def leaves(bench: Bench) -> list[tuple[bool, str]]:
    return [(one.fields["entered"], one.fields["cause"]) for one in bench.entries() if one.kind == "hold"]


def refused(bench: Bench) -> int:
    return sum(one.kind == "fault" and one.fields["port"] == "hold" for one in bench.entries())


def felt(bench: Bench, name: CueName) -> list[float]:
    return [one.at_ns / 1e9 for one in bench.world.seen.cues if one.cue.pulses == CUES[name].pulses]


def life_until_cut(bench: Bench, seconds: float) -> None:
    bench.world.cut_power(bench.at(seconds))
    bench.run_into_cut()


def held_and_cut(make_bench: Callable, **options: object) -> Bench:
    """A critical recording, ended; the battery is pulled at second 30."""
    bench: Bench = make_bench(pre_event=1, changes=HOLDS, **options)
    bench.world.double_press(bench.at(2))
    critical(bench, 4)
    stop(bench, 16)
    life_until_cut(bench, 30)
    return bench


def test_record_critical_stop_refused_and_released_by_the_dock(make_bench: Callable) -> None:
    """The whole way: the press is felt to be refused, every second is accounted for, the dock ends it and a press records again."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    bench.world.double_press(bench.at(2))
    critical(bench, 4)
    stop(bench, 16)
    bench.world.double_press(bench.at(25))
    bench.world.dock(bench.at(32))
    bench.world.undock(bench.at(40))
    bench.world.double_press(bench.at(46))
    stop(bench, 50)
    bench.run(60)
    assert len(bench.recordings()) == 2
    assert leaves(bench) == [(True, "critical"), (False, "docked")]
    assert refused(bench) == 1
    assert any(25 <= second <= 25.6 for second in felt(bench, CueName.HELD))
    shown = [one.lamp for one in bench.world.seen.lamps if one.name is LampName.STATUS]
    assert any(lamp.colour is Colour.RED and lamp.blink_ms == 500 for lamp in shown)
    found = account(bench.entries())
    assert found.unaccounted() == ()
    assert 11_000_000 <= found.gaps_us()["hold"] <= 13_500_000
    drawn = [one.kind for one in build_timeline(bench.entries(), [bench.manifest(one) for one in bench.recordings()]).states]
    assert drawn[:6] == ["ready", "recording", "held", "docked", "ready", "recording"]
    report = bench.verify()
    assert report.verdict is Verdict.AUTHENTIC
    assert [one.text for one in report.findings if one.code == "hold"] == [
        "hold entered (critical): no new recording before the dock",
        "hold released (docked): a press records again",
    ]


def test_by_default_a_critical_recording_holds_nothing(make_bench: Callable) -> None:
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    critical(bench, 4)
    stop(bench, 16)
    bench.world.double_press(bench.at(25))
    bench.run(30)
    assert len(bench.recordings()) == 2
    assert leaves(bench) == []


def test_another_battery_ends_no_hold(make_bench: Callable) -> None:
    """A press while it boots and one later are refused; every second of both runs is accounted for, though the first was cut."""
    bench = held_and_cut(make_bench)
    bench.world.double_press(bench.at(34.2))
    bench.world.double_press(bench.at(40))
    bench.run(45)
    assert len(bench.recordings()) == 1
    assert leaves(bench) == [(True, "critical"), (True, "boot")]
    assert refused(bench) == 2
    assert len([second for second in felt(bench, CueName.HELD) if second > 30]) >= 2
    assert account(bench.entries()).unaccounted() == ()
    bench.world.dock(bench.at(48))
    bench.run(52)
    assert leaves(bench)[-1] == (False, "docked")
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_cut_in_the_recording_that_was_called_critical_leaves_it_held(make_bench: Callable) -> None:
    """It ended, whatever the cause; the same boot closes it."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    bench.world.double_press(bench.at(2))
    critical(bench, 4)
    life_until_cut(bench, 16)
    bench.world.double_press(bench.at(25))
    bench.run(30)
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.cause == "power-loss"
    assert leaves(bench) == [(True, "critical"), (True, "boot")]
    assert refused(bench) == 1


def test_a_boot_in_the_dock_ends_it(make_bench: Callable) -> None:
    bench = held_and_cut(make_bench)
    bench.world.dock(bench.at(30.5))
    bench.world.undock(bench.at(40))
    bench.world.double_press(bench.at(45))
    bench.run(50)
    assert leaves(bench) == [(True, "critical"), (False, "docked")]
    assert len(bench.recordings()) == 2


def test_a_policy_that_wants_no_hold_any_more_ends_it(make_bench: Callable) -> None:
    bench = held_and_cut(make_bench)
    policy = bench.config.policy
    text = policy.read_bytes().replace(b"critical_hold = true", b"critical_hold = false")
    key = bytes.fromhex((bench.agency.directory / "policy.key").read_text())
    policy.write_bytes(text)
    policy.with_name("policy.toml.minisig").write_text(sign_minisign(key[8:], key[:8], text, "another policy"), encoding="utf-8")
    bench.world.double_press(bench.at(36))
    bench.run(40)
    assert leaves(bench) == [(True, "critical"), (False, "policy")]
    assert len(bench.recordings()) == 2


def test_the_hold_is_known_from_the_snapshot(make_bench: Callable) -> None:
    """What a fault interrupted goes on in a recording of its own, and the next boot reads the ledger from that one on."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    bench.world.double_press(bench.at(2))
    critical(bench, 4)
    bench.world.at(bench.at(16), lambda: bench.world.camera.stall_until(bench.at(22)))
    stop(bench, 40)
    life_until_cut(bench, 50)
    first, second = bench.recordings()
    assert [bench.manifest(one).end.cause for one in (first, second)] == ["fault", "button"]
    snapshot, log = (bench.card / SNAPSHOT).read_bytes(), (bench.card / LOG).read_bytes()
    assert b'"on_hold":true' in snapshot
    assert b'"type":"hold"' not in log[int(snapshot.split(b'"line_at":')[1].split(b",")[0]) :]
    bench.world.double_press(bench.at(58))
    bench.run(62)
    assert leaves(bench) == [(True, "critical"), (True, "boot")]
    assert len(bench.recordings()) == 2


def test_a_card_that_answers_late_holds_up_no_press(make_bench: Callable) -> None:
    """BWC-POL-01: what a policy wants known at a boot is waited for as the card's newest leaves are, and no longer."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    bench.world.card.fail_always(CardFault.IO_ERROR)
    bench.world.at(bench.at(8), lambda: bench.world.card.fail_always(None))
    bench.world.double_press(bench.at(1))
    bench.run(20)
    assert len(bench.recordings()) == 1
    assert leaves(bench) == []
    begin = next(one for one in bench.entries() if one.kind == "begin")
    assert begin.time.boottime_ns < BOOT_NS + bench.at(8)


def test_how_long_a_boot_waits_for_what_the_card_tells() -> None:
    """For the hold only where the policy wants holds, and for two seconds at most."""
    start, late = Timestamp(0, 0, Trust.RTC), Timestamp(2_000_000_000, 0, Trust.RTC)
    for wants in (False, True):
        last = LastRun(Policy(categories=Categories(critical_hold=wants)), start)
        assert last.is_awaited(start)
        assert not last.is_awaited(late)
        last.previous = Previous("clean", 0)
        assert last.is_awaited(start) is wants
        last.hold_read = True
        assert not last.is_awaited(start)


def test_what_a_restart_interrupted_goes_on_and_then_it_is_held(make_bench: Callable) -> None:
    """BWC-POL-06: the camera was dead for longer than one run lasts; nobody had asked for the recording's end."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    bench.world.double_press(bench.at(66))
    critical(bench, 67)
    bench.world.at(bench.at(80), lambda: bench.world.camera.stall_until(bench.at(98)))
    bench.world.horizon_ns = bench.at(100)
    with bench.life() as daemon:
        daemon.run()
        assert daemon.exit_code == EXIT_RESTART
    stop(bench, 108)
    bench.world.double_press(bench.at(114))
    bench.run(118)
    assert [bench.manifest(one).begin.cause for one in bench.recordings()] == ["button", "recovery"]
    assert leaves(bench) == [(True, "critical"), (True, "boot")]
    assert refused(bench) == 1
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_press_that_came_before_the_hold_was_known_does_not_end_what_goes_on(make_bench: Callable) -> None:
    """The press is refused; what the crash interrupted is owed as before."""
    bench = make_bench(pre_event=1, changes=HOLDS)
    with bench.life() as daemon:
        daemon.handle(Previous("crash", 0, resume=True))
        for ms, pressed in ((100, True), (200, False), (300, True)):
            daemon.handle(ButtonEdge(RECORD, pressed, ClockReading(BOOT_NS + ms * 1_000_000, START_WALL_NS, ClockTrust.RTC)))
        assert daemon.model.owed is not None
        assert daemon.model.owed.cause is Cause.BUTTON
        daemon.handle(HoldRead(True))
        assert daemon.model.owed is not None
        assert daemon.model.owed.cause is Cause.RECOVERY
