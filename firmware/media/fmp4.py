"""Fragmented MP4, writing: an init segment, and one fragment (``styp prft moof mdat``) for every GOP.

Responsible for ISO/IEC 14496-12 (boxes), 14496-15 (AVC samples), 14496-14 (AAC) in the shape of ISO/IEC 23000-19 (CMAF):
no edit list, one moof and one mdat a fragment, base decode times absolute. Refuses to know files, seals and signatures.

Invariants: the output is a function of the input alone. Times of pictures are boot times from the first picture of the
recording, each rounded by itself to 1/90000 s, so that no error adds up and durations sum to the distance of fragments;
a hole in the recording is a hole in its time line. The first picture of every fragment is the first of its GOP.

Sample entry ``avc1``: the parameter sets stand in avcC and are left out of the samples, which is what the most players
accept. They must therefore be the same bytes in every GOP; another set in mid-recording is a FormatError, and the caller
begins a new recording.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import chain, pairwise

from firmware.errors import FormatError
from firmware.media.boxes import (
    AUDIO_FRAME_SAMPLES,
    AUDIO_TRACK,
    LAYER,
    NON_SYNC_SAMPLE,
    NTP_OFFSET_S,
    SYNC_SAMPLE,
    VIDEO_TIMESCALE,
    VIDEO_TRACK,
    box,
    full_box,
)
from firmware.media.gop import AudioUnit, Gop
from firmware.media.nal import PPS, SPS
from firmware.media.sps import parse_sps
from firmware.timebase import Timestamp

AUDIO_DRIFT_NS = 20_000_000
"""Audio is contiguous frames; only past this distance from its capture time it is anchored anew."""

_NS = 1_000_000_000
_U32 = 0xFFFF_FFFF
_PRFT_CAPTURED = 24
_TFHD_DEFAULT_BASE_IS_MOOF = 0x02_0000
_TRUN_VIDEO = 0x000001 | 0x000004 | 0x000100 | 0x000200
_TRUN_AUDIO = 0x000001 | 0x000100 | 0x000200
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x4000_0000)
_STYP = box(b"styp", b"cmfs", bytes(4), b"iso6cmfs")


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """``width`` and ``height`` in pixels."""

    sps: bytes
    pps: bytes
    width: int
    height: int
    timescale: int = VIDEO_TIMESCALE

    @classmethod
    def from_gop(cls, gop: Gop) -> VideoTrack:
        """The track that begins with ``gop``; FormatError when its SPS does not parse."""
        if gop.continues:
            raise FormatError(LAYER, "expected a recording to begin with an IDR picture")
        sps = parse_sps(gop.sps)
        return cls(gop.sps, gop.pps, sps.width, sps.height)


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """AAC-LC; ``codec_config`` is the AudioSpecificConfig. The timescale is the sample rate."""

    sample_rate: int
    channels: int
    codec_config: bytes

    def __post_init__(self) -> None:
        if not (8000 <= self.sample_rate <= 96_000 and 1 <= self.channels <= 8 and 2 <= len(self.codec_config) <= 64):
            raise ValueError(f"expected an AAC format, got {self!r}")


# --- init segment


def init_segment(video: VideoTrack, audio: AudioTrack | None) -> bytes:
    """``ftyp moov``. FormatError when the parameter sets do not fit the track."""
    brands = b"iso6mp41" if audio else b"iso6cmfcmp41"  # a CMAF track file has one track
    tracks, defaults = [_video_trak(video)], [_trex(VIDEO_TRACK, NON_SYNC_SAMPLE)]
    if audio is not None:
        tracks.append(_audio_trak(audio))
        defaults.append(_trex(AUDIO_TRACK, SYNC_SAMPLE))
    head = struct.pack(">IIIIIH10x", 0, 0, 1000, 0, 0x10000, 0x0100) + _MATRIX + bytes(24) + struct.pack(">I", len(tracks) + 1)
    moov = box(b"moov", full_box(b"mvhd", 0, 0, head), *tracks, box(b"mvex", *defaults))
    return box(b"ftyp", b"iso6", bytes(4), brands) + moov


def _trex(track: int, flags: int) -> bytes:
    return full_box(b"trex", 0, 0, struct.pack(">5I", track, 1, 0, 0, flags))


def _trak(track: int, volume: int, size: tuple[int, int], timescale: int, handler: tuple[bytes, bytes], media: bytes) -> bytes:
    head = struct.pack(">5I8x4H", 0, 0, track, 0, 0, 0, 0, volume, 0) + _MATRIX + struct.pack(">2I", size[0] << 16, size[1] << 16)
    dinf = box(b"dinf", full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1)))
    empty = b"".join(full_box(kind, 0, 0, bytes(4)) for kind in (b"stts", b"stsc")) + full_box(b"stsz", 0, 0, bytes(8))
    kind, name = handler
    media_header = full_box(b"vmhd", 0, 1, bytes(8)) if kind == b"vide" else full_box(b"smhd", 0, 0, bytes(4))
    stbl = box(b"stbl", full_box(b"stsd", 0, 0, struct.pack(">I", 1), media), empty, full_box(b"stco", 0, 0, bytes(4)))
    mdia = box(
        b"mdia",
        full_box(b"mdhd", 0, 0, struct.pack(">4I2H", 0, 0, timescale, 0, 0x55C4, 0)),  # language "und"
        full_box(b"hdlr", 0, 0, bytes(4), kind, bytes(12), name, b"\x00"),
        box(b"minf", media_header, dinf, stbl),
    )
    return box(b"trak", full_box(b"tkhd", 0, 7, head), mdia)


def _video_trak(video: VideoTrack) -> bytes:
    size = struct.pack(">2H", video.width, video.height)
    fixed = bytes(6) + struct.pack(">H", 1) + bytes(16) + size + struct.pack(">3IH32x2H", 0x48_0000, 0x48_0000, 0, 1, 0x18, 0xFFFF)
    entry = box(b"avc1", fixed, box(b"avcC", _avcc(video)))
    return _trak(VIDEO_TRACK, 0, (video.width, video.height), video.timescale, (b"vide", b"Oathcam video"), entry)


def _avcc(video: VideoTrack) -> bytes:
    sps = parse_sps(video.sps)
    if video.timescale != VIDEO_TIMESCALE:
        raise FormatError(LAYER, f"expected a timescale of {VIDEO_TIMESCALE}, got {video.timescale!r}")
    if (sps.width, sps.height) != (video.width, video.height):
        raise FormatError(LAYER, f"expected {sps.width}x{sps.height} as in the SPS, got {video.width}x{video.height}")
    if not 0 < len(video.pps) <= 0xFFFF or video.pps[0] & 0x1F != PPS:
        raise FormatError(LAYER, f"expected a picture parameter set, got {video.pps[:4]!r}")
    config = bytes((1, *video.sps[1:4], 0xFF, 0xE1)) + struct.pack(">H", len(video.sps)) + video.sps
    config += b"\x01" + struct.pack(">H", len(video.pps)) + video.pps
    if sps.is_high:
        config += bytes((0xFC | sps.chroma_format_idc, 0xF8 | sps.bit_depth_luma - 8, 0xF8 | sps.bit_depth_chroma - 8, 0))
    return config


def _audio_trak(audio: AudioTrack) -> bytes:
    rate = audio.sample_rate << 16 if audio.sample_rate <= 0xFFFF else 0  # 16.16; AudioSpecificConfig has the truth
    fixed = bytes(6) + struct.pack(">H8x4HI", 1, audio.channels, 16, 0, 0, rate)
    entry = box(b"mp4a", fixed, full_box(b"esds", 0, 0, _es_descriptor(audio.codec_config)))
    return _trak(AUDIO_TRACK, 0x0100, (0, 0), audio.sample_rate, (b"soun", b"Oathcam audio"), entry)


def _es_descriptor(config: bytes) -> bytes:
    decoder = bytes((0x40, 0x15)) + bytes(11) + _descriptor(5, config)  # AAC, audio stream; buffer and bitrates unstated
    return _descriptor(3, struct.pack(">HB", AUDIO_TRACK, 0) + _descriptor(4, decoder) + _descriptor(6, b"\x02"))


def _descriptor(tag: int, payload: bytes) -> bytes:
    return bytes((tag, len(payload))) + payload  # every length here is below 128: one byte


# --- fragments


class Fragmenter:
    """Fragments of one recording, in order. ``origin`` is the time of its first picture. Not thread-safe."""

    def __init__(self, origin: Timestamp, audio: AudioTrack | None) -> None:
        self._origin_ns = origin.boottime_ns
        self._audio = audio
        self._parameter_sets: tuple[bytes, bytes] | None = None
        self._end_tick = 0
        self._audio_next: int | None = None
        self._audio_floor = 0

    def fragment(self, seq: int, gop: Gop) -> bytes:
        """``styp prft moof mdat`` of one GOP; ``seq`` (from 0) becomes the moof's sequence number.

        Audio is written when the recording has an audio track, every unit of the GOP.
        FormatError when ``gop`` lies before the fragment before it, or its parameter sets are not the recording's.
        """
        if not 0 <= seq <= _U32:
            raise ValueError(f"expected a sequence number of 32 bits, got {seq!r}")
        self._check_parameter_sets(gop)
        ticks = self._picture_ticks(gop)
        samples = [_sample(unit.nals, with_sets=unit.keyframe) for unit in gop.units]
        video_sizes = [sum(map(len, sample)) for sample in samples]
        sounds = [sound.data for sound in gop.audio] if self._audio else []
        sound_ticks = self._place_audio(gop.audio) if self._audio else []
        moof = _moof(seq, gop.continues, ticks, video_sizes, sound_ticks, list(map(len, sounds)))
        mdat_bytes = 8 + sum(video_sizes) + sum(map(len, sounds))
        head = (_STYP, _prft(gop.start.wall_ns, ticks[0]), moof, struct.pack(">I4s", mdat_bytes, b"mdat"))
        return b"".join(chain(head, chain.from_iterable(samples), sounds))

    def _check_parameter_sets(self, gop: Gop) -> None:
        if gop.continues:
            if self._parameter_sets is None:
                raise FormatError(LAYER, "expected a recording to begin with an IDR picture")
            return
        sets = (gop.sps, gop.pps)
        if self._parameter_sets is None:
            self._parameter_sets = sets
        if sets != self._parameter_sets:
            raise FormatError(
                LAYER, "expected the parameter sets of the recording's first picture, got others", remedy="Begin a new recording."
            )

    def _picture_ticks(self, gop: Gop) -> list[int]:
        """Decode times of the pictures and of what follows them, 1/90000 s."""
        origin = self._origin_ns
        ticks = [((unit.time.boottime_ns - origin) * 9 + 50_000) // 100_000 for unit in gop.units]
        if gop.end is not None:
            ticks.append(((gop.end.boottime_ns - origin) * 9 + 50_000) // 100_000)
        else:
            # Nothing follows: the last picture is shown as long as the one before it, or for 1/30 s.
            ticks.append(ticks[-1] + (ticks[-1] - ticks[-2] if len(ticks) > 1 else VIDEO_TIMESCALE // 30))
        if ticks[0] < self._end_tick:
            raise FormatError(LAYER, f"expected a GOP at or after {self._end_tick!r} ticks, got one at {ticks[0]!r}")
        if any(not 0 <= after - before <= _U32 for before, after in pairwise(ticks)):
            raise FormatError(LAYER, "expected pictures in order of time, less than 13 hours apart")
        self._end_tick = ticks[-1] if gop.end is not None else ticks[-2] + 1
        return ticks

    def _place_audio(self, audio: tuple[AudioUnit, ...]) -> list[int]:
        """Decode times of the units and the end of the last one, in samples; empty without units."""
        assert self._audio is not None
        rate = self._audio.sample_rate
        tolerance = AUDIO_DRIFT_NS * rate // _NS
        ticks: list[int] = []
        for sound in audio:
            position = self._audio_next
            captured = ((sound.time.boottime_ns - self._origin_ns) * rate + _NS // 2) // _NS
            if position is None or abs(captured - position) > tolerance:
                position = captured
            # Decode times neither go back nor begin before the recording: a unit that does is shortened, never left out.
            ticks.append(max(position, self._audio_floor))
            self._audio_floor = ticks[-1] + 1
            self._audio_next = position + AUDIO_FRAME_SAMPLES
        if ticks:
            ticks.append(max(self._audio_next or 0, self._audio_floor))
        if any(after - before > _U32 for before, after in pairwise(ticks)):
            raise FormatError(LAYER, "expected audio without holes of hours")
        return ticks


def _sample(nals: tuple[bytes, ...], *, with_sets: bool) -> list[bytes]:
    """Length-prefixed NAL units, parameter sets left out. Only an IDR picture has any (see access_unit)."""
    if with_sets:
        nals = tuple(nal for nal in nals if nal[0] & 0x1F not in (SPS, PPS))
    return [part for nal in nals for part in (len(nal).to_bytes(4, "big"), nal)]


def _prft(wall_ns: int, media_time: int) -> bytes:
    """Producer reference time: the wall time, NTP, at which the first picture was captured (before 1970: 1970)."""
    seconds, rest = divmod(max(wall_ns, 0), _NS)
    ntp = ((seconds + NTP_OFFSET_S) << 32 | (rest << 32) // _NS) & 0xFFFF_FFFF_FFFF_FFFF
    return full_box(b"prft", 1, _PRFT_CAPTURED, struct.pack(">IQQ", VIDEO_TRACK, ntp, media_time))


def _moof(seq: int, continues: bool, ticks: list[int], sizes: list[int], sound_ticks: list[int], sound_sizes: list[int]) -> bytes:
    """Both data offsets count from the moof's first byte, so its own size is needed first: it depends on counts only."""
    rows = list(chain.from_iterable(zip(_durations(ticks), sizes, strict=True)))
    sound_rows = list(chain.from_iterable(zip(_durations(sound_ticks), sound_sizes, strict=True)))
    traf_bytes = 8 + 16 + 20 + 20
    total = 8 + 16 + traf_bytes + 4 + 4 * len(rows) + (traf_bytes + 4 * len(sound_rows) if sound_rows else 0)
    offset = total + 8
    first_flags = struct.pack(">I", NON_SYNC_SAMPLE if continues else SYNC_SAMPLE)
    trafs = [_traf(VIDEO_TRACK, ticks[0], _TRUN_VIDEO, offset, first_flags, rows)]
    if sound_rows:
        trafs.append(_traf(AUDIO_TRACK, sound_ticks[0], _TRUN_AUDIO, offset + sum(sizes), b"", sound_rows))
    moof = box(b"moof", full_box(b"mfhd", 0, 0, struct.pack(">I", seq)), *trafs)
    assert len(moof) == total
    return moof


def _durations(ticks: list[int]) -> list[int]:
    return [after - before for before, after in pairwise(ticks)]


def _traf(track: int, start: int, trun_flags: int, offset: int, first_flags: bytes, rows: list[int]) -> bytes:
    count = struct.pack(">Ii", len(rows) // 2, offset)
    return box(
        b"traf",
        full_box(b"tfhd", 0, _TFHD_DEFAULT_BASE_IS_MOOF, struct.pack(">I", track)),
        full_box(b"tfdt", 1, 0, struct.pack(">Q", start)),
        full_box(b"trun", 0, trun_flags, count, first_flags, struct.pack(f">{len(rows)}I", *rows)),
    )
