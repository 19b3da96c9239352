"""``oathcam open``: what may leave in clear, on what terms, and who will be able to tell later.

A recording is verified first, everything that the verifier can check; a finding against it, or something missing, refuses it,
and no file is left. Every file made of a dock's store is written into that store's export log before it gets its name: an entry
may be without its file, a file is never without its entry.
"""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from rich.markup import escape

import firmware
from firmware.custody.clock_bounds import Bounds
from firmware.custody.exports import MAX_WORDS, ExportEntry
from firmware.errors import FormatError, IntegrityError, OathcamError, UnavailableError, UsageError, escaped
from firmware.evidence import pki
from firmware.evidence.findings import RecordingReport, Severity
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.evidence.verify_ledger import Witnesses
from firmware.evidence.verify_store import with_store
from firmware.timebase import format_utc
from tools.c2pa_release import Publisher, load_publisher, sign_release
from tools.console import errors, output, progress
from tools.export_log import append_export
from tools.movie import Movie, check_movie
from tools.opening import Opened, make_movie, read_manifest
from tools.sources import DirectorySource, find_sources, load_key, load_roots
from tools.verifying import parse_witnesses

_REMEDY = "Run `oathcam verify` for all findings; --unverified makes a file that says in its name what it is."


@dataclass(frozen=True, slots=True)
class Terms:
    """Who opens, with which key, trusting which roots; ``unverified`` opens what fails a check, too, under a name that says so."""

    key: OpeningKey
    roots: list[x509.Certificate]
    who: str
    reason: str = ""
    unverified: bool = False
    publisher: Publisher | None = None
    """Signs what is released as C2PA."""
    docks: Mapping[str, bytes] = field(default_factory=dict)
    """Witness keys by name: what they cosigned narrows how far the camera's clock was off."""


def export(source: DirectorySource, recording: str, target: Path, terms: Terms) -> Opened:
    """One recording into the directory ``target``. Raises what keeps it from leaving; then no file is left."""
    manifest = read_manifest(source, recording, None)  # the verifier says who signed it
    offset: Bounds | None = None
    said: tuple[str, ...] = ()
    try:
        checked = _refuse_unless_authentic(source, manifest, recording, terms)
        offset, said = checked.offset, tuple(one.text for one in checked.findings if one.code in ("annotation", "critical"))
        unverified = False
    except (IntegrityError, UnavailableError) as error:
        if not terms.unverified:
            raise
        errors.print(f"[yellow]unverified:[/] {error}", soft_wrap=True, highlight=False)
        unverified = True
    file = target_of(target, recording, unverified)
    if file.exists():
        raise UsageError(f"{str(file)!r} exists", remedy="Choose another directory with --output.")

    def finish(part: Path, movie: Movie, digest: str) -> str:
        if terms.publisher is not None:
            signature = source.read(f"vault/{recording}/manifest.json.p7s")
            sign_release(part, manifest, signature, terms.publisher)
            digest = check_movie(part, movie, lambda: None)
        _log(source, manifest, terms, file.name, part.stat().st_size, digest, unverified)
        return digest

    made = make_movie(source, manifest, terms.key, file, leave_out=unverified, offset=offset, finish=finish)
    return replace(made, said=said)


def target_of(directory: Path, recording: str, unverified: bool) -> Path:
    """The name says what the file is worth."""
    return directory / (f"{recording}.unverified.mp4" if unverified else f"{recording}.mp4")


def _refuse_unless_authentic(source: DirectorySource, manifest: Manifest, recording: str, terms: Terms) -> RecordingReport:
    """The verifier's first finding against this recording, or against the device, as an error; else what it says of the recording."""
    with progress() as bars:
        task = bars.add_task("verifying", total=None, note="")

        def show(name: str, done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, note=escape(escaped(name)))

        device = verify_device(source, terms.roots, terms.key, show, Witnesses(docks=terms.docks), recording)
        report = with_store(device, source, terms.roots)
    findings = [*report.findings, *report.recordings[0].findings]
    for severity in (Severity.BAD, Severity.MISSING):
        found = [one for one in findings if one.severity is severity]
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise _refusal(severity, f"{recording} is not opened: {found[0].sentence()}{more}")
    if report.recordings[0].facts != manifest.as_dict():
        raise _refusal(Severity.BAD, f"{recording} is not opened: its manifest changed while it was read")
    return report.recordings[0]


def _refusal(severity: Severity, text: str) -> OathcamError:
    return IntegrityError("export", text, remedy=_REMEDY) if severity is Severity.BAD else UnavailableError(text, remedy=_REMEDY)


