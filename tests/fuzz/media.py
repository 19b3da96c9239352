"""Genuine bytes for the media targets."""

from __future__ import annotations

from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from tests.unit.helpers_media import PPS_NAL, SPS_NAL, annexb, assemble, fake_unit, fake_units, sounds

_AUDIO = AudioTrack(48_000, 1, b"\x11\x88")
_GOPS = assemble(fake_units(6, 3, size=40, slices=2), sounds(8))
_FRAGMENTER = Fragmenter(_GOPS[0].start, _AUDIO)

INIT = init_segment(VideoTrack.from_gop(_GOPS[0]), _AUDIO)
FRAGMENTS = tuple(_FRAGMENTER.fragment(seq, gop) for seq, gop in enumerate(_GOPS))
PICTURES = (
    annexb(*fake_unit(0, True, 40, slices=2).nals),
    annexb(*fake_unit(1, False, 40).nals),
    annexb(b"\x09\xf0", SPS_NAL, PPS_NAL, *fake_unit(0, True, 40).nals[2:], b"\x0c\xff\x80"),
)
