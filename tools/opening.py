"""One recording, decrypted, as a plain MP4 that any player plays.

The file appears under its name only when every fragment was opened, is what the camera signed for, and was read back; until
then it has the ending ``.part``. Whether a recording may be opened is decided before (:mod:`tools.export`).
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.custody.clock_bounds import Bounds
from firmware.errors import IntegrityError, OathcamError, UsageError
from firmware.evidence import cms, pki
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey
from tools.console import progress
from tools.movie import Movie, check_movie, open_fragment, open_init, write_movie
from tools.sources import DirectorySource, load_roots


class UnwritableError(OathcamError):
    """The disk would not take a file (full, read-only); nothing is left under its name."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"cannot write {path!r}: {error.strerror}", remedy="Free some space, or choose another directory with --output.")


@dataclass(frozen=True, slots=True)
class Opened:
    """One file that was made: where, its SHA-256 in hex, and what stands in it. ``said``: what the wearer answered about the recording,
    as the verifier tells it; nothing of a recording that did not verify."""

    file: Path
    sha256: str
    manifest: Manifest
    movie: Movie
    said: tuple[str, ...] = ()


Finish = Callable[[Path, Movie, str], str]
"""Called with the ``.part`` file, what stands in it and its SHA-256, before it gets its name; returns the SHA-256 that it then has."""


def read_manifest(source: DirectorySource, recording: str, trust: Path | None) -> Manifest:
    """The recording's manifest; with ``trust`` only if a camera of that agency signed it."""
    data = source.read(f"vault/{recording}/manifest.json")
    if trust is not None:
        cms.verify_detached(data, source.read(f"vault/{recording}/manifest.json.p7s"), load_roots(trust), pki.Role.CAMERA)
    return Manifest.from_bytes(data)


def opened_parts(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> Iterator[tuple[int, bytes]]:
    """(fragment number, plain bytes); -1 is the init segment. IntegrityError when bytes are not the ones in the manifest."""
    yield -1, open_init(source, manifest, key)
    for record in manifest.fragments:
        yield record.seq, open_fragment(source, manifest, record, key)


def open_recording(source: DirectorySource, recording: str, key: OpeningKey, target: Path, trust: Path | None) -> Manifest:
    """Write ``target``; returns the manifest. Nothing is left under that name when anything fails."""
    return make_movie(source, read_manifest(source, recording, trust), key, target).manifest


def make_movie(
    source: DirectorySource,
    manifest: Manifest,
    key: OpeningKey,
    target: Path,
    *,
    leave_out: bool = False,
    offset: Bounds | None = None,
    finish: Finish = lambda part, movie, digest: digest,
) -> Opened:
    """Write ``target`` and read it back; with ``leave_out`` without the fragments that do not open. ``offset``: how
    far the camera's clock was off, where it is known. Nothing is left under that name
    when anything fails, ``finish`` included."""
    part = target.with_name(target.name + ".part")
    with _temporary(part, target), progress() as bars:
        task = bars.add_task(f"opening {manifest.recording}", total=2 * len(manifest.fragments), note="")
        movie = write_movie(source, manifest, key, part, leave_out, lambda: bars.advance(task), offset)
        digest = finish(part, movie, check_movie(part, movie, lambda: bars.advance(task)))
        part.rename(target)
    return Opened(target, digest, manifest, movie)


@contextmanager
def _temporary(part: Path, target: Path) -> Iterator[None]:
    """What is written under ``part`` is gone again when anything fails."""
    try:
        yield
    except FileExistsError:
        raise UsageError(f"{str(part)!r} exists", remedy="Remove it, or choose another name with --output.") from None
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UnwritableError(str(target), error) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_notes(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> dict[str, Any]:
    """What is sealed beside the pictures: the assignment at activation, and over it the notes of a clean close."""
    found: dict[str, Any] = {}
    for name, sealed in (("assignment.json.p7m", manifest.assignment), ("notes.json.p7m", manifest.notes)):
        if sealed is not None:
            data = source.read(f"vault/{manifest.recording}/{name}")
            if sha256(data).hex() != sealed.sealed_sha256:
                raise IntegrityError("seal", f"{name} of {manifest.recording} is not what the manifest names")
            found |= json.loads(cms.open_sealed(data, key.private_key, key.certificate))
    return found | _officer(found.pop("officer_sealed", None), key)


def _officer(sealed: object, key: OpeningKey) -> dict[str, Any]:
    """Who wore it: sealed once more, by the dock that assigned the camera, which itself never knew the name (BWC-POL-30)."""
    if not isinstance(sealed, str):
        return {}
    words = json.loads(cms.open_sealed(b64decode(sealed), key.private_key, key.certificate))
    return {name: words[name] for name in ("officer", "tag") if words.get(name)}
