"""A recording's objects, checked one at a time: sealed bytes, with a recipient's key what they hold, and the signed stream in it.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`. Memory: one fragment, and a hash per file for the receipt.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from cryptography import x509

from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, cms_token, pki
from firmware.evidence.findings import Notebook, Severity
from firmware.evidence.manifest import FragmentRecord, SealedObject, fragment_name
from firmware.evidence.primitives import sha256
from firmware.media.fmp4_read import InitInfo, parse_fragment, parse_init
from firmware.media.nal import split_length_prefixed
from firmware.media.stream_report import GopStatus, StreamReport
from firmware.media.validator import validate_stream

if TYPE_CHECKING:
    from firmware.evidence.verify import OpeningKey, Progress, Source

INIT, NOTES, ASSIGNMENT = "init.mp4.p7m", "notes.json.p7m", "assignment.json.p7m"
_KEY = "Give a recipient's private key with --key."
_OTHER_KEY = "Use the key of one of the recipients that the manifest names."


@dataclass(frozen=True, slots=True)
class Plan:
    """What signed papers say of the objects: by the manifest, or by the leaves of a recording that was not closed.

    ``serial``: whose recording it is. ``others``: sealed SHA-256 and length of what is not media. ``promised``: fragments that have a
    leaf. ``only``: the one fragment to check.
    """

    serial: str
    init: SealedObject | None
    fragments: Sequence[FragmentRecord]
    others: Mapping[str, tuple[str, int]]
    promised: set[int]
    is_open: bool = False
    only: int | None = None


class ObjectCheck:
    """Checks the files of one recording against a :class:`Plan`."""

    def __init__(
        self,
        source: Source,
        recording: str,
        files: set[str],
        roots: Sequence[x509.Certificate],
        key: OpeningKey | None,
        progress: Progress | None,
        book: Notebook,
    ) -> None:
        self._source = source
        self._recording = recording
        self._files = files
        self._roots = roots
        self._key = key
        self._progress = progress
        self._book = book
        self._unusable: list[int] = []
        self._hashes: dict[str, tuple[str, int]] = {}
        self._stranger = False

    def read(self, name: str) -> bytes:
        """A file of the recording; its hash is remembered for the receipt."""
        data = self._source.read(f"vault/{self._recording}/{name}")
        counted = _as_receipted(data) if name.endswith(".p7s") else data
        self._hashes[name] = (sha256(counted).hex(), len(counted))
        return data

    def hash_and_size(self, name: str) -> tuple[str, int]:
        """Hex SHA-256 and length of a file, read at most once."""
        if name not in self._hashes:
            self.read(name)
        return self._hashes[name]

    def run(self, plan: Plan) -> None:
        """Sealed bytes always; plain bytes and the stream with a key."""
        if self._key is None:
            text = "no recipient key given: sealed bytes checked, their content not opened"
            self._book.add(Severity.UNCHECKED, "media", "not-opened", text, remedy=_KEY)
        init = self._init(plan.init)
        if plan.only is not None:
            self._one(plan, init)
            return
        for name, (digest, length) in plan.others.items():
            self._sealed(name, digest, length)
        units = self._access_units(plan, init)
        if self._key is None or init is None:
            for _ in units:
                pass
            return
        report = validate_stream(units, self._roots)
        if self._unusable:
            text = f"not judged: fragment {self._unusable[0]} could not be used, so the stream around it has a hole"
            self._book.add(Severity.UNCHECKED, "stream", "stream-unjudged", text, fragment=self._unusable[0])
            return
        tell_stream(report, plan, self._book)

    def _one(self, plan: Plan, init: InitInfo | None) -> None:
        """One fragment alone: its bytes; the signature of its GOP travels in the next one."""
        record = next((one for one in plan.fragments if one.seq == plan.only), None)
        if record is None:
            text = "no signed object names this fragment"
            self._book.add(Severity.BAD, "manifest", "file-without-leaf", text, file=fragment_name(plan.only or 0), fragment=plan.only or 0)
            return
        for _ in self._fragment(plan, record, init):
            pass
        text = f"of {len(plan.fragments)} fragments one was checked; the verdict speaks of it alone"
        self._book.add(Severity.UNCHECKED, "manifest", "fragment-only", text, fragment=record.seq, utc=record.utc)

    def _init(self, record: SealedObject | None) -> InitInfo | None:
        if record is None:
            return None
        data = self._sealed(INIT, record.sealed_sha256, record.sealed_bytes)
        plain = self._open(data, INIT, record.plain_sha256, record.plain_bytes)
        if plain is None:
            return None
        try:
            return parse_init(plain)
        except FormatError as error:
            self._book.add(Severity.BAD, "media", "media-bad", str(error), file=INIT)
            return None

    def _access_units(self, plan: Plan, init: InitInfo | None) -> Iterator[tuple[bytes, ...]]:
        """Check fragment after fragment; yield the pictures of those that could be opened."""
        total = len(plan.fragments)
        for record in plan.fragments:
            yield from self._fragment(plan, record, init)
            if self._progress is not None:
                self._progress(self._recording, record.seq + 1, total)

    def _fragment(self, plan: Plan, record: FragmentRecord, init: InitInfo | None) -> Iterator[tuple[bytes, ...]]:
        name = fragment_name(record.seq)
        missing = "leaf-without-file" if record.seq in plan.promised else "file-missing"
        data = self._sealed(name, record.sealed_sha256, record.sealed_bytes, record.seq, record.utc, missing)
        plain = self._open(data, name, record.plain_sha256, record.plain_bytes, record.seq, record.utc)
        if plain is None or init is None:
            self._unusable.append(record.seq)
            return
        yield from self._pictures(record, plain, init)

    def _pictures(self, record: FragmentRecord, plain: bytes, init: InitInfo) -> Iterator[tuple[bytes, ...]]:
        try:
            units, sounds = pictures_of(plain, init)
        except FormatError as error:
            self._media_bad(record, str(error))
            self._unusable.append(record.seq)
            return
        if (len(units), sounds) != (record.pictures, record.audio_frames):
            expected = f"{record.pictures} pictures and {record.audio_frames} audio frames"
            self._media_bad(record, f"expected {expected}, got {len(units)} and {sounds}")
        else:
            self._book.good("media", "opened bytes as signed, pictures and audio frames as the manifest counts them")
        yield from units

    def _media_bad(self, record: FragmentRecord, text: str) -> None:
        self._book.add(Severity.BAD, "media", "media-bad", text, fragment_name(record.seq), record.seq, record.utc, gop=record.seq)

    def _sealed(self, name: str, digest: str, length: int, seq: int = -1, utc: str = "", missing: str = "file-missing") -> bytes | None:
        """The file's bytes when they are the ones that the signed papers name."""
        if name not in self._files:
            self._book.add(Severity.BAD, "seal", missing, "the file is missing", name, seq, utc, gop=seq)
            return None
        try:
            data = self.read(name)
        except UnavailableError as error:
            self._book.add(Severity.BAD, "seal", missing, str(error), name, seq, utc, gop=seq)
            return None
        if self._hashes[name] != (digest, length):
            text = "sealed bytes are not the ones that the camera signed"
            self._book.add(Severity.BAD, "seal", "sealed-differs", text, name, seq, utc, gop=seq)
            return None
        self._book.good("seal", "sealed bytes as signed", name, utc)
        return data

    def _open(self, data: bytes | None, name: str, digest: str, length: int, seq: int = -1, utc: str = "") -> bytes | None:
        if data is None or self._key is None or self._stranger:
            return None
        try:
            plain = cms.open_sealed(data, self._key.private_key, self._key.certificate)
        except UnavailableError as error:
            self._stranger = True  # said once: all objects of a recording are sealed to the same recipients
            text = f"{error}: the content was not opened"
            self._book.add(Severity.UNCHECKED, "media", "not-a-recipient", text, name, seq, utc, remedy=_OTHER_KEY)
            return None
        except (FormatError, IntegrityError) as error:
            self._book.add(Severity.BAD, "seal", "does-not-open", str(error), name, seq, utc, gop=seq)
            return None
        if len(plain) != length or sha256(plain).hex() != digest:
            text = "opened bytes are not the ones that the camera signed"
            self._book.add(Severity.BAD, "media", "plain-differs", text, name, seq, utc, gop=seq)
            return None
        return plain


