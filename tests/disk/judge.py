"""What is asked of a card after a power cut: the camera boots on it, the verifier reads it, and every promise is looked for.

A promise is one of three. The volume's, of a file (``stored``); the recorder's, of a fragment; its word that a recording is closed. Beyond
them at most the open fragment may be missing, and both the camera and the verifier have to say that power was lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path

from cryptography import x509

from firmware.boot import boot
from firmware.config import DeviceConfig
from firmware.custody.checkpoint import read_log
from firmware.custody.entries import Entry
from firmware.errors import OathcamError
from firmware.evidence import pki
from firmware.evidence.findings import Report, Verdict
from firmware.evidence.manifest import Manifest
from firmware.evidence.verify import OpeningKey, verify_device
from firmware.storage.ledger_file import LOG, RECEIPTS
from firmware.storage.vault import ASSIGNMENT, BEGIN, BEGIN_SIGNATURE, INIT, MANIFEST, VAULT, fragment_name
from hal.directory_volume import DirectoryVolume
from hal.errors import HalError
from tests.disk.camera import LIVES, open_body
from tests.disk.log import Mark
from tools.sources import DirectorySource

OPEN_FRAGMENT_US = 1_034_000
"""A second, and the picture that began it."""


@dataclass(slots=True)
class Promises:
    """What had been promised when the power was cut."""

    stored: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Name to bytes and their SHA-256; there may be more bytes by now."""
    fragments: set[tuple[str, int]] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    released: dict[str, set[str]] = field(default_factory=dict)
    """Recordings that began to leave the card, and those of their promised files whose removal may be done."""
    life: int = 0
    done_us: int = 0
    """Boot time of this life up to which all that was to be done was done."""
    recording: str = ""
    """The newest of this life, if any of it was promised."""

    @classmethod
    def of(cls, marks: Sequence[Mark]) -> Promises:
        made = cls()
        for mark in marks:
            match mark.fields:
                case {"stored": name, "bytes": size, "sha256": digest}:
                    made.stored[name] = (size, digest)
                case {"gone": name, **more}:
                    if made.stored.pop(name, None) and more.get("removed") and name.startswith(f"{VAULT}/"):
                        made.released.setdefault(name.split("/")[1], set()).add(name)
                case {"promised": recording, "seq": seq}:
                    made.fragments.add((recording, seq))
                    made.recording = recording
                case {"closed": recording}:
                    made.closed.add(recording)
                case {"done_ns": done_ns}:
                    made.done_us = done_ns // 1000
                case {"life": life}:
                    made.life, made.done_us, made.recording = life, 0, ""
        return made


@dataclass(frozen=True, slots=True)
class Court:
    """Who judges: the camera's own configuration and keys, the agency's root and its key for what is sealed."""

    config: DeviceConfig
    footage: Path
    roots: tuple[x509.Certificate, ...]
    key: OpeningKey | None

    def boot(self, card: Path) -> None:
        """The life after the cut: it recovers, and ends in order. The errors of a boot that gives up pass."""
        config = replace(self.config, state_directory=card)
        hal = open_body(config, DirectoryVolume(card), self.footage, len(LIVES))
        try:
            daemon = boot(hal, config)
            daemon.run()
            daemon.ask_shutdown("end of test")
            daemon.run()
            daemon.close()
        finally:
            hal.close()

    def verify(self, card: Path) -> Report:
        return verify_device(DirectorySource(card), self.roots, self.key)

    def leaves(self, card: Path) -> tuple[Entry, ...]:
        chain = pki.load_certificates_pem((card / "ledger/device.pem").read_bytes())
        return read_log((card / LOG).read_bytes(), f"oathcam/{self.config.serial}", pki.public_key(chain[0])).entries


@dataclass(frozen=True, slots=True)
class Loss:
    """``leaf``: index of the leaf that names what was lost; ``None`` for the ledger's own files."""

    text: str
    leaf: int | None
    name: str = ""
    """The file."""


@dataclass(slots=True)
class Judgement:
    lost: list[Loss] = field(default_factory=list)
    """Promised, and not there."""
    unexplained: list[str] = field(default_factory=list)
    """More is missing than may be, or nobody says why."""
    reported: list[str] = field(default_factory=list)
    """Who says that something is wrong: no file system, no boot, a verdict."""
    half_released: bool = False
    """The power was cut between the first and the last file of a recording that was being released."""
    ends_at: int | None = None
    """The leaf from which on the ledger was lost, when what follows says so: a boot after a power loss, or boots that left no leaf."""

    @property
    def silent(self) -> list[str]:
        """Lost, and nobody says so: neither a verdict, nor a ledger that ends before it."""
        if self.reported:
            return []
        return [one.text for one in self.lost if one.leaf is not None and (self.ends_at is None or one.leaf < self.ends_at)]

    def as_dict(self) -> dict[str, list[str]]:
        lost = [one.text for one in self.lost]
        return {"lost": lost, "unexplained": self.unexplained, "reported": self.reported, "silent": self.silent}


