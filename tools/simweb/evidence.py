"""What the page hands out of the camera's and the dock's evidence: sealed as it lies there, opened, or judged.

Opening and judging are the code of ``oathcam open`` and ``oathcam verify``, on a copy that was taken between two events: the camera goes
on meanwhile. One at a time. Refuses to open what does not verify, as the command does.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from firmware.errors import UnavailableError, UsageError
from firmware.evidence.findings import Finding, Severity
from tools.export import Terms, export
from tools.scenario_run import Place, check
from tools.simulated import SERIAL
from tools.simweb.session import Session
from tools.sources import DirectorySource, load_key, load_roots
from tools.verifying import parse_witnesses, worst

_TURN = threading.Lock()
_AGENCY = ("root.crt", "agency.crt", "agency.key")
_READ_ME = """One recording of the virtual camera, sealed, with its camera's ledger. To check it:

    oathcam verify {serial}/vault/{recording} --trust agency/root.crt --key agency/agency.key

The agency is a throwaway one: that is why its key lies here.
"""


@contextmanager
def evidence(session: Session, recording: str) -> Iterator[DirectorySource]:
    """Where the recording lies: a copy of the card's, or the store's own when the camera has released it. ``UsageError`` when it is
    in neither."""
    place = session.place
    if not recording or recording not in _names(place.card) + _names(place.store / SERIAL):
        raise UsageError(f"there is no recording {recording!r}", remedy="Choose one of the list.")
    with _TURN:
        if recording in _names(place.card):
            with copied(session, recording) as card:
                yield DirectorySource(card, recording)
        else:
            yield DirectorySource(place.store / SERIAL, recording)


@contextmanager
def copied(session: Session, recording: str = "") -> Iterator[Path]:
    """The card as it is between two events, with one recording or with all."""
    card = session.place.card
    with tempfile.TemporaryDirectory(prefix="oathcam-page-") as directory:
        target = Path(directory) / SERIAL

        def copy() -> None:
            shutil.copytree(card / "ledger", target / "ledger")
            if recording:
                shutil.copytree(card / "vault" / recording, target / "vault" / recording)
            else:
                shutil.copytree(card / "vault", target / "vault")

        session.in_world(copy)
        yield target


def _names(device: Path) -> list[str]:
    return list(DirectorySource(device).names("vault"))


def sealed_archive(session: Session, recording: str) -> bytes:
    """A ZIP with everything that a check needs, the throwaway agency's key included."""
    with evidence(session, recording) as source, tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            for part in ("ledger", f"vault/{recording}"):
                for path in sorted((source.root / part).rglob("*")):
                    if path.is_file():
                        archive.write(path, f"{recording}/{SERIAL}/{path.relative_to(source.root)}")
            for name in _AGENCY:
                archive.write(session.place.agency / name, f"{recording}/agency/{name}")
            archive.writestr(f"{recording}/README.txt", _READ_ME.format(serial=SERIAL, recording=recording))
        file.seek(0)
        return file.read()


def opened_film(session: Session, recording: str) -> bytes:
    """The film, decrypted with the agency's key. Raises what keeps it from leaving."""
    with evidence(session, recording) as source, tempfile.TemporaryDirectory() as directory:
        return export(source, recording, Path(directory), _terms(session.place)).file.read_bytes()


def _terms(place: Place) -> Terms:
    key = load_key(place.agency / "agency.key", None)
    assert key is not None
    docks = parse_witnesses([f"dock={place.agency / 'dock' / 'witness.pub'}"])
    return Terms(key, load_roots(place.agency / "root.crt"), "virtual camera", "opened on the page", docks=docks)


def judged(session: Session, recording: str) -> dict[str, Any]:
    """Verdict and findings of one recording; of everything, card and store, when ``recording`` is empty."""
    if recording:
        with evidence(session, recording) as source:
            return _judge(session, [source.root / "vault" / recording])
    store = session.place.store
    with _TURN, copied(session) as card:
        return _judge(session, [card, *([store] if (store / SERIAL).is_dir() else [])])


def _judge(session: Session, paths: list[Path]) -> dict[str, Any]:
    try:
        checked = check(session.place, paths)
    except UnavailableError as error:
        return {
            "verdict": "cannot tell",
            "passed": 0,
            "findings": [{"severity": "missing", "text": str(error), "code": "", "remedy": error.remedy}],
        }
    findings = [finding for one in checked for finding in one.report.all_findings]
    return {
        "verdict": worst([one.report.verdict for one in checked]).value,
        "passed": sum(1 for one in findings if one.severity is Severity.GOOD),
        "findings": [_row(one) for one in findings if one.severity is not Severity.GOOD],
    }


def _row(finding: Finding) -> dict[str, str]:
    return {"severity": finding.severity.value, "text": finding.sentence(), "code": finding.code or "", "remedy": finding.remedy}
