"""The sequence parameter set: what a picture measures and which decoder it asks for.

Responsible for ITU-T H.264 clause 7.3.2.1.1 up to the cropping rectangle; VUI is not read. Refuses to guess: a set that
does not parse, or that describes pictures larger than 16384 samples a side, is a FormatError.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.nal import SPS, unescape

_LAYER = "h264.sps"
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_MAX_SIDE = 16384
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sps:
    """``width`` and ``height`` in luma samples after cropping; ``level_idc`` is ten times the level."""

    profile_idc: int
    constraint_flags: int
    level_idc: int
    chroma_format_idc: int
    bit_depth_luma: int
    bit_depth_chroma: int
    frame_mbs_only: bool
    width: int
    height: int

    @property
    def is_high(self) -> bool:
        """Whether the profile carries chroma format and bit depths (they then stand in the avcC box too)."""
        return self.profile_idc in _HIGH_PROFILES


class _Bits:
    """Big-endian bit reader over a short RBSP; FormatError past the end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, count: int) -> int:
        if count > self._left:
            raise FormatError(_LAYER, "expected more bits, got the end")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise FormatError(_LAYER, "expected an Exp-Golomb code of at most 63 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


def parse_sps(nal: bytes) -> Sps:
    """Parse a sequence parameter set NAL unit. FormatError on anything else."""
    if not 5 <= len(nal) <= _MAX_BYTES or nal[0] & 0x9F != SPS:
        raise FormatError(_LAYER, f"expected a sequence parameter set, got {nal[:4]!r} of {len(nal)} bytes", offset=0)
    bits = _Bits(unescape(nal)[1:])
    profile, flags, level = bits.u(8), bits.u(8), bits.u(8)
    _bounded(bits.ue(), 31, "seq_parameter_set_id")
    chroma, luma_depth, chroma_depth = _read_chroma(bits) if profile in _HIGH_PROFILES else (1, 8, 8)
    _skip_order_count(bits)
    _bounded(bits.ue(), 16, "max_num_ref_frames")
    bits.u(1)  # gaps_in_frame_num_value_allowed_flag
    width, height = 16 * (_bounded(bits.ue(), 1023, "width") + 1), 16 * (_bounded(bits.ue(), 1023, "height") + 1)
    frame_mbs_only = bool(bits.u(1))
    if not frame_mbs_only:
        height *= 2
        bits.u(1)  # mb_adaptive_frame_field_flag
    bits.u(1)  # direct_8x8_inference_flag
    crop_x, crop_y = _read_crop(bits, chroma, frame_mbs_only) if bits.u(1) else (0, 0)
    if crop_x >= width or crop_y >= height or height > _MAX_SIDE:
        raise FormatError(_LAYER, f"expected a picture of up to {_MAX_SIDE} lines, got {width}x{height} less {crop_x}x{crop_y}")
    return Sps(profile, flags, level, chroma, luma_depth, chroma_depth, frame_mbs_only, width - crop_x, height - crop_y)


def _bounded(value: int, maximum: int, name: str) -> int:
    if value > maximum:
        raise FormatError(_LAYER, f"expected {name} up to {maximum}, got {value!r}")
    return value


def _read_chroma(bits: _Bits) -> tuple[int, int, int]:
    chroma = _bounded(bits.ue(), 3, "chroma_format_idc")
    if chroma == 3:
        bits.u(1)  # separate_colour_plane_flag
    luma_depth, chroma_depth = 8 + _bounded(bits.ue(), 6, "bit_depth_luma"), 8 + _bounded(bits.ue(), 6, "bit_depth_chroma")
    bits.u(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.u(1):
        for index in range(12 if chroma == 3 else 8):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma, luma_depth, chroma_depth


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _skip_order_count(bits: _Bits) -> None:
    _bounded(bits.ue(), 12, "log2_max_frame_num_minus4")
    kind = _bounded(bits.ue(), 2, "pic_order_cnt_type")
    if kind == 0:
        _bounded(bits.ue(), 12, "log2_max_pic_order_cnt_lsb_minus4")
    elif kind == 1:
        bits.u(1)
        bits.se()
        bits.se()
        for _ in range(_bounded(bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.se()


def _read_crop(bits: _Bits, chroma: int, frame_mbs_only: bool) -> tuple[int, int]:
    left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    unit_x = 2 if chroma in (1, 2) else 1
    unit_y = (2 if chroma == 1 else 1) * (1 if frame_mbs_only else 2)
    return unit_x * (left + right), unit_y * (top + bottom)
