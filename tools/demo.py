"""``oathcam demo``: one shift, end to end, on the simulated camera, and a page to look at."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import av
from rich.table import Table

from firmware.config import load_config
from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import UsageError
from firmware.evidence import pki
from firmware.evidence.findings import Report, Verdict
from firmware.evidence.verify import OpeningKey
from hal.interfaces import KeyProtection
from tools.console import output, progress
from tools.opening import open_recording, read_manifest, read_notes
from tools.provision import CameraOrder, make_agency, make_camera
from tools.report import RecordingPage, ShiftPage, still_moments, write_report
from tools.shift import Script, ShiftResult, dock_station, run_shift
from tools.sources import DirectorySource, load_key, load_roots
from tools.stills import stills_at
from tools.verify import print_report, verify_sources

SERIAL = "SIM-0001"
MARKER = ".oathcam-demo"
CUT_AFTER_BYTES = 3_000_000


def check_source(source: str) -> None:
    """UsageError unless ``source`` is something that decodes to pictures: found out before anything is made."""
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
    (directory / MARKER).write_text("made by `oathcam demo`; may be replaced by it\n", encoding="utf-8")


def run_demo(source: str, target: Path, profile: str) -> int:
    """Provision, record, lose power, dock, verify, open, report; returns the exit code. ``source`` '' is the drawn street."""
    began = time.monotonic()
    if source and not source.startswith("/dev/"):
        check_source(source)
    fresh_directory(target)
    agency = make_agency(target / "agency", "Example Agency")
    order = CameraOrder(SERIAL, "simulated body camera", "officer 4711", profile, "sim", KeyProtection.SIMULATED)
    where = f"source = {_quoted(str(Path(source).resolve()) if source and not source.startswith('/dev/') else source)}\n"
    config = load_config(make_camera(target / "camera", agency, order, lambda: where if source else ""))
    script = Script()
    store = target / "store"
    logging.basicConfig(filename=target / "oathcamd.log", level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    with dock_station(target / "agency" / "dock", store, target / "dock.log") as address, progress() as bars:
        task = bars.add_task("the shift", total=script.end, note="booting")
        result = run_shift(config, address, script, [CUT_AFTER_BYTES], lambda done, text: bars.update(task, completed=done, note=text))
    (target / "sync.log").write_text(result.sync_log, encoding="utf-8")
    key = load_key(target / "agency" / "agency.key", None)
    assert key is not None
    evidence = DirectorySource(store / SERIAL)
    report = verify_sources([evidence], target / "agency" / "root.crt", key)[0]
    tampered = verify_tampered(evidence, target, key)
    page = make_page(evidence, target, report, tampered, key, result, source, began)
    write_report(target / "report.html", page)
    summarise(report, tampered, result)
    output.print(f"{target / 'report.html'}", soft_wrap=True, highlight=False)
    return 0 if report.verdict is Verdict.AUTHENTIC and tampered.verdict is Verdict.NOT_AUTHENTIC else 1


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


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


def make_page(
    evidence: DirectorySource,
    target: Path,
    report: Report,
    tampered: Report,
    key: OpeningKey,
    result: ShiftResult,
    source: str,
    began: float,
) -> ShiftPage:
    """Open every recording, take the stills, put the page together."""
    pages = [_open_page(evidence, recording, target, key) for recording in evidence.names("vault")]
    sealed = sum(one.sealed_bytes for page in pages for one in page.manifest.fragments)
    pictures = sum(page.manifest.pictures for page in pages)
    figures = [
        ("shift in virtual time", f"{Script().end:.0f} s"),
        ("time to capture, encode, sign, seal and store it", f"{result.capture_s:.1f} s"),
        ("pictures kept", str(pictures)),
        ("sealed fragments", f"{sealed / 1e6:.2f} MB"),
        ("offload", f"{result.offload_s:.2f} s"),
        ("everything, this page included", f"{time.monotonic() - began:.1f} s"),
    ]
    sync = result.syncs[0]
    offload = {
        "recordings": ", ".join(f"{one['recording']}: {one['outcome']}" for one in sync["recordings"]),
        "sent": f"{sync['bytes_sent'] / 1e6:.2f} MB over TLS 1.3 with certificates on both sides",
        "link": f"cut {result.cuts} time(s) in mid-transfer, on purpose",
        "resumed": f"{sync['bytes_resumed']} bytes were at the dock already and were not sent again",
        "ledger": f"{result.syncs[-1]['ledger_size']} leaves accepted with consistency proofs, receipts and releases included",
        "alarms": ", ".join(sync["alarms"]) or "none",
    }
    return ShiftPage(
        title="One shift",
        entries=read_entries(DirectorySource(target / "camera" / "card")),
        report=report,
        recordings=pages,
        tampered=tampered,
        offload=offload,
        figures=figures,
        source=Path(source).name if source else "a drawn street",
    )


def _open_page(evidence: DirectorySource, recording: str, target: Path, key: OpeningKey) -> RecordingPage:
    movie = target / f"{recording}.mp4"
    manifest = read_manifest(evidence, recording, load_roots(target / "agency" / "root.crt"))
    open_recording(evidence, manifest, key, movie)
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
