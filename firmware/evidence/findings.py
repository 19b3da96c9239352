"""What a verification says: findings, verdicts, reports. Values only.

Invariants: a verdict is *authentic* only when every check that was named was made and passed; "could not check" is never
"valid"; every finding that is not good has a code of its own (:mod:`firmware.evidence.codes`) and names layer, file and, where
there is one, fragment, GOP and time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from firmware.custody.accounting import Accounting
from firmware.custody.clock_bounds import Bounds
from firmware.custody.entries import Entry
from firmware.errors import escaped


class Verdict(Enum):
    AUTHENTIC = "authentic"
    NOT_AUTHENTIC = "not authentic"
    CANNOT_TELL = "cannot tell"

    @property
    def exit_code(self) -> int:
        return {Verdict.AUTHENTIC: 0, Verdict.NOT_AUTHENTIC: 1, Verdict.CANNOT_TELL: 3}[self]


class Severity(Enum):
    GOOD = "good"
    """A check that was made and passed."""
    NOTE = "note"
    """A signed fact that a reader should know: a power loss, a gap, a short pre-event part."""
    UNCHECKED = "unchecked"
    """What could not be established: a layer that needs something that was not given, or time that nobody accounts for. The verdict
    stands without it, and does not cover it."""
    MISSING = "missing"
    """Something without which nothing can be said; it is named."""
    BAD = "bad"
    """A check that was made and failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``layer`` is one of ledger, time, begin, manifest, seal, media, stream, receipt, certificate, exports, time stamp.
    ``gop`` numbers the GOPs of the stream from 0; ``count`` says how many checks of one kind a good finding stands for;
    ``remedy`` is what to do, one sentence."""

    severity: Severity
    layer: str
    text: str
    recording: str = ""
    file: str = ""
    fragment: int = -1
    utc: str = ""
    code: str = ""
    gop: int = -1
    remedy: str = ""
    count: int = 1

    def __post_init__(self) -> None:
        """Names and texts come from a card that may be hostile: what would move a cursor, or is no UTF-8, is shown escaped."""
        for name in ("text", "recording", "file", "remedy"):
            object.__setattr__(self, name, escaped(getattr(self, name)))

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: empty fields left out."""
        full = {
            "severity": self.severity.value,
            "code": self.code,
            "layer": self.layer,
            "text": self.text,
            "recording": self.recording,
            "file": self.file,
            "fragment": self.fragment,
            "gop": self.gop,
            "utc": self.utc,
            "remedy": self.remedy,
        }
        return {key: value for key, value in full.items() if value not in ("", -1)}

    def sentence(self) -> str:
        """One line for people."""
        where = [part for part in (self.recording, self.file) if part]
        if self.fragment >= 0:
            where.append(f"fragment {self.fragment}")
        if self.gop >= 0:
            where.append(f"GOP {self.gop}")
        if self.utc:
            where.append(self.utc)
        return f"{self.layer}: {self.text}" + (f" ({', '.join(where)})" if where else "")


class Notebook:
    """Collects findings about one recording. Good ones of a kind are counted, not kept: memory does not grow with length."""

    def __init__(self, recording: str = "") -> None:
        self._recording = recording
        self._findings: list[Finding] = []
        self._tally: dict[tuple[str, str], tuple[int, int]] = {}

    def good(self, layer: str, text: str, file: str = "", utc: str = "") -> None:
        """One more check of a kind that passed; the first one's place is kept."""
        known = self._tally.get((layer, text))
        if known is not None:
            self._tally[layer, text] = (known[0], known[1] + 1)
            return
        self._tally[layer, text] = (len(self._findings), 1)
        self._findings.append(Finding(Severity.GOOD, layer, text, self._recording, file, utc=utc))

    def add(
        self, severity: Severity, layer: str, code: str, text: str, file: str = "", fragment: int = -1, utc: str = "", **more: Any
    ) -> None:
        """``more``: ``gop``, ``remedy``."""
        self._findings.append(Finding(severity, layer, text, self._recording, file, fragment, utc, code, **more))

    def findings(self) -> tuple[Finding, ...]:
        """All of them, in order of discovery."""
        counted = list(self._findings)
        for index, count in self._tally.values():
            if count > 1:
                counted[index] = replace(counted[index], count=count, file="", utc="")
        return tuple(counted)


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One row of the table that people read: layer, how many checks, and the worst that was found."""

    layer: str
    checks: int
    severity: Severity


_KEY_WORDS = {
    "file": "its signing key lies in a file, not in hardware: whoever has read that file can sign as this camera",
    "tpm": "its signing key lies in a TPM 2.0, which made it and does not give it out",
    "pkcs11": "its signing key lies in a PKCS#11 token, which made it and does not give it out",
    "simulated": "its signing key belongs to the simulator, not to hardware: nothing signed with it is evidence",
}


def key_words(protection: str) -> str:
    """What a manifest's ``key_protection`` means. It is the camera's own word, which no TPM or token has certified."""
    return _KEY_WORDS[protection]


class Keeper(Enum):
    """Who keeps a copy of a ledger."""

    UNKNOWN = "unknown"
    """The camera itself, or anybody."""
    SAYS_DOCK = "says that it is a dock's"
    """A cosignature stands beside it that was not checked: anybody can write one."""
    DOCK = "a dock"
    """A cosignature beside it that was checked with the dock's key."""


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """Everything said of one recording. ``facts`` are JSON-ready values read from signed objects only; ``offset`` is by how much others'
    clocks were ahead of the camera's at the activation, where somebody's signed time bounds it."""

    recording: str
    findings: tuple[Finding, ...]
    facts: dict[str, Any]
    offset: Bounds | None = None

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)

    @property
    def signing_key(self) -> str | None:
        """Where the key lies, in words; ``None`` when there is no manifest that a camera of the agency signed."""
        return key_words(self.facts["key_protection"]) if self.facts else None


