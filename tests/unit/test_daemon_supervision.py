"""The real daemon on a simulated camera that stops: what is felt, what the ledger says, and what goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from firmware.custody.entries import Entry
from firmware.daemon import EXIT_REBOOT, EXIT_RESTART
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Verdict
from firmware.machine.health import AUDIO_BPS
from firmware.machine.indicators import CUES
from firmware.recovery import previous_end
from firmware.timebase import Timestamp, Trust
from hal.interfaces import ButtonName

RECORD = ButtonName.RECORD
START_UP_S = 4


def cues(bench) -> list[tuple[float, str]]:
    """(second, name) of what the wearer felt."""
    names = {(cue.tones, cue.pulses): name.value for name, cue in CUES.items()}
    return [(one.at_ns / 1e9, names[one.cue.tones, one.cue.pulses]) for one in bench.world.seen.cues]


def leaves(bench, kind: str) -> list[dict]:
    return [dict(entry.fields) for entry in bench.entries() if entry.kind == kind]


def stop_and_end(bench, at: float) -> None:
    bench.world.press(RECORD, bench.at(at), hold_ms=3300)
    bench.run(at + 6)


def test_a_stalled_encoder_is_replaced_and_the_recording_goes_on(make_bench: Callable) -> None:
    """BWC-POL-05, BWC-POL-06, BWC-POL-47: one recording, its gap counted, the step written and felt."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(4))
    bench.world.at(bench.at(8), lambda: setattr(bench.world.camera, "encoder_stalled", True))
    stop_and_end(bench, 14)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.end.cause == "button"
    (gap,) = manifest.gaps
    assert gap.cause == "camera"
    assert 0.7 < gap.duration_us / 1e6 < 1.5
    assert [(one["port"], one["step"], one["owed"]) for one in leaves(bench, "escalation")] == [("camera", "encoder", True)]
    (felt,) = [at for at, name in cues(bench) if name == "partial-fault"]
    assert 8.7 < felt < 10
    assert leaves(bench, "fault") == []
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_stalled_sensor_is_felt_within_two_seconds_and_opened_anew(make_bench: Callable) -> None:
    """BWC-POL-47: two recordings, the second begun by itself; fault, attempt and recovery in the ledger."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(4))
    bench.world.at(bench.at(8), lambda: bench.world.camera.stall_until(bench.at(11)))
    stop_and_end(bench, 16)
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert (first.end.cause, second.begin.cause, second.end.cause) == ("fault", "recovery", "button")
    (gap,) = first.gaps
    assert (gap.cause, gap.boottime_us + gap.duration_us) == ("camera", first.end.boottime_us)
    assert 1.4 < gap.duration_us / 1e6 < 2
    assert [*unexplained(first), *unexplained(second)] == []
    (felt,) = [at for at, name in cues(bench) if name == "fault"]
    assert 9.4 < felt <= 10
    assert [one["step"] for one in leaves(bench, "escalation")] == ["reopen"]
    assert [one["reason"][:7] for one in leaves(bench, "fault")] == ["sensor:"]
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("outage_s", [300, 700])
@pytest.mark.parametrize("pressed", ["before", "during"])
def test_what_was_seen_before_a_long_outage_is_no_part_of_what_begins_after_it(make_bench: Callable, outage_s: int, pressed: str) -> None:
    """BWC-POL-08, -09, -11: a recording that goes on, or was pressed for in the outage, begins with the first picture after it."""
    bench = make_bench(pre_event=5)
    back = 20 + outage_s
    bench.world.double_press(bench.at(10 if pressed == "before" else back - 5))
    bench.world.at(bench.at(20), lambda: bench.world.camera.stall_until(bench.at(back)))
    stop_and_end(bench, back + 10)
    manifest = bench.manifest(bench.recordings()[-1])
    assert (manifest.begin.cause, manifest.end.cause) == ("recovery" if pressed == "before" else "button", "button")
    assert (manifest.pre_event.actual_ms, manifest.pre_event.shortfall) == (0, "interrupted")
    assert manifest.fragments[0].boottime_us >= back * 1_000_000
    assert [*unexplained(manifest)] == []
    assert bench.verify().verdict is Verdict.AUTHENTIC
    bench.run(back + 20)
    assert bench.kinds().count("boot") == 2
    assert bench.verify().verdict is Verdict.AUTHENTIC


def life(bench, until: float) -> int:
    """One life that ends by itself at the latest then; the exit code."""
    bench.world.horizon_ns = bench.at(until)
    with bench.life() as daemon:
        daemon.run()
        return daemon.exit_code


def test_a_dead_camera_ends_the_run_then_asks_for_a_reboot_then_waits(make_bench: Callable) -> None:
    """BWC-POL-06, BWC-POL-47: another process, another boot, and no loop of them; the recording goes on when the camera is back."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(66))
    bench.world.at(bench.at(70), lambda: bench.world.camera.stall_until(bench.at(140)))
    assert life(bench, 90) == EXIT_RESTART
    assert 81 < bench.world.now_ns / 1e9 < 84
    assert life(bench, 110) == EXIT_REBOOT
    assert bench.world.now_ns / 1e9 < 98
    bench.world.press(RECORD, bench.at(150), hold_ms=3300)
    bench.run(160)
    assert [one["step"] for one in leaves(bench, "escalation")] == ["reopen", "restart", "reboot"]
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert (first.begin.cause, first.end.cause) == ("button", "fault")
    assert (second.begin.cause, second.end.cause) == ("recovery", "button")
    assert bench.verify().verdict is Verdict.AUTHENTIC


