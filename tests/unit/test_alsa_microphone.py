"""The microphone on ALSA: real alsa-lib and pyalsaaudio against a sound server that is killed and started again; overruns and odd
formats against a card made of lists."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

import av
import numpy as np
import pytest
from soundrig import DEVICE, FREQUENCY_HZ, SoundRig, sound_rig

from hal.alsa_card import Capture, Heard, OffsetFilter, SoundCard, check_format, to_mono
from hal.alsa_microphone import AlsaMicrophone
from hal.errors import DeviceFault, HalError, HalUnavailable
from hal.interfaces import AudioFrame
from hal.posix import PosixClock

pytestmark = pytest.mark.xdist_group("real time 1")

RATE = 48_000
NS = 1_000_000_000
MS = 1_000_000
PATIENCE_S = 10


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundRig]:
    with sound_rig(tmp_path_factory.mktemp("sound")) as opened:
        yield opened


class Ear:
    """A sink that can be waited for."""

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.faults: list[str] = []
        self._changed = threading.Condition()

    def audio(self, frame: AudioFrame) -> None:
        with self._changed:
            self.frames.append(frame)
            self._changed.notify()

    def microphone_fault(self, reason: str) -> None:
        with self._changed:
            self.faults.append(reason)
            self._changed.notify()

    def wait(self, done: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(done, PATIENCE_S), (len(self.frames), self.faults)


def heard(microphone: AlsaMicrophone, frames: list[AudioFrame]) -> np.ndarray:
    codec = av.CodecContext.create("aac", "r")
    codec.extradata = microphone.format().codec_config
    parts = [part for frame in frames for part in codec.decode(av.Packet(frame.data))]
    return np.concatenate([part.to_ndarray().reshape(-1) for part in parts])


def test_the_tone_is_heard_at_its_pitch_and_on_time(rig: SoundRig) -> None:
    clock, ear = PosixClock(), Ear()
    microphone = AlsaMicrophone(clock, SoundCard(DEVICE))
    began = clock.now().boottime_ns
    microphone.start(ear)
    ear.wait(lambda: len(ear.frames) >= 60)
    microphone.stop()
    ended = clock.now().boottime_ns
    assert ear.faults == []
    times = [frame.captured.boottime_ns for frame in ear.frames]
    assert {later - earlier for earlier, later in pairwise(times)} <= {21_333_333, 21_333_334}
    assert began <= times[0]
    assert times[-1] + 21_333_333 <= ended
    sound = heard(microphone, ear.frames)[10_000:50_000]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    assert abs(int(spectrum.argmax()) * RATE / len(sound) - FREQUENCY_HZ) < 2
    assert "0 holes" in microphone.describe()["sound corrections"]


@pytest.mark.parametrize(("bits", "channels", "channel"), [(32, 1, 0), (16, 2, 1), (32, 2, 0)])
def test_wide_and_stereo_cards(rig: SoundRig, bits: int, channels: int, channel: int) -> None:
    ear = Ear()
    microphone = AlsaMicrophone(PosixClock(), SoundCard(DEVICE, bits, channels, channel))
    microphone.start(ear)
    ear.wait(lambda: len(ear.frames) >= 20)
    microphone.stop()
    assert 0.05 < float(np.abs(heard(microphone, ear.frames)).max()) <= 1.1


def test_a_card_that_is_pulled_is_told_and_comes_back(rig: SoundRig) -> None:
    """BWC-POL-47: unplugged in mid-sound; while it is away a start names the remedy; back again, the same object starts."""
    ear = Ear()
    microphone = AlsaMicrophone(PosixClock(), SoundCard(DEVICE))
    microphone.start(ear)
    ear.wait(lambda: len(ear.frames) >= 10)
    rig.pull()
    ear.wait(lambda: ear.faults)
    assert DEVICE in ear.faults[0]
    with pytest.raises(HalUnavailable, match="arecord -l"):
        microphone.start(ear)
    rig.plug()
    count = len(ear.frames)
    microphone.start(ear)
    ear.wait(lambda: len(ear.frames) >= count + 10)
    microphone.stop()
    assert len(ear.faults) == 1
    times = [frame.captured.boottime_ns for frame in ear.frames]
    assert all(later - earlier >= 21_333_333 for earlier, later in pairwise(times))


def test_stop_is_quick_final_and_idempotent(rig: SoundRig) -> None:
    ear = Ear()
    microphone = AlsaMicrophone(PosixClock(), SoundCard(DEVICE))
    microphone.stop()
    microphone.start(ear)
    with pytest.raises(HalError, match="running"):
        microphone.start(ear)
    ear.wait(lambda: ear.frames)
    began = time.monotonic()
    microphone.stop()
    assert time.monotonic() - began < 1
    microphone.stop()
    count = len(ear.frames)
    threading.Event().wait(0.2)
    assert len(ear.frames) == count


def test_a_device_that_is_not_there_names_the_remedy(rig: SoundRig) -> None:
    microphone = AlsaMicrophone(PosixClock(), SoundCard("hw:CARD=absent"))
    assert microphone.format().codec_config
    with pytest.raises(HalUnavailable, match="arecord -l"):
        microphone.start(Ear())


@pytest.mark.parametrize("change", [{"rate": 44_100}, {"channels": 2}, {"physical_bits": 32}])
def test_a_format_that_the_device_has_not_is_refused(change: dict[str, int]) -> None:
    """pyalsaaudio would take 44.1 kHz for 48 kHz without a word; every instant would be wrong."""
    found = {"rate": RATE, "channels": 1, "physical_bits": 16}
    check_format(found, SoundCard("narrow"))
    with pytest.raises(HalUnavailable, match="plughw"):
        check_format({**found, **change}, SoundCard("narrow"))


# --- a card made of lists -------------------------------------------------------------------------------------------


class ListedCapture(Capture):
    """Gives what a list says, then nothing; samples come at their time of a clock that is the test's."""

    def __init__(self, steps: list[tuple[str, int]], clock: PosixClock) -> None:
        self._steps = deque(steps)
        self._at_ns = clock.now().boottime_ns
        self.idle = threading.Event()
        self.closed = False

    def wait(self, seconds: float) -> None:
        if not self._steps:
            self.idle.set()
        threading.Event().wait(0.001)

    def read(self) -> Heard:
        if not self._steps:
            return Heard(np.zeros(0, np.float32))
        kind, count = self._steps.popleft()
        if kind == "gone":
            raise DeviceFault("sound card 'list' is lost")
        if kind == "overrun":
            self._at_ns += count * NS // RATE
            return Heard(np.zeros(0, np.float32), lost=True)
        self._at_ns += count * NS // RATE
        return Heard(np.full(count, 0.25, np.float32))

    def next_ns(self) -> int | None:
        return self._at_ns

    def close(self) -> None:
        self.closed = True


