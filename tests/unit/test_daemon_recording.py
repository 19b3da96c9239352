"""The real daemon on the simulated camera: what a press keeps, and what is written of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import av
import pytest
from camerabench import picture_times

from firmware.boot import boot as boot_firmware
from firmware.evidence.cms import open_sealed
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Verdict
from firmware.media.fmp4_read import parse_fragment, parse_init
from firmware.timebase import parse_utc
from hal.errors import DeviceFault
from hal.interfaces import ButtonName, Camera, CameraProgress, Colour, LampName, PowerState
from hal.sim.boot import boot as boot_world
from hal.sim.indicators import SimIndicators
from hal.sim.power import SimPower
from tools.opening import read_notes

RECORD = ButtonName.RECORD


def hold(bench, at):
    bench.world.press(RECORD, bench.at(at), hold_ms=3300)


def test_recording_holds_the_buffer_and_everything_after_the_press(make_bench: Callable) -> None:
    """BWC-POL-08, BWC-POL-12: 4 s before the press and all after it, no picture missing or doubled at the seam."""
    bench = make_bench(pre_event=4)
    bench.world.double_press(bench.at(9.5))
    hold(bench, 14)
    bench.run(20)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    times = picture_times(bench, recording)
    steps = {round((after - before) * 30) for before, after in pairwise(times)}
    assert steps == {1}
    assert 4000 <= manifest.pre_event.actual_ms < 5000
    assert manifest.pre_event.shortfall is None
    begin_us, end_us = manifest.begin.boottime_us, manifest.end.boottime_us
    first = manifest.fragments[0].boottime_us
    last = manifest.fragments[-1]
    assert begin_us - first == manifest.pre_event.actual_ms * 1000 + (begin_us - first) % 1000
    assert -1 <= end_us - (last.boottime_us + last.duration_us) < 34_000
    assert manifest.end.cause == "button"
    assert manifest.gaps == ()


def test_pictures_lost_before_the_press_are_told_as_those_after_it(make_bench: Callable) -> None:
    """BWC-POL-05, BWC-POL-09: a hole in what the buffer handed over is a gap of the recording; one that the buffer had let go is none."""
    bench = make_bench(pre_event=4)
    for second in (2.5, 7.5, 9.8):
        bench.world.at(bench.at(second), lambda until=second + 0.2: bench.world.camera.stall_until(bench.at(until)))
    bench.world.double_press(bench.at(10))
    hold(bench, 12)
    bench.run(18)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    steps = [round((after - before) * 30) for before, after in pairwise(picture_times(bench, recording))]
    assert [(gap.cause, gap.pictures_lost) for gap in manifest.gaps] == [("camera", step - 1) for step in steps if step != 1]
    assert len(manifest.gaps) == 2
    for gap in manifest.gaps:
        holed = manifest.fragments[gap.after_fragment + 1]
        assert holed.boottime_us <= gap.boottime_us < holed.boottime_us + holed.duration_us
    assert bench.verify().verdict is Verdict.AUTHENTIC


@pytest.mark.parametrize("tick", [0.1, 0.35, 0.6, 0.85])
@pytest.mark.parametrize("silence", [0.3, 0.45, 0.7])
def test_a_recording_that_waits_for_its_last_pictures_is_whole_in_the_ledger(
    make_bench: Callable, tick: float, silence: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera is ready before the recording is closed: nobody takes the open one for a damaged one, every second is accounted for, and
    the pictures that did not come are told. A press in that time begins the next."""
    monkeypatch.setattr("firmware.rereading._RESTS", 0)  # the vault is looked at each second that the camera rests
    bench = make_bench(pre_event=2)
    hold(bench, 7 + tick)
    bench.world.double_press(bench.at(4))
    for ends in (10 + tick, 21):
        silent = bench.at(ends) - 100_000_000
        bench.world.at(silent, partial(bench.world.camera.stall_until, silent + round(silence * 1e9)))
    bench.world.double_press(bench.at(16))
    bench.world.press(RECORD, bench.at(18), hold_ms=3060)
    bench.world.double_press(bench.at(21.1))
    bench.run(25)
    leaves = [entry for entry in bench.entries() if entry.kind in ("ready", "end", "fault", "begin")]
    assert [entry.kind for entry in leaves] == ["ready", "begin", "ready", "end", "begin", "ready", "end", "begin", "end"]
    first, second, _ = (bench.manifest(one) for one in bench.recordings())
    for one in (first, second):
        (gap,) = [gap for gap in one.gaps if gap.boottime_us > one.begin.boottime_us]
        assert gap.cause == "camera"
        assert [*unexplained(one)] == []
    assert bench.verify().verdict is Verdict.AUTHENTIC


