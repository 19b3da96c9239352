"""What a store adds to a camera's evidence after the camera: the log of what left it in clear, and time-stamp tokens.

Same responsibilities and invariants as :mod:`firmware.evidence.verify`. Nothing here is needed for a verdict; what is there
and does not hold is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.checkpoint import Checkpoint, LogState, read_log
from firmware.custody.exports import read_exports
from firmware.custody.merkle import root_of
from firmware.custody.note import parse_note, verify_note
from firmware.errors import FormatError, IntegrityError, OathcamError, UnavailableError
from firmware.evidence import cms_token, pki, timestamp
from firmware.evidence import fields as f
from firmware.evidence.findings import Finding, Report, Severity
from firmware.evidence.primitives import sha256
from firmware.timebase import format_utc

if TYPE_CHECKING:
    from firmware.evidence.verify import Source

EXPORTS = "ledger/exports"
STAMPS = "ledger/stamps"
STAMP_LAYER = "time stamp"
_CODE = {Severity.BAD: "stamp-bad", Severity.UNCHECKED: "stamp-unchecked"}
CLOCK_TOLERANCE_NS = 2_000_000_000
"""A token may be this much older than the camera's own time before it contradicts it."""


def with_store(report: Report, source: Source, roots: Sequence[x509.Certificate], stamp_roots: Sequence[x509.Certificate] = ()) -> Report:
    """The report of :func:`firmware.evidence.verify.verify_device` with what the store added.

    ``roots``: the agency's, as for the report. ``stamp_roots``: those of time-stamp authorities; without them tokens are named and
    their authority is not checked.
    """
    recordings = tuple(
        replace(one, findings=(*one.findings, *manifest_stamps(source, one.recording, one.facts, stamp_roots))) for one in report.recordings
    )
    found = (*checkpoint_stamps(source, roots, stamp_roots), *export_findings(source))
    return replace(report, findings=(*report.findings, *found), recordings=recordings)


def export_findings(source: Source) -> list[Finding]:
    """The export log's chain, and each entry as a note; nothing where there is no log."""
    if "exports" not in source.names("ledger"):
        return []
    try:
        entries = read_exports(source.read(EXPORTS))
    except (FormatError, IntegrityError, UnavailableError) as error:
        return [Finding(Severity.BAD, "exports", str(error), file=EXPORTS, code="exports-bad")]
    found = [Finding(Severity.GOOD, "exports", f"{len(entries)} exports, each line continues the one before it", file=EXPORTS)]
    for one in entries:
        text = f"exported by {one.who!r} as {one.file!r}, {one.verdict}, SHA-256 {one.sha256}"
        found.append(Finding(Severity.NOTE, "exports", text, one.recording, EXPORTS, utc=one.utc, code="exported"))
    return found


def manifest_stamps(source: Source, recording: str, facts: dict[str, Any], roots: Sequence[x509.Certificate]) -> list[Finding]:
    """The tokens in a manifest's signature; ``facts`` are those of the signed manifest, empty when there is none. ``roots``: of
    time-stamp authorities."""
    name = "manifest.json.p7s"
    if not facts:
        return []
    try:
        signature = source.read(f"vault/{recording}/{name}")
        unsigned, imprint = cms_token.unsigned_of(signature), cms_token.imprint_of(signature)
    except (FormatError, UnavailableError) as error:  # the manifest's own check does not read what nobody signed
        return [Finding(Severity.BAD, STAMP_LAYER, str(error), recording, name, code="stamp-bad")]
    found = [
        Finding(
            Severity.NOTE, STAMP_LAYER, f"an unsigned attribute {one} that nobody here knows", recording, name, code="unsigned-attribute"
        )
        for one in unsigned.others
    ]
    for token in unsigned.tokens:
        severity, text, stamp = _judge(token, imprint, roots)
        utc = format_utc(stamp.time_ns) if stamp else ""
        found.append(Finding(severity, STAMP_LAYER, text, recording, name, utc=utc, code=_CODE.get(severity, "")))
        if severity is Severity.GOOD and stamp is not None:
            found += _order(stamp, recording, facts)
    return found


