"""Fragmented MP4, reading: the init segment and the fragments that :mod:`firmware.media.fmp4` writes.

Responsible for telling exactly which pictures and which audio a fragment holds, and when. Refuses to be a general MP4
reader: boxes are expected in the order and with the fields that the writer gives them, and a fragment's samples must fill
its mdat to the last byte, in order, so that no byte of a fragment stays unaccounted for. Nothing but FormatError is
raised, whatever the input; counts are bounded by the bytes that carry them.

Samples are views into the input: keep the input as long as the samples.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.boxes import (
    AUDIO_TRACK,
    LAYER,
    NON_SYNC_SAMPLE,
    NTP_OFFSET_S,
    SYNC_SAMPLE,
    VIDEO_TRACK,
    walk,
)
from firmware.media.fmp4 import AudioTrack, VideoTrack, init_segment
from firmware.media.sps import parse_sps

MAX_INIT_BYTES = 64 * 1024
MAX_FRAGMENT_BYTES = 64 * 1024 * 1024

_NS = 1_000_000_000
_STYP = b"cmfs\x00\x00\x00\x00iso6cmfs"
_TFHD = 0x02_0000
_TRUN = {VIDEO_TRACK: 0x000305, AUDIO_TRACK: 0x000301}


@dataclass(frozen=True, slots=True)
class InitInfo:
    """The tracks of a recording. The ids of the tracks are fixed: 1 video, 2 audio."""

    video: VideoTrack
    audio: AudioTrack | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture (length-prefixed NAL units) or AAC unit.

    ``tick`` and ``duration`` count in the track's timescale, from the first picture of the recording; ``time_ns`` and
    ``duration_ns`` are the same in nanoseconds, rounded down.
    """

    track: int
    tick: int
    duration: int
    time_ns: int
    duration_ns: int
    sync: bool
    data: memoryview


