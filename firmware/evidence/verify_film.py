"""Plain footage, checked: an MP4 that `oathcam open` wrote, or fragments that somebody decrypted by hand.

Responsible for saying exactly as much as such a file can prove. Alone it shows, by the signatures inside the stream, that each
picture is one that a camera of the agency signed, in its order. It cannot show that nothing is missing at the end, that the sound
is the one recorded, or that the container's times are true: the signed manifest does that. So a film alone is at best *cannot
tell*, with that said; with its manifest it is compared byte for byte and may be *authentic*.

Opens nothing: :class:`Part` by part is handed in, one at a time, and 40 bytes of each are kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, pki
from firmware.evidence.film_head import LENGTH, not_derived
from firmware.evidence.findings import Notebook, RecordingReport, Severity, key_words
from firmware.evidence.manifest import Manifest
from firmware.evidence.primitives import sha256
from firmware.media.fmp4_export import IndexOf, original_init
from firmware.media.fmp4_read import InitInfo, parse_fragment, parse_init
from firmware.media.nal import split_length_prefixed
from firmware.media.stream_report import GopStatus, StreamReport
from firmware.media.validator import StreamValidator
from firmware.timebase import format_utc

_GIVE_MANIFEST = "Give the recording's manifest.json (with manifest.json.p7s beside it) or the dock's store, too."
_GIVE_INIT = "Put init.mp4 beside the fragments."
_GIVE_OPENED = "Give the file as `oathcam open` wrote it, or the sealed recording."


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the film, in the order of the file: ``kind`` is "init", "index" (``sidx``), "fragment", "padding" (zeros), "c2pa",
    "pictures" (NAL units out of another program's container, which comes first as "container"), or "other": any other box."""

    kind: str
    name: str
    data: bytes = b""
    nals: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Papers:
    """A manifest with its signature, not checked yet, and where it lies."""

    place: str
    manifest: bytes
    signature: bytes


@dataclass(slots=True)
class _Seen:
    """What was read: a hash, a time and the number of the first picture of each fragment."""

    names: list[str] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    utc: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    head: bytes | None = None
    init: bytes = b""
    index: bytes | None = None
    places: IndexOf = field(default_factory=IndexOf)
    pictures: int = 0
    broken: int = -1
    is_foreign: bool = False


def verify_film(name: str, parts: Iterable[Part], roots: Sequence[x509.Certificate], papers: Sequence[Papers]) -> RecordingReport:
    """Check one film, or a run of fragments. Never raises for what it finds."""
    book = Notebook(name)
    validator = StreamValidator(roots or None)  # without roots unity can be shown, and not origin
    if not roots:
        book.add(Severity.MISSING, "certificate", "no-root", "no agency root given", remedy="Give the agency's root with --trust.")
    seen = _read(parts, validator, book)
    report = validator.finish()
    found = _paper_of(seen, papers)
    manifest = _checked(found, roots, book) if found is not None else None
    if manifest is None:
        _without_manifest(papers, book)
        if seen.head is not None and seen.head != seen.init:
            text = "title, chapters and length in its head are the export's: no signature covers them"
            book.add(Severity.NOTE, "media", "film-export", text)
    else:
        _against_manifest(seen, manifest, book)
    _tell_stream(report, seen, book, has_manifest=manifest is not None)
    return RecordingReport(name, book.findings(), manifest.as_dict() if manifest is not None else {})


# --- reading


def _read(parts: Iterable[Part], validator: StreamValidator, book: Notebook) -> _Seen:
    seen, init, before = _Seen(), None, ""
    for part in parts:
        match part.kind:
            case "init" if seen.head is None and not seen.hashes:
                init = _init(part, seen, book)
            case "index" if seen.index is None and not seen.hashes:
                seen.index = part.data
            case "fragment":
                _fragment(part, init, seen, validator, book)
            case "pictures":
                seen.pictures += 1
                validator.feed(part.nals)
            case "container" | "c2pa" | "padding" if not seen.hashes and before != "index":
                if part.kind != "padding":
                    book.add(Severity.NOTE, "media", "film-export", f"{part.name}: no signature of the camera covers it")
            case "init" | "index":
                text = f"{part.name} is a second head, or a second index: a player may show by it what the camera did not sign"
                book.add(Severity.BAD, "media", "film-differs", text, file=part.name)
            case _:
                text = f"{part.name} belongs to no film of a camera: what a player makes of it, no signature covers"
                book.add(Severity.MISSING, "media", "film-foreign", text, remedy=_GIVE_OPENED)
        before = part.kind
    _check_index(seen, book)
    return seen


