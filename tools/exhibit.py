"""What a shift leaves behind, shown: the store verified, tampered with and opened, on one page.

Responsible for the directory that a demonstration fills and for its ``report.html``, the same for every camera that a shift was run
on. Refuses to run one. Expects ``agency/``, ``camera/card/`` and ``store/<serial>/`` in the directory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from rich.table import Table

from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import UsageError
from firmware.evidence import pki
from firmware.evidence.findings import Report, Verdict
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import OpeningKey
from tools.console import output
from tools.opening import open_recording, read_notes
from tools.report import RecordingPage, ShiftPage, still_moments, write_report
from tools.shift import ShiftResult
from tools.sources import DirectorySource, load_key
from tools.stills import stills_at
from tools.verify import print_report, verify_sources
from tools.verifying import parse_witnesses

MARKER = ".oathcam-demo"


@dataclass(frozen=True, slots=True)
class Staging:
    """Which camera it was, and what a reader must know of it. ``made_of``: what is real, in whole sentences. ``fakes``: what only
    stands for something else, told on page and terminal; empty when ``made_of`` says it all."""

    serial: str
    made_of: str
    source: str
    figures: Sequence[tuple[str, str]]
    fakes: str = ""


def check_source(source: str, target: Path) -> None:
    """UsageError unless ``source`` is something that decodes to pictures, and will still be there once ``target`` is replaced: found
    out before anything is made."""
    if Path(source).resolve().is_relative_to(target.resolve()):
        raise UsageError(f"{source!r} lies in {str(target)!r}, which is to be replaced", remedy="Copy it to another place first.")
    try:
        with av.open(source) as container:
            if not container.streams.video:
                raise UsageError(f"{source!r} holds no video", remedy="Give a video file, or leave --source out for the drawn street.")
            next(container.decode(container.streams.video[0]))
    except (av.FFmpegError, OSError, StopIteration) as error:
        raise UsageError(
            f"{source!r} is no video that can be decoded: {error}", remedy="Give a video file, or leave --source out for the drawn street."
        ) from None


def fresh_directory(directory: Path) -> None:
    """An empty directory; one that an earlier demo left is replaced, anything else is refused."""
    if directory.exists():
        if not (directory / MARKER).exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise UsageError(f"{str(directory)!r} exists and was not made by the demo", remedy="Choose another --output.")
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    (directory / MARKER).write_text("made by a demonstration of oathcam; may be replaced by one\n", encoding="utf-8")


def conclude(target: Path, staging: Staging, result: ShiftResult, began: float) -> int:
    """Verify, tamper, open, write the page, print where it is; the exit code. ``began`` on the monotonic clock."""
    (target / "sync.log").write_text(result.sync_log, encoding="utf-8")
    key = load_key(target / "agency" / "agency.key", None)
    assert key is not None
    evidence = DirectorySource(target / "store" / staging.serial)
    witness = parse_witnesses([f"dock={target / 'agency' / 'dock' / 'witness.pub'}"])
    report = verify_sources([evidence], target / "agency" / "root.crt", key, witness)[0]
    tampered = verify_tampered(evidence, target, key)
    pages = [_open_page(evidence, recording, target, key) for recording in evidence.names("vault")]
    entries = read_entries(DirectorySource(target / "camera" / "card"))
    page = ShiftPage(
        title="One shift",
        entries=entries,
        report=report,
        recordings=pages,
        tampered=tampered,
        offload=_offload(result),
        figures=[*staging.figures, *_figures(pages, result, began)],
        source=staging.source,
        made_of=staging.made_of,
        fakes=staging.fakes,
    )
    write_report(target / "report.html", page)
    summarise(report, tampered, result)
    for line in (staging.fakes, str(target / "report.html")):
        if line:
            output.print(line, soft_wrap=True, highlight=False)
    return 0 if report.verdict is Verdict.AUTHENTIC and tampered.verdict is Verdict.NOT_AUTHENTIC else 1


def verify_tampered(evidence: DirectorySource, target: Path, key: OpeningKey) -> Report:
    """Copy the store, flip one bit in the middle of one fragment, verify the copy."""
    copy = target / "tampered"
    shutil.copytree(evidence.root, copy)
    recording = evidence.names("vault")[0]
    fragments = [name for name in evidence.names(f"vault/{recording}") if name.endswith(".m4s.p7m")]
    victim = copy / "vault" / recording / fragments[len(fragments) // 2]
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0x01
    victim.chmod(0o600)
    victim.write_bytes(data)
    return verify_sources([DirectorySource(copy)], target / "agency" / "root.crt", key)[0]


def _figures(pages: Sequence[RecordingPage], result: ShiftResult, began: float) -> list[tuple[str, str]]:
    return [
        ("pictures kept", str(sum(page.manifest.pictures for page in pages))),
        ("sealed fragments", f"{sum(one.sealed_bytes for page in pages for one in page.manifest.fragments) / 1e6:.2f} MB"),
        ("offload", f"{result.offload_s:.2f} s"),
        ("everything, this page included", f"{time.monotonic() - began:.1f} s"),
    ]


def _offload(result: ShiftResult) -> dict[str, str]:
    sync = result.syncs[0]
    return {
        "recordings": ", ".join(f"{one['recording']}: {one['outcome']}" for one in sync["recordings"]),
        "sent": f"{sync['bytes_sent'] / 1e6:.2f} MB over TLS 1.3 with certificates on both sides",
        "link": f"cut {result.cuts} time(s) in mid-transfer, on purpose",
        "resumed": f"{sync['bytes_resumed']} bytes were at the dock already and were not sent again",
        "ledger": f"{result.syncs[-1]['ledger_size']} leaves accepted with consistency proofs, receipts and releases included",
        "alarms": ", ".join(sync["alarms"]) or "none",
    }


def _open_page(evidence: DirectorySource, recording: str, target: Path, key: OpeningKey) -> RecordingPage:
    movie = target / f"{recording}.mp4"
    manifest: Manifest = open_recording(evidence, recording, key, movie, target / "agency" / "root.crt")
    moments = still_moments(manifest)
    pictures = stills_at(movie, [seconds for _, seconds in moments])
    notes = read_notes(evidence, manifest, key)
    stills = [(label, picture) for (label, _), picture in zip(moments, pictures, strict=True)]
    return RecordingPage(manifest, notes, movie.name, movie.stat().st_size, stills)


def read_entries(evidence: DirectorySource) -> Sequence[Entry]:
    """The ledger's leaves as the dock keeps them, checked against the camera's signatures."""
    chain = pki.load_certificates_pem(evidence.read("ledger/device.pem"))
    serial = pki.common_name(chain[0])
    return read_log(evidence.read("ledger/log"), f"oathcam/{serial}", pki.public_key(chain[0]), verify_all=True).entries


def summarise(report: Report, tampered: Report, result: ShiftResult) -> None:
    """A few lines for the terminal; the page has the rest."""
    print_report(report)
    table = Table(show_header=False, box=None)
    sync = result.syncs[0]
    moved = f"{sync['bytes_sent'] / 1e6:.2f} MB, link cut {result.cuts}x, {sync['bytes_resumed']} bytes resumed"
    table.add_row("offload", moved)
    table.add_row("one flipped byte", tampered.verdict.value)
    output.print(table)
