"""The real daemon on the simulated camera: what the wearer answers, mutes and hides, and what a key finds of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from camerabench import Bench

from firmware.evidence.cms import open_sealed
from firmware.evidence.findings import Finding, Verdict
from firmware.media.fmp4_read import parse_fragment, parse_init
from hal.interfaces import ButtonName, Colour, LampName
from hal.sim.card import CardFault

RECORD, FUNCTION = ButtonName.RECORD, ButtonName.FUNCTION
ASKS = {"ask_on_stop = false": "ask_on_stop = true", "ask_on_mute = false": "ask_on_mute = true"}
TOGGLE = {'mode = "off"': 'mode = "toggle"'}
BOOT_NS = 4_000_000_000
"""Boot time of the world's second 0."""


def told(bench: Bench, *, with_key: bool = True) -> list[str]:
    """What the verifier says of annotations, in order."""
    report = bench.verify(with_key=with_key)
    assert report.verdict is Verdict.AUTHENTIC or not with_key
    found: Iterator[Finding] = (one for recording in report.recordings for one in recording.findings if one.layer == "annotation")
    return [one.text for one in found]


def leaves(bench: Bench, kind: str) -> list[dict[str, Any]]:
    return [dict(entry.fields) for entry in bench.entries() if entry.kind == kind]


def shift(bench: Bench) -> None:
    """A recording with a category, stopped for a reason."""
    bench.world.double_press(bench.at(2))
    for second in (4, 5, 6):
        bench.world.press(FUNCTION, bench.at(second))
    bench.world.press(RECORD, bench.at(10), hold_ms=3300)
    bench.world.press(FUNCTION, bench.at(16))
    bench.run(30)


def test_answers_are_sealed_leaves_that_a_key_opens(make_bench: Callable) -> None:
    """BWC-POL-04, -18, -31: with a key the report tells them; without, that there is one; the card tells neither to anybody else."""
    bench = make_bench(pre_event=1, changes=ASKS)
    shift(bench)
    (recording,) = bench.recordings()
    annotations = leaves(bench, "annotation")
    assert [(one["recording"], one["about"]) for one in annotations] == [(recording, "category"), (recording, "stop-reason")]
    assert len({len(one["sealed"]) for one in annotations}) == 1
    assert told(bench) == ["category: SEARCH", "reason of the stop: EVENT_OVER"]
    assert told(bench, with_key=False) == ["sealed annotation: category", "sealed annotation: reason of the stop"]
    card = b"".join(path.read_bytes() for path in bench.card.rglob("*") if path.is_file())
    assert b"SEARCH" not in card
    assert b"EVENT_OVER" not in card


def test_no_answer_is_written_as_one_that_was_not_given(make_bench: Callable) -> None:
    """BWC-POL-04: eight seconds after the question; the recording had been closed long before."""
    bench = make_bench(pre_event=1, changes={**ASKS})
    bench.world.double_press(bench.at(2))
    bench.world.press(RECORD, bench.at(4), hold_ms=3300)
    bench.run(30)
    assert told(bench) == ["reason of the stop: the wearer gave no answer", "category: the wearer gave no answer"]
    kinds = [kind for kind in bench.kinds() if kind in ("end", "annotation")]
    assert kinds == ["end", "annotation", "annotation"]
    end, first = (next(entry for entry in bench.entries() if entry.kind == kind) for kind in ("end", "annotation"))
    assert 9_000_000_000 <= first.time.since(end.time) <= 10_000_000_000