def judge(card: Path, marks: Sequence[Mark], court: Court, truth: Sequence[Entry]) -> Judgement:
    """After a cut of an honest card's power nothing is lost or unexplained; after any other card's nothing is lost in silence.

    ``truth``: the leaves that were written in the recorded lives, lost ones too.
    """
    promises, found = Promises.of(marks), Judgement()
    found.lost += lost_files(card, promises, truth)
    found.half_released = any(0 < there < len(names) for names, there in remains(card, promises).values())
    found.lost += released_unreceipted(card, promises, court, truth)
    try:
        court.boot(card)
        leaves = court.leaves(card)
    except (HalError, OathcamError, OSError) as error:
        found.unexplained.append(f"the camera does not boot: {error}")
        found.reported.append("boot")
        return found
    found.lost = [one for one in found.lost if not written_again(card, promises, one)]
    found.lost += lost_fragments(card, promises, leaves, truth)
    report = court.verify(card)
    found.ends_at = end_of(leaves, truth, report)
    if report.recordings and report.verdict is not Verdict.AUTHENTIC:
        bad = [one.sentence() for part in (report, *report.recordings) for one in part.findings if one.severity.value in ("bad", "missing")]
        found.unexplained.append(f"{report.verdict.value}: {'; '.join(bad[:3])}")
        found.reported.append(report.verdict.value)
    found.unexplained += badly_released(card, promises, leaves)
    found.unexplained += unexplained(card, promises, leaves, report)
    return found


def end_of(leaves: Sequence[Entry], truth: Sequence[Entry], report: Report) -> int | None:
    """How many leaves of the recorded lives are still there. ``None`` when what follows is not the boot after a power loss; nothing is
    left, and that is told, when the verifier misses the boots before the first."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(leaves, truth, strict=False)))
    after = next((one for one in leaves[same:] if one.kind != "torn"), None)
    if after is None or after.kind != "boot":
        return None
    missed = same == 0 and any(one.code == "boot-counter-skipped" for one in report.findings)
    return same if missed or after.fields["previous"] == "power-loss" else None


_NAMED_BY = {BEGIN: "begin", BEGIN_SIGNATURE: "begin", ASSIGNMENT: "begin", INIT: "init"}
"""Kind of the leaf that names a file; other files than these and fragments are named by the end's."""


def leaf_of(name: str, truth: Sequence[Entry]) -> int | None:
    """Index of the leaf that names a file; that of no leaf, behind all, when it had none yet; ``None`` for the ledger's copies."""
    if name == LOG:
        return len(truth)
    directory, _, file = name.rpartition("/")
    if not directory.startswith("vault/"):
        return None
    recording = directory.partition("/")[2]
    for one in truth:
        if one.fields.get("recording") != recording:
            continue
        if one.kind == "fragment" and fragment_name(one.fields["seq"]) == file:
            return one.n
        if one.kind == _NAMED_BY.get(file, "end") and not file.endswith(".m4s.p7m"):
            return one.n
    return len(truth)


def lost_files(card: Path, promises: Promises, truth: Sequence[Entry]) -> list[Loss]:
    """Before the boot touches anything."""
    lost = []
    for name, (size, digest) in promises.stored.items():
        path = card / name
        try:
            data = path.read_bytes()
        except OSError as error:
            lost.append(Loss(f"{name}: {error.strerror}", leaf_of(name, truth), name))
            continue
        if hashlib.sha256(data[:size]).hexdigest() != digest:
            lost.append(Loss(f"{name}: {len(data)} bytes, of {size} promised ones some are others", leaf_of(name, truth), name))
    return lost


def written_again(card: Path, promises: Promises, loss: Loss) -> bool:
    """The boot wrote it from what the ledger carries: the same bytes, or the signature over them, which the verifier judges."""
    size, digest = promises.stored.get(loss.name, (0, ""))
    path = card / loss.name
    if _NAMED_BY.get(path.name) != "begin" or not path.is_file():
        return False
    return path.name == BEGIN_SIGNATURE or hashlib.sha256(path.read_bytes()[:size]).hexdigest() == digest


