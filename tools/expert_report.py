"""``oathcam verify --report``: one self-contained page that an expert can read, print and attach.

Responsible for putting in order what the verifier found; everything on the page is read from signed objects that it accepted, or
is said to be otherwise. Text is escaped by the template engine. Nothing is fetched: styles, drawings and stills are inside.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cryptography

import firmware
from firmware.custody.clock_bounds import offset_words
from firmware.custody.entries import Entry
from firmware.custody.receipt import Receipt
from firmware.errors import IntegrityError, OathcamError
from firmware.evidence import cms
from firmware.evidence.codes import CODES
from firmware.evidence.findings import Finding, RecordingReport, Report, Severity, Verdict, key_words, layers_of
from firmware.evidence.manifest import FragmentRecord, Manifest, fragment_name
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import OpeningKey
from tools.expert_timeline import draw, lines
from tools.page import write_page
from tools.report import notable, still_moments
from tools.sources import DirectorySource
from tools.verifying import Checked, worst

MAX_STILLS = 12
CLOCK_CODES = ("clock-stepped", "clock-not-set", "clock-compared", "clock-jumped")
CUSTODY = ("boot", "policy", "begin", "end", "dock", "undock", "offload", "receipt", "release", "unattested", "torn", "clock", "shutdown")
"""Leaves of the chain of custody, in the order in which the ledger has them."""
WORDS = {
    Verdict.AUTHENTIC: "Everything that was checked is what the camera signed, and nothing that it promised is missing.",
    Verdict.NOT_AUTHENTIC: "Something is not what the camera signed, or is missing. What, and where, stands below.",
    Verdict.CANNOT_TELL: "Something is missing without which nothing can be concluded. What, and how to get it, stands below.",
}
TRUST_WORDS = {
    "synced": "disciplined since the boot, as its system says",
    "rtc": "running on from an earlier setting, on the battery-backed clock; not compared since the boot",
    "unset": "never set: its wall times are not true, only durations and order are",
}


@dataclass(frozen=True, slots=True)
class RecordingPart:
    """One recording on the page. ``papers``: (name, SHA-256) of its signed papers."""

    report: RecordingReport
    manifest: Manifest | None
    stills: Sequence[tuple[str, str]] = ()
    papers: Sequence[tuple[str, str]] = ()
    receipt: Receipt | None = None


@dataclass(frozen=True, slots=True)
class DevicePart:
    """One camera, or one loose file, on the page."""

    place: str
    report: Report
    recordings: Sequence[RecordingPart]
    drawings: Sequence[dict[str, Any]] = ()
    custody: Sequence[Entry] = ()
    boots: Sequence[Entry] = ()
    log_sha256: str = ""
    happened: Sequence[Entry] = field(default=())

    @property
    def firmwares(self) -> list[tuple[str, str]]:
        """(version, SHA-256) of every firmware that booted, once."""
        return list(dict.fromkeys((entry.fields["firmware"], entry.fields["firmware_sha256"]) for entry in self.boots))


def write_expert_report(path: Path, checked: Sequence[Checked], key: OpeningKey | None, trust: Path | None) -> None:
    """Render and write; ``path`` is replaced."""
    devices = [_device(one, key) for one in checked]
    verdict = worst([one.report.verdict for one in checked])
    findings = [finding for one in checked for finding in one.report.all_findings]
    write_page(
        path,
        "expert.html.j2",
        {"seconds": _seconds, "day_time": _day_time},
        devices=devices,
        verdict=verdict,
        words=WORDS[verdict],
        states=sorted(
            {f"The camera states that {one.signing_key}." for each in checked for one in each.report.recordings if one.signing_key}
        ),
        bad=[one for one in findings if one.severity is Severity.BAD],
        missing=_once(findings, Severity.MISSING),
        unchecked=_once(findings, Severity.UNCHECKED),
        checked=_checked(findings),
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        software=_software(),
        key_given=key is not None,
        root=_root(trust),
        codes=CODES,
        clock_codes=CLOCK_CODES,
        layers_of=layers_of,
        notable=notable,
        offset_words=offset_words,
        key_words=key_words,
        trust_words=TRUST_WORDS,
        Severity=Severity,
        fragment_name=fragment_name,
    )


def _device(one: Checked, key: OpeningKey | None) -> DevicePart:
    report, source = one.report, one.target.source if one.target is not None else None
    recordings = [_recording(recording, source, key) for recording in report.recordings]
    place = Path(one.place).name
    if not report.entries or report.accounting is None or source is None:
        return DevicePart(place, report, recordings)
    manifests = [part.manifest for part in recordings if part.manifest is not None]
    return DevicePart(
        place,
        report,
        recordings,
        [draw(line) for line in lines(report.entries, report.accounting, manifests)],
        [entry for entry in report.entries if entry.kind in CUSTODY],
        [entry for entry in report.entries if entry.kind == "boot"],
        sha256(source.read("ledger/log")).hex(),
        [
            entry
            for entry in report.entries
            if entry.kind in ("mark", "mute", "unmute", "fault", "recovered", "gap", "drop", "sleep", "wake")
        ],
    )


def _recording(report: RecordingReport, source: DirectorySource | None, key: OpeningKey | None) -> RecordingPart:
    """With the papers that the verifier accepted; a loose file has none of its own."""
    if source is None or not report.facts:
        return RecordingPart(report, None)
    base = f"vault/{report.recording}"
    try:
        data = source.read(f"{base}/manifest.json")
        manifest = Manifest.from_bytes(data)
        papers = [(name, sha256(source.read(f"{base}/{name}")).hex()) for name in source.names(base) if ".json" in name]
        receipt = _receipt(report, source)
    except OathcamError:
        return RecordingPart(report, None)
    stills = _stills(source, manifest, key) if key is not None else []
    return RecordingPart(report, manifest, stills, papers, receipt)


def _receipt(report: RecordingReport, source: DirectorySource) -> Receipt | None:
    """The store's receipt, if the verifier found it good."""
    if not any(one.layer == "receipt" and one.severity is Severity.GOOD for one in report.findings):
        return None
    return Receipt.from_bytes(source.read(f"ledger/receipts/{report.recording}.json"))


