"""What a verification says: findings, verdicts, reports. Values only.

Invariants: a verdict is *authentic* only when every check that was named was made and passed; "could not check" is never
"valid"; every finding that is not good names layer, file and, where there is one, fragment and time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


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
    """A layer that needs something that was not given, and without which the verdict still stands."""
    MISSING = "missing"
    """Something without which nothing can be said; it is named."""
    BAD = "bad"
    """A check that was made and failed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``layer`` is one of ledger, begin, manifest, fragment, seal, media, stream, receipt, certificate, exports, time stamp."""

    severity: Severity
    layer: str
    text: str
    recording: str = ""
    file: str = ""
    fragment: int = -1
    utc: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: empty fields left out."""
        full = {
            "severity": self.severity.value,
            "layer": self.layer,
            "text": self.text,
            "recording": self.recording,
            "file": self.file,
            "fragment": self.fragment,
            "utc": self.utc,
        }
        return {key: value for key, value in full.items() if value not in ("", -1)}

    def sentence(self) -> str:
        """One line for people."""
        where = [part for part in (self.recording, self.file) if part]
        if self.fragment >= 0:
            where.append(f"fragment {self.fragment}")
        if self.utc:
            where.append(self.utc)
        return f"{self.layer}: {self.text}" + (f" ({', '.join(where)})" if where else "")


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


@dataclass(frozen=True, slots=True)
class RecordingReport:
    """Everything said of one recording. ``facts`` are JSON-ready values read from signed objects only."""

    recording: str
    findings: tuple[Finding, ...]
    facts: dict[str, Any]

    @property
    def verdict(self) -> Verdict:
        return verdict_of(self.findings)

    @property
    def signing_key(self) -> str | None:
        """Where the key lies, in words; ``None`` when there is no manifest that a camera of the agency signed."""
        return key_words(self.facts["key_protection"]) if self.facts else None


@dataclass(frozen=True, slots=True)
class Report:
    """One device's evidence: the ledger's findings and each recording's."""

    device: str
    findings: tuple[Finding, ...]
    recordings: tuple[RecordingReport, ...]

    @property
    def verdict(self) -> Verdict:
        return verdict_of([*self.findings, *(finding for report in self.recordings for finding in report.findings)])

    def as_dict(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "verdict": self.verdict.value,
            "findings": [finding.as_dict() for finding in self.findings if finding.severity is not Severity.GOOD],
            "layers": [vars_of(layer) for layer in layers_of(self.findings)],
            "recordings": [
                {
                    "recording": report.recording,
                    "verdict": report.verdict.value,
                    "signing_key": report.signing_key,
                    "facts": report.facts,
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
        counts[finding.layer] = counts.get(finding.layer, 0) + (finding.severity in (Severity.GOOD, Severity.BAD))
        worst[finding.layer] = max(worst.get(finding.layer, Severity.GOOD), finding.severity, key=_ORDER.index)
    return [LayerResult(layer, counts[layer], worst[layer]) for layer in counts]


def vars_of(layer: LayerResult) -> dict[str, Any]:
    return {"layer": layer.layer, "checks": layer.checks, "severity": layer.severity.value}