def test_short_buffer_is_written_with_its_cause(make_bench: Callable) -> None:
    """BWC-POL-09: a press right after boot keeps what there is and says why it is short."""
    bench = make_bench(pre_event=10)
    bench.world.double_press(bench.at(2.2))
    hold(bench, 5)
    bench.world.double_press(bench.at(12))
    hold(bench, 14)
    bench.run(20)
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert first.pre_event.shortfall == "just-started"
    assert 2000 <= first.pre_event.actual_ms <= 2700
    assert second.pre_event.shortfall == "follows-recording"


@pytest.mark.parametrize("allowed", [False, True])
def test_sound_before_the_press_is_the_policys_choice(make_bench: Callable, allowed: bool) -> None:
    """BWC-POL-10: by default no sound from before the press, and silence by design is told from a fault."""
    changes = {"audio = false": "audio = true"} if allowed else {}
    bench = make_bench(pre_event=3, changes=changes)
    bench.world.double_press(bench.at(6.5))
    hold(bench, 9)
    bench.run(14)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    before = [one for one in manifest.fragments if one.seq < manifest.pre_event.activation_fragment]
    after = [one for one in manifest.fragments if one.seq > manifest.pre_event.activation_fragment]
    assert manifest.pre_event.audio is allowed
    assert all((one.audio_frames > 0) is allowed for one in before)
    assert all(one.audio_frames > 0 for one in after)


def test_marks_start_and_stop_carry_cause_time_and_device(make_bench: Callable) -> None:
    """BWC-POL-03, BWC-POL-18: who, what, when and why, in signed documents; a mark within one picture of the press."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(5))
    bench.world.press(RECORD, bench.at(8.4))
    hold(bench, 10)
    bench.run(15)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert (manifest.begin.cause, manifest.end.cause) == ("button", "button")
    assert manifest.device.serial == "SIM-0001"
    assert len(manifest.device.firmware_sha256) == len(manifest.policy.sha256) == 64
    assert manifest.key_protection == "simulated"
    (mark,) = manifest.marks
    pressed_us = (bench.at(8.4) + 4_000_000_000) // 1000
    assert abs(mark.boottime_us - pressed_us) <= 33_334
    assert mark.fragment == next(one.seq for one in manifest.fragments if one.boottime_us + one.duration_us > mark.boottime_us)
    assert abs(parse_utc(mark.utc) - bench.world.true_wall_ns(bench.at(8.4))) <= 33_334_000


def test_taps_never_stop_a_recording(make_bench: Callable) -> None:
    """BWC-POL-02: single and double taps while recording leave it running; only the hold ends it."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    for second in (5, 6, 7):
        bench.world.press(RECORD, bench.at(second), hold_ms=900)
    bench.world.double_press(bench.at(8))
    hold(bench, 10)
    bench.run(16)
    (recording,) = bench.recordings()
    assert bench.manifest(recording).end.boottime_us >= (10 + 3 + 4) * 1_000_000