def _init(part: Part, seen: _Seen, book: Notebook) -> InitInfo | None:
    seen.head, seen.init = part.data, original_init(part.data)
    try:
        return parse_init(seen.init)
    except FormatError as error:
        seen.is_foreign = True
        text = f"not an init segment of this camera: {error}"
        book.add(Severity.MISSING, "media", "film-foreign", text, file=part.name, remedy=_GIVE_OPENED)
        return None


def _check_index(seen: _Seen, book: Notebook) -> None:
    """An index, where there is one, leads to the fragments that stand in the file and to nothing else."""
    if seen.index is None or seen.broken >= 0 or seen.is_foreign:
        return
    if seen.index == seen.places.to_bytes():
        book.good("media", "the index leads to the fragments that follow it")
    else:
        text = "the index leads elsewhere than to the fragments that follow it: a player may leave some out"
        book.add(Severity.BAD, "media", "film-differs", text)


def _fragment(part: Part, init: InitInfo | None, seen: _Seen, validator: StreamValidator, book: Notebook) -> None:
    number = len(seen.hashes)
    seen.names.append(part.name)
    seen.hashes.append(sha256(part.data))
    seen.starts.append(seen.pictures)
    seen.utc.append("")
    if init is None:
        if number == 0 and not seen.is_foreign:
            text = "there is no init segment: the fragment can be compared, and not read"
            book.add(Severity.UNCHECKED, "media", "no-init", text, file=part.name, remedy=_GIVE_INIT)
        return
    try:
        info = parse_fragment(part.data, init)
        units = [split_length_prefixed(sample.data) for sample in info.video]
    except FormatError as error:
        seen.broken = number if seen.broken < 0 else seen.broken
        book.add(Severity.BAD, "media", "media-bad", str(error), file=part.name, fragment=number)
        return
    seen.utc[-1] = format_utc(info.wall_ns)
    seen.places.add(info, len(part.data))
    seen.pictures += len(units)
    for nals in units:
        validator.feed(nals)


# --- the manifest


def _paper_of(seen: _Seen, papers: Sequence[Papers]) -> tuple[Papers, Manifest] | None:
    """The manifest that names most of these fragments: by hash, or, where every byte differs, by the time at which they begin."""
    best: tuple[int, Papers, Manifest] | None = None
    hashes, times = Counter(one.hex() for one in seen.hashes), {one for one in seen.utc if one}
    for paper in papers:
        try:
            manifest = Manifest.from_bytes(paper.manifest)
        except FormatError:
            continue
        by_hash = sum(record.plain_sha256 in hashes for record in manifest.fragments)
        score = by_hash * 1000 or sum(record.utc in times for record in manifest.fragments)
        if score and (best is None or score > best[0]):
            best = (score, paper, manifest)
    return None if best is None else best[1:]


def _checked(found: tuple[Papers, Manifest], roots: Sequence[x509.Certificate], book: Notebook) -> Manifest | None:
    paper, manifest = found
    try:
        signer = cms.verify_detached(paper.manifest, paper.signature, roots, pki.Role.CAMERA)
    except UnavailableError as error:
        book.add(Severity.MISSING, "manifest", "no-root", str(error), file=paper.place, remedy=error.remedy)
        return None
    except (FormatError, IntegrityError) as error:
        book.add(Severity.BAD, "manifest", "signature-bad", str(error), file=paper.place)
        return None
    book.good("manifest", f"signed by camera {pki.common_name(signer.certificate)!r}", file=paper.place)
    book.add(Severity.NOTE, "certificate", "key-protection", f"the camera states that {key_words(manifest.key_protection)}")
    return manifest


def _without_manifest(papers: Sequence[Papers], book: Notebook) -> None:
    given = "none of the manifests given names this film" if papers else "there is no manifest beside it"
    text = f"{given}: that nothing is missing at its end, its sound and its container's times cannot be told"
    book.add(Severity.MISSING, "manifest", "no-manifest", text, remedy=_GIVE_MANIFEST)


