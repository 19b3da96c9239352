"""One recording, checked: signatures, completeness, leaves, sealed bytes, and, with a recipient's key, what they hold.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509

from firmware.custody.entries import Entry
from firmware.custody.receipt import Receipt, check_receipt
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.evidence import cms, cms_token, pki
from firmware.evidence.findings import Finding, Severity, key_words
from firmware.evidence.manifest import Begin, FragmentRecord, Manifest
from firmware.evidence.primitives import sha256
from firmware.media.fmp4_read import InitInfo, parse_fragment, parse_init
from firmware.media.nal import split_length_prefixed
from firmware.media.validator import validate_stream

if TYPE_CHECKING:
    from firmware.evidence.verify import OpeningKey, Progress, Source


class RecordingCheck:
    """Checks one recording; :meth:`run` returns findings and facts. ``leaves`` is ``None`` when there is no ledger."""

    def __init__(
        self,
        source: Source,
        recording: str,
        roots: Sequence[x509.Certificate],
        key: OpeningKey | None,
        leaves: tuple[Entry, ...] | None,
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._recording = recording
        self._roots = roots
        self._key = key
        self._leaves = leaves
        self._progress = progress
        self._findings: list[Finding] = []
        self._unusable: list[int] = []
        self._files = set(source.names(f"vault/{recording}"))

    def run(self) -> tuple[tuple[Finding, ...], dict[str, Any]]:
        manifest = self._signed_manifest()
        if manifest is None:
            return tuple(self._findings), {}
        self._begin(manifest)
        self._strangers(manifest)
        if self._leaves is not None:
            self._against_leaves(manifest, self._leaves)
        self._objects(manifest)
        self._facts_to_note(manifest)
        self._receipt(manifest)
        return tuple(self._findings), manifest.as_dict()

    def _signed_manifest(self) -> Manifest | None:
        data = self._signed("manifest.json", "manifest")
        if data is None:
            return None
        try:
            manifest = Manifest.from_bytes(data)
        except FormatError as error:
            self._add(Severity.BAD, "manifest", str(error), file="manifest.json")
            return None
        if manifest.recording != self._recording:
            self._add(Severity.BAD, "manifest", f"it is the manifest of {manifest.recording!r}", file="manifest.json")
            return None
        return manifest

    def _signed(self, name: str, layer: str) -> bytes | None:
        """Bytes of a document whose detached signature by a camera of the agency holds; else ``None`` and a finding."""
        absent = [one for one in (name, f"{name}.p7s") if one not in self._files]
        if absent:
            self._add(Severity.BAD if self._promised_end() else Severity.MISSING, layer, f"{absent[0]} is not there", file=absent[0])
            return None
        try:
            data = self._read(name)
            signer = cms.verify_detached(data, self._read(f"{name}.p7s"), self._roots, pki.Role.CAMERA)
        except UnavailableError as error:
            self._add(Severity.MISSING, layer, str(error), file=f"{name}.p7s")
            return None
        except (FormatError, IntegrityError) as error:
            self._add(Severity.BAD, layer, str(error), file=name)
            return None
        self._add(Severity.GOOD, layer, f"signed by camera {pki.common_name(signer.certificate)!r}", file=name)
        if signer.clock_was_behind:
            self._add(Severity.NOTE, layer, "the camera's clock had never been set when it signed", file=name)
        return data

    def _promised_end(self) -> bool:
        return any(entry.kind == "end" for entry in self._leaves or ())

    def _begin(self, manifest: Manifest) -> None:
        data = self._signed("begin.json", "begin")
        if data is None:
            return
        if sha256(data).hex() != manifest.begin_sha256:
            self._add(Severity.BAD, "begin", "begin.json is not the one that the manifest names", file="begin.json")
            return
        try:
            begin = Begin.from_bytes(data)
        except FormatError as error:
            self._add(Severity.BAD, "begin", str(error), file="begin.json")
            return
        said = (begin.recording, begin.device, begin.assignment, begin.key_protection)
        if said != (manifest.recording, manifest.device, manifest.assignment, manifest.key_protection):
            self._add(Severity.BAD, "begin", "begin.json and manifest.json speak of different recordings", file="begin.json")

    def _strangers(self, manifest: Manifest) -> None:
        """Every file is named by a signed object (W2)."""
        known = {"begin.json", "begin.json.p7s", "manifest.json", "manifest.json.p7s"}
        known |= {name for name, _ in _sealed_objects(manifest)}
        for name in sorted(self._files - known):
            self._add(Severity.BAD, "manifest", "a file that no signed object names", file=name)

    def _against_leaves(self, manifest: Manifest, leaves: Sequence[Entry]) -> None:
        """The ledger tells of the same recording: begin, every fragment, the end, every drop (house law 2)."""
        by_kind: dict[str, list[Entry]] = {}
        for entry in leaves:
            by_kind.setdefault(entry.kind, []).append(entry)
        begins = [entry.fields["begin_sha256"] for entry in by_kind.get("begin", [])]
        self._expect("ledger", "begin leaf", begins, [manifest.begin_sha256])
        manifests = [entry.fields["manifest_sha256"] for entry in by_kind.get("end", [])]
        self._expect("ledger", "end leaf", manifests, [sha256(manifest.to_bytes()).hex()])
        told = {entry.fields["seq"]: entry for entry in by_kind.get("fragment", [])}
        for record in manifest.fragments:
            leaf = told.pop(record.seq, None)
            if leaf is None:
                self._fragment_finding(record, Severity.BAD, "ledger", "has no leaf: it was never promised")
            elif (leaf.fields["sealed"], leaf.fields["plain"]) != (record.sealed_sha256, record.plain_sha256):
                self._fragment_finding(record, Severity.BAD, "ledger", "manifest and leaf differ")
        for seq in sorted(told):
            self._add(
                Severity.BAD, "ledger", "promised by a leaf, and not in the manifest", fragment=seq, utc=told[seq].fields["start_utc"]
            )
        for boot in by_kind.get("boot", []):
            self._expect("ledger", "key protection", boot.fields["key_protection"], manifest.key_protection)
        self._expect("ledger", "gaps", len(by_kind.get("drop", [])), len(manifest.gaps))
        self._expect("ledger", "marks", len(by_kind.get("mark", [])), len(manifest.marks))

    def _expect(self, layer: str, what: str, got: object, expected: object) -> None:
        if got == expected:
            self._add(Severity.GOOD, layer, f"{what} agrees with the manifest")
        else:
            self._add(Severity.BAD, layer, f"{what}: expected {expected!r}, got {got!r}")

    def _objects(self, manifest: Manifest) -> None:
        """Sealed bytes always; plain bytes and the stream with a key."""
        init = self._init(manifest)
        key = self._key
        if key is None:
            self._add(Severity.UNCHECKED, "media", "no recipient key given: sealed bytes checked, their content not opened")
        if manifest.notes is not None:
            self._sealed("notes.json.p7m", manifest.notes.sealed_sha256, manifest.notes.sealed_bytes, -1, "")
        if manifest.assignment is not None:
            self._sealed("assignment.json.p7m", manifest.assignment.sealed_sha256, manifest.assignment.sealed_bytes, -1, "")
        units = self._access_units(manifest, init)
        if key is None or init is None:
            for _ in units:
                pass
            return
        self._stream(units)

    def _init(self, manifest: Manifest) -> InitInfo | None:
        record = manifest.init
        if record is None:
            return None
        data = self._sealed("init.mp4.p7m", record.sealed_sha256, record.sealed_bytes, -1, "")
        plain = self._open(data, "init.mp4.p7m", record.plain_sha256, record.plain_bytes, -1, "")
        if plain is None:
            return None
        try:
            return parse_init(plain)
        except FormatError as error:
            self._add(Severity.BAD, "media", str(error), file="init.mp4.p7m")
            return None

    def _access_units(self, manifest: Manifest, init: InitInfo | None) -> Iterator[tuple[bytes, ...]]:
        """Check fragment after fragment; yield the pictures of those that could be opened."""
        total = len(manifest.fragments)
        for record in manifest.fragments:
            name = f"{record.seq:06d}.m4s.p7m"
            data = self._sealed(name, record.sealed_sha256, record.sealed_bytes, record.seq, record.utc)
            plain = self._open(data, name, record.plain_sha256, record.plain_bytes, record.seq, record.utc)
            if plain is not None and init is not None:
                yield from self._pictures(record, plain, init)
            else:
                self._unusable.append(record.seq)
            if self._progress is not None:
                self._progress(self._recording, record.seq + 1, total)

    def _pictures(self, record: FragmentRecord, plain: bytes, init: InitInfo) -> Iterator[tuple[bytes, ...]]:
        try:
            info = parse_fragment(plain, init)
            units = [tuple(split_length_prefixed(sample.data)) for sample in info.video]
        except FormatError as error:
            self._fragment_finding(record, Severity.BAD, "media", str(error))
            self._unusable.append(record.seq)
            return
        if (len(info.video), len(info.audio)) != (record.pictures, record.audio_frames):
            expected = f"{record.pictures} pictures and {record.audio_frames} audio frames"
            self._fragment_finding(record, Severity.BAD, "media", f"expected {expected}, got {len(info.video)} and {len(info.audio)}")
        else:
            self._fragment_finding(record, Severity.GOOD, "media", "pictures and audio frames as the manifest counts them")
        yield from units

    def _sealed(self, name: str, digest: str, length: int, seq: int, utc: str) -> bytes | None:
        """The file's bytes when they are the ones that the manifest names."""
        if name not in self._files:
            self._add(Severity.BAD, "seal", "the file is missing", file=name, fragment=seq, utc=utc)
            return None
        try:
            data = self._read(name)
        except UnavailableError as error:
            self._add(Severity.BAD, "seal", str(error), file=name, fragment=seq, utc=utc)
            return None
        if len(data) != length or sha256(data).hex() != digest:
            self._add(Severity.BAD, "seal", "sealed bytes are not the ones that the camera signed", file=name, fragment=seq, utc=utc)
            return None
        self._add(Severity.GOOD, "seal", "sealed bytes as signed", file=name, fragment=seq, utc=utc)
        return data

    def _open(self, data: bytes | None, name: str, digest: str, length: int, seq: int, utc: str) -> bytes | None:
        if data is None or self._key is None:
            return None
        try:
            plain = cms.open_sealed(data, self._key.private_key, self._key.certificate)
        except UnavailableError as error:
            self._add(Severity.UNCHECKED, "media", str(error), file=name, fragment=seq, utc=utc)
            return None
        except (FormatError, IntegrityError) as error:
            self._add(Severity.BAD, "seal", str(error), file=name, fragment=seq, utc=utc)
            return None
        if len(plain) != length or sha256(plain).hex() != digest:
            self._add(Severity.BAD, "media", "opened bytes are not the ones that the camera signed", file=name, fragment=seq, utc=utc)
            return None
        return plain

    def _stream(self, units: Iterator[tuple[bytes, ...]]) -> None:
        """ONVIF Media Signing inside the stream. A power cut leaves the last GOP without its SEI; the manifest covers it."""
        report = validate_stream(units, self._roots)
        if self._unusable:
            text = f"not judged: fragment {self._unusable[0]} could not be used, so the stream around it has a hole"
            self._add(Severity.UNCHECKED, "stream", text, fragment=self._unusable[0])
            return
        for text in report.problems():
            self._add(Severity.BAD, "stream", text)
        if report.problems():
            return
        signed, total = report.valid_gops, report.gops
        if signed == total or (signed == total - 1 and report.unsigned_tail):
            self._add(Severity.GOOD, "stream", f"{signed} of {total} GOPs carry a valid ONVIF Media Signing signature")
        else:
            self._add(Severity.BAD, "stream", f"only {signed} of {total} GOPs carry a valid ONVIF Media Signing signature")
        if signed < total and report.unsigned_tail:
            self._add(
                Severity.NOTE,
                "stream",
                "the last GOP's signature was not written (it travels in the next); manifest and leaf cover it",
            )

    def _facts_to_note(self, manifest: Manifest) -> None:
        end, pre_event = manifest.end, manifest.pre_event
        if manifest.recovered is not None:
            text = f"ended by {end.cause}; closed by the camera at its next boot ({manifest.recovered.utc})"
            self._add(Severity.NOTE, "manifest", text, utc=end.utc)
        if pre_event.shortfall:
            text = f"pre-event part is {pre_event.actual_ms / 1000:.1f} s of {pre_event.configured_ms / 1000:.0f} s: {pre_event.shortfall}"
            self._add(Severity.NOTE, "manifest", text)
        for gap in manifest.gaps:
            text = f"{gap.pictures_lost} pictures lost in {gap.duration_us / 1e6:.2f} s: {gap.cause}"
            self._add(Severity.NOTE, "manifest", text, fragment=max(gap.after_fragment, 0))
        self._add(Severity.NOTE, "certificate", f"the camera states that {key_words(manifest.key_protection)}")

    def _receipt(self, manifest: Manifest) -> None:
        name = f"{self._recording}.json"
        if name not in self._source.names("ledger/receipts"):
            return
        try:
            data = self._source.read(f"ledger/receipts/{name}")
            signature = self._source.read(f"ledger/receipts/{name}.p7s")
            receipt = Receipt.from_bytes(data)
            files = {one: self._hash_and_size(one) for one in self._files}
            check_receipt(receipt, signature, self._roots, manifest.to_bytes(), files)
        except (FormatError, IntegrityError, RefusedError, UnavailableError) as error:
            self._add(Severity.BAD, "receipt", str(error), file=name)
            return
        self._add(
            Severity.GOOD, "receipt", f"store {receipt.store!r} signed for {len(receipt.files)} files", file=name, utc=receipt.received_utc
        )

    def _hash_and_size(self, name: str) -> tuple[str, int]:
        data = self._read(name)
        if name.endswith(".p7s"):
            data = cms_token.as_signed(data)  # a time-stamp token came after the receipt
        return sha256(data).hex(), len(data)

    def _read(self, name: str) -> bytes:
        return self._source.read(f"vault/{self._recording}/{name}")

    def _fragment_finding(self, record: FragmentRecord, severity: Severity, layer: str, text: str) -> None:
        self._add(severity, layer, text, file=f"{record.seq:06d}.m4s.p7m", fragment=record.seq, utc=record.utc)

    def _add(self, severity: Severity, layer: str, text: str, file: str = "", fragment: int = -1, utc: str = "") -> None:
        self._findings.append(Finding(severity, layer, text, self._recording, file, fragment, utc))


def _sealed_objects(manifest: Manifest) -> list[tuple[str, str]]:
    """(file name, sealed SHA-256) of every sealed object that the manifest names."""
    objects = [("init.mp4.p7m", manifest.init.sealed_sha256)] if manifest.init else []
    objects += [(f"{record.seq:06d}.m4s.p7m", record.sealed_sha256) for record in manifest.fragments]
    if manifest.notes is not None:
        objects.append(("notes.json.p7m", manifest.notes.sealed_sha256))
    if manifest.assignment is not None:
        objects.append(("assignment.json.p7m", manifest.assignment.sealed_sha256))
    return objects