def test_subject_lamp_is_lit_exactly_while_pictures_are_kept(make_bench: Callable) -> None:
    """BWC-POL-13, BWC-POL-14: red from before the first kept picture until the stop; two tones and two vibrations at the start."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    hold(bench, 6)
    bench.run(12)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    lit = [(one.at_ns, one.lamp.colour) for one in bench.world.seen.lamps if one.name is LampName.SUBJECT]
    changes = [one for index, one in enumerate(lit) if index == 0 or lit[index - 1][1] is not one[1]]
    reds = [at for at, colour in changes if colour is Colour.RED]
    offs = [at for at, colour in changes if colour is Colour.OFF and reds and at > reds[0]]
    assert len(reds) == 1
    assert reds[0] // 1000 + 4_000_000 <= manifest.begin.boottime_us + 34_000
    assert offs
    assert offs[0] // 1000 + 4_000_000 >= manifest.end.boottime_us - 34_000


def test_lamps_and_gauge_that_fail_cost_no_recording(make_bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """BWC-POL-13, BWC-POL-47: lines that cannot be driven are a fault in the ledger, a gauge that does not answer is none, and the press
    is recorded."""
    bench = make_bench(pre_event=1)

    def refuse(*_: object) -> None:
        raise DeviceFault("line: device gone")

    opened: list[SimPower] = []

    def state(self: SimPower) -> PowerState:
        if self in opened:
            raise DeviceFault("gauge: no answer")
        opened.append(self)
        return PowerState(80, 3900, False)

    monkeypatch.setattr(SimIndicators, "set_lamp", refuse)
    monkeypatch.setattr(SimPower, "state", state)
    monkeypatch.setattr(SimPower, "_update", lambda self: None)
    bench.world.double_press(bench.at(2))
    hold(bench, 4)
    bench.run(8)
    assert len(bench.recordings()) == 1
    faults = [entry.fields for entry in bench.entries() if entry.kind == "fault"]
    assert [(fault["port"], fault["reason"]) for fault in faults] == [("indicators", "line: device gone")]


def test_fragments_open_to_what_the_manifest_says(make_bench: Callable) -> None:
    """BWC-POL-25, BWC-POL-33: every fragment opens with a recipient's key only, and decodes."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(4))
    hold(bench, 6)
    bench.run(11)
    (recording,) = bench.recordings()
    key = bench.key()
    folder = bench.card / "vault" / recording
    init = parse_init(open_sealed((folder / "init.mp4.p7m").read_bytes(), key.private_key, key.certificate))
    manifest = bench.manifest(recording)
    for record in manifest.fragments:
        sealed = (folder / f"{record.seq:06d}.m4s.p7m").read_bytes()
        info = parse_fragment(open_sealed(sealed, key.private_key, key.certificate), init)
        assert len(info.video) == record.pictures


def test_a_long_recording_is_split_without_losing_a_picture(make_bench: Callable) -> None:
    """BWC-POL-06: the next recording begins with the very next picture."""
    bench = make_bench(pre_event=1, changes={"max_seconds = 14400": "max_seconds = 60"})
    bench.world.double_press(bench.at(3))
    hold(bench, 70)
    bench.run(76)
    first, second = bench.recordings()
    earlier, later = bench.manifest(first), bench.manifest(second)
    assert earlier.end.cause == "max-length"
    assert later.begin.cause == "max-length"
    last = earlier.fragments[-1]
    assert abs(last.boottime_us + last.duration_us - later.fragments[0].boottime_us) <= 1
    assert bench.verify().verdict.value == "authentic"


def test_a_stop_while_a_split_waits_for_its_gop_ends_the_recording_that_is_open(make_bench: Callable) -> None:
    """BWC-POL-06, BWC-POL-31: what is sealed at the end speaks of the recording that it is in, and no name is used up for nothing."""
    bench = make_bench(pre_event=1, changes={"max_seconds = 14400": "max_seconds = 60"})
    bench.world.double_press(bench.at(3.4))
    bench.world.press(ButtonName.RECORD, bench.at(63.75 - 3), hold_ms=3300)
    bench.world.double_press(bench.at(66))
    bench.run(70)
    assert bench.recordings() == ["SIM-0001-000001-0001", "SIM-0001-000001-0002"]
    manifests = [bench.manifest(one) for one in bench.recordings()]
    assert [one.end.cause for one in manifests] == ["button", "shutdown"]
    assert 60 < (manifests[0].end.boottime_us - manifests[0].begin.boottime_us) / 1e6 < 61, "the split was due, and no GOP had come"
    for manifest in manifests:
        assert read_notes(bench.source(), manifest, bench.key())["recording"] == manifest.recording