def test_a_critical_recording_is_flagged_in_plain_and_nothing_else_is(make_bench: Callable) -> None:
    """BWC-POL-21: one leaf that names the recording, written with the answer."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    for tap in range(8):
        bench.world.press(FUNCTION, bench.at(4 + tap))
    bench.world.press(RECORD, bench.at(16), hold_ms=3300)
    bench.run(24)
    (recording,) = bench.recordings()
    assert leaves(bench, "critical") == [{"recording": recording}]
    assert told(bench) == ["category: CRITICAL", "flagged as critical by the wearer"]


def test_an_answer_waits_for_a_card_that_refuses(make_bench: Callable) -> None:
    """BWC-POL-04: what was answered while the card failed is written when it works again, once."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.press(FUNCTION, bench.at(4))
    bench.world.press(FUNCTION, bench.at(5))
    bench.world.at(bench.at(7.4), lambda: bench.world.card.fail_at(1, CardFault.IO_ERROR))
    bench.world.press(RECORD, bench.at(10), hold_ms=3300)
    bench.run(18)
    assert told(bench) == ["category: ENFORCEMENT"]


def test_an_annotation_that_was_put_under_another_recording_is_found(make_bench: Callable) -> None:
    """BWC-POL-31: what is sealed names its recording, so that no leaf can lend it to another."""
    from firmware.errors import FormatError, IntegrityError
    from firmware.evidence.annotation import open_annotation

    bench = make_bench(pre_event=1, changes=ASKS)
    shift(bench)
    sealed, key = leaves(bench, "annotation")[0]["sealed"], bench.key()
    (recording,) = bench.recordings()
    assert open_annotation(sealed, recording, "category", key.private_key, key.certificate).code == "SEARCH"
    for other in ((recording, "stop-reason"), ("R-1", "category")):
        with pytest.raises(IntegrityError, match="expected the"):
            open_annotation(sealed, *other, key.private_key, key.certificate)
    with pytest.raises(FormatError, match="base64"):
        open_annotation("?", recording, "category", key.private_key, key.certificate)


# Mute.


