"""What is asked of a card after one call on it failed: of the run itself, of the card that it left, and of the boot that follows.

Whatever failed, nothing that was promised is missing or changed, the verdict is "authentic", and what is lost is named. A run whose call
failed, and that lived, ended in order and did everything that an undisturbed one does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from firmware.custody.entries import Entry
from firmware.errors import OathcamError
from firmware.evidence.continuity import unexplained
from firmware.evidence.findings import Report, Severity, Verdict
from hal.errors import HalError
from tests.disk.judge import OPEN_FRAGMENT_US, Court, Promises, lost_files, lost_fragments, read_manifest
from tests.disk.log import Mark
from tests.syscalls.trace import Call, Fault, Run, Way

FULL = "storage-full"


def wrong(run: Run, fault: Fault, card: Path, court: Court, reference: Sequence[Entry]) -> list[str]:
    """Everything that is not as it must be, in words. ``reference``: the leaves of the shift in which no call failed."""
    killed = run.code == -9
    found = [] if killed == (fault.way is Way.KILLED) else [f"ended with {run.code}: {run.errors[-2000:]}"]
    if not killed:
        found += [f"as it was left: {one}" for one in against_verdict(court.verify(card))]
        found += _not_again(run.calls, card)
    promises = Promises.of(run.marks)
    found += [loss.text for loss in lost_files(card, promises, ())]
    try:
        court.boot(card)
        leaves = court.leaves(card)
    except (HalError, OathcamError, OSError) as error:
        return [*found, f"the camera does not boot: {error!r}"]
    report = court.verify(card)
    found += against_verdict(report)
    found += [loss.text for loss in lost_fragments(card, promises, leaves, ()) if not _stopped_by_full(card, loss.text)]
    found += _unnamed(card, promises, leaves, fault)
    found += _killed(promises, leaves, report, run.marks) if killed else _undone(leaves, reference, fault)
    return found


def against_verdict(report: Report) -> list[str]:
    if report.verdict is Verdict.AUTHENTIC or not report.entries:
        return []
    return [f"{report.verdict.value}: {one.sentence()}" for one in report.all_findings if one.severity in (Severity.BAD, Severity.MISSING)]


def _stopped_by_full(card: Path, text: str) -> bool:
    """``lost_fragments`` knows a button's end alone; a full card's is told as what it is."""
    recording = text.removesuffix(" was closed")
    manifest = read_manifest(card, recording) if recording != text else None
    return manifest is not None and manifest.end.cause == FULL


def _unnamed(card: Path, promises: Promises, leaves: Sequence[Entry], fault: Fault) -> Iterator[str]:
    """Time of a recording that is in no fragment and in no gap; an end for a reason that there was none for."""
    for recording in (one.name for one in (card / "vault").iterdir()):
        manifest = read_manifest(card, recording)
        if manifest is None:
            yield f"{recording} has no manifest"
            continue
        yield from (f"{recording}: {hole}" for hole in unexplained(manifest))
        yield from (f"{recording}: gap by {gap.cause!r}" for gap in manifest.gaps if (gap.cause, fault.way) != (FULL, Way.FULL))
    allowed = {"button", "power-loss"} | ({FULL} if fault.way is Way.FULL else set())
    causes = {one.fields["cause"] for one in leaves if one.kind == "end"}
    yield from (f"a recording ended by {cause!r}" for cause in causes - allowed)


def _killed(promises: Promises, leaves: Sequence[Entry], report: Report, marks: Sequence[Mark]) -> Iterator[str]:
    """At most the open fragment is missing, and camera and verifier say that power was lost."""
    ours = [one for one in leaves if one.boot == leaves[-1].boot - 1]
    if not ours:  # killed before it had written one
        return
    if promises.recording and promises.recording not in promises.closed:
        leaf = next((one for one in ours if one.kind == "end" and one.fields["recording"] == promises.recording), None)
        at_us = leaf.time.boottime_ns // 1000 if leaf else _end_us(ours, promises.recording)
        if leaf is None and promises.done_us - at_us > OPEN_FRAGMENT_US:
            yield f"{promises.recording} lacks {promises.done_us - at_us} us"
    clean = ours[-1].kind == "shutdown"
    newest = [one for one in leaves if one.kind == "boot"][-1]
    if newest.fields["previous"] != ("clean" if clean else "power-loss"):
        yield f"the camera says that its last run ended by {newest.fields['previous']!r}"
    if not clean and not any("power-loss" in one.text for one in report.findings):
        yield "the verifier says nothing of a power loss"


def _end_us(leaves: Sequence[Entry], recording: str) -> int:
    """Where its newest fragment ends."""
    ours = [one.fields for one in leaves if one.kind == "fragment" and one.fields["recording"] == recording]
    return max((one["start_us"] + one["duration_us"] for one in ours), default=0)


def _undone(leaves: Sequence[Entry], reference: Sequence[Entry], fault: Fault) -> Iterator[str]:
    """What an undisturbed shift writes into its ledger and this one did not. A full card ends a recording: what would have come then,
    a drop and a fault say instead."""
    kinds, wanted = (Counter(one.kind for one in entries) for entries in (leaves, reference))
    newest = [one for one in leaves if one.kind == "boot"][-1]
    if newest.fields["previous"] != "clean":
        yield f"the camera says that its last run ended by {newest.fields['previous']!r}"
    short = wanted - kinds
    if short and fault.way is Way.FULL and any(one.kind == "fault" and one.fields["reason"] == "full" for one in leaves):
        short = Counter({kind: count for kind, count in short.items() if kind not in ("fragment", "mark", "init")})
    yield from (f"{count} {kind} leaves are missing" for kind, count in short.items())
    if kinds["begin"] != kinds["end"]:
        yield f"{kinds['begin']} recordings begun, {kinds['end']} ended"


def _not_again(calls: Sequence[Call], card: Path) -> Iterator[str]:
    """A call that failed and was not made again, on a file that is still there; a sync that was asked again although the kernel may have
    dropped what it could not write: the bytes are to be written again first, or cut off."""
    for index, call in enumerate(calls):
        if not call.injected or call.name not in ("write", "fsync", "fdatasync", "syncfs"):
            continue
        path, later = call.paths[0], calls[index + 1 :]
        if not (card / path).exists() or path.startswith(("unattested", "sync/")):
            continue  # the boot that tells of what lies aside syncs it first; a spool that is cleared again harms nobody
        again = [one for one in later if one.name == call.name and one.paths == call.paths and one.worked]
        if not again:
            yield f"{call.name} of {path} failed and was not made again"
        elif (
            call.name != "write"
            and (card / path).is_file()
            and not any(one.name in ("write", "ftruncate") and one.paths == call.paths for one in later[: later.index(again[0])])
        ):
            yield f"{call.name} of {path} failed, and was asked again of bytes that may be lost"
