"""The arithmetic and the rules of the wall clock (docs/time.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.bootmark import NAME, BootMark
from firmware.custody.clock_bounds import DRIFT_PPM
from firmware.custody.clock_steps import Action, Bracket, Lifetime, Told, bracket, frame_us, grace_left_ns, judge, movements
from firmware.custody.entries import Entry
from firmware.docktime import load_witnesses
from firmware.recovery import previous_end
from firmware.timebase import Timestamp, Trust

SECOND = 1_000_000
DAY_NS = 86_400 * 10**9
NOW = Timestamp(1000 * 10**9, 1_800_000_000 * 10**9, Trust.RTC)
LIFE = Lifetime(1_780_000_000 * SECOND, 2_700_000_000 * SECOND)


def off_by(offset_us: int, width_us: int = 2 * SECOND) -> Bracket:
    """A dock whose clock is ahead of NOW's by ``offset_us``."""
    low = frame_us(NOW) + offset_us - width_us // 2
    return Bracket(low, low + width_us, "witness 'dock'")


@given(
    frame=st.integers(0, 2**51),
    published=st.integers(0, 10**12),
    delay=st.integers(0, 600 * SECOND),
    late=st.integers(0, 600 * SECOND),
    ppm=st.integers(-DRIFT_PPM, DRIFT_PPM),
)
def test_the_interval_holds_the_truth(frame: int, published: int, delay: int, late: int, ppm: int) -> None:
    """BWC-POL-26: whenever between publishing and reading the dock signed, and however the oscillator drifts until it is read."""
    signed = published + delay
    said = frame + signed
    found = bracket((said // SECOND * SECOND, (said // SECOND + 1) * SECOND), (published, signed + late), "dock")
    drifted = late * ppm // 1_000_000
    assert found.low_us <= frame + drifted <= found.high_us
    assert found.high_us - found.low_us <= SECOND + (delay + late) * (1_000_000 + 2 * DRIFT_PPM) // 1_000_000 + 2


@pytest.mark.parametrize(
    ("trust", "offset_s", "action"),
    [
        (Trust.RTC, 0.9, Action.KEPT),
        (Trust.RTC, -0.9, Action.KEPT),
        (Trust.RTC, 1.1, Action.SET),
        (Trust.RTC, -3600.9, Action.SET),
        (Trust.RTC, 3601.1, None),
        (Trust.SYNCED, 60.9, Action.SET),
        (Trust.SYNCED, -61.1, None),
        (Trust.UNSET, 0.0, Action.SET),
        (Trust.UNSET, 300_000_000.0, Action.SET),
        (Trust.UNSET, -20_000_002.0, None),
        (Trust.UNSET, 900_000_002.0, None),
        (Trust.RTC, 2.0**45, None),
    ],
)
def test_the_rules(trust: Trust, offset_s: float, action: Action | None) -> None:
    found = judge(off_by(round(offset_s * SECOND)), replace(NOW, trust=trust), LIFE, may_set=True)
    assert found.action is action
    assert (found.reason == "") == (action is not None)
    assert (found.offset_us, found.uncertainty_us) == (round(offset_s * SECOND), SECOND)


def test_what_is_too_wide_is_no_measurement_and_not_told() -> None:
    assert judge(off_by(0, 600 * SECOND), NOW, LIFE, may_set=True).action is Action.KEPT
    found = judge(off_by(0, 600 * SECOND + 1), NOW, LIFE, may_set=True)
    assert (found.action, found.reason) == (None, "")


def test_a_laptops_clock_is_its_owners() -> None:
    for trust in Trust:
        assert judge(off_by(50 * SECOND), replace(NOW, trust=trust), LIFE, may_set=False).action is Action.KEPT


@pytest.mark.parametrize(
    ("receipted", "now", "days_left"),
    [
        (Trust.RTC, Trust.RTC, 1.0),
        (Trust.UNSET, Trust.RTC, 3.0),
        (Trust.RTC, Trust.UNSET, 3.0),
        (Trust.SYNCED, Trust.RTC, 1.0),
    ],
)
def test_a_grace_period_counts_what_clocks_know(receipted: Trust, now: Trust, days_left: float) -> None:
    """BWC-POL-43: time of a clock that was never set does not end it."""
    at = Timestamp(5, NOW.wall_ns - 2 * DAY_NS, receipted)
    assert grace_left_ns(at, replace(NOW, trust=now), 3) == round(days_left * DAY_NS)


def test_a_clock_that_went_back_adds_nothing_to_a_grace_period() -> None:
    assert grace_left_ns(replace(NOW, wall_ns=NOW.wall_ns + DAY_NS), NOW, 3) == 3 * DAY_NS


# --- what a reader finds


def leaf(n: int, second: float, ahead_s: float = 0.0, kind: str = "dock", boot: int = 1, **fields: object) -> Entry:
    at = Timestamp(round(second * 10**9), NOW.wall_ns + round((second + ahead_s) * 10**9), Trust.RTC)
    return Entry(n, kind, at, boot, fields)


def clock(n: int, second: float, ahead_s: float, action: str, offset_s: float) -> Entry:
    fields = {"offset_us": round(offset_s * SECOND), "uncertainty_us": 0, "source": "dock", "old_trust": "rtc", "new_trust": "rtc"}
    return leaf(n, second, ahead_s, "clock", action=action, **fields)


def told(*entries: Entry) -> list[tuple[Told, float]]:
    return [(one.told, one.offset_us / SECOND) for one in movements(entries)]


def test_steps_that_leaves_tell_of() -> None:
    """Leaves told late have the frame from before, those of the second before the leaf the one from after: neither is a jump."""
    assert told(leaf(0, 1), leaf(1, 2, 90), clock(2, 3, 90, "noticed", 90), leaf(3, 1.5), leaf(4, 4, 90)) == [(Told.STEPPED, 90)]
    assert told(leaf(0, 1), clock(1, 2, 0, "set", -5), leaf(2, 3, -5)) == [(Told.STEPPED, -5)]
    assert told(leaf(0, 1), clock(1, 2, 0, "set", -5), leaf(2, 3)) == [(Told.NOT_STEPPED, -5)]
    assert told(leaf(0, 1), clock(1, 2, 0, "kept", 0.2), leaf(2, 3)) == [(Told.COMPARED, 0.2)]
    assert told(leaf(0, 1), clock(1, 2, 0, "noticed", 0), leaf(2, 3)) == [(Told.TRUST, 0)]


def test_a_jump_that_no_leaf_tells_of() -> None:
    """Named once for each new frame, in the recording that was open; other boots have frames of their own."""
    begin, end = leaf(1, 2, 0, "begin", recording="R-1"), leaf(4, 5, -7, "end", recording="R-1")
    found = list(movements([leaf(0, 1), begin, leaf(2, 3, -7), leaf(3, 4, -7.05), end, leaf(5, 6), leaf(6, 1, 4000, boot=2)]))
    assert [(one.told, one.entry.n, one.offset_us, one.recording) for one in found] == [(Told.UNTOLD, 2, -7 * SECOND, "R-1")]
    assert told(leaf(0, 1), leaf(1, 2, 0.09)) == []


# --- whether the machine stayed up


@pytest.mark.parametrize(("stayed", "how"), [(True, "crash"), (False, "power-loss"), (None, "power-loss")])
def test_a_step_between_two_runs(stayed: bool | None, how: str) -> None:
    """Where the kernel's name of the boot is known it decides; where it is not, two clocks that disagree mean a power loss."""
    found = previous_end((leaf(0, 5),), leaf(1, 9, 120).time, stayed)
    assert found.how == how
    assert found.down_us == (4 * SECOND if stayed else 124 * SECOND)


def test_two_boots_of_a_clock_that_begins_anew_are_two_boots() -> None:
    assert previous_end((leaf(0, 5),), leaf(1, 9).time, None).how == "crash"
    assert previous_end((leaf(0, 5),), leaf(1, 9).time, False).how == "power-loss"
    assert previous_end((leaf(0, 9),), leaf(1, 5).time, True).how == "power-loss"


@pytest.mark.parametrize("ahead", [0, 90])
def test_a_crash_between_the_leaf_of_a_step_and_the_next(ahead: float) -> None:
    """Whether the clock was stepped or not, the last leaf says by how much it was to be."""
    assert previous_end((leaf(0, 1), clock(1, 5, 0, "set", 90)), leaf(2, 9, ahead).time).how == "crash"
    assert previous_end((leaf(0, 1), clock(1, 5, 0, "set", 90)), leaf(2, 9, 45).time).how == "power-loss"


def test_the_mark_of_a_boot(tmp_path) -> None:
    first = BootMark(tmp_path, "a")
    assert first.stayed_up(6) is None
    first.leave(7)
    assert first.stayed_up(6) is None  # what it left itself is not what it found
    assert BootMark(tmp_path, "a").stayed_up(7) is True
    assert BootMark(tmp_path, "b").stayed_up(7) is False
    assert BootMark(tmp_path, "a").stayed_up(8) is None  # a run that could leave no mark came after it
    assert BootMark(tmp_path, "").stayed_up(7) is None
    for junk in (b"\xff", b"", b"a", b"a 7 7"):
        (tmp_path / NAME).write_bytes(junk)
        assert BootMark(tmp_path, "a").stayed_up(7) is None
    BootMark(tmp_path / "absent", "a").leave(7)


def test_a_witness_key_that_is_none_costs_no_boot(tmp_path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.pub").write_text("11" * 32 + "\n")
    (tmp_path / "b.pub").write_text("11" * 31)
    (tmp_path / "c.pub").write_text("no key")
    assert load_witnesses(tmp_path) == (b"\x11" * 32,)
    assert caplog.text.count("witness.pub again") == 2
    assert load_witnesses(tmp_path / "absent") == ()
