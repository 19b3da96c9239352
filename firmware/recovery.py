"""What a boot finds on the volume, and what it does about it.

Responsible for leaving the volume in a state in which every file is named by a signed leaf or set aside and reported (W2),
every begun recording is closed, and every interrupted release is finished (W3). Never rewrites what was promised, never
adopts what carries no signature: somebody who held the card may have planted it (BWC-POL-28, -29, -40).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from firmware.custody.entries import Entry, carried
from firmware.custody.snapshot import Snapshot
from firmware.errors import FormatError, IntegrityError, OathcamError
from firmware.evidence.manifest import Begin, End, FragmentRecord, Gap, LedgerSpan, Manifest, Mark, Mute, Recovered, SealedObject
from firmware.evidence.primitives import sha256
from firmware.identity import RecordingContext
from firmware.recorder import append_end, build_manifest, close_recording, set_aside, write_papers
from firmware.rereading import own_manifest
from firmware.storage import vault as names
from firmware.storage.ledger_file import LOG, Draft, Ledger, OpenedLedger
from firmware.storage.unreadable import Unreadable
from firmware.storage.vault import ReleaseWarrant, Vault
from firmware.timebase import Timestamp, format_utc, parse_utc
from hal.errors import HalError, VolumeFull
from hal.interfaces import KeyStore, Volume

_SAME_BOOT_TOLERANCE_US = 2_000_000
_RESUME_US = 120_000_000
"""A recording goes on after a restart of the daemon or of the board that took at most this long: the encounter is still on."""


@dataclass(frozen=True, slots=True)
class Previous:
    """How the last run ended: "first", "clean", "power-loss" or "crash"; ``down_us`` since its last leaf, if known.

    ``step``: the supervisor's step that ended it, if one did. ``resume``: it died, or ended itself, in a recording whose end nobody
    had asked for, a moment ago.
    """

    how: str
    down_us: int | None
    step: str = ""
    resume: bool = False


@dataclass(slots=True)
class _Traces:
    """What the ledger says of one recording."""

    begin: Entry | None = None
    papers: list[Entry] = field(default_factory=list)
    """Files that the begin leaf's batch carries."""
    init: Entry | None = None
    fragments: list[Entry] = field(default_factory=list)
    marks: list[Entry] = field(default_factory=list)
    drops: list[Entry] = field(default_factory=list)
    mutes: list[Entry] = field(default_factory=list)
    """Both ``mute`` and ``unmute``."""
    end: Entry | None = None
    receipted: tuple[int, Timestamp] | None = None
    """Number and time of the receipt's leaf."""
    released: bool = False

    @property
    def last_index(self) -> int:
        told = (self.begin, self.init, *self.papers, *self.fragments, *self.marks, *self.drops, *self.mutes)
        return max(entry.n for entry in told if entry)


def open_ledger(volume: Volume, vault: Vault, key_store: KeyStore, public_key: ec.EllipticCurvePublicKey, origin: str) -> OpenedLedger:
    """Open the ledger; an unreadable one is kept aside whole and a new one begun, for a camera must record.

    The new ledger is shorter than the dock's high-water mark, so the dock will call it by name (rolled back).
    """
    try:
        opened = Ledger.open(volume, origin, key_store.sign_digest, public_key)
    except (FormatError, IntegrityError):
        data = volume.read(LOG)
        vault.keep_aside(f"ledger-{sha256(data).hex()[:16]}", data)
        volume.truncate(LOG, 0)
        opened = Ledger.open(volume, origin, key_store.sign_digest, public_key)
        return OpenedLedger(opened.ledger, (), data, 0)
    if opened.tail:
        vault.keep_aside(f"ledger-tail-{sha256(opened.tail).hex()[:16]}", opened.tail)
        opened.ledger.cut_tail(opened.signed_bytes)
    return opened


def previous_end(entries: Sequence[Entry], now: Timestamp, stayed_up: bool | None = None) -> Previous:
    """How the run before this one ended, told from its last leaf.

    ``stayed_up``: whether the machine did since then, where the kernel's name of the boot says so (``bootmark``). Where nothing does,
    boot time that went on, with the wall clock or a step of it that the last leaf tells of, means the same.
    """
    if not entries:
        return Previous("first", None)
    last = entries[-1]
    boot_us = now.boottime_ns // 1000 - last.time.boottime_ns // 1000
    wall_us = now.wall_ns // 1000 - last.time.wall_ns // 1000
    same_boot = boot_us >= 0 and (_agree(last, boot_us, wall_us) if stayed_up is None else stayed_up)
    down_us = boot_us if same_boot and stayed_up else wall_us if wall_us >= 0 else None
    if last.kind == "shutdown":
        escalation = _last_step(entries)
        owed = escalation is not None and bool(escalation.fields["owed"]) and down_us is not None and down_us < _RESUME_US
        return Previous("clean", down_us, "" if escalation is None else str(escalation.fields["step"]), owed)
    if same_boot:
        return Previous("crash", boot_us, resume=_was_recording(entries, now))
    return Previous("power-loss", down_us)