def listed(steps: list[tuple[str, int]]) -> tuple[AlsaMicrophone, Ear, ListedCapture]:
    clock = PosixClock()
    capture = ListedCapture(steps, clock)
    microphone = AlsaMicrophone(clock, SoundCard("list"), lambda card: capture)
    ear = Ear()
    microphone.start(ear)
    assert capture.idle.wait(PATIENCE_S) or ear.faults
    microphone.stop()
    return microphone, ear, capture


def test_an_overrun_is_a_hole_of_its_length() -> None:
    """EPIPE: half a second of samples was overwritten. The times show it, both sides decode, and it is counted."""
    microphone, ear, capture = listed([("samples", 1024)] * 20 + [("overrun", RATE // 2)] + [("samples", 1024)] * 20)
    steps = [later.captured.boottime_ns - earlier.captured.boottime_ns for earlier, later in pairwise(ear.frames)]
    holes = [step for step in steps if step > 22 * MS]
    assert len(holes) == 1
    # The samples that waited for their block went with the lost ones: at most two blocks more than was lost.
    assert 500 * MS <= holes[0] - 21_333_333 <= 500 * MS + 2 * 21_333_334
    assert "1 holes" in microphone.describe()["sound corrections"]
    assert len(heard(microphone, ear.frames)) == len(ear.frames) * 1024
    assert capture.closed


def test_a_lost_card_is_told_once_and_closed() -> None:
    microphone, ear, capture = listed([("samples", 1024)] * 5 + [("gone", 0)])
    assert ear.faults == ["sound card 'list' is lost"]
    assert capture.closed
    assert microphone.describe()["microphone"] == "ALSA 'list', 16 bit"


def test_left_aligned_samples_and_gain() -> None:
    """SPH0645: 18 bits at the top of 32; the other channel of the bus is silence."""
    left = np.array([1 << 29, 7, -(1 << 30), 7], "<i4").tobytes()
    assert to_mono(left, SoundCard(bits=32, channels=2)).tolist() == [0.25, -0.5]
    assert to_mono(left, SoundCard(bits=32, channels=2, gain=4.0)).tolist() == [1.0, -1.0]
    assert to_mono(np.array([16384, -32768], "<i2").tobytes(), SoundCard()).tolist() == [0.5, -1.0]


def test_an_offset_is_taken_out_without_a_step() -> None:
    samples = (0.1 + 0.05 * np.sin(2 * np.pi * 440 * np.arange(RATE * 2) / RATE)).astype(np.float32)
    filtering, at, parts = OffsetFilter(), 0, []
    for size in [700, 1024, 1, 1500] * 1000:
        parts.append(filtering.filter(samples[at : at + size]))
        at += size
    heard_now = np.concatenate(parts)
    assert abs(float(heard_now[RATE:].mean())) < 0.001
    assert abs(float(np.abs(heard_now[RATE:]).max()) - 0.05) < 0.003
    assert np.abs(np.diff(heard_now)).max() < np.abs(np.diff(samples)).max() + 0.0005
