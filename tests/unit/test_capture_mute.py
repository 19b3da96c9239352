"""A mute is exact: sound from its instant on is not kept, whenever the loop learns of it (BWC-POL-17)."""

from __future__ import annotations

from types import SimpleNamespace

from helpers_capture import PICTURE_NS, Writer, at, reading
from helpers_media import aac, x264

from firmware.capture import AUDIO_FRAME_NS, Capture
from firmware.metrics import Losses
from hal.interfaces import AudioFrame, Picture

UNIT_NS = 21_333_333


def test_sound_of_the_mute_is_not_kept_though_it_came_first() -> None:
    """BWC-POL-17: what the loop has taken of the mute already, what still waits in its inbox, and a unit that reaches into the mute; a GOP
    that was closed before is not called back, and nothing in it is of the mute."""
    writer = Writer()
    capture = Capture(writer, 1000, 10_000_000, PICTURE_NS, Losses())  # type: ignore[arg-type]
    _, units = aac(frames=140)
    pictures = [
        (index * PICTURE_NS + 1_000_000_000, 0, Picture(*one, reading(index * PICTURE_NS + 1_000_000_000)))
        for index, one in enumerate(x264(90))
    ]
    sounds = [
        (index * UNIT_NS + 1_000_000_500, 1, AudioFrame(unit, reading(index * UNIT_NS + 1_000_000_500))) for index, unit in enumerate(units)
    ]
    muted, known, unmuted = 2_100_000_000, 2_150_000_000, 3_000_000_000
    told, late = set[str](), False
    capture.start(SimpleNamespace(at=at(1_000_000_000)), keep_audio=False)  # type: ignore[arg-type]
    for when, _, item in sorted([*pictures, *sounds], key=lambda one: one[:2]):
        if when >= known and "mute" not in told:
            capture.mute(at(muted), True)
            told.add("mute")
        if when >= unmuted and "unmute" not in told:
            capture.mute(at(unmuted), False)
            told.add("unmute")
        late = late or (isinstance(item, AudioFrame) and known <= when < unmuted)
        if isinstance(item, Picture):
            capture.picture(item)
        else:
            capture.audio(item)
    capture.stop(at(5_000_000_000), "button", {})
    capture.finish()
    assert late
    kept = [sound.time.boottime_ns for gop in writer.kept for sound in gop.audio]
    assert [one for one in kept if muted - AUDIO_FRAME_NS <= one < unmuted] == []
    assert max(one for one in kept if one < muted) >= muted - AUDIO_FRAME_NS - UNIT_NS
    assert min(one for one in kept if one >= unmuted) < unmuted + UNIT_NS
    assert sum(len(gop.units) for gop in writer.kept) == 90