def pictures_of(plain: bytes | memoryview, init: InitInfo) -> tuple[list[tuple[bytes, ...]], int]:
    """The NAL units of each picture of a fragment, and how many audio frames it holds. FormatError when it does not parse."""
    info = parse_fragment(plain, init)
    return [split_length_prefixed(sample.data) for sample in info.video], len(info.audio)


def tell_stream(report: StreamReport, plan: Plan, book: Notebook) -> None:
    """ONVIF Media Signing inside a whole stream. A power cut leaves the last GOP without its SEI; the manifest covers it."""
    fragments = plan.fragments
    starts = list(accumulate((record.pictures for record in fragments), initial=0))
    tail = report.gops - 1 if report.unsigned_tail else -2
    before = len(book.findings())
    for verdict in report.verdicts:
        if verdict.status is GopStatus.VALID or verdict.gop == tail:
            continue
        at = max(0, min(bisect_right(starts, verdict.first_picture) - 1, len(fragments) - 1))
        code = "stream-unsigned" if verdict.status is GopStatus.UNSIGNED else "stream-bad"
        utc = fragments[at].utc if fragments else ""
        book.add(Severity.BAD, "stream", code, verdict.describe(), fragment=at, utc=utc, gop=verdict.gop)
    for counter, text in zip(report.broken_links, report.breaks, strict=True):
        book.add(Severity.BAD, "stream", "stream-bad", text, gop=counter - 1)
    if report.valid_gops and not report.true_beginning:
        text = f"the beginning is missing or not signed: the first GOP with a signature has counter {report.first_counter}"
        book.add(Severity.BAD, "stream", "stream-head", text, gop=0)
    for text in report.notes:
        book.add(Severity.BAD, "stream", "stream-bad", text)
    if plan.serial and report.signer is not None and (signer := pki.common_name(report.signer)) != plan.serial:
        book.add(Severity.BAD, "stream", "signature-bad", f"signed by {signer!r}, in a recording of camera {plan.serial!r}", gop=0)
    if len(book.findings()) > before:
        return
    signed, total = report.valid_gops, report.gops
    if signed != total and not (signed == total - 1 and report.unsigned_tail):
        text = f"only {signed} of {total} GOPs carry a valid ONVIF Media Signing signature"
        book.add(Severity.BAD, "stream", "stream-unsigned", text)
        return
    book.good("stream", f"{signed} of {total} GOPs carry a valid ONVIF Media Signing signature")
    if signed < total:
        text = "the last GOP's signature was not written (it travels in the next); manifest and leaf cover it"
        book.add(Severity.NOTE, "stream", "stream-tail", text, gop=total - 1)


def _as_receipted(signature: bytes) -> bytes:
    """A signature as its signer made it: a time-stamp token came after the receipt. What does not parse stays as it is."""
    try:
        return cms_token.as_signed(signature)
    except FormatError:
        return signature