@dataclass(frozen=True, slots=True)
class Report:
    """One device's evidence: the ledger's findings and each recording's. ``entries`` are the leaves that the camera signed, ``hashes``
    their leaf hashes, ``root`` the hash over them in hex, ``accounting`` what became of its time; ``keeper`` says who
    keeps this copy, ``stores`` who signed the receipts beside it."""

    device: str
    findings: tuple[Finding, ...]
    recordings: tuple[RecordingReport, ...]
    entries: tuple[Entry, ...] = ()
    root: str = ""
    accounting: Accounting | None = None
    hashes: tuple[bytes, ...] = ()
    keeper: Keeper = Keeper.UNKNOWN
    stores: frozenset[str] = frozenset()

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """The device's, then each recording's."""
        return (*self.findings, *(finding for report in self.recordings for finding in report.findings))

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.all_findings)

    def as_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "ledger": {"size": len(self.entries), "root": self.root} if self.root else None,
            "time": None if self.accounting is None else self.accounting.as_dict(),
            "verdict": self.verdict.value,
            "findings": [finding.as_dict() for finding in self.findings if finding.severity is not Severity.GOOD],
            "layers": [vars_of(layer) for layer in layers_of(self.findings)],
            "recordings": [
                {
                    "recording": report.recording,
                    "verdict": report.verdict.value,
                    "signing_key": report.signing_key,
                    "facts": report.facts,
                    "clock_offset": None if report.offset is None else {"low_us": report.offset.low_us, "high_us": report.offset.high_us},
                    "findings": [finding.as_dict() for finding in report.findings if finding.severity is not Severity.GOOD],
                    "layers": [vars_of(layer) for layer in layers_of(report.findings)],
                }
                for report in self.recordings
            ],
        }


_ORDER = [Severity.GOOD, Severity.NOTE, Severity.UNCHECKED, Severity.MISSING, Severity.BAD]


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """One bad finding decides; else one missing thing; else authentic, if anything was checked at all."""
    severities = {finding.severity for finding in findings}
    if Severity.BAD in severities:
        return Verdict.NOT_AUTHENTIC
    if Severity.MISSING in severities or Severity.GOOD not in severities:
        return Verdict.CANNOT_TELL
    return Verdict.AUTHENTIC


def layers_of(findings: Iterable[Finding]) -> list[LayerResult]:
    """Findings by layer, in order of first appearance."""
    counts: dict[str, int] = {}
    worst: dict[str, Severity] = {}
    for finding in findings:
        made = finding.count if finding.severity in (Severity.GOOD, Severity.BAD) else 0
        counts[finding.layer] = counts.get(finding.layer, 0) + made
        worst[finding.layer] = max(worst.get(finding.layer, Severity.GOOD), finding.severity, key=_ORDER.index)
    return [LayerResult(layer, counts[layer], worst[layer]) for layer in counts]


def vars_of(layer: LayerResult) -> dict[str, Any]:
    return {"layer": layer.layer, "checks": layer.checks, "severity": layer.severity.value}
