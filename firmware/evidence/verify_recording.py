"""One recording's papers, checked: signatures, completeness, leaves, receipt; its objects are :mod:`firmware.evidence.verify_objects`.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cryptography import x509

from firmware.custody.entries import Entry, carried
from firmware.custody.receipt import Receipt, check_receipt
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.evidence import cms, cms_token, pki
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Finding, Notebook, Severity, key_words
from firmware.evidence.manifest import MAX_GAPS, MAX_MARKS, Begin, FragmentRecord, Gap, Manifest, SealedObject, fragment_name
from firmware.evidence.primitives import sha256
from firmware.evidence.verify_annotations import check_annotations
from firmware.evidence.verify_objects import ASSIGNMENT, INIT, NOTES, ObjectCheck, Plan

if TYPE_CHECKING:
    from firmware.evidence.verify import OpeningKey, Progress, Source

_BEGIN, _MANIFEST = "begin.json", "manifest.json"
_BOOT = "Boot the camera with this card: it closes what was interrupted, and says so."
_WHOLE = "Give the recording's whole directory, with manifest.json and manifest.json.p7s."


class RecordingCheck:
    """Checks one recording; :meth:`run` returns findings and facts. ``leaves`` is ``None`` when there is no ledger; ``last_boot`` is
    the newest boot that it knows. With ``fragment`` one fragment is checked, and nothing is said of the others."""

    def __init__(
        self,
        source: Source,
        recording: str,
        roots: Sequence[x509.Certificate],
        key: OpeningKey | None,
        leaves: tuple[Entry, ...] | None,
        progress: Progress | None,
        last_boot: int = 0,
        fragment: int | None = None,
    ) -> None:
        self._source = source
        self._recording = recording
        self._roots = roots
        self._leaves = leaves
        self._last_boot = last_boot
        self._fragment = fragment
        self._files = set(source.names(f"vault/{recording}"))
        self._book = Notebook(recording)
        self._signers: set[str] = set()
        self._key = key
        self._objects = ObjectCheck(source, recording, self._files, roots, key, progress, self._book)

    def run(self, ledger_of: str = "") -> tuple[tuple[Finding, ...], dict[str, Any]]:
        """``ledger_of``: the serial of the camera whose ledger the leaves are from."""
        if not self._files and self._told("begin") and not self._unwritten():
            text = "the ledger tells of it, no leaf releases it, and none of its files is there"
            self._book.add(Severity.BAD, "ledger", "recording-removed", text, utc=self._told("begin")[0].time.utc)
            return self._book.findings(), {}
        if self._is_open():
            self._run_open(ledger_of)
            check_annotations(self._leaves or (), self._key, self._book)
            return self._book.findings(), {}
        manifest = self._signed_manifest()
        if manifest is None:
            return self._book.findings(), {}
        self._begin(manifest)
        if self._leaves is not None and ledger_of != manifest.device.serial:
            text = f"the ledger is that of camera {ledger_of!r}, and the recording is of camera {manifest.device.serial!r}"
            self._book.add(Severity.BAD, "ledger", "ledger-foreign", text, file=_MANIFEST)
        if self._leaves is not None:
            self._against_leaves(manifest, self._leaves)
        if self._fragment is None:
            self._strangers(_named(manifest))
        self._objects.run(plan_of(manifest, self._fragment, {entry.fields["seq"] for entry in self._told("fragment")}))
        self._facts_to_note(manifest)
        if self._fragment is None:
            check_annotations(self._leaves or (), self._key, self._book)
            self._continuity(manifest)
            self._receipt(manifest)
        return self._book.findings(), manifest.as_dict()

    def _told(self, kind: str) -> list[Entry]:
        return [entry for entry in self._leaves or () if entry.kind == kind]

    # --- a recording that nobody closed

    def _is_open(self) -> bool:
        return _MANIFEST not in self._files and bool(self._told("begin")) and not self._told("end")

    def _unwritten(self) -> bool:
        """The begin leaf's batch carries the papers, and no leaf says that they were durable as files: power went just then."""
        begin, data = self._told("begin")[0], carried(self._told("paper")).get(_BEGIN, b"")
        return not self._told("init") and not self._told("end") and sha256(data).hex() == begin.fields["begin_sha256"]

    def _run_open(self, ledger_of: str) -> None:
        """Its leaves stand in for the manifest: what was promised is checked, what the end would have said is missing."""
        begin = self._told("begin")[0]
        if self._last_boot > begin.boot:
            text = f"it began in boot {begin.boot}, and boot {self._last_boot} has not closed it"
            self._book.add(Severity.BAD, "manifest", "recording-open", text, file=_MANIFEST, utc=begin.time.utc)
        else:
            text = "it was begun and not closed: there is no manifest, and its last seconds may be missing"
            self._book.add(Severity.MISSING, "manifest", "recording-open", text, file=_MANIFEST, utc=begin.time.utc, remedy=_BOOT)
        if self._unwritten():
            text = "the ledger carries its papers, and no leaf says yet that they were written as files"
            self._book.add(Severity.NOTE, "begin", "papers-unwritten", text, file=_BEGIN)
        else:
            data = self._signed(_BEGIN, "begin")
            if data is not None and sha256(data).hex() != begin.fields["begin_sha256"]:
                self._book.add(Severity.BAD, "begin", "paper-differs", "begin.json is not the one that its leaf names", file=_BEGIN)
        if self._signers - {ledger_of}:
            text = f"the ledger is that of camera {ledger_of!r}, and {', '.join(sorted(self._signers))} signed begin.json"
            self._book.add(Severity.BAD, "ledger", "ledger-foreign", text, file=_BEGIN)
        fragments = tuple(record_of(entry) for entry in self._told("fragment"))
        named = {_BEGIN, f"{_BEGIN}.p7s", INIT, ASSIGNMENT, *(fragment_name(one.seq) for one in fragments)}
        for name in sorted(self._files - named):
            text = "a file that no leaf names: the next boot sets it aside"
            self._book.add(Severity.UNCHECKED, "manifest", "file-without-leaf", text, file=name)
        inits = [SealedObject(*(entry.fields[name] for name in _SEALED)) for entry in self._told("init")]
        serial = min(self._signers, default="")
        self._objects.run(Plan(serial, inits[0] if inits else None, fragments, {}, {one.seq for one in fragments}, is_open=True))

    # --- papers

    def _signed_manifest(self) -> Manifest | None:
        data = self._signed(_MANIFEST, "manifest")
        if data is None:
            return None
        try:
            manifest = Manifest.from_bytes(data)
        except FormatError as error:
            self._book.add(Severity.BAD, "manifest", "paper-bad", str(error), file=_MANIFEST)
            return None
        if manifest.recording != self._recording:
            text = f"it is the manifest of {manifest.recording!r}"
            self._book.add(Severity.BAD, "manifest", "paper-differs", text, file=_MANIFEST)
            return None
        if self._signers != {manifest.device.serial}:
            text = f"it speaks of camera {manifest.device.serial!r}, and {', '.join(sorted(self._signers))} signed it"
            self._book.add(Severity.BAD, "manifest", "paper-differs", text, file=_MANIFEST)
            return None
        return manifest

    def _signed(self, name: str, layer: str) -> bytes | None:
        """Bytes of a document whose detached signature by a camera of the agency holds; else ``None`` and a finding."""
        absent = [one for one in (name, f"{name}.p7s") if one not in self._files]
        if absent:
            severity = Severity.BAD if self._told("end") else Severity.MISSING
            self._book.add(severity, layer, "file-missing", f"{absent[0]} is not there", file=absent[0], remedy=_WHOLE)
            return None
        try:
            data, signature = self._objects.read(name), self._objects.read(f"{name}.p7s")
            signer = cms.verify_detached(data, signature, self._roots, pki.Role.CAMERA)
        except UnavailableError as error:
            self._book.add(Severity.MISSING, layer, "no-root", str(error), file=f"{name}.p7s", remedy=error.remedy)
            return None
        except (FormatError, IntegrityError) as error:
            self._book.add(Severity.BAD, layer, "signature-bad", str(error), file=name)
            return None
        self._signers.add(pki.common_name(signer.certificate))
        if name != _MANIFEST:  # the manifest's are looked at with the time stamps
            self._unsigned(signature, layer, f"{name}.p7s")
        self._book.good(layer, f"signed by camera {pki.common_name(signer.certificate)!r}", file=name)
        if signer.clock_was_behind:
            self._book.add(Severity.NOTE, layer, "clock-unset", "the camera's clock had never been set when it signed", file=name)
        return data

    def _unsigned(self, signature: bytes, layer: str, file: str) -> None:
        """Anybody can put attributes beside a signature; only a manifest's have a use here."""
        try:
            found = cms_token.unsigned_of(signature)
            count = len(found.tokens) + len(found.others)
        except FormatError:
            count = 1
        if count:
            text = f"{count} unsigned attribute(s) beside the signature: nobody's word"
            self._book.add(Severity.NOTE, layer, "unsigned-attribute", text, file=file)

    def _begin(self, manifest: Manifest) -> None:
        data = self._signed(_BEGIN, "begin")
        if data is None:
            return
        if self._signers != {manifest.device.serial}:
            text = f"signed by another camera than {manifest.device.serial!r}"
            self._book.add(Severity.BAD, "begin", "paper-differs", text, file=_BEGIN)
            return
        if sha256(data).hex() != manifest.begin_sha256:
            self._book.add(Severity.BAD, "begin", "paper-differs", "begin.json is not the one that the manifest names", file=_BEGIN)
            return
        try:
            begin = Begin.from_bytes(data)
        except FormatError as error:
            self._book.add(Severity.BAD, "begin", "paper-bad", str(error), file=_BEGIN)
            return
        said = (begin.recording, begin.device, begin.assignment, begin.key_protection)
        if said != (manifest.recording, manifest.device, manifest.assignment, manifest.key_protection):
            text = "begin.json and manifest.json speak of different recordings"
            self._book.add(Severity.BAD, "begin", "paper-differs", text, file=_BEGIN)
        if begin.order is None:
            self._book.add(Severity.NOTE, "begin", "unassigned", "UNASSIGNED: nobody had been assigned to the camera")

    def _strangers(self, known: set[str]) -> None:
        """Every file is named by a signed object (W2)."""
        for name in sorted(self._files - known):
            self._book.add(Severity.BAD, "manifest", "file-without-leaf", "a file that no signed object names", file=name)

    # --- leaves

    def _against_leaves(self, manifest: Manifest, leaves: Sequence[Entry]) -> None:
        """The ledger tells of the same recording: begin, every fragment, the end, every drop (house law 2)."""
        by_kind: dict[str, list[Entry]] = {}
        for entry in leaves:
            by_kind.setdefault(entry.kind, []).append(entry)
        if not by_kind.keys() - {"boot", "unattested"}:
            text = "the ledger does not tell of this recording: it was put here, or the ledger is another"
            self._book.add(Severity.BAD, "ledger", "recording-without-leaf", text)
            return
        begins = [entry.fields["begin_sha256"] for entry in by_kind.get("begin", [])]
        self._expect("begin leaf", begins, [manifest.begin_sha256])
        named = {_BEGIN: manifest.begin_sha256, ASSIGNMENT: manifest.assignment.sealed_sha256 if manifest.assignment else ""}
        for name, data in carried(by_kind.get("paper", [])).items():
            self._expect(f"{name} in a leaf", sha256(data).hex(), named[name])
        manifests = [entry.fields["manifest_sha256"] for entry in by_kind.get("end", [])]
        self._expect("end leaf", manifests, [sha256(manifest.to_bytes()).hex()])
        told = {entry.fields["seq"]: entry for entry in by_kind.get("fragment", [])}
        for record in manifest.fragments:
            self._against_leaf(record, told.pop(record.seq, None))
        for seq, entry in sorted(told.items()):
            text = "promised by a leaf, and not in the manifest"
            self._book.add(Severity.BAD, "ledger", "leaf-unmatched", text, fragment=seq, utc=entry.fields["start_utc"])
        for boot in by_kind.get("boot", []):
            self._expect("key protection", boot.fields["key_protection"], manifest.key_protection)
        self._expect_listed("gaps", len(by_kind.get("drop", [])), len(manifest.gaps), MAX_GAPS)
        self._expect_listed("marks", len(by_kind.get("mark", [])), len(manifest.marks), MAX_MARKS)

    def _against_leaf(self, record: FragmentRecord, leaf: Entry | None) -> None:
        where = (fragment_name(record.seq), record.seq, record.utc)
        if leaf is None:
            self._book.add(Severity.BAD, "ledger", "leaf-missing", "has no leaf: it was never promised", *where)
        elif record_of(leaf) != record:
            self._book.add(Severity.BAD, "ledger", "leaf-differs", "manifest and leaf differ", *where)
        else:
            self._book.good("ledger", "the fragment's leaf agrees with the manifest")

    def _expect(self, what: str, got: object, expected: object) -> None:
        if got == expected:
            self._book.good("ledger", f"{what} agrees with the manifest")
        else:
            self._book.add(Severity.BAD, "ledger", "leaf-differs", f"{what}: expected {expected!r}, got {got!r}")

    def _expect_listed(self, what: str, told: int, listed: int, limit: int) -> None:
        self._expect(what, listed if agrees(told, listed, limit) else told, listed)

    # --- what a reader should know

    def _facts_to_note(self, manifest: Manifest) -> None:
        end, pre_event = manifest.end, manifest.pre_event
        if manifest.recovered is not None:
            text = f"ended by {end.cause}; closed by the camera at its next boot ({manifest.recovered.utc})"
            self._book.add(Severity.NOTE, "manifest", "ended-early", text, utc=end.utc)
        if pre_event.shortfall:
            text = f"pre-event part is {pre_event.actual_ms / 1000:.1f} s of {pre_event.configured_ms / 1000:.0f} s: {pre_event.shortfall}"
            self._book.add(Severity.NOTE, "manifest", "pre-event-short", text)
        for gap in manifest.gaps:
            text = f"{gap.pictures_lost} pictures lost in {gap.duration_us / 1e6:.2f} s: {gap.cause}"
            self._book.add(Severity.NOTE, "manifest", "pictures-lost", text, fragment=max(gap.after_fragment, 0))
        if "unset" in (manifest.begin.trust, end.trust):
            self._book.add(
                Severity.NOTE, "manifest", "clock-unset", "the camera's clock was not set: its wall times are not true", utc=end.utc
            )
        self._book.add(Severity.NOTE, "certificate", "key-protection", f"the camera states that {key_words(manifest.key_protection)}")

    def _continuity(self, manifest: Manifest) -> None:
        """From the activation to the end every moment is in a fragment, or in a gap entry with its cause (house law 4)."""
        holes = list(unexplained(manifest, self._gaps_beyond(manifest)))
        for hole in holes:
            text = f"{hole.length_us / 1e6:.2f} s after fragment {hole.after} are in no fragment, and no gap entry says why"
            utc = manifest.fragments[hole.after].utc if hole.after >= 0 else manifest.begin.utc
            self._book.add(Severity.UNCHECKED, "manifest", "time-unaccounted", text, fragment=max(hole.after, 0), utc=utc)
        if not holes:
            self._book.good("manifest", "from activation to end in fragments and gap entries", file=_MANIFEST)

    def _gaps_beyond(self, manifest: Manifest) -> list[Gap]:
        """Those that stand in the ledger alone, because the manifest's list is full."""
        beyond = self._told("drop")[MAX_GAPS:] if len(manifest.gaps) == MAX_GAPS else []
        spans = [(entry.time.boottime_ns // 1000, entry.fields) for entry in beyond]
        return [Gap(told["after"], at_us, told["duration_us"], told["pictures"], told["cause"]) for at_us, told in spans]

    def _receipt(self, manifest: Manifest) -> None:
        name = f"{self._recording}.json"
        if name not in self._source.names("ledger/receipts"):
            return
        try:
            data = self._source.read(f"ledger/receipts/{name}")
            signature = self._source.read(f"ledger/receipts/{name}.p7s")
            receipt = Receipt.from_bytes(data)
            files = {one: self._objects.hash_and_size(one) for one in self._files}
            check_receipt(receipt, signature, self._roots, manifest.to_bytes(), files)
            self._unsigned(signature, "receipt", f"{name}.p7s")
        except (FormatError, IntegrityError, RefusedError, UnavailableError) as error:
            self._book.add(Severity.BAD, "receipt", "receipt-bad", str(error), file=name)
            return
        text = f"store {receipt.store!r} signed for {len(receipt.files)} files"
        self._book.good("receipt", text, file=name, utc=receipt.received_utc)


def agrees(told: int, listed: int, limit: int) -> bool:
    """Whether so many leaves fit a manifest's list: one by one, and beyond it where it is full."""
    return told == listed or told > listed == limit


_SEALED = ("plain", "plain_bytes", "sealed", "sealed_bytes")


def record_of(entry: Entry) -> FragmentRecord:
    """A fragment leaf in the manifest's words."""
    told = entry.fields
    return FragmentRecord(
        told["seq"], told["start_us"], told["start_utc"], told["duration_us"], told["pictures"], told["audio_frames"],
        told["plain"], told["plain_bytes"], told["sealed"], told["sealed_bytes"],
    )  # fmt: skip


def plan_of(manifest: Manifest, fragment: int | None, promised: set[int]) -> Plan:
    """What the manifest says that the objects are."""
    others = {}
    if manifest.notes is not None:
        others[NOTES] = (manifest.notes.sealed_sha256, manifest.notes.sealed_bytes)
    if manifest.assignment is not None:
        others[ASSIGNMENT] = (manifest.assignment.sealed_sha256, manifest.assignment.sealed_bytes)
    return Plan(manifest.device.serial, manifest.init, manifest.fragments, others, promised, only=fragment)


def _named(manifest: Manifest) -> set[str]:
    known = {_BEGIN, f"{_BEGIN}.p7s", _MANIFEST, f"{_MANIFEST}.p7s"}
    known |= {fragment_name(record.seq) for record in manifest.fragments}
    optional = ((INIT, manifest.init), (NOTES, manifest.notes), (ASSIGNMENT, manifest.assignment))
    return known | {name for name, record in optional if record is not None}