@dataclass(frozen=True, slots=True)
class FragmentInfo:
    """``wall_ns``: wall time of the first picture, nanoseconds since 1970, until 2106."""

    sequence: int
    wall_ns: int
    video: tuple[Sample, ...]
    audio: tuple[Sample, ...]

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Video, then audio, as they stand in the fragment."""
        return self.video + self.audio


# --- init segment


def parse_init(data: bytes | memoryview) -> InitInfo:
    """Parse an init segment.

    What was read is written again and must give the same bytes: there is one init segment for a pair of tracks, and any
    other, however playable, is refused.
    """
    if len(data) > MAX_INIT_BYTES:
        raise FormatError(LAYER, f"expected an init segment of at most {MAX_INIT_BYTES} bytes, got {len(data)!r}")
    view = memoryview(data)
    top = _boxes(view, (b"ftyp", b"moov"))
    inside = list(walk(top[1], LAYER))
    kinds = [kind for kind, _ in inside]
    if kinds not in ([b"mvhd", b"trak", b"mvex"], [b"mvhd", b"trak", b"trak", b"mvex"]):
        raise FormatError(LAYER, f"expected mvhd, one or two trak, mvex, got {kinds!r}")
    info = InitInfo(_video_track(inside[1][1]), _audio_track(inside[2][1]) if len(inside) == 4 else None)
    if init_segment(info.video, info.audio) != view:
        raise FormatError(LAYER, "expected the init segment of these tracks, got one that differs")
    return info


def _boxes(view: memoryview, expected: tuple[bytes, ...]) -> list[memoryview]:
    """Contents of exactly the expected boxes."""
    found = list(walk(view, LAYER))
    if tuple(kind for kind, _ in found) != expected:
        raise FormatError(LAYER, f"expected boxes {expected!r}, got {[kind for kind, _ in found]!r}")
    return [content for _, content in found]


def _sample_entry(trak: memoryview, kind: bytes, fixed_bytes: int) -> tuple[int, memoryview, memoryview]:
    """Timescale of the track, the fixed fields of its one sample entry, and the boxes behind them."""
    _, mdia = _boxes(trak, (b"tkhd", b"mdia"))
    mdhd, _, minf = _boxes(mdia, (b"mdhd", b"hdlr", b"minf"))
    found = list(walk(minf, LAYER))
    if len(found) != 3 or found[2][0] != b"stbl":
        raise FormatError(LAYER, f"expected a media header, dinf and stbl, got {[name for name, _ in found]!r}")
    stsd = _boxes(found[2][1], (b"stsd", b"stts", b"stsc", b"stsz", b"stco"))[0]
    (entry,) = _boxes(stsd[8:], (kind,))
    if len(mdhd) < 16 or len(entry) < fixed_bytes:
        raise FormatError(LAYER, f"expected a sample entry of at least {fixed_bytes} bytes, got {len(entry)}")
    return int.from_bytes(mdhd[12:16], "big"), entry[:fixed_bytes], entry[fixed_bytes:]


def _video_track(trak: memoryview) -> VideoTrack:
    timescale, fixed, rest = _sample_entry(trak, b"avc1", 78)
    (avcc,) = _boxes(rest, (b"avcC",))
    config = bytes(avcc)
    sps, position = _counted(config, 6)
    if config[position : position + 1] != b"\x01":
        raise FormatError(LAYER, "expected one picture parameter set in avcC")
    pps, _ = _counted(config, position + 1)
    width, height = struct.unpack_from(">2H", fixed, 24)
    parse_sps(sps)
    return VideoTrack(sps, pps, width, height, timescale)


def _counted(config: bytes, position: int) -> tuple[bytes, int]:
    end = position + 2 + int.from_bytes(config[position : position + 2], "big")
    if end > len(config) or end == position + 2:
        raise FormatError(LAYER, "expected a parameter set in avcC, got too few bytes", offset=position)
    return config[position + 2 : end], end


def _audio_track(trak: memoryview) -> AudioTrack:
    rate, fixed, rest = _sample_entry(trak, b"mp4a", 28)
    (esds,) = _boxes(rest, (b"esds",))
    # Version and flags, ES_Descriptor header and fields (5), DecoderConfig header and fields (15), then tag 5 and length.
    size = esds[25] if len(esds) > 25 else 0
    (channels,) = struct.unpack_from(">H", fixed, 16)
    try:
        return AudioTrack(rate, channels, bytes(esds[26 : 26 + size]))
    except ValueError as error:
        raise FormatError(LAYER, str(error)) from None


# --- fragments


def parse_fragment(data: bytes | memoryview, init: InitInfo) -> FragmentInfo:
    """Parse one fragment of the recording that ``init`` describes. FormatError on anything the writer does not make."""
    if len(data) > MAX_FRAGMENT_BYTES:
        raise FormatError(LAYER, f"expected a fragment of at most {MAX_FRAGMENT_BYTES} bytes, got {len(data)!r}")
    view = memoryview(data)
    styp, prft, moof, mdat = _boxes(view, (b"styp", b"prft", b"moof", b"mdat"))
    if bytes(styp) != _STYP:
        raise FormatError(LAYER, f"expected segment type cmfs, got {bytes(styp[:16])!r}")
    found = list(walk(moof, LAYER))
    kinds = [kind for kind, _ in found]
    if kinds != [b"mfhd", b"traf"] and not (kinds == [b"mfhd", b"traf", b"traf"] and init.audio is not None):
        raise FormatError(LAYER, f"expected mfhd and a traf for each track, got {kinds!r}")
    (sequence,) = _fields(found[0][1], ">4xI")
    offset = len(moof) + 16
    video, mdat_used = _track(found[1][1], VIDEO_TRACK, init.video.timescale, offset, mdat, 0)
    audio: tuple[Sample, ...] = ()
    if len(found) == 3 and init.audio is not None:
        audio, mdat_used = _track(found[2][1], AUDIO_TRACK, init.audio.sample_rate, offset, mdat, mdat_used)
    if mdat_used != len(mdat):
        raise FormatError(LAYER, f"expected samples to fill {len(mdat)} bytes, got {mdat_used!r}")
    return FragmentInfo(sequence, _wall_ns(prft, video[0].tick), video, audio)


def _fields(view: memoryview, layout: str) -> tuple[int, ...]:
    if len(view) != struct.calcsize(layout) or bytes(view[:4]) != bytes(4):
        raise FormatError(LAYER, f"expected a version 0 box of {struct.calcsize(layout)} bytes, got {bytes(view[:4])!r} of {len(view)}")
    return _unpack(layout, view)


def _unpack(layout: str, view: memoryview) -> tuple[int, ...]:
    return struct.unpack(layout, view)


def _wall_ns(prft: memoryview, first_tick: int) -> int:
    if len(prft) != 24:
        raise FormatError(LAYER, f"expected a producer reference time of 24 bytes, got {len(prft)!r}")
    flags, track, ntp, tick = _unpack(">IIQQ", prft)
    if flags != 0x0100_0018 or track != VIDEO_TRACK or tick != first_tick:
        raise FormatError(LAYER, f"expected the capture time of the first picture, got {flags:#x} of track {track!r} at {tick!r}")
    seconds, fraction = divmod(ntp, 1 << 32)
    if seconds < NTP_OFFSET_S:
        seconds += 1 << 32  # NTP era 1 begins in 2036; the writer knows no time before 1970
    rest = fraction * _NS + (1 << 31) >> 32
    if (rest << 32) // _NS != fraction:
        raise FormatError(LAYER, f"expected a wall time in whole nanoseconds, got fraction {fraction:#x}")
    return (seconds - NTP_OFFSET_S) * _NS + rest


def _track(traf: memoryview, track: int, timescale: int, offset: int, mdat: memoryview, used: int) -> tuple[tuple[Sample, ...], int]:
    """The samples of one track, which begin at ``used`` in ``mdat``, and where they end."""
    tfhd, tfdt, trun = _boxes(traf, (b"tfhd", b"tfdt", b"trun"))
    if bytes(tfhd) != struct.pack(">II", _TFHD, track) or len(tfdt) != 12 or bytes(tfdt[:4]) != b"\x01\x00\x00\x00":
        raise FormatError(LAYER, f"expected track {track!r} with a base decode time, got {bytes(tfhd[:8])!r}")
    rows, first_sync = _rows(trun, track, offset + used)
    samples: list[Sample] = []
    tick = int.from_bytes(tfdt[4:], "big")
    for index in range(0, len(rows), 2):
        duration, size = rows[index], rows[index + 1]
        if not 0 < size <= len(mdat) - used:
            raise FormatError(LAYER, f"expected a sample of 1 to {len(mdat) - used} bytes, got {size!r}")
        sync = first_sync if index == 0 else track == AUDIO_TRACK
        times = (tick * _NS // timescale, duration * _NS // timescale)
        samples.append(Sample(track, tick, duration, *times, sync, mdat[used : used + size]))
        tick += duration
        used += size
    return tuple(samples), used


def _rows(trun: memoryview, track: int, offset: int) -> tuple[tuple[int, ...], bool]:
    """Durations and sizes alternating, and whether the first sample is a sync sample."""
    head = 16 if track == VIDEO_TRACK else 12
    if len(trun) < head:
        raise FormatError(LAYER, f"expected a trun of at least {head} bytes, got {len(trun)!r}")
    flags, count, data_offset = struct.unpack_from(">IIi", trun)
    if flags != _TRUN[track] or data_offset != offset or not count or len(trun) != head + 8 * count:
        raise FormatError(LAYER, f"expected a trun of samples at {offset!r}, got flags {flags:#x}, {count!r} samples at {data_offset!r}")
    first_flags = int.from_bytes(trun[12:16], "big") if track == VIDEO_TRACK else SYNC_SAMPLE
    if first_flags not in (SYNC_SAMPLE, NON_SYNC_SAMPLE):
        raise FormatError(LAYER, f"expected sample flags of a picture, got {first_flags:#x}")
    return struct.unpack_from(f">{2 * count}I", trun, head), first_flags == SYNC_SAMPLE