def _judge(token: bytes, imprint: bytes, roots: Sequence[x509.Certificate]) -> tuple[Severity, str, timestamp.TimeStamp | None]:
    try:
        stamp = timestamp.verify_token(token, imprint, roots)
    except UnavailableError as error:
        claimed = timestamp.claim(token)
        return Severity.UNCHECKED, f"a token of {claimed.authority!r} fits, its authority is not known here: {error}", claimed
    except (FormatError, IntegrityError) as error:
        return Severity.BAD, str(error), None
    accuracy = f" (to {stamp.accuracy_ns / 1e9:g} s)" if stamp.accuracy_ns else ""
    text = f"it existed not later than {format_utc(stamp.time_ns)}{accuracy}: token {stamp.serial:x} of {stamp.authority!r}"
    return Severity.GOOD, text, stamp


def _order(stamp: timestamp.TimeStamp, recording: str, facts: dict[str, Any]) -> list[Finding]:
    """What was stamped had ended before: a token older than the recording's own end says that the camera's clock was ahead."""
    ahead_ns = f.utc_ns(facts["end"]["utc"]) - stamp.time_ns - stamp.accuracy_ns
    if ahead_ns <= CLOCK_TOLERANCE_NS:
        return []
    trust = facts["end"]["trust"]
    severity = Severity.BAD if trust == "synced" else Severity.NOTE
    text = f"the camera's clock ({trust}) was ahead: stamped {ahead_ns / 1e9:.1f} s before the recording ended by that clock"
    return [Finding(severity, STAMP_LAYER, text, recording, "manifest.json.p7s", utc=format_utc(stamp.time_ns), code="stamp-early")]


def checkpoint_stamps(source: Source, roots: Sequence[x509.Certificate], stamp_roots: Sequence[x509.Certificate]) -> list[Finding]:
    """The stamped checkpoints: each is one that the camera signed, of the ledger that lies here, with a token over its bytes."""
    names = sorted(one for one in source.names(STAMPS) if one.endswith(".tst"))
    if not names:
        return []
    try:
        origin, key, state = _ledger(source, roots)
    except OathcamError as error:
        return [
            Finding(
                Severity.UNCHECKED,
                STAMP_LAYER,
                f"{len(names)} stamped checkpoints are not compared: {error}",
                file=STAMPS,
                code="stamp-unchecked",
            )
        ]
    found = []
    for name in names:
        file = f"{STAMPS}/{name}"
        try:
            note_bytes = source.read(file.removesuffix(".tst"))
            size = _check_checkpoint(note_bytes, origin, key, state)
            severity, text, stamp = _judge(source.read(file), sha256(note_bytes), stamp_roots)
        except (FormatError, IntegrityError, UnavailableError) as error:
            found.append(Finding(Severity.BAD, STAMP_LAYER, str(error), file=file, code="stamp-bad"))
            continue
        utc = format_utc(stamp.time_ns) if stamp else ""
        found.append(
            Finding(severity, STAMP_LAYER, f"checkpoint of {size} leaves: {text}", file=file, utc=utc, code=_CODE.get(severity, ""))
        )
    return found


def _ledger(source: Source, roots: Sequence[x509.Certificate]) -> tuple[str, ec.EllipticCurvePublicKey, LogState]:
    """The camera's log, its name and key; raises what keeps them from being believed (the ledger's own check has named it)."""
    chain = pki.load_certificates_pem(source.read("ledger/device.pem"))
    pki.check_chain(chain, roots, pki.Role.CAMERA, pki.not_before_ns(chain[0]))
    origin, key = f"oathcam/{pki.common_name(chain[0])}", pki.public_key(chain[0])
    return origin, key, read_log(source.read("ledger/log"), origin, key)


def _check_checkpoint(data: bytes, origin: str, key: ec.EllipticCurvePublicKey, state: LogState) -> int:
    note = parse_note(data)
    verify_note(note, origin, key)
    checkpoint = Checkpoint.from_text(note.text)
    if checkpoint.size > len(state.hashes):
        raise IntegrityError(STAMP_LAYER, f"a checkpoint of {checkpoint.size} leaves, and the ledger has {len(state.hashes)}")
    if checkpoint.root != root_of(state.hashes[: checkpoint.size]):
        raise IntegrityError(STAMP_LAYER, f"the ledger's first {checkpoint.size} leaves are not those of the stamped checkpoint")
    return checkpoint.size