def _agree(last: Entry, boot_us: int, wall_us: int) -> bool:
    """Whether both clocks say that as much time went by; the wall clock also by what it was about to be set."""
    due_us = int(last.fields["offset_us"]) if last.kind == "clock" and last.fields["action"] == "set" else 0
    return any(abs(boot_us + step - wall_us) < _SAME_BOOT_TOLERANCE_US for step in (0, due_us))


def _last_step(entries: Sequence[Entry]) -> Entry | None:
    """The escalation that ended the last run: in its boot, with nothing but its end behind it."""
    for entry in reversed(entries):
        if entry.boot != entries[-1].boot or entry.kind == "ready":
            return None
        if entry.kind == "escalation" and entry.fields["step"] in ("restart", "reboot"):
            return entry
    return None


def _was_recording(entries: Sequence[Entry], now: Timestamp) -> bool:
    """Whether a recording whose end nobody asked for was going on a moment ago: it has no end, or a fault or a boot after a crash ended
    it, and the run that was to take it up died too before it could."""
    for entry in reversed(entries):
        if entry.kind in ("ready", "sleep", "dock", "shutdown"):
            return False
        if entry.kind in ("begin", "fragment", "end"):
            owed = entry.kind != "end" or entry.fields["cause"] == "fault"
            return owed and 0 <= now.since(entry.time) < _RESUME_US * 1000
    return False


def tail_drafts(opened: OpenedLedger, now: Timestamp) -> list[Draft]:
    """The leaf that says that a torn or unsigned tail was set aside."""
    if not opened.tail:
        return []
    lines = opened.tail.count(b"\n")
    fields = {"bytes_sha256": sha256(opened.tail).hex(), "bytes": len(opened.tail), "unattested_leaves": lines}
    return [Draft("torn", now, fields)]


