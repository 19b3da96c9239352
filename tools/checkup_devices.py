"""The check-up's hands: camera, microphone, buttons, lamps, cell, receiver, dock contact, card.

Responsible for using each device briefly as the daemon would and for judging what came back. Refuses to decide what a camera
is allowed to be (``checkup_trust``), and to leave a trace: no ledger entry, no counter, no recording; the one directory that
is written is removed again.

Time passes in ``hal.inbox.get`` alone, so that a simulated camera is checked on its own time line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext

from firmware.errors import FormatError
from firmware.machine.health import minutes_left, room_warning
from firmware.machine.supervision import START_NS
from firmware.media.access_unit import parse_access_unit
from firmware.media.nal import SPS, nal_type
from firmware.media.sps import parse_sps
from firmware.policy.model import Policy
from firmware.shellclock import stamp
from firmware.storage import durable
from hal.errors import HalError, VolumeFull
from hal.interfaces import AudioFormat, AudioFrame, ButtonName, Colour, Cue, Hal, Lamp, LampName, Picture, VideoFormat
from tools.checkup import Row, amber, green, red

SECOND = 1_000_000_000
FIRST_PICTURE_S = 3.0
"""An IDR later than this is a camera that an officer would find dead."""
GOPS_WATCHED = 2
SOUND_S = 2.0
PROBE = "doctor-probe"
PROBE_BYTES = 512 * 1024
"""About one second of 720p: what must be durable within a second of being recorded (BWC-POL-01)."""
UPRIGHT_G = 0.7
"""Of g: within forty-five degrees of upright."""
HOT_CELSIUS, TOO_HOT_CELSIUS = 70, 80
"""The firmware begins to throttle at 80 °C (Raspberry Pi documentation, frequency management)."""
_FLAGS = (("low_voltage", "supply too low for the board"), ("throttled", "clock lowered by the board"))

CAMERA_REMEDY = "Check the camera's ribbon at both ends and its dtoverlay line in config.txt, then start again."
SOUND_REMEDY = "Check the microphone's wiring and its overlay in config.txt, then look for the card with `arecord -l`."
CARD_REMEDY = "Check that the evidence volume is mounted and writable for the recorder's user, and replace the card if it goes on failing."


@dataclass(frozen=True, slots=True)
class _Fault:
    port: str
    reason: str


class _Sink:
    """Camera's and microphone's sink: everything goes into the inbox, which is ours as long as no daemon runs."""

    def __init__(self, hal: Hal) -> None:
        self._inbox = hal.inbox

    def picture(self, picture: Picture) -> None:
        self._inbox.put(picture)

    def camera_fault(self, reason: str) -> None:
        self._inbox.put(_Fault("camera", reason), urgent=True)

    def audio(self, frame: AudioFrame) -> None:
        self._inbox.put(frame)

    def microphone_fault(self, reason: str) -> None:
        self._inbox.put(_Fault("microphone", reason), urgent=True)


def _gather(hal: Hal, port: str, seconds: float, enough: Callable[[Sequence[object]], bool]) -> list[object]:
    """What comes into the inbox until there is enough, a fault of ``port``, or ``seconds`` have passed."""
    time_up = object()
    timer = hal.clock.call_at(hal.clock.now().boottime_ns + round(seconds * SECOND), lambda: _put(hal, time_up))
    items: list[object] = []
    try:
        while not enough(items) and (item := hal.inbox.get()) is not None and item is not time_up:
            items.append(item)
            if isinstance(item, _Fault) and item.port == port:
                break
    finally:
        timer.cancel()
    return items


def _put(hal: Hal, item: object) -> None:
    hal.inbox.put(item, urgent=True)


def _fault_in(items: Sequence[object], port: str) -> str:
    return next((item.reason for item in items if isinstance(item, _Fault) and item.port == port), "")


def _pictures_in(items: Sequence[object]) -> int:
    return sum(isinstance(item, Picture) for item in items)


def check_camera(hal: Hal, video: VideoFormat) -> Row:
    """The first picture is an IDR with SPS and PPS within 3 s; two GOPs follow at the asked rate and size."""
    wanted = GOPS_WATCHED * video.gop_pictures
    hal.camera.start(video, _Sink(hal))
    try:
        first = _gather(hal, "camera", FIRST_PICTURE_S, lambda items: _pictures_in(items) > 0)
        if not first and hal.camera.progress().starting:  # the board's libraries take their time when they are read for the first time
            first = _gather(hal, "camera", START_NS / SECOND, lambda items: _pictures_in(items) > 0)
        rest: list[object] = []
        if _pictures_in(first) and not _fault_in(first, "camera"):
            rest = _gather(hal, "camera", 1.5 * wanted / video.fps, lambda items: _pictures_in(items) >= wanted)
    finally:
        hal.camera.stop()
    return judge_pictures([*first, *rest], video)


def judge_pictures(items: Sequence[object], video: VideoFormat) -> Row:
    """A row from what the camera delivered."""
    pictures = [item for item in items if isinstance(item, Picture)]
    if reason := _fault_in(items, "camera"):
        return red("camera", reason, CAMERA_REMEDY)
    if not pictures:
        return red("camera", f"no picture within {FIRST_PICTURE_S:.0f} s", CAMERA_REMEDY)
    try:
        units = [parse_access_unit(picture.data, picture.keyframe, stamp(picture.captured)) for picture in pictures]
        if not units[0].keyframe:
            return red("camera", "the first picture is no IDR", CAMERA_REMEDY)
        sps = parse_sps(next(nal for nal in units[0].nals if nal_type(nal) == SPS))
    except FormatError as error:
        return red("camera", f"the encoder's stream cannot be recorded: {error}", "Update the encoder's firmware and libraries.")
    if (sps.width, sps.height) != (video.width, video.height):
        found = f"asked for {video.width}x{video.height}, got {sps.width}x{sps.height}"
        return red("camera", found, "Choose a size in the policy that this sensor and encoder deliver.")
    return _judge_rate(pictures, video)


def _judge_rate(pictures: Sequence[Picture], video: VideoFormat) -> Row:
    wanted = GOPS_WATCHED * video.gop_pictures
    frame_ns = SECOND / video.fps
    times = [picture.captured.boottime_ns for picture in pictures]
    lost = sum(max(0, round((later - earlier) / frame_ns) - 1) for earlier, later in pairwise(times))
    span_ns = times[-1] - times[0]
    rate = (len(times) - 1) * SECOND / span_ns if span_ns > 0 else 0.0
    found = f"{video.width}x{video.height}, {rate:.1f} pictures/s of {video.fps}, {lost} lost of {len(times) + lost}"
    if len(times) < 0.9 * wanted or rate < 0.9 * video.fps:
        return red("camera", found, CAMERA_REMEDY)
    if lost:
        return amber("camera", found, "Run again with nothing else running; if pictures still go missing, lower the policy's rate or size.")
    return green("camera", f"{found}, every IDR with SPS and PPS")


def check_microphone(hal: Hal, wanted: bool) -> Row:
    """Access units arrive, at the rate of their sample rate, decode, and are not dead silence."""
    if not wanted:
        return green("microphone", "not used: the policy records no sound")
    sound = hal.microphone.format()
    expected = SOUND_S * sound.sample_rate / sound.frame_samples
    hal.microphone.start(_Sink(hal))
    try:
        items = _gather(hal, "microphone", SOUND_S, lambda items: False)
    finally:
        hal.microphone.stop()
    frames = [item for item in items if isinstance(item, AudioFrame)]
    if reason := _fault_in(items, "microphone"):
        return red("microphone", reason, SOUND_REMEDY)
    found = f"{len(frames)} of about {expected:.0f} frames in {SOUND_S:.0f} s at {sound.sample_rate} Hz"
    if len(frames) < 0.8 * expected:
        return red("microphone", found, SOUND_REMEDY)
    peak = _peak(sound, frames)
    if peak is None:
        return red("microphone", f"{found}, which do not decode as AAC", "Install the AAC encoder that this release was built with.")
    if peak == 0.0:
        return amber(
            "microphone", f"{found}, all silence", "Check the microphone's data line, its channel select pin and the 32-bit format."
        )
    return green("microphone", f"{found}, decoded, peak {peak:.3f} of full scale")


def _peak(sound: AudioFormat, frames: Sequence[AudioFrame]) -> float | None:
    """Largest sample magnitude, 1.0 is full scale; ``None`` when the frames do not decode."""
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = sound.codec_config
    try:
        decoded = [each for frame in frames for each in decoder.decode(av.Packet(frame.data))]
    except av.FFmpegError:
        return None
    return max((float(np.abs(each.to_ndarray()).max()) for each in decoded), default=None)


def check_buttons(hal: Hal) -> Row:
    held = [name.value for name in ButtonName if hal.buttons.is_pressed(name)]
    if held:
        remedy = "Let go of the buttons and run again; if it stays, look for a short to ground on the line (active low)."
        return red("buttons", f"{' and '.join(held)} read as pressed", remedy)
    return green("buttons", f"{', '.join(name.value for name in ButtonName)}: readable, not pressed")


def check_indicators(hal: Hal) -> Row:
    """Both lamps lit and dark, read back each time (BWC-POL-13). Sound and vibration are played; only people can judge them."""
    wrong = []
    for name, colours in ((LampName.SUBJECT, (Colour.RED, Colour.OFF)), (LampName.STATUS, (Colour.GREEN, Colour.RED, Colour.OFF))):
        for colour in colours:
            hal.indicators.set_lamp(name, Lamp(colour))
            found = hal.indicators.read_back(name)
            if found is not colour:
                wrong.append(f"{name.value} should be {colour.value} and is {found.value}")
    hal.indicators.play(Cue(tones=((880, 120),), pulses=((120, 80),)))
    if wrong:
        return red("lamps", "; ".join(wrong), "Check the lamp, its resistor and transistor, and the read-back wire.")
    return green("lamps", "both lit, went out, and read back so; a tone and a pulse were played: judge those yourself")


def check_power(hal: Hal, policy: Policy) -> Row:
    """The cell against the policy's levels, the board's temperature, and what the board itself says of its supply and its clock."""
    state = hal.power.state()
    flags = [text for flag, text in _FLAGS if getattr(state, flag)]
    charging = ["charging"] if state.charging else []
    found = ", ".join([f"{state.percent} %", f"{state.millivolts / 1000:.2f} V", f"{state.celsius} °C", *charging, *flags])
    if not 0 <= state.percent <= 100:
        return red("power", found, "Check the fuel gauge's wiring and its I2C address.")
    if state.celsius >= TOO_HOT_CELSIUS:
        return red("power", found, "Let the camera cool and check the path of heat from the processor to the case.")
    if state.percent <= policy.battery.critical_percent and not state.charging:
        return red("power", found, "Charge the camera before it goes out.")
    if state.percent <= policy.battery.warn_percent or state.celsius >= HOT_CELSIUS:
        return amber("power", found, "Charge the camera, out of the sun, before it goes out.")
    if flags:
        return amber("power", found, "Check the converter and the cell's contacts, and the path of heat from the processor to the case.")
    return green("power", found)


def check_positioning(hal: Hal) -> Row:
    fix = hal.positioning.fix()
    if fix is None:
        remedy = "Take the camera outdoors for some minutes if it has a receiver; without one, nothing is to be done."
        return amber("positioning", "no receiver or no reception: recordings carry no place", remedy)
    return green("positioning", f"fix, within {fix.accuracy_m:.0f} m")


def check_orientation(hal: Hal) -> Row:
    """Whether the accelerometer's axis is the right one can be told while somebody holds the camera upright."""
    up_g = hal.orientation.up_g()
    if up_g is None:
        return green("orientation", "no accelerometer: a camera that hangs upside down does not know it")
    found = f"{up_g:+.2f} g towards the top of the picture"
    if up_g < UPRIGHT_G:
        return amber("orientation", found, "Hold the camera upright; if it is, name another axis as hal.pi.accelerometer.")
    return green("orientation", found)


