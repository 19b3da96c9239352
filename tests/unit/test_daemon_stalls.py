"""The real daemon on a simulated microphone that goes silent and a simulated key store that hangs: felt, tried, written when it can be."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from camerabench import picture_times

from firmware.daemon import EXIT_RESTART
from firmware.evidence.findings import Verdict
from firmware.machine.indicators import CUES
from firmware.machine.supervision import SIGNER_SLOW_NS, SIGNER_STUCK_NS, SOUND_STALL_NS, judge_call, sound_stalled
from hal.interfaces import ButtonName

RECORD = ButtonName.RECORD
S = 1_000_000_000
START_UP_S = 4
WATCHDOG_S = 10
"""WatchdogSec of oathcamd.service."""


def cues(bench) -> list[tuple[float, str]]:
    """(second, name) of what the wearer felt."""
    names = {(cue.tones, cue.pulses): name.value for name, cue in CUES.items()}
    return [(one.at_ns / S, names[one.cue.tones, one.cue.pulses]) for one in bench.world.seen.cues]


def leaves(bench, *kinds: str) -> list[tuple[float, str, str]]:
    """(second of the world, kind, port) of the leaves of a camera that was never cut."""
    found = [entry for entry in bench.entries(after_cut=True) if entry.kind in kinds]
    return [(entry.time.boottime_ns / S - START_UP_S, entry.kind, str(entry.fields["port"])) for entry in found]


def told(bench) -> dict:
    return json.loads((bench.config.run_directory / "status.json").read_bytes())


# Microphone.


def test_a_microphone_that_goes_silent_is_felt_started_again_and_heard_again(make_bench: Callable) -> None:
    """BWC-POL-47: no error, just silence. The film goes on, and is as long as it would have been."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(8), lambda: bench.world.microphone.stall_until(bench.at(16)))
    bench.world.press(RECORD, bench.at(20), hold_ms=3300)
    bench.run(26)
    (fault, recovered) = leaves(bench, "fault", "recovered")
    assert (fault[1:], recovered[1:]) == (("fault", "microphone"), ("recovered", "microphone"))
    assert 9 < fault[0] <= 10
    assert 16 <= recovered[0] < 16.5
    (felt,) = [at for at, name in cues(bench) if name == "partial-fault"]
    assert 9 < felt <= 10
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert (manifest.end.cause, manifest.gaps) == ("button", ())
    times = picture_times(bench, recording)
    assert {round((later - earlier) * 1000) for earlier, later in pairwise(times)} <= {33, 34}
    silent = [one.audio_frames for one in manifest.fragments if 9 <= one.boottime_us / 1e6 - START_UP_S < 15]
    assert len(silent) >= 5
    assert sum(silent) == 0
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_no_sound_is_no_fault_where_none_is_wanted(make_bench: Callable) -> None:
    """Before the press, by a policy that records no sound then, and after the stop (BWC-POL-10)."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(8))
    bench.world.press(RECORD, bench.at(10), hold_ms=3300)
    bench.run(20)
    assert leaves(bench, "fault") == []


@pytest.mark.parametrize(("heard", "now", "wrong"), [(0, 1.4, False), (0, 1.6, True), (5, 6.4, False), (5, 6.6, True)])
def test_sound_is_judged_by_its_own_time(heard: float, now: float, wrong: bool) -> None:
    assert bool(sound_stalled(0, round(heard * S), round(now * S))) is wrong
    assert SOUND_STALL_NS <= 1_750_000_000, "a look later it is felt, within 2 s"


# Signer.


def test_a_signer_that_hangs_for_a_while_is_felt_at_once_and_written_when_it_answers(make_bench: Callable) -> None:
    """BWC-POL-47: nothing can be promised meanwhile; GOPs wait, and no picture is missing."""
    bench = make_bench(pre_event=1)
    bench.world.signer.hang(bench.at(8), bench.at(13))
    bench.world.double_press(bench.at(4))
    seen: dict[int, dict] = {}
    for second in (7, 12, 15):
        bench.world.at(bench.at(second + 0.3), lambda second=second: seen.update({second: told(bench)}))
    bench.world.press(RECORD, bench.at(16), hold_ms=3300)
    bench.run(22)
    assert bench.ended_in_order
    (felt,) = [at for at, name in cues(bench) if name == "partial-fault"]
    assert 8 + SIGNER_SLOW_NS / S < felt <= 10.2, "2 s after the first call that did not return"
    fault, recovered = leaves(bench, "fault", "recovered")
    assert (fault[1:], recovered[1:]) == (("fault", "signer"), ("recovered", "signer"))
    assert abs(fault[0] - felt) < 0.001
    assert 13 <= recovered[0] <= 13.3
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert (manifest.end.cause, manifest.gaps) == ("button", ())
    assert bench.verify().verdict is Verdict.AUTHENTIC
    assert (seen[7]["faults"], seen[12]["faults"], seen[15]["faults"]) == ([], ["signer"], [])
    assert 3_000_000 < seen[12]["signer"]["age_us"] <= 4_300_000
    assert seen[12]["waiting_bytes"]["now"] > 0
    assert seen[15]["waiting_bytes"]["now"] == 0
    assert 4_000_000 < seen[15]["signer"]["slowest_us"] <= 5_000_000
    assert 4_000_000 < seen[15]["promises"]["max_us"] <= 6_500_000


def life(bench, until: float) -> int:
    """One life that ends by itself at the latest then; the exit code."""
    bench.world.horizon_ns = bench.at(until)
    with bench.life() as daemon:
        daemon.run()
        return daemon.exit_code


def test_a_signer_that_never_answers_ends_the_run_before_the_watchdog_and_the_recording_goes_on(make_bench: Callable) -> None:
    """BWC-POL-06, BWC-POL-47: the first run can write none of it; the second one does."""
    bench = make_bench(pre_event=1)
    bench.world.stays_up = True
    bench.world.signer.hang(bench.at(20))
    bench.world.double_press(bench.at(14))
    assert life(bench, 90) == EXIT_RESTART
    ended = bench.world.now_ns / S
    assert not bench.ended_in_order
    assert 20 + SIGNER_STUCK_NS / S <= ended < 21.5 + SIGNER_STUCK_NS / S, "a GOP, a look, and that long"
    assert ended < bench.world.seen.feeds[-1] / S + WATCHDOG_S, "the watchdog would have bitten first"
    assert [name for at, name in cues(bench) if at > 20] == ["partial-fault", "fault"]
    assert [kind for _, kind, _ in leaves(bench, "fault", "escalation")] == []
    bench.world.signer.hangs_from_ns = None
    bench.world.press(RECORD, bench.at(50), hold_ms=3300)
    bench.run(60)
    (fault,) = [dict(entry.fields) for entry in bench.entries() if entry.kind == "fault"]
    assert fault == {"port": "signer", "reason": "the run before could not write this: signer: restart"}
    assert sorted(one.name for one in bench.config.run_directory.iterdir()) == ["boot-id", "status.json"], "said once"
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert first.begin.cause == "button"
    assert (second.begin.cause, second.end.cause) == ("recovery", "button")
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_a_signer_that_hangs_while_booting_is_felt(make_bench: Callable) -> None:
    """BWC-POL-47: the thread that boots cannot tell; once it comes back, the camera is as ever."""
    bench = make_bench(pre_event=1)
    bench.world.signer.hang(bench.at(0), bench.at(6))
    bench.world.double_press(bench.at(8))
    bench.world.press(RECORD, bench.at(10), hold_ms=3300)
    bench.run(16)
    felt = [at for at, name in cues(bench) if name == "fault"]
    assert len(felt) == 1
    assert SIGNER_SLOW_NS / S < felt[0] <= 2
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.cause == "button"
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize(("waiting", "known", "found"), [(0, False, None), (2, False, True), (2, True, None), (0, True, False)])
def test_a_call_is_late_once_and_answered_once(waiting: int, known: bool, found: bool | None) -> None:
    assert judge_call(waiting * S, SIGNER_SLOW_NS, known) is found
