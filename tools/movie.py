"""One recording as one MP4 file: written fragment by fragment, then read back and checked picture by picture.

Responsible for the file's bytes and for what must hold of them. Refuses to know verdicts, logs and certificates.

Invariants: a fragment in the file is byte for byte the one whose SHA-256 stands in the manifest; every picture carries its UTC
time in the stream (NIST IR 8161r1; BWC-POL-25, -26), and the first one of each fragment the time that the manifest gives for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, primitives
from firmware.evidence.manifest import FragmentRecord, Manifest, fragment_name
from firmware.evidence.verify import OpeningKey
from firmware.media.boxes import box
from firmware.media.fmp4_export import MAX_CHAPTERS, Chapter, Label, Reference, export_head, index, index_bytes
from firmware.media.fmp4_read import FragmentInfo, InitInfo, parse_fragment, parse_init
from firmware.media.nal import split_length_prefixed
from firmware.media.time_sei import is_time_sei, parse_time_sei
from firmware.timebase import parse_utc
from tools.sources import DirectorySource


@dataclass(frozen=True, slots=True)
class Movie:
    """What was written: ``fragments`` stand in the file, ``left_out`` are those that could not (with the reason)."""

    tracks: InitInfo
    fragments: tuple[FragmentRecord, ...]
    left_out: tuple[tuple[int, str], ...]


def chapters_of(manifest: Manifest) -> list[Chapter]:
    """The pre-event part, the activation and the wearer's marks, each with its wall time; ``chpl`` holds the first 255."""
    first = manifest.fragments[0]
    pressed_us = max(manifest.begin.boottime_us - first.boottime_us, 0)
    found = [Chapter(0, f"pre-event part, from {_clock(first.utc)}")] if pressed_us else []
    found.append(Chapter(pressed_us, f"activation ({manifest.begin.cause}), {_clock(manifest.begin.utc)}"))
    for number, mark in enumerate(manifest.marks, 1):
        found.append(Chapter(max(mark.boottime_us - first.boottime_us, 0), f"mark {number}, {_clock(mark.utc)}"))
    return sorted(found, key=lambda one: one.start_us)[:MAX_CHAPTERS]


def _clock(utc: str) -> str:
    return f"{utc[:10]} {utc[11:23]} UTC"


def write_movie(
    source: DirectorySource, manifest: Manifest, key: OpeningKey, part: Path, label: Label, leave_out: bool, advance: Callable[[], None]
) -> Movie:
    """Write ``part``, which must not exist. IntegrityError or UnavailableError for a fragment that is not the manifest's or does not
    open; with ``leave_out`` it is left out and named instead. OSError as the disk gives it."""
    init = open_init(source, manifest, key)
    tracks = parse_init(init)
    kept: list[FragmentRecord] = []
    references: list[tuple[int, Reference]] = []
    left_out: list[tuple[int, str]] = []
    head = export_head(init, _duration_ms(manifest), chapters_of(manifest), label)
    with part.open("xb") as file:
        file.write(head + bytes(index_bytes(len(manifest.fragments))))
        for record in manifest.fragments:
            try:
                plain = open_fragment(source, manifest, record, key)
                references.append(_reference(parse_fragment(plain, tracks), len(plain)))
            except (FormatError, IntegrityError, UnavailableError) as error:
                if not leave_out:
                    raise
                left_out.append((record.seq, str(error)))
                continue
            file.write(plain)
            kept.append(record)
            advance()
        file.seek(len(head))
        file.write(_index_area(references, len(manifest.fragments)))
        file.flush()
        os.fsync(file.fileno())
    if not kept:
        raise UnavailableError(f"{manifest.recording}: no fragment opens, the first one: {left_out[0][1]}")
    return Movie(tracks, tuple(kept), tuple(left_out))


def _duration_ms(manifest: Manifest) -> int:
    """From the first picture kept to the end of the last fragment, holes included."""
    first, last = manifest.fragments[0], manifest.fragments[-1]
    return (last.boottime_us + last.duration_us - first.boottime_us + 500) // 1000


def open_init(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> bytes:
    """The init segment. UnavailableError when the recording has none, IntegrityError when it is not the manifest's."""
    if manifest.init is None or not manifest.fragments:
        raise UnavailableError(f"{manifest.recording} holds no picture: power was lost before the first fragment")
    return _open_one(source, f"vault/{manifest.recording}/init.mp4.p7m", manifest.init.plain_sha256, key)


def open_fragment(source: DirectorySource, manifest: Manifest, record: FragmentRecord, key: OpeningKey) -> bytes:
    """One fragment's plain bytes, errors as above."""
    return _open_one(source, f"vault/{manifest.recording}/{fragment_name(record.seq)}", record.plain_sha256, key)


def _open_one(source: DirectorySource, name: str, digest: str, key: OpeningKey) -> bytes:
    plain = cms.open_sealed(source.read(name), key.private_key, key.certificate)
    if primitives.sha256(plain).hex() != digest:
        raise IntegrityError("media", f"{name} is not what the manifest names")
    return plain


def _reference(info: FragmentInfo, size: int) -> tuple[int, Reference]:
    """The fragment's first tick, and its reference with its own length."""
    first, last = info.video[0], info.video[-1]
    return first.tick, Reference(size, last.tick + last.duration - first.tick, first.sync)


def _index_area(found: Sequence[tuple[int, Reference]], planned: int) -> bytes:
    """The index in the space left for it; nothing but free space when a fragment is missing."""
    if len(found) != planned:
        return box(b"free", bytes(index_bytes(planned) - 8))
    ticks = [tick for tick, _ in found]
    ends = [*ticks[1:], ticks[-1] + found[-1][1].ticks]
    rows = [Reference(one.size_bytes, end - tick, one.sync) for (tick, one), end in zip(found, ends, strict=True)]
    return index(rows, ticks[0])


def check_movie(path: Path, movie: Movie, advance: Callable[[], None]) -> str:
    """Read the file back; returns its SHA-256 in hex. IntegrityError names the first thing that is not as it must be.

    The fragments are the file's end: whatever stands before them (head, index, a C2PA manifest) belongs to the export.
    """
    with path.open("rb") as file:
        head_bytes = path.stat().st_size - sum(one.plain_bytes for one in movie.fragments)
        digest = hashlib.sha256(file.read(max(head_bytes, 0)))
        for record in movie.fragments:
            data = file.read(record.plain_bytes)
            digest.update(data)
            if primitives.sha256(data).hex() != record.plain_sha256:
                raise IntegrityError("export", f"fragment {record.seq} in {path.name!r} is not what the manifest names")
            _check_times(data, movie.tracks, record)
            advance()
        if file.read(1):
            raise IntegrityError("export", f"{path.name!r} goes on behind its last fragment")
    return digest.hexdigest()


def _check_times(data: bytes, tracks: InitInfo, record: FragmentRecord) -> None:
    """Each picture says once when it was taken."""
    pictures = parse_fragment(data, tracks).video
    if len(pictures) != record.pictures:
        raise IntegrityError("export", f"fragment {record.seq}: expected {record.pictures} pictures, got {len(pictures)}")
    for number, picture in enumerate(pictures):
        times = [parse_time_sei(nal) for nal in split_length_prefixed(picture.data) if is_time_sei(nal)]
        if len(times) != 1:
            raise IntegrityError("export", f"fragment {record.seq}, picture {number}: expected its time in the stream, got {len(times)}")
        if number == 0 and times[0].wall_us != max(parse_utc(record.utc), 0) // 1000:
            raise IntegrityError("export", f"fragment {record.seq}: its first picture was not taken at {record.utc}")
