"""The daemon's hands: camera, microphone, lamps, cues and timers, as the machine's effects ask for them.

Responsible for turning an effect into calls of ports and a port's error into an item of the inbox: nothing here raises.
Refuses to decide when. Called from the loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware.capture import Intake
from firmware.machine.indicators import Signal
from firmware.machine.states import TimerName
from firmware.machine.supervision import Stages
from firmware.media.fmp4 import AudioTrack
from firmware.policy.model import Policy
from firmware.reports import DeviceTrouble
from firmware.shellclock import read_clock, stamp
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Colour, Cue, Hal, Lamp, LampName, Timer, VideoFormat

TICK_NS = 1_000_000_000
WATCH_NS = 250_000_000
MICROPHONE_RETRY_NS = 5_000_000_000
"""How often a microphone that failed is started again while its sound is wanted."""


@dataclass(frozen=True, slots=True)
class TimerFired:
    timer: TimerName


@dataclass(frozen=True, slots=True)
class Tick:
    """Once a second: room, spool, the watchdog."""


@dataclass(frozen=True, slots=True)
class Look:
    """Four times a second: how far camera and card are."""


def video_format(policy: Policy) -> VideoFormat:
    """What the policy asks of the camera."""
    video = policy.video
    return VideoFormat(video.width, video.height, video.fps, video.bitrate_bps, video.fps * video.gop_seconds, video.stamp)


class Devices:
    """Ports of one opened HAL. ``post`` puts an item into the inbox. The boot has started the camera already."""

    def __init__(self, hal: Hal, policy: Policy, intake: Intake, post: Callable[[object], None]) -> None:
        self._hal = hal
        self._policy = policy
        self._intake = intake
        self._post = post
        self._timers: dict[TimerName, Timer] = {}
        self._tick: Timer | None = None
        self._look: Timer | None = None
        self.camera_on = True
        self.camera_since = read_clock(hal.clock)
        self.muted = False
        self._bitrate_bps = policy.video.bitrate_bps
        self._microphone_on = self._microphone_wanted = False
        self._microphone_tried = self.camera_since

    def start_camera(self, faulted: bool) -> None:
        """Start, or start again when it is at fault; nothing when it runs well."""
        if self.camera_on and not faulted:
            return
        self.stop_camera()
        try:
            self._hal.camera.start(video_format(self._policy), self._intake)
            if self._bitrate_bps != self._policy.video.bitrate_bps:  # heat: at the level of the full rate all the same
                self._hal.camera.set_bitrate(self._bitrate_bps)
        except HalError as error:
            self._post(DeviceTrouble("camera", str(error)))
            return
        self.camera_on, self.camera_since = True, read_clock(self._hal.clock)

    def set_bitrate(self, bitrate_bps: int) -> None:
        self._bitrate_bps = bitrate_bps
        try:
            self._hal.camera.set_bitrate(bitrate_bps)
        except HalError as error:
            self._post(DeviceTrouble("camera", str(error)))

    def stop_camera(self) -> None:
        self._hal.camera.stop()
        self.camera_on = False

    def microphone_wanted(self, recording: bool) -> None:
        """Sound is captured while recording, and before only if the policy says so; never while muted (BWC-POL-10, -17)."""
        audio = self._policy.audio.enabled and not self.muted
        self._microphone_wanted = wanted = audio and (recording or (self._policy.pre_event.audio and self.camera_on))
        if wanted and not self._microphone_on:
            self._start_microphone()
        elif not wanted:
            self._hal.microphone.stop()
            self._microphone_on = False

    @property
    def microphone_since_ns(self) -> int | None:
        """Boot time since when sound is due; ``None`` while the microphone is off, or known not to work."""
        return self._microphone_tried.boottime_ns if self._microphone_on else None

    def microphone_heard(self) -> None:
        """One that had failed delivers again, by itself or because it was started."""
        self._microphone_on = self._microphone_wanted

    def microphone_failed(self) -> None:
        """It stopped by itself; :meth:`retry_microphone` or the next :meth:`microphone_wanted` starts it again."""
        self._microphone_on = False

    def retry_microphone(self, now: Timestamp) -> None:
        """Once in a while as long as sound is wanted and there is none; pictures go on (BWC-POL-47)."""
        if self._microphone_wanted and not self._microphone_on and now.since(self._microphone_tried) >= MICROPHONE_RETRY_NS:
            self._start_microphone()

    def _start_microphone(self) -> None:
        self._microphone_tried = self.now()
        try:
            self._hal.microphone.stop()  # one that reported a fault may still hold its device
            self._hal.microphone.start(self._intake)
            self._microphone_on = True
        except HalError as error:
            self._post(DeviceTrouble("microphone", str(error)))

    def audio_track(self) -> AudioTrack | None:
        """What a recording's sound track will be; ``None`` when the policy or the microphone has none."""
        if not self._policy.audio.enabled:
            return None
        try:
            sound = self._hal.microphone.format()
        except HalError as error:
            self._post(DeviceTrouble("microphone", str(error)))
            return None
        return AudioTrack(sound.sample_rate, sound.channels, sound.codec_config)

    def show(self, signal: Signal, lamp_faulted: bool) -> None:
        """Lamps and cue; a subject lamp that does not light is a fault, and recording goes on (BWC-POL-13)."""
        try:
            trouble = self._light(signal)
        except HalError as error:
            trouble = str(error)
        if trouble and not lamp_faulted:
            self._post(DeviceTrouble("indicators", trouble))
        if signal.cue is not None:
            self._hal.indicators.play(Cue(signal.cue.tones, signal.cue.pulses, signal.cue.words))

    def _light(self, signal: Signal) -> str:
        """Both lamps as the signal wants them; what is wrong with the subject lamp, or nothing."""
        indicators = self._hal.indicators
        for name, lamp in ((LampName.SUBJECT, signal.subject), (LampName.STATUS, signal.status)):
            indicators.set_lamp(name, Lamp(Colour(lamp.colour.value), lamp.blink_ms))
        wanted, found = signal.subject.colour.value, indicators.read_back(LampName.SUBJECT).value
        return "" if wanted == found else f"the subject lamp should be {wanted} and is {found}"

    def place(self) -> dict[str, object] | None:
        """Where the camera is, for sealed notes: integers, since canonical JSON carries no fractions here."""
        fix = self._hal.positioning.fix()
        if fix is None:
            return None
        degrees = {"latitude_e7": round(fix.latitude * 1e7), "longitude_e7": round(fix.longitude * 1e7)}
        return {**degrees, "accuracy_cm": round(fix.accuracy_m * 100), "utc": stamp(fix.at).utc}

    def now(self) -> Timestamp:
        return read_clock(self._hal.clock)

    def set_timer(self, timer: TimerName, boottime_ns: int) -> None:
        self.cancel_timer(timer)
        self._timers[timer] = self._hal.clock.call_at(boottime_ns, lambda: self._post(TimerFired(timer)))

    def cancel_timer(self, timer: TimerName) -> None:
        pending = self._timers.pop(timer, None)
        if pending is not None:
            pending.cancel()

    def schedule_tick(self) -> None:
        at = self._hal.clock.now().boottime_ns + TICK_NS
        self._tick = self._hal.clock.call_at(at, lambda: self._post(Tick()))

    def schedule_look(self) -> None:
        at = self._hal.clock.now().boottime_ns + WATCH_NS
        self._look = self._hal.clock.call_at(at, lambda: self._post(Look()))

    def stages(self) -> Stages:
        """How far the camera is."""
        progress = self._hal.camera.progress()
        return Stages(self.camera_since.boottime_ns, progress.starting, progress.sensor_ns, progress.encoder_ns)

    def restart_encoder(self) -> None:
        try:
            self._hal.camera.restart_encoder()
        except HalError as error:
            self._post(DeviceTrouble("camera", str(error)))

    def close(self) -> None:
        for timer in list(self._timers):
            self.cancel_timer(timer)
        for pending in (self._tick, self._look):
            if pending is not None:
                pending.cancel()
        self._hal.microphone.stop()
        self._hal.camera.stop()