def _stills(source: DirectorySource, manifest: Manifest, key: OpeningKey) -> list[tuple[str, str]]:
    """A picture of each moment that is worth one, each out of its own fragment, whose hash was checked."""
    import av  # here: both bring libraries that a verdict does not need

    from tools.stills import still_in

    made = []
    for label, seconds in still_moments(manifest)[:MAX_STILLS]:
        record, offset = _fragment_at(manifest, seconds)
        try:
            segment = _opened(source, manifest, -1, key) + _opened(source, manifest, record.seq, key)
            still = still_in(segment, offset)
        except (OathcamError, av.FFmpegError):
            continue  # the findings say what is wrong with it; pictures that no decoder takes are the camera's own
        made.append((f"{label}, fragment {record.seq}, {record.utc[:19].replace('T', ' ')} UTC", still))
    return made


def _opened(source: DirectorySource, manifest: Manifest, seq: int, key: OpeningKey) -> bytes:
    """The init segment (-1) or a fragment, decrypted and held against the manifest."""
    record = manifest.fragments[seq] if seq >= 0 else manifest.init
    name = fragment_name(seq) if seq >= 0 else "init.mp4.p7m"
    plain = cms.open_sealed(source.read(f"vault/{manifest.recording}/{name}"), key.private_key, key.certificate)
    if record is None or sha256(plain).hex() != record.plain_sha256:
        raise IntegrityError("media", f"{name} is not what the manifest names")
    return plain


def _fragment_at(manifest: Manifest, seconds: float) -> tuple[FragmentRecord, float]:
    at_us = manifest.fragments[0].boottime_us + round(seconds * 1e6)
    found = manifest.fragments[0]
    for record in manifest.fragments:
        if record.boottime_us > at_us:
            break
        found = record
    return found, (at_us - found.boottime_us) / 1e6


def _once(findings: Sequence[Finding], severity: Severity) -> list[Finding]:
    """One of each wording: where several recordings miss the same thing, it is said of none of them."""
    found: dict[tuple[str, str], Finding] = {}
    for one in findings:
        if one.severity is severity:
            key = (one.text, one.remedy)
            found[key] = replace(one, recording="", file="", fragment=-1, gop=-1, utc="") if key in found else one
    return list(found.values())


def _checked(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """What passed, in words, and how often."""
    counts: dict[str, int] = {}
    for one in findings:
        if one.severity is Severity.GOOD:
            counts[f"{one.layer}: {one.text}"] = counts.get(f"{one.layer}: {one.text}", 0) + one.count
    return list(counts.items())


def _software() -> list[tuple[str, str]]:
    return [
        ("verifier", f"oathcam {firmware.__version__}"),
        ("language", f"Python {platform.python_version()}"),
        ("cryptography", f"{cryptography.__version__}"),
    ]


def _root(trust: Path | None) -> str:
    return "none was given" if trust is None else f"{trust.name}, SHA-256 of the file {sha256(trust.read_bytes()).hex()}"


def _seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:,.1f} s".replace(",", " ")


def _day_time(utc: str) -> str:
    return utc[:23].replace("T", " ")
