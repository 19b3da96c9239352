"""The head of an exported recording: what stands before its fragments so that stock players show length, chapters and a seek bar.

Responsible for one thing: from a recording's own init segment, the same tracks with ``mehd`` (length), ``udta`` (chapters, name)
and ``sidx`` (where each fragment lies) added. Fragments follow unchanged: their bytes in an export are the ones that the camera
hashed and signed, and cutting the file at its ``styp`` boxes gives them back. Refuses to know files and manifests.

Chapters are ``chpl``, which ffmpeg (so mpv and the like) and VLC read from a fragmented file; it counts in one byte, so the
255th entry is the last. A chapter track would need samples in ``moov`` beside fragments, which few readers expect.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from firmware.errors import FormatError
from firmware.media.boxes import LAYER, VIDEO_TIMESCALE, VIDEO_TRACK, box, full_box, walk
from firmware.media.fmp4_read import FragmentInfo

MAX_CHAPTERS = 255
MAX_REFERENCES = 0xFFFF
CLOCK = "system_clock_offset"
"""Name of the item that NIST IR 8161r1 asks for: how far the camera's clock was off."""
_MAX_TITLE_BYTES = 255
_SAP_TYPE_1 = 0x9000_0000
"""starts_with_SAP, type 1, no delta: the fragment begins with an IDR picture."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """``start_us``: microseconds from the recording's first picture."""

    start_us: int
    title: str


@dataclass(frozen=True, slots=True)
class Reference:
    """One fragment as the index names it: its bytes, ticks (1/90000 s) to the next one, and whether it begins with an IDR."""

    size_bytes: int
    ticks: int
    sync: bool


@dataclass(frozen=True, slots=True)
class Label:
    """What a player shows as the file's title, comment and date (RFC 3339). ``clock`` says how good its times are; it is left out when
    empty."""

    title: str
    comment: str
    date: str = ""
    clock: str = ""


def index_bytes(count: int) -> int:
    """Size of the index of ``count`` fragments; 0 when there is none (``sidx`` counts in 16 bits)."""
    return 40 + 12 * count if 0 < count <= MAX_REFERENCES else 0


def index(references: Sequence[Reference], first_tick: int) -> bytes:
    """``sidx`` over the fragments that follow it at once; empty where it cannot count them."""
    if not index_bytes(len(references)):
        return b""
    rows = b"".join(struct.pack(">3I", one.size_bytes, one.ticks, _SAP_TYPE_1 if one.sync else 0) for one in references)
    return full_box(b"sidx", 1, 0, struct.pack(">IIQQHH", VIDEO_TRACK, VIDEO_TIMESCALE, first_tick, 0, 0, len(references)), rows)


class IndexOf:
    """Where the fragments of one film lie, collected one by one; as many bytes are kept as the index itself has."""

    def __init__(self) -> None:
        self._ticks: list[int] = []
        self._found: list[Reference] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, fragment: FragmentInfo, size_bytes: int) -> None:
        """The next fragment of the file."""
        first, last = fragment.video[0], fragment.video[-1]
        self._ticks.append(first.tick)
        self._found.append(Reference(size_bytes, last.tick + last.duration - first.tick, first.sync))

    def to_bytes(self) -> bytes:
        """``sidx`` with each fragment reaching to the next one; empty when there are none, or too many."""
        if not self._found:
            return b""
        ends = [*self._ticks[1:], self._ticks[-1] + self._found[-1].ticks]
        rows = [Reference(one.size_bytes, end - tick, one.sync) for tick, end, one in zip(self._ticks, ends, self._found, strict=True)]
        return index(rows, self._ticks[0])


def export_head(init: bytes, duration_ms: int, chapters: Sequence[Chapter], label: Label) -> bytes:
    """``ftyp moov`` of the recording whose init segment is given. FormatError when that is none of ours."""
    top = list(walk(memoryview(init), LAYER))
    if [kind for kind, _ in top] != [b"ftyp", b"moov"]:
        raise FormatError(LAYER, f"expected ftyp and moov, got {[kind for kind, _ in top]!r}")
    children = [(kind, bytes(content)) for kind, content in walk(top[1][1], LAYER)]
    mehd = full_box(b"mehd", 1, 0, struct.pack(">Q", duration_ms))  # in the movie's timescale, 1000
    parts = [box(kind, mehd, content) if kind == b"mvex" else box(kind, content) for kind, content in children]
    return box(b"ftyp", bytes(top[0][1])) + box(b"moov", *parts, box(b"udta", _chpl(chapters), _meta(label)))