def test_a_mute_goes_on_through_a_split(make_bench: Callable) -> None:
    """BWC-POL-17: no manifest says that there was sound where the wearer had muted it."""
    changes = {"max_seconds = 14400": "max_seconds = 60", 'mode = "off"': 'mode = "toggle"'}
    bench = make_bench(pre_event=1, changes=changes)
    bench.world.double_press(bench.at(3))
    bench.world.press(ButtonName.FUNCTION, bench.at(50), hold_ms=1000)
    bench.world.press(ButtonName.FUNCTION, bench.at(66), hold_ms=1000)
    hold(bench, 70)
    bench.run(76)
    first, second = (bench.manifest(one) for one in bench.recordings())
    pressed, _, again = [one.time.boottime_ns // 1000 for one in bench.entries() if one.kind in ("mute", "unmute")]
    assert [(one.from_us, one.to_us) for one in first.mutes] == [(pressed, first.end.boottime_us)]
    assert [(one.from_us, one.to_us) for one in second.mutes] == [(second.begin.boottime_us, again)]
    told = [one.kind for one in bench.entries() if one.kind in ("begin", "mute", "unmute", "end")]
    assert told == ["begin", "mute", "end", "begin", "mute", "unmute", "end"]
    assert bench.verify().verdict.value == "authentic"


def test_a_camera_fault_ends_the_recording_and_recovery_continues_it(make_bench: Callable) -> None:
    """BWC-POL-06, BWC-POL-47: felt, written, and continued in a new recording when the camera is back."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(6), lambda: setattr(bench.world.camera, "reason", "frontend timed out"))
    hold(bench, 20)
    bench.run(26)
    kinds = bench.kinds()
    assert "fault" in kinds
    assert "recovered" in kinds
    first, second = (bench.manifest(one) for one in bench.recordings())
    assert first.end.cause == "fault"
    assert second.begin.cause == "recovery"
    assert bench.verify().verdict.value == "authentic"


def test_plain_concatenation_plays(make_bench: Callable, tmp_path) -> None:
    """BWC-POL-25: init and fragments, concatenated, are one MP4 with as many pictures as the manifest counts."""
    bench = make_bench(pre_event=2)
    bench.world.double_press(bench.at(4))
    hold(bench, 6)
    bench.run(11)
    (recording,) = bench.recordings()
    key = bench.key()
    folder = bench.card / "vault" / recording
    movie = tmp_path / "movie.mp4"
    names = ["init.mp4.p7m", *sorted(one.name for one in folder.glob("0*.m4s.p7m"))]
    movie.write_bytes(b"".join(open_sealed((folder / one).read_bytes(), key.private_key, key.certificate) for one in names))
    with av.open(str(movie)) as container:
        assert sum(1 for _ in container.decode(video=0)) == bench.manifest(recording).pictures


def test_a_microphone_that_fails_is_started_again_while_recording(make_bench: Callable) -> None:
    """BWC-POL-47: told, tried again every few seconds, told when sound is back; pictures never stop, and the sound track shows its hole."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(3))
    bench.world.at(bench.at(8), lambda: bench.world.microphone.fail("unplugged", failing_starts=2))
    hold(bench, 28)
    bench.run(34)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert {round((after - before) * 30) for before, after in pairwise(picture_times(bench, recording))} == {1}
    assert manifest.gaps == ()
    entries = [entry for entry in bench.entries() if entry.kind in ("fault", "recovered")]
    told = [(entry.kind, entry.fields["port"], entry.time.boottime_ns / 1e9 - 4) for entry in entries]
    assert [(kind, port) for kind, port, _ in told] == [("fault", "microphone"), ("recovered", "microphone")]
    (failed, back) = (at for _, _, at in told)
    # The first start within a second, as none was tried of late; then every 5 s: two that fail, and one that works.
    assert 8 <= failed < 8.2
    assert 10 < back - failed < 12
    silent = [one.seq for one in manifest.fragments if one.audio_frames == 0 and one.seq >= manifest.pre_event.activation_fragment]
    assert 9 <= len(silent) <= 11
    assert silent == list(range(silent[0], silent[-1] + 1))
    assert manifest.fragments[-2].audio_frames > 40


def camera_leaves(bench):
    entries = [entry for entry in bench.entries() if entry.kind in ("fault", "recovered")]
    return [(entry.kind, round(entry.time.boottime_ns / 1e9 - 4)) for entry in entries if entry.fields["port"] == "camera"]


def test_a_camera_that_stalls_twice_is_noticed_twice(make_bench: Callable) -> None:
    """BWC-POL-47: pictures that come back by themselves, without a new start, are watched like any others."""
    bench = make_bench(pre_event=1)
    bench.world.at(bench.at(5), lambda: bench.world.camera.stall_until(bench.at(9)))
    bench.world.at(bench.at(15), lambda: bench.world.camera.stall_until(bench.at(19)))
    bench.run(24)
    assert [kind for kind, _ in camera_leaves(bench)] == ["fault", "recovered"] * 2
    assert [at for kind, at in camera_leaves(bench) if kind == "fault"] == [7, 17]


class Slow(Camera):
    """The simulated camera, which says that it is starting until its first picture."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    def progress(self) -> CameraProgress:
        return replace(self._camera.progress(), starting=self._camera.progress().sensor_ns == 0)

    def start(self, video, sink) -> None:
        self._camera.start(video, sink)

    def stop(self) -> None:
        self._camera.stop()

    def restart_encoder(self) -> None:
        self._camera.restart_encoder()

    def low_resolution(self):
        return self._camera.low_resolution()

    def set_bitrate(self, bitrate_bps: int) -> None:
        self._camera.set_bitrate(bitrate_bps)

    def describe(self):
        return self._camera.describe()


@pytest.mark.parametrize(("first_picture", "faults"), [(4, 0), (30, 1)])
def test_a_camera_may_take_seconds_to_start_but_not_for_ever(make_bench: Callable, first_picture: int, faults: int) -> None:
    """A webcam's first picture takes longer than a stall may; a camera that only says that it is starting is at fault all the same."""
    bench = make_bench(pre_event=1)
    bench.world.camera.stall_until(bench.at(first_picture))
    bench.world.horizon_ns = bench.at(20)
    places = {"volume": bench.config.state_directory, "keys": bench.config.key_directory}
    hal = boot_world(bench.world, {**bench.options, **places})
    daemon = boot_firmware(replace(hal, camera=Slow(hal.camera)), bench.config)
    daemon.run()
    daemon.close()
    hal.close()
    assert len([kind for kind, _ in camera_leaves(bench) if kind == "fault"]) == faults


def test_a_press_before_the_first_picture_waits_for_it_and_says_how_long(make_bench: Callable) -> None:
    """BWC-POL-05: what nobody could see is a gap from the press to the first picture, which is no part of another recording."""
    bench = make_bench(pre_event=1)
    bench.world.camera.stall_until(bench.at(1.5))
    bench.world.double_press(bench.at(0.4))
    hold(bench, 6)
    bench.run(12)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    (gap,) = manifest.gaps
    assert (gap.after_fragment, gap.boottime_us, gap.cause) == (-1, manifest.begin.boottime_us, "camera")
    assert gap.boottime_us + gap.duration_us == manifest.fragments[0].boottime_us
    assert gap.pictures_lost == round(gap.duration_us * manifest.video.fps / 1e6)
    assert list(unexplained(manifest)) == []
    assert bench.verify().verdict.value == "authentic"


def test_a_mark_adds_and_rewrites_nothing(make_bench: Callable) -> None:
    """BWC-POL-31: what was written before a mark is the same bytes after it and after the end; the mark is a leaf of its own."""
    bench = make_bench(pre_event=1)
    bench.world.double_press(bench.at(2))
    bench.world.press(RECORD, bench.at(6.2))
    hold(bench, 9)
    with bench.life() as daemon:
        bench.world.horizon_ns = bench.at(6)
        daemon.run()
        before = {path: path.read_bytes() for path in (bench.card / "vault").rglob("*") if path.is_file()}
        log = (bench.card / "ledger" / "log").read_bytes()
        bench.world.horizon_ns = bench.at(15)
        daemon.run()
    assert len(before) > 5
    assert {path: path.read_bytes() for path in before} == before
    assert (bench.card / "ledger" / "log").read_bytes().startswith(log)
    assert bench.kinds().count("mark") == 1
    assert b'"type":"mark"' not in log