def remains(card: Path, promises: Promises) -> dict[str, tuple[set[str], int]]:
    """Of each recording that began to leave: the files that were promised of it, and how many of them are there."""
    found = {}
    for recording, removed in promises.released.items():
        names = removed | {name for name in promises.stored if name.startswith(f"{VAULT}/{recording}/")}
        found[recording] = (names, sum((card / name).exists() for name in names))
    return found


def released_unreceipted(card: Path, promises: Promises, court: Court, truth: Sequence[Entry]) -> list[Loss]:
    """W3: what has left the card, even in part, has a receipt, and that has its leaf. Before the boot touches anything."""
    leaving = [recording for recording, (names, there) in remains(card, promises).items() if there < len(names)]
    try:
        receipted = {one.fields["recording"] for one in court.leaves(card) if one.kind == "receipt"}
    except (OathcamError, OSError):
        receipted = set()
    kept = {recording for recording in receipted if (card / RECEIPTS / f"{recording}.json").exists()}
    return [
        Loss(f"{recording} leaves the card, and its receipt has no leaf", leaf_of(f"vault/{recording}/{MANIFEST}", truth))
        for recording in leaving
        if recording not in kept
    ]


def badly_released(card: Path, promises: Promises, leaves: Sequence[Entry]) -> list[str]:
    """After the boot: a recording that began to leave is there as it was, or is gone and the ledger says that it was released."""
    found = []
    told = {one.fields["recording"] for one in leaves if one.kind == "release"}
    for recording, (names, there) in remains(card, promises).items():
        if there not in (0, len(names)):
            found.append(f"{there} of {len(names)} files of {recording} are left")
        if (recording in told) != (not (card / "vault" / recording).exists()):
            found.append(f"{recording} is {'still here' if recording in told else 'gone without a leaf that says so'}")
    return found


def lost_fragments(card: Path, promises: Promises, leaves: Sequence[Entry], truth: Sequence[Entry]) -> list[Loss]:
    """After the boot: each promised fragment has its leaf and stands in its recording's manifest; what was closed stays so."""
    lost = []
    told = {(one.fields["recording"], one.fields["seq"]): one.fields["sealed"] for one in leaves if one.kind == "fragment"}
    # What was released with right lies in the dock.
    gone = {one.fields["recording"] for one in leaves if one.kind == "release"}
    manifests = {recording: read_manifest(card, recording) for recording, _ in promises.fragments}
    for recording, seq in sorted(promises.fragments):
        if recording in gone:
            continue
        manifest = manifests[recording]
        listed = {} if manifest is None else {one.seq: one.sealed_sha256 for one in manifest.fragments}
        if (recording, seq) not in told or listed.get(seq) != told[recording, seq]:
            why = "no leaf" if (recording, seq) not in told else "not in the manifest"
            name = f"vault/{recording}/{fragment_name(seq)}"
            lost.append(Loss(f"fragment {seq} of {recording}: {why}", leaf_of(name, truth)))
    for recording in sorted(promises.closed - gone):
        manifest = manifests.get(recording)
        if manifest is None or manifest.end.cause != "button":
            lost.append(Loss(f"{recording} was closed", leaf_of(f"vault/{recording}/{MANIFEST}", truth)))
    return lost


def unexplained(card: Path, promises: Promises, leaves: Sequence[Entry], report: Report) -> list[str]:
    found = []
    causes = {one.fields["cause"] for one in leaves if one.kind == "end"}
    if not causes <= {"button", "power-loss"}:
        found.append(f"recordings ended by {sorted(causes)}")
    if promises.recording and promises.recording not in promises.closed:
        manifest = read_manifest(card, promises.recording)
        missing_us = promises.done_us - (manifest.end.boottime_us if manifest else 0)
        if missing_us > OPEN_FRAGMENT_US:
            found.append(f"{promises.recording} lacks {missing_us} us")
    if promises.stored.get(LOG, (0, ""))[0]:
        newest = [one for one in leaves if one.kind == "boot"][-1]
        if newest.fields["previous"] != "power-loss":
            found.append(f"the camera says that its last run ended by {newest.fields['previous']!r}")
        if not any("power-loss" in one.text for one in report.findings):
            found.append("the verifier says nothing of a power loss")
    return found


def read_manifest(card: Path, recording: str) -> Manifest | None:
    try:
        return Manifest.from_bytes((card / "vault" / recording / "manifest.json").read_bytes())
    except (OSError, OathcamError):
        return None
