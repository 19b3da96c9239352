"""What others know of a camera's ledger: its checkpoints at a dock, a store's receipts, another copy of the ledger (BWC-POL-29).

Responsible for comparing: a ledger that is shorter than a signed witness says was rolled back; one that differs at the same length
was forked. A card alone cannot show either: it is always consistent with itself. Refuses to believe a witness that is not signed,
by the camera (checkpoints, its own ledger) or by a store of the agency (receipts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.checkpoint import Checkpoint, Note, NoteSignature, parse_note, verify_cosignature, verify_note
from firmware.custody.clock_bounds import Reference
from firmware.custody.merkle import CompactTree
from firmware.custody.receipt import Receipt
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, pki
from firmware.evidence.findings import Finding, Keeper, Severity
from firmware.evidence.primitives import sha256
from firmware.timebase import parse_utc

LAYER = "ledger"
_ROLLED_BACK = "Ask for the camera's card and for the dock's store, and give both."
_NO_KEY = "Give the dock's witness key with --witness NAME=HEX."


@dataclass(frozen=True, slots=True)
class Sight:
    """One signed statement that the ledger had ``size`` leaves under ``root``. ``who`` says it in words, ``file`` where it stands.

    ``outside``: it did not lie beside the ledger, where whoever puts back an older ledger puts back its papers too. ``reference``: when
    that was, by the clock of a dock or a store whose signature was checked. ``keeper``: whether a dock cosigned it. ``store``: who signed
    it, when it is a receipt.
    """

    who: str
    size: int
    root: bytes
    file: str = ""
    outside: bool = False
    keeper: Keeper = Keeper.UNKNOWN
    store: str = ""
    reference: Reference | None = None


@dataclass(frozen=True, slots=True)
class LedgerKey:
    """Whose ledger: its name in checkpoints and the camera's key."""

    origin: str
    public_key: ec.EllipticCurvePublicKey


def sight_from_checkpoint(
    data: bytes, file: str, ledger: LedgerKey, docks: Mapping[str, bytes], findings: list[Finding], *, outside: bool
) -> Sight | None:
    """A checkpoint note: signed by the camera, and cosigned by the dock that saw it. ``docks``: Ed25519 keys by witness name."""
    try:
        note = parse_note(data)
        verify_note(note, ledger.origin, ledger.public_key)
        checkpoint = Checkpoint.from_text(note.text)
    except (FormatError, IntegrityError) as error:
        findings.append(Finding(Severity.BAD, LAYER, str(error), file=file, code="witness-bad"))
        return None
    others = [line for line in note.signatures if line.name != ledger.origin]
    who, seconds = _seen_by(note, others, file, docks, findings)
    # A cosignature's time is in whole seconds, cut: it was made before the next one.
    reference = None if seconds is None else Reference(checkpoint.size, (seconds + 1) * 1_000_000, who="the dock")
    keeper = Keeper.DOCK if seconds is not None else Keeper.SAYS_DOCK if others else Keeper.UNKNOWN
    return Sight(who, checkpoint.size, checkpoint.root, file, outside, keeper, reference=reference)


def _seen_by(
    note: Note, lines: Sequence[NoteSignature], file: str, docks: Mapping[str, bytes], findings: list[Finding]
) -> tuple[str, int | None]:
    """Who saw it, in words, and the earliest time of a cosignature that holds."""
    seen, times = "a checkpoint that the camera signed", []
    for line in lines:
        if line.name not in docks:
            text = f"witness {line.name!r} cosigned {file.rpartition('/')[2]}; its key was not given"
            findings.append(Finding(Severity.UNCHECKED, LAYER, text, file=file, code="cosignature-unchecked", remedy=_NO_KEY))
            continue
        try:
            times.append(verify_cosignature(note, line.name, docks[line.name]))
        except IntegrityError as error:
            findings.append(Finding(Severity.BAD, LAYER, str(error), file=file, code="cosignature-bad"))
        else:
            findings.append(Finding(Severity.GOOD, LAYER, f"cosigned by witness {line.name!r}", file=file))
            seen = f"a checkpoint that witness {line.name!r} cosigned"
    return seen, min(times, default=None)


