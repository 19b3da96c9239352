"""``oathcam open``: one recording, decrypted, as a plain MP4 that any player plays.

The file appears under its name only when every fragment was opened and is what the camera signed for; until then it has the
ending ``.part``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from firmware.errors import IntegrityError, OathcamError, UnavailableError, UsageError
from firmware.evidence import cms
from firmware.evidence.manifest import Manifest, fragment_name
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey
from tools.console import output, progress
from tools.sources import DirectorySource, find_sources, load_key, load_roots


class UnwritableError(OathcamError):
    """The disk would not take a file (full, read-only); nothing is left under its name."""

    def __init__(self, path: str, error: OSError) -> None:
        super().__init__(f"cannot write {path!r}: {error.strerror}", remedy="Free some space, or choose another directory with --output.")


def opened_parts(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> Iterator[tuple[int, bytes]]:
    """(fragment number, plain bytes); -1 is the init segment. IntegrityError when bytes are not the ones in the manifest."""
    base = f"vault/{manifest.recording}"
    if manifest.init is None:
        raise UnavailableError(f"{manifest.recording} holds no picture: power was lost before the first fragment")
    yield -1, _open_one(source, f"{base}/init.mp4.p7m", manifest.init.plain_sha256, key)
    for record in manifest.fragments:
        yield record.seq, _open_one(source, f"{base}/{fragment_name(record.seq)}", record.plain_sha256, key)


def _open_one(source: DirectorySource, name: str, digest: str, key: OpeningKey) -> bytes:
    plain = cms.open_sealed(source.read(name), key.private_key, key.certificate)
    if sha256(plain).hex() != digest:
        raise IntegrityError("media", f"{name} is not what the manifest names")
    return plain


def read_manifest(source: DirectorySource, recording: str, trust: Path | None) -> Manifest:
    """The recording's manifest; with ``trust`` only if a camera of that agency signed it."""
    data = source.read(f"vault/{recording}/manifest.json")
    if trust is not None:
        cms.verify_detached(data, source.read(f"vault/{recording}/manifest.json.p7s"), load_roots(trust))
    return Manifest.from_bytes(data)


def open_recording(source: DirectorySource, recording: str, key: OpeningKey, target: Path, trust: Path | None) -> Manifest:
    """Write ``target``; returns the manifest. Nothing is left under that name when anything fails."""
    manifest = read_manifest(source, recording, trust)
    part = target.with_name(target.name + ".part")
    try:
        with progress() as bars, part.open("xb") as file:
            task = bars.add_task(f"opening {recording}", total=len(manifest.fragments) + 1, note="")
            for _seq, plain in opened_parts(source, manifest, key):
                file.write(plain)
                bars.advance(task)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except FileExistsError:
        raise UsageError(f"{str(part)!r} exists", remedy="Remove it, or choose another name with --output.") from None
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UnwritableError(str(target), error) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return manifest


def read_notes(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> dict[str, Any]:
    """What is sealed beside the pictures: the assignment at activation, and over it the notes of a clean close."""
    found: dict[str, Any] = {}
    for name, sealed in (("assignment.json.p7m", manifest.assignment), ("notes.json.p7m", manifest.notes)):
        if sealed is not None:
            data = source.read(f"vault/{manifest.recording}/{name}")
            if sha256(data).hex() != sealed.sealed_sha256:
                raise IntegrityError("seal", f"{name} of {manifest.recording} is not what the manifest names")
            found |= json.loads(cms.open_sealed(data, key.private_key, key.certificate))
    return found


def open_evidence(
    path: Annotated[Path, typer.Argument(help="A card, a store, or one recording's directory.")],
    key: Annotated[Path, typer.Option(help="A recipient's private key (PEM).")],
    cert: Annotated[Path | None, typer.Option(help="The key's certificate (default: beside the key).")] = None,
    trust: Annotated[Path | None, typer.Option(help="The agency's root: refuse manifests that no camera of it signed.")] = None,
    target: Annotated[Path, typer.Option("--output", "-o", help="Directory for the MP4 files.")] = Path(),
) -> None:
    """Decrypt recordings to plain MP4 files."""
    opener = load_key(key, cert)
    assert opener is not None
    target.mkdir(parents=True, exist_ok=True)
    for source in find_sources(path):
        for recording in source.names("vault"):
            file = target / f"{recording}.mp4"
            if file.exists():
                raise UsageError(f"{str(file)!r} exists", remedy="Choose another directory with --output.")
            manifest = open_recording(source, recording, opener, file, trust)
            seconds = manifest.duration_us / 1e6
            output.print(f"{file}: {seconds:.1f} s, {manifest.pictures} pictures, {file.stat().st_size} bytes", soft_wrap=True)
    if trust is None:
        output.print("[yellow]signatures were not checked: give --trust, or run `oathcam verify`[/]")