def original_init(head: bytes) -> bytes:
    """The recording's own init segment out of a head that :func:`export_head` made; any other bytes as they are."""
    try:
        (_, ftyp), (_, moov) = walk(memoryview(head), LAYER)
        children = [(kind, bytes(content)) for kind, content in walk(moov, LAYER)]
        if children[-1][0] != b"udta":
            return head
        parts = [box(kind, _without_length(content)) if kind == b"mvex" else box(kind, content) for kind, content in children[:-1]]
    except (FormatError, ValueError, IndexError):
        return head
    return box(b"ftyp", bytes(ftyp)) + box(b"moov", *parts)


def head_additions(head: bytes) -> list[tuple[str, bytes]]:
    """(name, content) of each thing that such a head adds to the init segment: ``mehd``, ``chpl``, and each item of the metadata by
    its type. Empty for any other bytes; a part that does not parse is given whole, by its own type."""
    if original_init(head) == head:
        return []
    _, (_, moov) = walk(memoryview(head), LAYER)
    children = list(walk(moov, LAYER))
    found = [("mehd", bytes(length)) for kind, mvex in children if kind == b"mvex" for name, length in walk(mvex, LAYER) if name == b"mehd"]
    udta = children[-1][1]
    try:
        for kind, content in walk(udta, LAYER):
            found += _items(content) if kind == b"meta" else [(kind.decode("latin-1"), bytes(content))]
    except FormatError:
        found.append(("udta", bytes(udta)))
    return found


def _items(meta: memoryview) -> list[tuple[str, bytes]]:
    """The metadata's handler and each of its items."""
    found = [("meta", bytes(meta[:4]))] if bytes(meta[:4]) != bytes(4) else []
    for kind, content in walk(meta[4:], LAYER):
        inside = walk(content, LAYER) if kind == b"ilst" else [(kind, content)]
        found += [(_item_name(name, data), bytes(data)) for name, data in inside]
    return found


def _item_name(kind: bytes, item: memoryview) -> str:
    """An item's type, or the name that a freeform one (``----``) gives itself."""
    if kind == b"----":
        names = [bytes(content[4:]) for name, content in walk(item, LAYER) if name == b"name"]
        return names[0].decode("ascii", "backslashreplace") if names else "----"
    return kind.decode("latin-1")


def _without_length(mvex: bytes) -> bytes:
    return b"".join(box(kind, bytes(content)) for kind, content in walk(memoryview(mvex), LAYER) if kind != b"mehd")


def _chpl(chapters: Sequence[Chapter]) -> bytes:
    kept = list(chapters)[:MAX_CHAPTERS]
    rows = []
    for one in kept:
        title = _cut(one.title)
        rows.append(struct.pack(">QB", one.start_us * 10, len(title)) + title)  # 100 ns
    return full_box(b"chpl", 1, 0, bytes(4), bytes((len(kept),)), *rows)


def _text(text: str) -> bytes:
    """A ``data`` box of UTF-8."""
    return box(b"data", struct.pack(">II", 1, 0), text.encode("utf-8"))


def _cut(title: str) -> bytes:
    """UTF-8 of at most 255 bytes, cut between characters."""
    return title.encode("utf-8")[:_MAX_TITLE_BYTES].decode("utf-8", "ignore").encode("utf-8")


def _meta(label: Label) -> bytes:
    """iTunes-style metadata, the kind that every player shows; what it has no type for stands in ``----`` under a name."""
    items = [(b"\xa9nam", label.title), (b"\xa9cmt", label.comment), (b"\xa9day", label.date)]
    ilst = [box(kind, _text(text)) for kind, text in items if text]
    if label.clock:
        ilst.append(box(b"----", full_box(b"mean", 0, 0, b"oathcam"), full_box(b"name", 0, 0, CLOCK.encode("ascii")), _text(label.clock)))
    return full_box(b"meta", 0, 0, full_box(b"hdlr", 0, 0, bytes(4), b"mdirappl", bytes(9)), box(b"ilst", *ilst))