class Recovery:
    """Closes, sets aside, finishes. Runs once at boot, before the first activation is carried out."""

    def __init__(
        self,
        context: RecordingContext,
        vault: Vault,
        ledger: Ledger,
        previous: Previous,
        roots: Sequence[x509.Certificate],
        unreadable: Unreadable,
        beat: Callable[[], object] = lambda: None,
    ) -> None:
        """``unreadable`` outlives a try that an error of the volume ended. ``beat`` is called as the work goes on."""
        self._context = context
        self._roots = tuple(roots)
        self._vault = vault
        self._ledger = ledger
        self._previous = previous
        self._unreadable = unreadable
        self._beat = beat
        self.receipted: dict[str, Timestamp] = {}
        """When the receipt leaf of a recording was written, for every recording that has one."""
        self.warrants: dict[str, ReleaseWarrant] = {}
        """Receipted recordings that are still on the card: a grace period, or a release that a power cut prevented."""
        self.stays_open = False
        """A recording could not be closed or tidied, because what it takes is lost: every boot tries again."""

    def run(self, entries: Sequence[Entry], now: Timestamp, snapshot: Snapshot | None = None) -> tuple[str, ...]:
        """Returns the names of the recordings that were closed.

        With a ``snapshot``, before which everything had ended, only recordings that the leaves after it speak of are looked at. The others
        are read again, file by file, while the camera rests (``rereading.py``).
        """
        traces = _trace(entries)
        for one in snapshot.receipted if snapshot else ():
            traces.setdefault(one.recording, _Traces()).receipted = (one.leaf, one.at)
        finished = {}
        for recording in self._vault.recordings():
            if snapshot is not None and not _is_recent(recording, traces, snapshot):
                continue
            self._beat()
            trace = traces.get(recording, _Traces())
            manifest = self._finished(recording, trace)
            if manifest is not None and not trace.released:
                finished[recording] = manifest
            self._patiently(recording, "tidy", partial(self._tidy, recording, trace, manifest, now), now)
        closed = []
        for recording, trace in traces.items():
            if trace.begin and not trace.end:
                if recording in finished:
                    close = partial(self._finish, recording, finished[recording], now)
                else:
                    close = partial(self._close, recording, trace, now)
                self._patiently(recording, "close", close, now)
                closed.append(recording)
            if trace.receipted:
                leaf, self.receipted[recording] = trace.receipted
                if not trace.released:
                    self.warrants[recording] = ReleaseWarrant(recording, leaf)
        return tuple(closed)

    def _patiently(self, recording: str, what: str, act: Callable[[], None], now: Timestamp) -> None:
        """One recording that the card will not let go of must not keep the camera from all others: after a few tries of the boot a fault
        leaf tells of it, and the next boot tries again. A card that takes no leaf either is not this recording's fault."""
        if self._unreadable.is_given_up(recording):
            self.stays_open = True
            return
        try:
            act()
        except VolumeFull:
            raise
        except (HalError, OathcamError) as error:
            if isinstance(error, HalError) and not self._unreadable.is_last(recording):
                raise
            self._tell_fault(f"cannot {what} {recording}: {error}"[:200], now)
            self._unreadable.give_up(recording)
            self.stays_open = True

    def _tidy(self, recording: str, trace: _Traces, manifest: Manifest | None, now: Timestamp) -> None:
        """Set aside what nobody signed for, and the directory when nothing else was in it.

        What cannot be read or moved (a link, a directory, a bad sector: a hostile or dying card) stays where it is, with a
        fault leaf: it must not keep the camera from recording.
        """
        expected = set() if trace.released else _expected_files(trace) | _named_files(manifest)
        for name in self._vault.files(recording):
            if name not in expected:
                self._beat()
                try:
                    set_aside(self._vault, self._ledger, recording, name, now)
                except HalError as error:
                    self._tell_fault(f"cannot set aside {name} of {recording}: {error}", now)
        if not expected:
            with suppress(HalError):
                self._vault.remove_empty(recording)

    def _finished(self, recording: str, trace: _Traces) -> Manifest | None:
        """The recording's manifest, if this camera signed it and it tells what the ledger tells.

        It counts where no end leaf names it: when power went between the two (the close was complete but for the leaf), and
        when the ledger knows nothing of the recording, because it was lost.
        """
        try:
            manifest = own_manifest(self._vault, recording, self._context.chain[0], self._roots)
        except (HalError, OathcamError):
            return None
        if trace.begin is None:
            return manifest
        told = (trace.begin.fields["begin_sha256"], tuple(_record(entry) for entry in trace.fragments))
        return manifest if told == (manifest.begin_sha256, manifest.fragments) else None

    def _finish(self, recording: str, manifest: Manifest, now: Timestamp) -> None:
        """The end leaf of a close that was complete but for it. What made its papers durable may be what failed: once more (W1)."""
        papers = [(name, self._vault.read(recording, name)) for name in (names.MANIFEST, names.MANIFEST_SIGNATURE)]
        self._vault.close(recording, papers)
        append_end(self._ledger, manifest, now)

    def _tell_fault(self, reason: str, now: Timestamp) -> None:
        self._ledger.append([Draft("fault", now, {"port": "storage", "reason": reason})])

    def _close(self, recording: str, trace: _Traces, now: Timestamp) -> None:
        """Write the manifest that the power cut prevented, from begin.json and the leaves alone (BWC-POL-28)."""
        assert trace.begin is not None
        self._write_papers(trace)
        begin = self._read_begin(recording, trace.begin, now)
        if begin is None:
            self.stays_open = True
            return
        fragments = [_record(entry) for entry in trace.fragments]
        cause = "power-loss" if self._previous.how == "power-loss" else "fault"
        end = _end_of(begin, fragments, trace.fragments, cause)
        manifest = build_manifest(
            begin,
            end,
            _init(trace.init),
            fragments,
            [Mark(entry.time.boottime_ns // 1000, entry.time.utc, -1) for entry in trace.marks],
            [_gap(entry) for entry in trace.drops],
            None,
            LedgerSpan(begin.ledger_index, trace.last_index),
            recovered=Recovered(self._context.boot, now.utc),
            mutes=_mutes(trace.mutes, end.boottime_us),
        )
        close_recording(self._context, self._vault, self._ledger, manifest, now)

    def _write_papers(self, trace: _Traces) -> None:
        """What the begin leaf's batch carries, as files: they follow their leaf, and power may have gone in between. Not once a leaf says
        that they were durable: only then may others name files of the recording (W1)."""
        assert trace.begin is not None
        papers = carried(trace.papers)
        data = papers.get(names.BEGIN, b"")
        if trace.init is None and sha256(data).hex() == trace.begin.fields["begin_sha256"]:
            write_papers(self._context, self._vault, Begin.from_bytes(data), tuple(papers.items()))

    def _read_twice(self, recording: str, name: str) -> bytes:
        """Nothing when it is not there. A card that fails once must not leave a recording open until the next boot."""
        try:
            return self._vault.read(recording, name) if name in self._vault.files(recording) else b""
        except HalError:
            return self._vault.read(recording, name)

    def _read_begin(self, recording: str, entry: Entry, now: Timestamp) -> Begin | None:
        """``begin.json`` as its leaf names it; ``None`` and a fault leaf when the card has lost or changed it."""
        try:
            data = self._read_twice(recording, names.BEGIN)
            if sha256(data).hex() != entry.fields["begin_sha256"]:
                raise IntegrityError("vault", f"{names.BEGIN} of {recording!r} is not what its leaf names")
            return Begin.from_bytes(data)
        except (HalError, OathcamError) as error:
            self._tell_fault(f"cannot close {recording}: {error}", now)
            return None


def _is_recent(recording: str, traces: Mapping[str, _Traces], snapshot: Snapshot) -> bool:
    """Begun or released after the snapshot, or left by an activation that a cut kept from its leaf."""
    trace, order = traces.get(recording), names.order_of(recording)
    if trace is not None and (trace.begin is not None or trace.released):
        return True
    first = names.order_of(snapshot.recording)
    return order is not None and first is not None and order >= first


def _trace(entries: Sequence[Entry]) -> dict[str, _Traces]:
    traces: dict[str, _Traces] = {}
    for entry in entries:
        recording = entry.fields.get("recording")
        if recording is None:
            continue
        trace = traces.setdefault(recording, _Traces())
        match entry.kind:
            case "begin":
                trace.begin = entry
            case "paper":
                trace.papers.append(entry)
            case "init":
                trace.init = entry
            case "fragment":
                trace.fragments.append(entry)
            case "mark":
                trace.marks.append(entry)
            case "drop":
                trace.drops.append(entry)
            case "mute" | "unmute":
                trace.mutes.append(entry)
            case "end":
                trace.end = entry
            case "receipt":
                trace.receipted = (entry.n, entry.time)
            case "release":
                trace.released = True
    return traces


def _expected_files(trace: _Traces) -> set[str]:
    """Names that signed leaves account for. Notes and manifest are named by the end leaf (through the manifest)."""
    expected: set[str] = set()
    if trace.begin:
        expected |= {names.BEGIN, names.BEGIN_SIGNATURE, names.ASSIGNMENT}
    if trace.init:
        expected.add(names.INIT)
    expected |= {names.fragment_name(entry.fields["seq"]) for entry in trace.fragments}
    if trace.end:
        expected |= {names.MANIFEST, names.MANIFEST_SIGNATURE, names.NOTES}
    return expected


def _named_files(manifest: Manifest | None) -> set[str]:
    if manifest is None:
        return set()
    papers = {names.BEGIN, names.BEGIN_SIGNATURE, names.MANIFEST, names.MANIFEST_SIGNATURE, names.INIT, names.NOTES, names.ASSIGNMENT}
    return papers | {names.fragment_name(one.seq) for one in manifest.fragments}


def _record(entry: Entry) -> FragmentRecord:
    fields = entry.fields
    return FragmentRecord(
        seq=fields["seq"],
        boottime_us=fields["start_us"],
        utc=fields["start_utc"],
        duration_us=fields["duration_us"],
        pictures=fields["pictures"],
        audio_frames=fields["audio_frames"],
        plain_sha256=fields["plain"],
        plain_bytes=fields["plain_bytes"],
        sealed_sha256=fields["sealed"],
        sealed_bytes=fields["sealed_bytes"],
    )


def _init(entry: Entry | None) -> SealedObject | None:
    if entry is None:
        return None
    fields = entry.fields
    return SealedObject(fields["plain"], fields["plain_bytes"], fields["sealed"], fields["sealed_bytes"])


def _gap(entry: Entry) -> Gap:
    fields = entry.fields
    return Gap(fields["after"], entry.time.boottime_ns // 1000, fields["duration_us"], fields["pictures"], fields["cause"])


def _mutes(entries: Sequence[Entry], end_us: int) -> tuple[Mute, ...]:
    """Intervals without sound; one that was open when the power went lasts to the end."""
    made: list[Mute] = []
    since: int | None = None
    for entry in entries:
        at = entry.time.boottime_ns // 1000
        if entry.kind == "mute":
            since = at if since is None else since
        elif since is not None:
            made.append(Mute(since, at, entry.fields["cause"]))
            since = None
    if since is not None:
        made.append(Mute(since, max(since, end_us), entries[-1].fields["cause"]))
    return tuple(made)


def _end_of(begin: Begin, fragments: Sequence[FragmentRecord], entries: Sequence[Entry], cause: str) -> End:
    """The end of the last promised fragment; the activation when there is none."""
    if not fragments:
        return End(begin.boottime_us, begin.utc, begin.trust, cause)
    last = fragments[-1]
    utc = format_utc(parse_utc(last.utc) + last.duration_us * 1000)
    return End(last.boottime_us + last.duration_us, utc, entries[-1].time.trust.value, cause)