def _against_manifest(seen: _Seen, manifest: Manifest, book: Notebook) -> None:
    """The film's fragments are the manifest's, in order, unchanged: all of them, or an excerpt that says so."""
    if manifest.init is not None and seen.head is not None:
        _head_against_manifest(seen.head, seen.init, manifest, manifest.init.plain_sha256, book)
    places = {record.plain_sha256: record for record in manifest.fragments}
    expected: int | None = None
    first = -1
    for number, digest in enumerate(seen.hashes):
        record = places.get(digest.hex())
        if record is None:
            text = "not what the manifest names: picture, sound, times or container were changed"
            book.add(Severity.BAD, "media", "film-differs", text, seen.names[number], number, seen.utc[number])
            expected = None if expected is None else expected + 1
            continue
        first = record.seq if first < 0 else first
        if expected is not None and record.seq != expected:
            text = f"fragment {record.seq} stands where fragment {expected} should"
            book.add(Severity.BAD, "media", "film-differs", text, seen.names[number], record.seq, record.utc)
        else:
            book.good("media", "plain bytes as the manifest names them")
        expected = record.seq + 1
    if len(seen.hashes) < len(manifest.fragments):
        text = f"an excerpt: {len(seen.hashes)} of {len(manifest.fragments)} fragments, from number {max(first, 0)} on"
        book.add(Severity.UNCHECKED, "manifest", "fragment-only", text, fragment=max(first, 0))


def _head_against_manifest(head: bytes, init: bytes, manifest: Manifest, digest: str, book: Notebook) -> None:
    """Tracks as signed; length, title and chapters as the manifest gives them, or nobody's word."""
    if sha256(init).hex() != digest:
        book.add(Severity.BAD, "media", "film-differs", "the init segment is not the one that the manifest names")
        return
    added = not_derived(head, init, manifest)
    if LENGTH in added:
        text = "the length in its head is not the recording's: a player may end early"
        book.add(Severity.BAD, "media", "film-differs", text)
    elif added:
        text = f"in its head {', '.join(added)}: not derived from the manifest, and no signature covers it"
        book.add(Severity.NOTE, "media", "film-export", text)
    elif head != init:
        book.good("media", "title, chapters and length are those that the manifest gives")


# --- the stream


def _tell_stream(report: StreamReport, seen: _Seen, book: Notebook, *, has_manifest: bool) -> None:
    """``has_manifest``: it names what is missing at either end; the stream need not."""
    if not report.gops or (report.signer is None and report.gops == 1 and not report.notes):
        if report.gops:
            text = "the signature over its pictures travels in the next fragment"
            book.add(Severity.UNCHECKED, "stream", "stream-tail", text, gop=0, remedy="Give the fragments around it, too.")
        return
    if seen.broken >= 0:
        book.add(Severity.UNCHECKED, "stream", "stream-unjudged", "not judged: a fragment in it could not be read", fragment=seen.broken)
        return
    tail = report.gops - 1 if report.unsigned_tail else -2
    bad = [one for one in report.verdicts if one.status is not GopStatus.VALID and one.gop != tail]
    for verdict in bad:
        at = bisect_right(seen.starts, verdict.first_picture) - 1  # -1: a film without fragments
        utc = seen.utc[at] if at >= 0 else ""
        code = "stream-unsigned" if verdict.status is GopStatus.UNSIGNED else "stream-bad"
        book.add(Severity.BAD, "stream", code, verdict.describe(), fragment=at, utc=utc, gop=verdict.gop)
    for text in report.breaks:
        book.add(Severity.BAD, "stream", "stream-bad", text)
    if report.valid_gops and not bad and not report.breaks:
        text = f"{report.valid_gops} of {report.gops} GOPs carry a valid ONVIF Media Signing signature of {_signer(report, book)!r}"
        book.good("stream", text)
    _tell_ends(report, book, has_manifest=has_manifest)


def _signer(report: StreamReport, book: Notebook) -> str:
    """The name in the stream's certificate; one that is no camera's is a finding."""
    try:
        assert report.signer is not None
        if report.chain_checked:
            pki.check_role(report.signer, pki.Role.CAMERA)
        return pki.common_name(report.signer)
    except (FormatError, IntegrityError) as error:
        severity = Severity.BAD if report.chain_checked else Severity.NOTE
        book.add(severity, "stream", "signature-bad", f"the stream is not signed by a camera: {error}")
        return "unknown"


def _tell_ends(report: StreamReport, book: Notebook, *, has_manifest: bool) -> None:
    severity = Severity.NOTE if has_manifest else Severity.UNCHECKED
    if report.valid_gops and not report.true_beginning:
        text = f"it does not begin where the camera began: its first signed GOP has counter {report.first_counter}"
        book.add(severity, "stream", "stream-head", text, gop=0)
    if report.unsigned_tail:
        text = f"the last of {report.gops} GOPs carries no signature: it travels in the next, which is not in this file"
        book.add(severity, "stream", "stream-tail", text, gop=report.gops - 1)
    for text in report.notes:
        book.add(Severity.BAD, "stream", "stream-bad", text)
