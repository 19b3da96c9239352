"""One sequence parameter set a recording: heat lowers the bit rate, and the level stays that of the full one (BWC-POL-48)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from camerabench import Bench

from firmware.evidence.cms import open_sealed
from firmware.evidence.findings import Verdict
from firmware.media.nal import split_annexb
from firmware.media.sps import parse_sps
from hal.interfaces import ButtonName, VideoFormat
from hal.x264 import H264Encoder, level_of


def parameter_set(video: VideoFormat, bitrate_bps: int | None = None) -> bytes:
    encoder = H264Encoder(video, threads=1, bitrate_bps=bitrate_bps)
    (coded,) = encoder.encode(np.full((video.height * 3 // 2, video.width), 100, np.uint8), 0)
    return next(nal for nal in split_annexb(coded.data) if nal[0] & 31 == 7)


@pytest.mark.parametrize(
    ("width", "height", "bitrate_bps", "level_idc"),
    [
        (320, 240, 600_000, 20),
        (1280, 720, 4_000_000, 31),
        (1280, 720, 8_000_000, 31),
        (1920, 1080, 12_000_000, 40),
        (1920, 1080, 16_000_000, 41),
        (1920, 1080, 25_000_000, 41),
    ],
)
def test_the_level_is_that_of_the_full_rate(width: int, height: int, bitrate_bps: int, level_idc: int) -> None:
    """What x264 chooses at the full rate is what is asked of it at every other."""
    video = VideoFormat(width, height, 30, bitrate_bps, 30)
    full = parameter_set(video)
    assert parse_sps(full).level_idc == level_of(video, "superfast") == level_idc
    for percent in (60, 20, 120):
        assert parameter_set(video, bitrate_bps * percent // 100) == full


def opened(bench: Bench, recording: str, name: str) -> bytes:
    key = bench.key()
    return open_sealed((bench.card / "vault" / recording / name).read_bytes(), key.private_key, key.certificate)


@pytest.mark.parametrize("reopened", [False, True])
def test_a_recording_goes_on_when_heat_lowers_its_rate_across_a_level(make_bench: Callable[..., Bench], reopened: bool) -> None:
    """BWC-POL-48: 600 kbit/s and 360 kbit/s are of different levels at this size; a camera that was opened while hot is as the others."""
    bench = make_bench(pre_event=1, changes={"bitrate_bps = 250000": "bitrate_bps = 600000"})
    if reopened:
        bench.world.set_power(celsius=85, at_ns=bench.at(2))
        bench.world.at(bench.at(5), lambda: bench.world.camera.stall_until(bench.at(8)))
        bench.world.set_power(celsius=50, at_ns=bench.at(18))
    else:
        bench.world.set_power(celsius=85, at_ns=bench.at(18))
    bench.world.double_press(bench.at(14))
    bench.world.press(ButtonName.RECORD, bench.at(26), hold_ms=3300)
    bench.run(34)
    (recording,) = bench.recordings()
    manifest = bench.manifest(recording)
    assert [entry.fields["event"] for entry in bench.entries() if entry.kind == "power"].count("hot") == 1
    init = opened(bench, recording, "init.mp4.p7m")
    assert init[init.index(b"avcC") + 7] == 20, "AVCLevelIndication (ISO/IEC 14496-15, 5.3.3.1)"
    assert manifest.gaps == ()
    assert (manifest.end.cause, len(manifest.fragments) >= 16) == ("button", True)
    assert bench.verify().verdict is Verdict.AUTHENTIC
