"""However a camera's clock runs, steps and drifts: what the clocks of docks and stores say of it holds (docs/time.md)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware.custody.clock_bounds import DRIFT_PPM, Bounds, Reference, ReferenceClock, offset_words
from firmware.custody.entries import Entry
from firmware.timebase import Timestamp

SECOND = 1_000_000
START_US = 1_800_000_000 * SECOND


@dataclass
class Life:
    """A camera in true time: an oscillator that errs within the bound, a wall clock that anybody may step, boots in between."""

    ppm: int
    true_us: int = START_US
    boot: int = 1
    booted_us: int = START_US
    stepped_us: int = 0
    entries: list[Entry] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    moments: list[tuple[int, int, int]] = field(default_factory=list)
    """(boot, boot time, true time) of what a recording might ask for."""

    @property
    def boottime_us(self) -> int:
        since = self.true_us - self.booted_us
        return since + since * self.ppm // SECOND

    def leaf(self, kind: str, **fields: object) -> None:
        wall_us = self.true_us + self.stepped_us
        at = Timestamp(self.boottime_us * 1000, wall_us * 1000)
        self.entries.append(Entry(len(self.entries), kind, at, self.boot, fields))
        self.moments.append((self.boot, self.boottime_us, self.true_us))

    def act(self, action: str, seconds: int) -> None:
        self.true_us += seconds * SECOND + 1
        match action:
            case "leaf":
                self.leaf("ready")
            case "receipt":
                digest = f"{len(self.references):064d}"
                self.references.append(Reference(len(self.entries), self.true_us, digest, "store"))
                self.true_us += 1_500_000
                self.leaf("receipt", receipt_sha256=digest)
            case "cosign":
                self.references.append(Reference(len(self.entries), (self.true_us // SECOND + 1) * SECOND, who="dock"))
            case "step":
                self.stepped_us += (seconds - 1800) * SECOND
            case "boot":
                self.boot += 1
                self.booted_us = self.true_us
                self.leaf("boot")


actions = st.lists(st.tuples(st.sampled_from(["leaf", "receipt", "cosign", "step", "boot"]), st.integers(0, 40_000)), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.integers(-DRIFT_PPM + 1, DRIFT_PPM - 1), actions)
def test_the_true_time_is_always_within_the_bounds(ppm: int, script: list[tuple[str, int]]) -> None:
    life = Life(ppm)
    life.leaf("boot")
    for action, seconds in script:
        life.act(action, seconds)
    clock = ReferenceClock(life.entries, life.references)
    for boot, boottime_us, true_us in life.moments:
        found = clock.at(boot, boottime_us)
        assert found.low_us is None or found.low_us <= true_us
        assert found.high_us is None or true_us <= found.high_us


def test_a_receipt_and_the_checkpoint_after_it_bound_a_recording_of_the_same_boot() -> None:
    """Ten hours before the dock: what is left of uncertainty is the dock's two seconds and the oscillator's drift."""
    life = Life(0, stepped_us=-3 * SECOND)
    life.leaf("boot")
    life.act("leaf", 0)
    recorded = life.moments[-1]
    life.act("receipt", 36_000)
    life.act("cosign", 0)
    clock = ReferenceClock(life.entries, life.references)
    offset = clock.offset(recorded[0], recorded[1], recorded[2] + life.stepped_us)
    assert offset.low_us is not None
    assert offset.high_us is not None
    assert offset.low_us <= 3 * SECOND <= offset.high_us
    assert offset.high_us - offset.low_us < 3 * SECOND + 2 * 36_002 * DRIFT_PPM
    assert clock.who == ("dock", "store")


def test_another_boot_tells_the_order_alone() -> None:
    life = Life(0)
    life.leaf("boot")
    life.act("receipt", 10)
    received = life.references[0].utc_us
    life.act("boot", 10)
    life.act("leaf", 10)
    boot, boottime_us, _ = life.moments[-1]
    assert ReferenceClock(life.entries, life.references).at(boot, boottime_us) == Bounds(received, None)
    assert ReferenceClock(life.entries, []).at(boot, boottime_us) == Bounds(None, None)


def test_in_words() -> None:
    assert offset_words(Bounds(1_000_000, 2_000_000)) == "behind by 1.500 s, uncertainty 0.500 s"
    assert offset_words(Bounds(-4_000_000, -2_000_000)) == "ahead by 3.000 s, uncertainty 1.000 s"
    assert offset_words(Bounds(2_000_000, None)) == "behind by at least 2.000 s"
    assert offset_words(Bounds(-2_000_000, None)) == "ahead by at most 2.000 s"
    assert offset_words(Bounds(None, 2_000_000)) == "behind by at most 2.000 s"
    assert offset_words(Bounds(None, -2_000_000)) == "ahead by at least 2.000 s"
    assert offset_words(Bounds(None, None)) == ""
    assert offset_words(Bounds(2_000_000, 500_000)).endswith("contradict each other by 1.500 s")
