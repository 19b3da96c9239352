"""One recording as one MP4 file: written fragment by fragment, then read back and checked picture by picture.

Responsible for the file's bytes and for what must hold of them. Refuses to know verdicts, logs and certificates.

Invariants: a fragment in the file is byte for byte the one whose SHA-256 stands in the manifest; every picture carries its UTC
time in the stream (NIST IR 8161r1; BWC-POL-25, -26), and the first one of each fragment the time that the manifest gives for it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from firmware.custody.clock_bounds import Bounds
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, primitives
from firmware.evidence.film_head import clock_words, head_of
from firmware.evidence.manifest import FragmentRecord, Manifest, fragment_name
from firmware.evidence.verify import OpeningKey
from firmware.media.boxes import box
from firmware.media.fmp4_export import IndexOf, index_bytes
from firmware.media.fmp4_read import InitInfo, parse_fragment, parse_init
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


def write_movie(
    source: DirectorySource,
    manifest: Manifest,
    key: OpeningKey,
    part: Path,
    leave_out: bool,
    advance: Callable[[], None],
    offset: Bounds | None = None,
) -> Movie:
    """Write ``part``, which must not exist; ``offset``: how far the camera's clock was off. IntegrityError or UnavailableError for a
    fragment that is not the manifest's or does not open; with ``leave_out`` it is left out and named instead. OSError as the disk gives
    it."""
    init = open_init(source, manifest, key)
    tracks = parse_init(init)
    kept: list[FragmentRecord] = []
    index = IndexOf()
    left_out: list[tuple[int, str]] = []
    head = head_of(init, manifest, unverified=leave_out, clock=clock_words(manifest, offset))
    with part.open("xb") as file:
        file.write(head + bytes(index_bytes(len(manifest.fragments))))
        for record in manifest.fragments:
            try:
                plain = open_fragment(source, manifest, record, key)
                index.add(parse_fragment(plain, tracks), len(plain))
            except (FormatError, IntegrityError, UnavailableError) as error:
                if not leave_out:
                    raise
                left_out.append((record.seq, str(error)))
                continue
            file.write(plain)
            kept.append(record)
            advance()
        file.seek(len(head))
        file.write(_index_area(index, len(manifest.fragments)))
        file.flush()
        os.fsync(file.fileno())
    if not kept:
        raise UnavailableError(f"{manifest.recording}: no fragment opens, the first one: {left_out[0][1]}")
    return Movie(tracks, tuple(kept), tuple(left_out))


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


def _index_area(index: IndexOf, planned: int) -> bytes:
    """The index in the space left for it; nothing but free space when a fragment is missing."""
    space = index_bytes(planned)
    if len(index) == planned or not space:
        return index.to_bytes()[:space]
    return box(b"free", bytes(space - 8))


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