def check_dock_link(hal: Hal, host: str, hinted: tuple[str, int] | None = None) -> Row:
    """``hinted``: the address that a bay has named meanwhile over the serial hint channel."""
    hint = "" if hinted is None else f"; the bay says {hinted[0]} port {hinted[1]}"
    found = f"{'in a dock' if hal.dock_link.docked() else 'not in a dock'}; configured dock {host or 'none'}{hint}"
    if not host and hinted is None:
        return amber("dock link", found, "Name the dock in the [dock] table of the configuration, or give it at each sync.")
    return green("dock link", found)


def check_entropy(hal: Hal) -> Row:
    first, second = hal.entropy.random_bytes(32), hal.entropy.random_bytes(32)
    if len(first) != 32 or first == second or not any(first):
        return red("entropy", "the generator gives no random bytes", "Enable the board's hardware generator (dtparam=random=on).")
    return green("entropy", "32 bytes twice, different")


def check_volume(hal: Hal) -> Row:
    """Create, write, sync, rename, list, read and remove one file of its own directory, in the recorder's order."""
    data = bytes(range(256)) * (PROBE_BYTES // 256)
    try:
        began_ns = hal.clock.now().boottime_ns
        durable.make_directory(hal.volume, PROBE)
        durable.write_file(hal.volume, f"{PROBE}/written", data)
        took_ms = (hal.clock.now().boottime_ns - began_ns) // 1_000_000
        durable.move(hal.volume, f"{PROBE}/written", f"{PROBE}/moved")
        listed = dict(hal.volume.list(PROBE))
        same = listed == {"moved": len(data)} and hal.volume.read(f"{PROBE}/moved") == data
        durable.remove_directory(hal.volume, PROBE)
    except VolumeFull as error:
        return red("card", str(error), "Dock the camera, so that what the store has receipted is released.")
    finally:
        with suppress(HalError):
            durable.remove_directory(hal.volume, PROBE)
    if not same or PROBE in dict(hal.volume.list("")):
        return red("card", "what was written is not what was read, or cannot be removed", "Replace the card.")
    found = f"{PROBE_BYTES // 1024} KiB durable in {took_ms} ms, renamed, read back, removed"
    if took_ms > 1000:
        return amber("card", found, "Use a card or eMMC that is faster at synchronous writes.")
    return green("card", found)


def check_room(hal: Hal, policy: Policy) -> Row:
    """Free space against the policy's reserve and its warnings (BWC-POL-23)."""
    free, storage = hal.volume.free_bytes(), policy.storage
    minutes = minutes_left(free - storage.reserve_bytes, policy)
    found = f"{free / 1e9:.1f} GB free, {storage.reserve_bytes / 1e6:.0f} MB in reserve: about {minutes} min of recording"
    remedy = "Dock the camera, so that what the store has receipted is released."
    if free <= storage.reserve_bytes:
        return red("room", found, remedy)
    if room_warning(minutes, storage.warn_minutes_first, storage.warn_minutes_last):
        return amber("room", found, remedy)
    return green("room", found)