def entry(n: int, kind: str, second: float, boot: int = 1, **fields) -> Entry:
    return Entry(n, kind, Timestamp(round(second * 1e9), 1_800_000_000_000_000_000 + round(second * 1e9), Trust.RTC), boot, fields)


BEGIN = entry(0, "begin", 10, recording="R-1", cause="button")
END = entry(1, "end", 12, recording="R-1", cause="button")
BOOT = entry(2, "boot", 13, 2)
"""Of a run that died before it could take up anything."""
RESTART = entry(1, "escalation", 20, port="camera", step="restart", owed=True, reason="x")
NOT_OWED = entry(1, "escalation", 20, port="camera", step="restart", owed=False, reason="x")
SHUTDOWN = entry(2, "shutdown", 20.1, reason="camera: restart")


@pytest.mark.parametrize(
    ("entries", "second", "how", "step", "resume"),
    [
        ((BEGIN,), 15, "crash", "", True),
        ((BEGIN,), 10 + 121, "crash", "", False),
        ((BEGIN, END), 15, "crash", "", False),
        ((BEGIN, BOOT), 15, "crash", "", True),
        ((BEGIN, BOOT), 10 + 121, "crash", "", False),
        ((BEGIN, BOOT, replace(END, boot=2, fields={**END.fields, "cause": "fault"})), 15, "crash", "", True),
        ((BEGIN, END, BOOT), 15, "crash", "", False),
        ((BEGIN, BOOT, entry(3, "dock", 13, 2)), 15, "crash", "", False),
        ((BEGIN, entry(2, "ready", 13)), 15, "crash", "", False),
        ((RESTART, SHUTDOWN), 22, "clean", "restart", True),
        ((RESTART, SHUTDOWN), 20 + 130, "clean", "restart", False),
        ((NOT_OWED, SHUTDOWN), 22, "clean", "restart", False),
        ((RESTART, entry(2, "ready", 21), entry(3, "shutdown", 25, reason="SIGTERM")), 26, "clean", "", False),
        ((entry(0, "shutdown", 25, reason="SIGTERM"),), 26, "clean", "", False),
    ],
)
def test_how_the_last_run_ended_says_whether_its_recording_goes_on(entries, second, how, step, resume) -> None:
    """BWC-POL-06: only what nobody ended, and only a moment later."""
    found = previous_end(entries, entry(9, "ready", second).time)
    assert (found.how, found.step, found.resume) == (how, step, resume)


def test_a_power_loss_is_no_reason_to_record(make_bench: Callable) -> None:
    """Somebody pulled the battery, or it was empty: boot time began anew, and a press starts the next recording."""
    assert not previous_end((BEGIN,), replace(entry(9, "ready", 15).time, boottime_ns=2_000_000_000)).resume


def test_a_hot_board_encodes_less_and_says_so(make_bench: Callable) -> None:
    """BWC-POL-48: fewer bits, no picture less; back when it has cooled by more than it takes to chatter."""
    bench = make_bench(pre_event=1, changes={"bitrate_bps = 4000000": "bitrate_bps = 900000"})
    bench.world.double_press(bench.at(2))
    bench.world.set_power(celsius=76, at_ns=bench.at(10))
    for second, celsius in ((18, 72), (19, 74), (26, 69)):
        bench.world.set_power(celsius=celsius, at_ns=bench.at(second))
    stop_and_end(bench, 34)
    events = [
        (entry.fields["event"], round(entry.time.boottime_ns / 1e9) - START_UP_S) for entry in bench.entries() if entry.kind == "power"
    ]
    assert [one for one in events if one[0] in ("hot", "cooled")] == [("hot", 10), ("cooled", 26)]
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.gaps == ()

    def rate(first: float, last: float) -> float:
        inside = [one for one in manifest.fragments if first <= one.boottime_us / 1e6 - START_UP_S < last]
        return sum(one.sealed_bytes for one in inside) / len(inside)

    assert rate(12, 25) < rate(4, 9) * 0.8
    assert rate(28, 33) > rate(12, 25) * 1.2
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_card_that_fills_is_felt_once_when_it_passes_the_mark(make_bench: Callable) -> None:
    """BWC-POL-23: the room is measured every second; the warning comes when an hour is left, neither before nor again."""
    bench = make_bench(pre_event=1)
    minute, reserve = 60 * (250_000 + AUDIO_BPS) // 8, 67_108_864
    bench.options["capacity_bytes"] = reserve + 61 * minute + 300_000
    bench.world.double_press(bench.at(4))
    stop_and_end(bench, 20)
    (felt,) = [at for at, name in cues(bench) if name == "low-storage"]
    assert 6 < felt < 19
