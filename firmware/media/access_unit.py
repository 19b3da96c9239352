"""One coded picture with its time: the only door through which an encoder's bytes enter.

Responsible for refusing whatever an encoder that is broken, or lies, could deliver and that the layers above would
otherwise store, sign or play differently from what they checked. Refuses to know GOPs, files and signatures.

Invariants of an :class:`AccessUnit` made here: exactly one primary coded picture, its slices all of one type; an IDR
carries exactly one SPS and one PPS and no other picture carries any; parameter sets and SEI stand before the slices.
Access unit delimiters, filler, end-of-sequence and end-of-stream NAL units are dropped: nothing hashes them, no decoder
needs them in MP4 (ISO/IEC 14496-15 5.3.2 asks writers to leave delimiters and filler out), and a stored picture then has
one form only.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.nal import AUD, END_OF_SEQUENCE, END_OF_STREAM, FILLER, IDR_SLICE, LAYER, PPS, SEI, SLICE, SPS, split_annexb
from firmware.timebase import Timestamp

MAX_BYTES = 8 * 1024 * 1024
"""One picture; the largest of H.264 level 5.2 at its minimum compression is smaller."""
MAX_NALS = 256

_DROPPED_BEFORE = frozenset({AUD})
_DROPPED_AFTER = frozenset({FILLER, END_OF_SEQUENCE, END_OF_STREAM})
_KEPT_BEFORE = frozenset({SEI, SPS, PPS})


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """``nals`` in stream order, without start codes; ``keyframe`` is true for an IDR; ``time`` is that of exposure."""

    nals: tuple[bytes, ...]
    keyframe: bool
    time: Timestamp

    @property
    def size_bytes(self) -> int:
        """What the NAL units hold."""
        return sum(map(len, self.nals))


def parse_access_unit(data: bytes, keyframe: bool, time: Timestamp) -> AccessUnit:
    """Check one Annex B access unit as delivered. FormatError on anything that the module's invariants exclude."""
    if len(data) > MAX_BYTES:
        raise FormatError(LAYER, f"expected a picture of at most {MAX_BYTES} bytes, got {len(data)!r}")
    # Absent on purpose: a search for 00 00 00 to 00 00 02 inside a NAL unit (illegal, clause 7.4.1). It would cost as much as
    # the split, and from here on lengths bound a NAL unit: what is hashed, stored and signed is the same bytes in any case.
    nals = split_annexb(data, MAX_NALS)
    kept: list[bytes] = []
    picture_type = 0
    for nal in nals:
        kind = nal[0]
        if kind >= 0x80:
            raise FormatError(LAYER, f"expected forbidden_zero_bit 0, got NAL header {kind:#04x}")
        kind &= 0x1F
        if kind in (SLICE, IDR_SLICE):
            _check_slice(nal, kind, picture_type)
            picture_type = kind
        elif _is_dropped(kind, bool(picture_type), bool(kept)):
            continue
        kept.append(nal)
    _check_whole(kept, picture_type, keyframe)
    return AccessUnit(tuple(kept), keyframe, time)


def _check_slice(nal: bytes, kind: int, picture_type: int) -> None:
    if len(nal) < 3:
        raise FormatError(LAYER, f"expected a slice of at least 3 bytes, got {nal!r}")
    primary = nal[1] >= 0x80
    if primary == bool(picture_type):
        raise FormatError(LAYER, "expected one primary picture, got a second one" if primary else "expected first_mb_in_slice 0 first")
    if picture_type and kind != picture_type:
        raise FormatError(LAYER, f"expected slices of one type, got {picture_type!r} and {kind!r}")
    if kind == IDR_SLICE and not nal[0] & 0x60:
        raise FormatError(LAYER, "expected nal_ref_idc above 0 in an IDR picture, got 0")
    # slice_type of a primary slice follows its first bit: ue(v) 1 is 010, ue(v) 6 is 00111. Decoding order is display
    # order by contract of the camera port; a B picture would be shown at the wrong time.
    if primary and (nal[1] & 0x70 == 0x20 or nal[1] & 0x7C == 0x1C):
        raise FormatError(LAYER, "expected no B picture, got one")


def _is_dropped(kind: int, after_slices: bool, after_others: bool) -> bool:
    if not after_slices and kind in _KEPT_BEFORE:
        return False
    if kind in _DROPPED_AFTER and after_slices:
        return True
    if kind in _DROPPED_BEFORE and not after_slices and not after_others:
        return True
    where = "after" if after_slices else "before"
    raise FormatError(LAYER, f"expected no NAL unit of type {kind!r} {where} the slices, got one")


def _check_whole(kept: list[bytes], picture_type: int, keyframe: bool) -> None:
    if not picture_type:
        raise FormatError(LAYER, "expected a coded picture, got none")
    if keyframe != (picture_type == IDR_SLICE):
        raise FormatError(LAYER, f"expected keyframe {not keyframe} from the NAL units, was told {keyframe}")
    if not keyframe and len(kept) == 1:  # a slice: most pictures are no more
        return
    kinds = [nal[0] & 0x1F for nal in kept]
    sets = (kinds.count(SPS), kinds.count(PPS))
    if sets != ((1, 1) if keyframe else (0, 0)):
        wanted = "one SPS and one PPS in an IDR picture" if keyframe else "no parameter set outside an IDR picture"
        raise FormatError(LAYER, f"expected {wanted}, got {sets[0]} SPS and {sets[1]} PPS")