def sound_times(bench: Bench, recording: str) -> list[int]:
    """Boot times in µs at which the recording's AAC units begin."""
    key, folder = bench.key(), bench.card / "vault" / recording
    init = parse_init(open_sealed((folder / "init.mp4.p7m").read_bytes(), key.private_key, key.certificate))
    times: list[int] = []
    for record in bench.manifest(recording).fragments:
        sealed = (folder / f"{record.seq:06d}.m4s.p7m").read_bytes()
        info = parse_fragment(open_sealed(sealed, key.private_key, key.certificate), init)
        first = info.video[0].time_ns if info.video else 0
        times += [record.boottime_us + (sample.time_ns - first) // 1000 for sample in info.audio]
    return times


def test_no_sample_of_muted_time_is_in_the_recording(make_bench: Callable) -> None:
    """BWC-POL-17: from the mute's leaf to the unmute's there is no sound at all, and pictures go on."""
    bench = make_bench(pre_event=1, changes=TOGGLE)
    bench.world.double_press(bench.at(2))
    bench.world.press(FUNCTION, bench.at(5), hold_ms=1000)
    bench.world.press(FUNCTION, bench.at(10), hold_ms=1000)
    bench.world.press(RECORD, bench.at(14), hold_ms=3300)
    bench.run(20)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    (mute,) = manifest.mutes
    assert 4_900_000 <= mute.to_us - mute.from_us <= 5_100_000
    times = sound_times(bench, recording)
    unit_us = 1024 * 1_000_000 // 48_000
    heard = [one for one in times if mute.from_us - unit_us < one < mute.to_us]
    assert heard == []
    assert len([one for one in times if one < mute.from_us]) > 100
    assert len([one for one in times if one > mute.to_us]) > 100
    assert all(one.pictures for one in manifest.fragments)
    lamps = [one.lamp for one in bench.world.seen.lamps if one.name is LampName.STATUS]
    assert any(lamp.colour is Colour.BLUE and lamp.blink_ms == 500 for lamp in lamps)


def test_a_mute_that_the_policy_ends_says_so(make_bench: Callable) -> None:
    """BWC-POL-17: events paired, the second with its cause."""
    bench = make_bench(pre_event=1, changes={**TOGGLE, "auto_unmute_seconds = 0": "auto_unmute_seconds = 3"})
    bench.world.double_press(bench.at(2))
    bench.world.press(FUNCTION, bench.at(5), hold_ms=1000)
    bench.world.press(RECORD, bench.at(14), hold_ms=3300)
    bench.run(20)
    assert [one["cause"] for kind in ("mute", "unmute") for one in leaves(bench, kind)] == ["button", "policy"]
    (mute,) = bench.manifest(bench.recordings()[0]).mutes
    assert 2_900_000 <= mute.to_us - mute.from_us <= 3_200_000


# Sleep and stealth.


def test_from_sleep_to_ready_and_from_sleep_to_record(make_bench: Callable) -> None:
    """BWC-POL-16: awake and buffering within 4 s; a press while asleep records, and says that there was nothing from before it."""
    bench = make_bench(pre_event=2, changes={"allowed = false": "allowed = true"})
    bench.world.press(FUNCTION, bench.at(4), hold_ms=3300)
    bench.world.press(FUNCTION, bench.at(20), hold_ms=3300)
    bench.world.double_press(bench.at(28))
    bench.world.press(RECORD, bench.at(32), hold_ms=3300)
    bench.world.press(FUNCTION, bench.at(40), hold_ms=3300)
    bench.world.double_press(bench.at(50))
    bench.world.press(RECORD, bench.at(54), hold_ms=3300)
    bench.run(62)
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert first.pre_event.actual_ms >= 2000
    assert first.pre_event.shortfall is None
    assert (second.pre_event.actual_ms, second.pre_event.shortfall) == (0, "just-started")
    wake = [entry.time.boottime_ns for entry in bench.entries() if entry.kind == "wake"]
    ready = [entry.time.boottime_ns for entry in bench.entries() if entry.kind == "ready"]
    asked = BOOT_NS + bench.at(23)
    assert asked <= wake[0] <= min(one for one in ready if one >= asked) <= asked + 4_000_000_000
    assert bench.kinds().count("sleep") == len(wake) == 2
    assert bench.verify().verdict is Verdict.AUTHENTIC


def both(bench: Bench, at: float) -> None:
    bench.world.press(RECORD, bench.at(at), hold_ms=3300)
    bench.world.press(FUNCTION, bench.at(at + 0.1), hold_ms=3300)


@pytest.mark.parametrize("allowed", [False, True])
def test_stealth_is_the_policys_and_stands_in_the_ledger(make_bench: Callable, allowed: bool) -> None:
    """BWC-POL-15: denied by default; allowed, dark and silent between two signed leaves, and everybody who verifies is told."""
    bench = make_bench(pre_event=1, changes={"stealth = false": "stealth = true"} if allowed else {})
    bench.world.double_press(bench.at(2))
    both(bench, 5)
    both(bench, 12)
    bench.world.press(RECORD, bench.at(18), hold_ms=3300)
    bench.run(25)
    assert leaves(bench, "stealth") == ([{"entered": True, "cause": "button"}, {"entered": False, "cause": "button"}] if allowed else [])
    dark = [one.at_ns for one in bench.world.seen.lamps if one.name is LampName.SUBJECT and one.lamp.colour is Colour.OFF]
    heard = [one.at_ns for one in bench.world.seen.cues if one.cue.tones]
    hidden = range(bench.at(8.01), bench.at(15))
    assert any(at in hidden for at in dark) is allowed or not allowed
    assert not any(at in hidden for at in heard) or not allowed
    assert ("stealth" in {one.code for one in bench.verify().findings}) is allowed


def test_the_card_tells_no_category_to_who_has_no_key(make_bench: Callable) -> None:
    """BWC-POL-18: two answers of different length are the same to whoever reads the card."""
    lengths = set()
    for taps in (2, 6):
        bench = make_bench(pre_event=1)
        bench.world.double_press(bench.at(2))
        for tap in range(taps):
            bench.world.press(FUNCTION, bench.at(4 + tap))
        bench.world.press(RECORD, bench.at(14), hold_ms=3300)
        bench.run(20)
        (annotation,) = leaves(bench, "annotation")
        lengths.add(len(json.dumps(annotation)))
    assert len(lengths) == 1