def _log(source: DirectorySource, manifest: Manifest, terms: Terms, name: str, size: int, digest: str, unverified: bool) -> None:
    """Into the store's export log, or a sentence why not: evidence handed over on a read-only disc can be opened all the same."""

    def entry(number: int, previous: str) -> ExportEntry:
        return ExportEntry(
            n=number,
            previous=previous,
            utc=format_utc(time.time_ns()),
            who=terms.who,
            reason=terms.reason or None,
            recording=manifest.recording,
            manifest_sha256=sha256(manifest.to_bytes()).hex(),
            verdict="unverified" if unverified else "authentic",
            file=name,
            sha256=digest,
            file_bytes=size,
            recipient=pki.key_id(terms.key.certificate),
            c2pa=terms.publisher is not None,
            tool=f"oathcam {firmware.__version__}",
        )

    why = append_export(source.root, entry)
    if why:
        errors.print(f"[yellow]not in an export log:[/] {why}", soft_wrap=True, highlight=False)


def open_evidence(
    path: Annotated[Path, typer.Argument(help="A card, a store, or one recording's directory.")],
    key: Annotated[Path, typer.Option(help="A recipient's private key (PEM).")],
    cert: Annotated[Path | None, typer.Option(help="The key's certificate (default: beside the key).")] = None,
    trust: Annotated[Path | None, typer.Option(help="The agency's root: nothing is opened that no camera of it signed.")] = None,
    target: Annotated[Path, typer.Option("--output", "-o", help="Directory for the MP4 files.")] = Path(),
    unverified: Annotated[bool, typer.Option("--unverified", help="Open what fails a check, too, as *.unverified.mp4.")] = False,
    who: Annotated[str, typer.Option(help="Who opens, for the store's export log (default: the user's name).")] = "",
    reason: Annotated[str, typer.Option(help="Why, for the store's export log.")] = "",
    witness: Annotated[list[str] | None, typer.Option(help="NAME=KEY: a dock's witness key, for the camera's clock offset.")] = None,
    c2pa: Annotated[bool, typer.Option("--c2pa", help="For the public: add a C2PA manifest, signed by the agency.")] = False,
    c2pa_cert: Annotated[Path | None, typer.Option(help="The agency's certificate for it (publisher.crt).")] = None,
    c2pa_key: Annotated[Path | None, typer.Option(help="Its private key (publisher.key).")] = None,
) -> None:
    """Verify recordings and decrypt them to MP4 files; what does not verify is refused, and leaves no file."""
    opener = load_key(key, cert)
    assert opener is not None
    if trust is None and not unverified:
        raise UsageError("without the agency's root nothing can be verified", remedy="Give --trust ROOT, or --unverified.")
    publisher = _publisher(c2pa, c2pa_cert, c2pa_key, unverified)
    docks = parse_witnesses(witness or [])
    terms = Terms(opener, load_roots(trust), _fit("--who", who or _user()), _fit("--reason", reason), unverified, publisher, docks)
    target.mkdir(parents=True, exist_ok=True)
    found = [(source, recording) for source in find_sources(path) for recording in source.names("vault")]
    if not found:
        raise UsageError(f"{str(path)!r} holds no recording", remedy="Give a card or a store that holds recordings.")
    for _, recording in found:
        file = target_of(target, recording, unverified=False)
        if file.exists():
            raise UsageError(f"{str(file)!r} exists", remedy="Choose another directory with --output.")
    refused: list[OathcamError] = []
    for source, recording in found:
        try:
            _say(export(source, recording, target, terms))
        except (FormatError, IntegrityError, UnavailableError) as error:
            refused.append(error)
    for other in refused[1:]:
        errors.print(str(other), soft_wrap=True, highlight=False, markup=False)
    if refused:
        raise refused[0]


def _fit(option: str, text: str) -> str:
    """What the export log can hold: found out before anything is opened, so that no text keeps an export out of it."""
    if len(text) > MAX_WORDS or not text.isprintable():
        raise UsageError(f"expected at most {MAX_WORDS} printable characters for {option}, got {text!r}")
    return text


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return f"user {os.getuid()}"


def _publisher(wanted: bool, certificate: Path | None, key: Path | None, unverified: bool) -> Publisher | None:
    if not wanted and certificate is None and key is None:
        return None
    if not wanted or certificate is None or key is None:
        raise UsageError("a C2PA release needs --c2pa, --c2pa-cert and --c2pa-key", remedy="Give all three.")
    if unverified:
        raise UsageError("an agency does not sign what was not verified", remedy="Leave --unverified or --c2pa out.")
    return load_publisher(certificate, key)


def _say(opened: Opened) -> None:
    seconds = sum(one.duration_us for one in opened.movie.fragments) / 1e6
    pictures = sum(one.pictures for one in opened.movie.fragments)
    size = opened.file.stat().st_size
    output.print(f"{opened.file}: {seconds:.1f} s, {pictures} pictures, {size} bytes, SHA-256 {opened.sha256}", soft_wrap=True)
    for words in opened.said:
        output.print(f"  {words}", soft_wrap=True, highlight=False, markup=False)
    for seq, why in opened.movie.left_out:
        errors.print(f"  fragment {seq} left out: {why}", soft_wrap=True, highlight=False, markup=False)
