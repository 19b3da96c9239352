"""Go or no-go when the camera leaves the dock (BWC-POL-46): each part failing, within five seconds, and a press that does not wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from camerabench import Bench, picture_times
from helpers_machine import at, policy, ready
from hypothesis import given
from hypothesis import strategies as st

from firmware.custody.entries import Entry
from firmware.evidence.findings import Verdict
from firmware.machine import events as ev
from firmware.machine.indicators import CUES, Colour, CueName, lamps
from firmware.machine.machine import view
from firmware.machine.selftest import LIMIT_NS, Part, SelfTest, verdict
from firmware.machine.states import State
from firmware.selftest import PROBE
from hal.errors import DeviceFault
from hal.interfaces import ButtonName, ClockTrust, KeyStore, KeyStoreInfo, LampName
from hal.sim.card import CardFault
from tests.cards import Passing
from tests.prepared import prepare

S = 1_000_000_000
UNDOCK_S = 12
END_S = 30
PARTS = st.dictionaries(st.sampled_from(list(Part)), st.sampled_from([True, False, None]))


@pytest.fixture(autouse=True)
def _prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(monkeypatch)


@given(st.lists(PARTS, max_size=12))
def test_a_test_is_decided_in_time_and_names_exactly_who_did_not_say_yes(answers: list[dict[Part, bool | None]]) -> None:
    test, first = SelfTest(0), {}
    for number, one in enumerate(answers):
        test = test.with_answers(one)
        first = {**{part: good for part, good in one.items() if good is not None}, **first}
        found = verdict(test, number * 250_000_000)
        assert (found is None) is (len(first) < len(Part)), "twelve looks are three seconds: nothing is decided by time yet"
    expected = tuple(part.value for part in Part if not first.get(part))
    assert verdict(test, LIMIT_NS) == expected


def results(bench: Bench) -> list[tuple[float, Entry]]:
    """(second of the world, leaf); the board started four seconds before it."""
    return [(one.time.boottime_ns / S - 4, one) for one in bench.entries(after_cut=True) if one.kind == "selftest"]


def felt(bench: Bench, *names: CueName) -> list[CueName]:
    told = {CUES[name]: name for name in names}
    return [told[key] for one in bench.world.seen.cues for key in told if (key.tones, key.pulses) == (one.cue.tones, one.cue.pulses)]


def undocked(make_bench: Callable, changes: dict[str, str] | None = None) -> Bench:
    """In the dock from the first second, charged, out of it at twelve."""
    bench = make_bench(pre_event=2, changes=changes)
    bench.world.dock(bench.at(1))
    bench.world.undock(bench.at(UNDOCK_S))
    return bench


def test_a_camera_that_is_well_goes_within_five_seconds(make_bench: Callable) -> None:
    bench = undocked(make_bench)
    bench.run(END_S)
    ((second, leaf),) = results(bench)
    assert leaf.fields == {"go": True, "failed": (), "duration_us": leaf.fields["duration_us"]}
    assert UNDOCK_S < second <= UNDOCK_S + 5
    assert leaf.fields["duration_us"] == pytest.approx((second - UNDOCK_S) * 1e6, abs=1)
    assert felt(bench, CueName.GO, CueName.NO_GO) == [CueName.GO]
    assert bench.daemon is not None
    assert bench.world.seen.colour(LampName.STATUS) is not Colour.RED
    assert not (bench.card / "sync" / "selftest").exists()
    assert "fault" not in bench.kinds()
    assert bench.verify().verdict is Verdict.AUTHENTIC


@dataclass(frozen=True)
class Trouble:
    arrange: Callable[[Bench], object]
    failed: set[str]
    changes: tuple[tuple[str, str], ...] = ()


def from_undocking(bench: Bench, action: Callable[[], object]) -> None:
    bench.world.at(bench.at(UNDOCK_S - 0.5), action)


def card_refuses(bench: Bench) -> None:
    from_undocking(bench, lambda: bench.world.card.fail_always(CardFault.IO_ERROR))
    bench.world.at(bench.at(UNDOCK_S + 8), lambda: bench.world.card.fail_always(None))


class _Lying(Passing):
    """Reads one bit of the probe wrong."""

    def read(self, name: str, start_bytes: int = 0, fresh: bool = False) -> bytes:
        data = super().read(name, start_bytes, fresh)
        return data[:-1] + bytes([data[-1] ^ 1]) if name == PROBE else data


def card_lies(bench: Bench) -> None:
    bench.change = lambda hal: replace(hal, volume=_Lying(hal.volume))


class _NoKey(KeyStore):
    """A key store that has lost its key since the boot; what the ledger signs with it has to wait."""

    def __init__(self, keys, bench: Bench) -> None:
        self._keys, self._bench = keys, bench

    def sign_digest(self, digest: bytes) -> bytes:
        if UNDOCK_S - 0.5 < self._bench.world.now_ns / S < UNDOCK_S + 8:
            raise DeviceFault("no key")
        return self._keys.sign_digest(digest)

    def info(self) -> KeyStoreInfo:
        return self._keys.info()

    def generate_key(self) -> bytes:
        return self._keys.generate_key()

    def install_certificates(self, chain) -> None:
        self._keys.install_certificates(chain)

    def certificate_chain(self) -> tuple[bytes, ...]:
        return self._keys.certificate_chain()

    def counter_increment(self) -> int:
        return self._keys.counter_increment()

    def counter_read(self) -> int:
        return self._keys.counter_read()


def key_is_gone(bench: Bench) -> None:
    bench.change = lambda hal: replace(hal, key_store=_NoKey(hal.key_store, bench))


def clock_is_lost(bench: Bench) -> None:
    from_undocking(bench, lambda: setattr(bench.world.wall, "trust", ClockTrust.UNSET))


def quiet(bench: Bench) -> None:
    from_undocking(bench, lambda: bench.world.microphone.stall_until(bench.at(UNDOCK_S + 10)))


TROUBLES = {
    "sensor": Trouble(lambda b: from_undocking(b, lambda: b.world.camera.stall_until(b.at(UNDOCK_S + 10))), {"sensor"}),
    "microphone": Trouble(quiet, {"microphone"}),
    "microphone does not start": Trouble(lambda b: from_undocking(b, lambda: b.world.microphone.fail("dead", 99)), {"microphone"}),
    "card refuses": Trouble(card_refuses, {"card"}),
    "card lies": Trouble(card_lies, {"card"}),
    "card hangs": Trouble(lambda b: b.world.card.delay.hang(b.at(UNDOCK_S - 0.5), b.at(UNDOCK_S + 6)), {"card", "key"}),
    "key": Trouble(key_is_gone, {"key"}),
    "key hangs": Trouble(lambda b: b.world.signer.hang(b.at(UNDOCK_S - 0.5), b.at(UNDOCK_S + 6)), {"key"}),
    "clock": Trouble(clock_is_lost, {"clock"}),
    "battery": Trouble(lambda b: b.world.set_power(60, at_ns=b.at(UNDOCK_S - 1)), {"battery"}),
    "room": Trouble(lambda b: b.options.update(capacity_bytes=150_000_000), {"room"}),
    "lamps": Trouble(lambda b: b.world.break_lamp(LampName.STATUS, b.at(UNDOCK_S - 1)), {"lamps"}),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_part_that_fails_is_named_and_felt_within_five_seconds(make_bench: Callable, name: str) -> None:
    trouble = TROUBLES[name]
    bench = undocked(make_bench, dict(trouble.changes))
    trouble.arrange(bench)
    bench.run(END_S)
    ((second, leaf),) = results(bench)
    assert leaf.fields["go"] is False
    assert set(leaf.fields["failed"]) == trouble.failed
    assert UNDOCK_S < second <= UNDOCK_S + 5
    assert felt(bench, CueName.GO, CueName.NO_GO) == [CueName.NO_GO]
    assert not (bench.card / "sync" / "selftest").exists()


@pytest.mark.parametrize("press_s", [UNDOCK_S + 0.01, UNDOCK_S + 0.4, UNDOCK_S + 1.5])
def test_a_press_during_the_test_starts_at_once_and_has_the_sound(make_bench: Callable, press_s: float) -> None:
    """BWC-POL-01: the test takes nothing that a recording needs; it goes on beside it."""
    bench = undocked(make_bench)
    bench.world.double_press(bench.at(press_s))
    bench.world.press(ButtonName.RECORD, bench.at(press_s + 8), hold_ms=3300)
    bench.run(END_S)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert manifest.begin.boottime_us / 1e6 - 4 == pytest.approx(press_s + 0.23, abs=0.01), "the second press-down"
    assert manifest.gaps == ()
    sounding = [one.audio_frames for one in manifest.fragments[-7:-1]]
    assert all(count > 40 for count in sounding), "a second of sound in each second"
    ((_, leaf),) = results(bench)
    assert leaf.fields["go"] is True
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_nothing_heard_in_the_test_is_kept(make_bench: Callable) -> None:
    """BWC-POL-10, -17: a policy without sound before the press has none, self-test or not; afterwards the microphone is off."""
    bench = undocked(make_bench)
    bench.world.break_lamp(LampName.STATUS, bench.at(UNDOCK_S - 1))  # so that the test goes on to its end
    bench.world.double_press(bench.at(UNDOCK_S + 3.5))
    bench.world.press(ButtonName.RECORD, bench.at(UNDOCK_S + 6), hold_ms=3300)
    bench.run(END_S)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    times = picture_times(bench, recording)
    assert times[0] < manifest.begin.boottime_us / 1e6 - 2
    sounds = [one.audio_frames for one in manifest.fragments]
    assert sounds[:2] == [0, 0], "the two seconds before the press"
    assert sum(sounds[3:]) > 100


def test_back_in_the_dock_before_it_is_decided_there_is_no_result(make_bench: Callable) -> None:
    bench = undocked(make_bench)
    quiet(bench)
    bench.world.dock(bench.at(UNDOCK_S + 2))
    bench.run(END_S)
    assert results(bench) == []


def test_policies_without_sound_and_without_a_shift_ask_for_neither(make_bench: Callable) -> None:
    bench = undocked(make_bench, {"enabled = true": "enabled = false", "shift_minutes = 480": "shift_minutes = 0"})
    quiet(bench)
    bench.world.set_power(30, at_ns=bench.at(UNDOCK_S - 1))
    bench.run(END_S)
    ((_, leaf),) = results(bench)
    assert leaf.fields["failed"] == ()


def test_no_go_is_shown_until_the_dock_and_records_all_the_same() -> None:
    hand = ready(policy())
    hand.tell(ev.SelfTested(at(10), ("microphone",), 4_500_000_000))
    assert lamps(hand.state, view(hand.model))[1].colour is Colour.RED
    hand.double(12)
    assert hand.state is State.RECORDING
    hand.hold(20)
    hand.tell(ev.Docked(at(30)))
    hand.tell(ev.Undocked(at(40)))
    assert lamps(hand.state, view(hand.model))[1].colour is Colour.GREEN


def test_the_dock_is_green_only_when_nothing_newer_waits() -> None:
    """BWC-POL-45: whoever brings updates says so, and the lamp follows."""
    hand = ready(policy())
    hand.tell(ev.Docked(at(10)))
    hand.tell(ev.PowerChanged(at(11), 100, charging=True))
    hand.tell(ev.OffloadCompleted(at(12)))
    colours = []
    for second, newest in ((13, False), (14, True)):
        hand.tell(ev.UpdateChecked(at(second), newest))
        colours.append(lamps(hand.state, view(hand.model))[1].colour)
    assert colours == [Colour.BLUE, Colour.GREEN]