def sight_from_receipt(data: bytes, signature: bytes, file: str, device: str, roots: Sequence[x509.Certificate]) -> Sight:
    """A receipt's ledger point. FormatError, IntegrityError or UnavailableError when no store of the agency signed it for this camera."""
    signer = cms.verify_detached(data, signature, roots, pki.Role.STORE)
    receipt = Receipt.from_bytes(data)
    if receipt.device != device or pki.common_name(signer.certificate) != receipt.store:
        raise IntegrityError("receipt", f"a receipt for {receipt.device!r} by {receipt.store!r}, expected one for {device!r}")
    who = f"the receipt of store {receipt.store!r}"
    received_us = parse_utc(receipt.received_utc) // 1000
    reference = Reference(receipt.ledger.size, received_us, sha256(data).hex(), f"store {receipt.store!r}")
    return Sight(who, receipt.ledger.size, bytes.fromhex(receipt.ledger.root), file, store=receipt.store, reference=reference)


def receipts_in(source_names: Sequence[str]) -> list[str]:
    """File names of complete receipts."""
    return [name for name in source_names if name.endswith(".json") and f"{name}.p7s" in source_names]


def compare(hashes: Sequence[bytes], sights: Sequence[Sight]) -> tuple[list[Finding], list[Sight]]:
    """The ledger (its leaf hashes) against everybody who saw it: agreed, rolled back, or forked; and those who agree."""
    findings: list[Finding] = []
    roots = _roots_at(hashes, {sight.size for sight in sights})
    for sight in sights:
        if sight.size > len(hashes):
            text = f"{sight.who} knows {sight.size} leaves, and this ledger ends after {len(hashes)}: it was rolled back or cut short"
            findings.append(Finding(Severity.BAD, LAYER, text, file=sight.file, code="ledger-rolled-back", remedy=_ROLLED_BACK))
        elif roots[sight.size] != sight.root:
            text = f"{sight.who} knows another history of the first {sight.size} leaves: the ledger was forked"
            findings.append(Finding(Severity.BAD, LAYER, text, file=sight.file, code="ledger-forked", remedy=_ROLLED_BACK))
    agreed = [sight for sight in sights if sight.size <= len(hashes) and roots[sight.size] == sight.root]
    if agreed:
        newest = max(agreed, key=lambda one: one.size)
        text = f"continues what {newest.who} saw at leaf {newest.size} of {len(hashes)}"
        findings.append(Finding(Severity.GOOD, LAYER, text, file=newest.file, code="witness-agrees", count=len(agreed)))
    return findings, agreed


def _roots_at(hashes: Sequence[bytes], sizes: set[int]) -> dict[int, bytes]:
    tree, found = CompactTree(), {}
    for digest in (*hashes, None):
        if tree.size in sizes:
            found[tree.size] = tree.root()
        if digest is not None:
            tree.append(digest)
    return found


def first_difference(hashes: Sequence[bytes], others: Sequence[bytes]) -> int | None:
    """The leaf at which two ledgers part; ``None`` when one continues the other."""
    return next((index for index, (one, other) in enumerate(zip(hashes, others, strict=False)) if one != other), None)


def no_witness(size: int, seen: int = 0) -> Finding:
    """What a ledger alone cannot show. ``seen``: how many of its leaves a dock knew."""
    known = f"; a dock knew {seen} leaves of it" if seen else ""
    text = f"whether the camera's ledger goes on after leaf {size - 1} was not checked: nobody was asked who may have seen more{known}"
    remedy = "Give the card and the dock's store together, or a dock's checkpoint file, with its witness key (--witness)."
    return Finding(Severity.UNCHECKED, LAYER, text, code="no-witness", remedy=remedy)


def unavailable(error: UnavailableError, file: str) -> Finding:
    """A witness that could not be heard."""
    return Finding(Severity.UNCHECKED, LAYER, str(error), file=file, code="no-witness", remedy=error.remedy)
