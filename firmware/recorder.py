"""One recording, from the first GOP to the signed manifest, on the custodian's worker.

Responsible for the order in which a GOP becomes evidence: signed in the stream, one fragment, hashed, sealed, hashed again,
durable, then named by a leaf (W1, house law 2). Refuses to know buttons, states and devices.

Invariants: fragments are numbered 0, 1, 2 … without a hole; a fragment's leaf is appended only after its file is durable; a
GOP that could not be written is a ``drop`` leaf and a gap in the manifest, never silence (house law 4); plaintext exists in
memory only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any

from firmware.custody.entries import MAX_PAPER_BYTES
from firmware.evidence.jcs import canonical
from firmware.evidence.manifest import (
    MAX_GAPS,
    MAX_MARKS,
    MAX_MUTES,
    MAX_PRE_EVENT_MS,
    Audio,
    Begin,
    End,
    FragmentRecord,
    Gap,
    LedgerSpan,
    Manifest,
    Mark,
    Mute,
    Notes,
    PreEvent,
    Recovered,
    SealedObject,
    Video,
)
from firmware.evidence.primitives import sha256
from firmware.identity import RecordingContext
from firmware.media.fmp4 import AudioTrack, Fragmenter, VideoTrack, init_segment
from firmware.media.gop import Gop
from firmware.media.signer import StreamSigner
from firmware.storage import durable
from firmware.storage import vault as names
from firmware.storage.ledger_file import Draft, Ledger
from firmware.storage.vault import Vault
from firmware.timebase import Timestamp, parse_utc
from hal.errors import HalError


@dataclass(frozen=True, slots=True)
class BeginOrder:
    """What the loop decided at activation. ``shortfall`` is empty when the pre-event buffer was as long as configured;
    ``assignment`` (who wore it, where) is sealed before it is written."""

    recording: str
    at: Timestamp
    cause: str
    video: Video
    audio: AudioTrack | None
    shortfall: str
    assignment: dict[str, Any]
    order: str | None = None
    """SHA-256 of the order that assigned the camera; ``None``: nobody wears it (BWC-POL-30)."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A fragment is durable with its leaf: from here on it is never lost (house law 2).

    ``since``: the exposure of its last picture, or the activation where that was later (the pre-event buffer); ``lag_ns``: from then
    to the promise, once the custodian has read the clock.
    """

    recording: str
    seq: int
    end: Timestamp
    since: Timestamp
    lag_ns: int = 0


@dataclass(frozen=True, slots=True)
class _Made:
    """A fragment in memory, not yet durable."""

    record: FragmentRecord
    sealed: bytes
    end: Timestamp
    last: Timestamp
    """Of the newest picture in it."""


class Recorder:
    """State of the one open recording. Not thread-safe: the custodian's worker calls it."""

    def __init__(
        self,
        context: RecordingContext,
        vault: Vault,
        ledger: Ledger,
        order: BeginOrder,
        seal: Callable[[bytes], bytes],
        promised: Callable[[Promise], object],
    ) -> None:
        self._context = context
        self._vault = vault
        self._ledger = ledger
        self._order = order
        self._seal = seal
        self._promised = promised
        self._signer = StreamSigner(context.chain_pem, context.sign_digest, context.signature_max_bytes, context.vendor)
        self._fragmenter: Fragmenter | None = None
        self._init: SealedObject | None = None
        self._fragments: list[FragmentRecord] = []
        self._marks: list[Mark] = []
        self._gaps: list[Gap] = []
        self._finished = False
        self._closing: Manifest | None = None
        """It may be durable already, though its leaf was refused: the notes that it names are not written anew."""
        self._mutes: list[Mute] = []
        self._muted_since: int | None = None
        self._begin: Begin
        self._unwritten: list[tuple[str, bytes]] = []
        """Papers that the ledger carries and that are not files yet."""
        self._last_leaf = -1

    @property
    def recording(self) -> str:
        return self._order.recording

    @property
    def fragments(self) -> int:
        """Fragments promised so far."""
        return len(self._fragments)

    @property
    def is_open(self) -> bool:
        """Its last GOP was not promised yet."""
        return not self._finished

    @property
    def is_muted(self) -> bool:
        return self._muted_since is not None

    def begin(self) -> None:
        """Make the activation a fact (BWC-POL-01, -03): its leaf, and in the same write the papers that it names, so that a press waits for
        one flush. The files follow (:meth:`write_papers`). Papers that are too long for a leaf are files before it (W1)."""
        order, context = self._order, self._context
        assignment = self._seal(canonical(order.assignment))
        self._begin = Begin(
            recording=order.recording,
            device=context.device,
            key_protection=context.key_protection,
            policy=context.policy,
            counter=context.boot,
            boot=context.boot,
            boottime_us=order.at.boottime_ns // 1000,
            utc=order.at.utc,
            trust=order.at.trust.value,
            cause=order.cause,
            pre_event_ms=context.pre_event_ms,
            pre_event_audio=context.pre_event_audio,
            shortfall=order.shortfall or None,
            video=order.video,
            audio=Audio(order.audio.sample_rate, order.audio.channels) if order.audio else None,
            recipients=tuple(recipient.key_id for recipient in context.recipients),
            ledger_index=self._ledger.size,
            assignment=Notes(sha256(assignment).hex(), len(assignment)),
            order=order.order,
        )
        data = self._begin.to_bytes()
        self._unwritten = [(names.ASSIGNMENT, assignment), (names.BEGIN, data)]
        carried = paper_drafts(order.recording, self._unwritten, order.at)
        if not carried:
            self.write_papers()
        fields = {"recording": order.recording, "begin_sha256": sha256(data).hex(), "cause": order.cause}
        self.append([Draft("begin", order.at, fields), *carried])

    def write_papers(self) -> None:
        """``begin.json``, its signature and the assignment as files; nothing where they are already. Before any other leaf that names a
        file (W1)."""
        if self._unwritten:
            write_papers(self._context, self._vault, self._begin, self._unwritten)
            self._unwritten = []

    def commit(self, gops: Sequence[Gop], now: Timestamp) -> None:
        """Make GOPs durable as one group: every file synced, one directory sync, one ledger append (W1, W4).

        Raises the volume's error with nothing promised; the caller accounts for the GOPs by :meth:`drop`.
        """
        signer = copy(self._signer)
        self._commit([signer.sign_gop(gop) for gop in gops], now)
        self._signer = signer

    def mark(self, at: Timestamp) -> None:
        """A wearer's mark (BWC-POL-18); which fragment it falls into is settled at the end."""
        self.append([Draft("mark", at, {"recording": self.recording})])
        self._marks.append(Mark(at.boottime_ns // 1000, at.utc, -1))

    def mute(self, at: Timestamp, muted: bool, cause: str = "button") -> None:
        """Sound is not captured from here on, or is again (BWC-POL-17)."""
        self.append([Draft("mute" if muted else "unmute", at, {"recording": self.recording, "cause": cause})])
        if muted:
            self._muted_since = at.boottime_ns // 1000
        elif self._muted_since is not None:
            self._mutes.append(Mute(self._muted_since, at.boottime_ns // 1000, "button"))
            self._muted_since = None

    def drop(self, first: Timestamp, duration_us: int, pictures: int, cause: str) -> None:
        """Pictures that were seen and could not be kept: a gap entry, in the ledger and in the manifest."""
        after = len(self._fragments) - 1
        fields = {"recording": self.recording, "after": after, "pictures": pictures, "duration_us": duration_us, "cause": cause}
        self.append([Draft("drop", first, fields)])
        self._gaps.append(Gap(after, first.boottime_ns // 1000, duration_us, pictures, cause))

    def end(self, final: Gop | None, at: Timestamp, cause: str, notes: dict[str, Any]) -> None:
        """Close: last GOP with its own signature, sealed notes, signed manifest, end leaf (BWC-POL-24).

        After an error of the volume it may be called again with the same arguments; what is done is not done twice.
        """
        self.write_papers()
        if final is not None and not self._finished:
            signer = copy(self._signer)
            self._commit([signer.finish(final)], at)
            self._finished = True
        if self._closing is None:
            self._set_aside_unpromised(at)
            sealed_notes = self._seal(canonical(notes))
            self._vault.add(self.recording, [(names.NOTES, sealed_notes)])
            self._closing = self._manifest(at, cause, Notes(sha256(sealed_notes).hex(), len(sealed_notes)))
        close_recording(self._context, self._vault, self._ledger, self._closing, at)

    def _set_aside_unpromised(self, at: Timestamp) -> None:
        """What a group left behind that the volume refused and that was dropped is not of this recording (W2). What cannot be
        moved now is moved at the next boot."""
        closing = {names.NOTES, names.MANIFEST, names.MANIFEST_SIGNATURE}
        expected = {names.ASSIGNMENT, names.BEGIN, names.BEGIN_SIGNATURE, *closing, *(name + durable.TEMPORARY for name in closing)}
        expected |= {names.fragment_name(seq) for seq in range(len(self._fragments))}
        expected |= {names.INIT} if self._init else set()
        for name in self._vault.files(self.recording).keys() - expected:
            with suppress(HalError):
                set_aside(self._vault, self._ledger, self.recording, name, at)

    def _commit(self, gops: Sequence[Gop], now: Timestamp) -> None:
        """Signer and fragmenter work on copies, taken over only once everything is durable: a group that the volume refuses
        leaves no trace, and can be tried again or dropped."""
        self.write_papers()
        files: list[tuple[str, bytes]] = []
        drafts: list[Draft] = []
        init, fragmenter = self._init, copy(self._fragmenter)
        if fragmenter is None:
            fragmenter = Fragmenter(gops[0].start, self._order.audio)
            init, sealed = self._make_init(gops[0])
            files.append((names.INIT, sealed))
            drafts.append(Draft("init", now, init_fields(self.recording, init)))
        made = [self._make(fragmenter, len(self._fragments) + index, gop) for index, gop in enumerate(gops)]
        files += [(names.fragment_name(item.record.seq), item.sealed) for item in made]
        drafts += [Draft("fragment", now, fragment_fields(self.recording, item.record)) for item in made]
        self._vault.add(self.recording, files)
        self.append(drafts)
        self._init, self._fragmenter = init, fragmenter
        for item in made:
            self._fragments.append(item.record)
            self._promised(Promise(self.recording, item.record.seq, item.end, max(item.last, self._order.at, key=_boottime)))

    def _make_init(self, gop: Gop) -> tuple[SealedObject, bytes]:
        plain = init_segment(VideoTrack.from_gop(gop), self._order.audio)
        sealed = self._seal(plain)
        return SealedObject(sha256(plain).hex(), len(plain), sha256(sealed).hex(), len(sealed)), sealed

    def _make(self, fragmenter: Fragmenter, seq: int, gop: Gop) -> _Made:
        plain = fragmenter.fragment(seq, gop)
        sealed = self._seal(plain)
        end = gop.end or gop.units[-1].time
        record = FragmentRecord(
            seq=seq,
            boottime_us=gop.start.boottime_ns // 1000,
            utc=gop.start.utc,
            duration_us=end.boottime_ns // 1000 - gop.start.boottime_ns // 1000,
            pictures=len(gop.units),
            audio_frames=len(gop.audio),
            plain_sha256=sha256(plain).hex(),
            plain_bytes=len(plain),
            sealed_sha256=sha256(sealed).hex(),
            sealed_bytes=len(sealed),
        )
        return _Made(record, sealed, end, gop.units[-1].time)

    def append(self, drafts: Sequence[Draft]) -> None:
        """Leaves about this recording, one batch."""
        self._last_leaf = self._ledger.append(drafts)[-1]

    def _manifest(self, at: Timestamp, cause: str, notes: Notes | None) -> Manifest:
        end = End(at.boottime_ns // 1000, at.utc, at.trust.value, cause)
        span = LedgerSpan(self._begin.ledger_index, self._last_leaf)
        mutes = [*self._mutes]
        if self._muted_since is not None:  # a split in a mute: the recording that follows goes on with one of its own
            mutes.append(Mute(self._muted_since, max(self._muted_since, end.boottime_us), "button"))
        return build_manifest(self._begin, end, self._init, self._fragments, self._marks, self._gaps, notes, span, mutes=mutes)


def _boottime(at: Timestamp) -> int:
    return at.boottime_ns


def paper_drafts(recording: str, papers: durable.Files, at: Timestamp) -> list[Draft]:
    """``paper`` leaves with these files; none at all when one of them is too long for a leaf."""
    if any(len(data) > MAX_PAPER_BYTES for _, data in papers):
        return []
    content = [(name, base64.b64encode(data).decode("ascii")) for name, data in papers]
    return [Draft("paper", at, {"recording": recording, "name": name, "content": text}) for name, text in content]


def write_papers(context: RecordingContext, vault: Vault, begin: Begin, papers: durable.Files) -> None:
    """The files of an activation, with a signature over ``begin.json``; whatever stands under their names was not promised."""
    signature = context.sign(begin.to_bytes(), parse_utc(begin.utc))
    vault.begin(begin.recording, [*papers, (names.BEGIN_SIGNATURE, signature)])


def init_fields(recording: str, init: SealedObject) -> dict[str, Any]:
    """The fields of an ``init`` leaf."""
    fields = {"recording": recording, "plain": init.plain_sha256, "plain_bytes": init.plain_bytes}
    return {**fields, "sealed": init.sealed_sha256, "sealed_bytes": init.sealed_bytes}


def fragment_fields(recording: str, record: FragmentRecord) -> dict[str, Any]:
    """The fields of a ``fragment`` leaf: all that a boot after a power cut needs to write the manifest."""
    return {
        "recording": recording,
        "seq": record.seq,
        "start_us": record.boottime_us,
        "start_utc": record.utc,
        "duration_us": record.duration_us,
        "pictures": record.pictures,
        "audio_frames": record.audio_frames,
        "plain": record.plain_sha256,
        "plain_bytes": record.plain_bytes,
        "sealed": record.sealed_sha256,
        "sealed_bytes": record.sealed_bytes,
    }


def build_manifest(
    begin: Begin,
    end: End,
    init: SealedObject | None,
    fragments: Sequence[FragmentRecord],
    marks: Sequence[Mark],
    gaps: Sequence[Gap],
    notes: Notes | None,
    span: LedgerSpan,
    *,
    mutes: Sequence[Mute] = (),
    recovered: Recovered | None = None,
) -> Manifest:
    """The one way a manifest is made, at a clean close and at the boot after a power cut alike.

    What a list of the format cannot hold stands in the ledger alone: it must not keep a recording open for ever (BWC-POL-24, -28).
    """
    activation = _fragment_at(fragments, begin.boottime_us)
    actual_us = max(0, begin.boottime_us - fragments[0].boottime_us) if fragments else 0
    pre_event = PreEvent(
        configured_ms=begin.pre_event_ms,
        actual_ms=min(actual_us // 1000, MAX_PRE_EVENT_MS),
        fragments=activation,
        activation_fragment=activation,
        audio=begin.pre_event_audio,
        shortfall=begin.shortfall,
    )
    return Manifest(
        recording=begin.recording,
        device=begin.device,
        key_protection=begin.key_protection,
        policy=begin.policy,
        begin=begin.moment(),
        begin_sha256=sha256(begin.to_bytes()).hex(),
        end=end,
        pre_event=pre_event,
        video=begin.video,
        audio=begin.audio,
        init=init,
        fragments=tuple(fragments),
        marks=tuple(Mark(mark.boottime_us, mark.utc, _fragment_at(fragments, mark.boottime_us)) for mark in marks[:MAX_MARKS]),
        gaps=tuple(gaps[:MAX_GAPS]),
        notes=notes,
        recipients=begin.recipients,
        ledger=span,
        recovered=recovered,
        mutes=tuple(mutes[:MAX_MUTES]),
        assignment=begin.assignment,
    )


def set_aside(vault: Vault, ledger: Ledger, recording: str, name: str, at: Timestamp) -> None:
    """A file that no signed leaf names: never promised, perhaps planted. Kept, sealed, reported (W2).

    Tried twice while it still lies there, where it makes a good recording look planted; what was moved and not told, the next boot tells.
    """
    try:
        _set_aside(vault, ledger, recording, name, at)
    except HalError:
        if name not in vault.files(recording):
            raise
        _set_aside(vault, ledger, recording, name, at)


def _set_aside(vault: Vault, ledger: Ledger, recording: str, name: str, at: Timestamp) -> None:
    digest = sha256(vault.read(recording, name)).hex()
    kept = vault.set_aside(recording, name)
    ledger.append([Draft("unattested", at, {"recording": recording, "name": kept, "sealed": digest})])


def close_recording(context: RecordingContext, vault: Vault, ledger: Ledger, manifest: Manifest, at: Timestamp) -> None:
    """Sign the manifest, make both durable, then the end leaf."""
    data = manifest.to_bytes()
    signature = context.sign(data, at.wall_ns)
    vault.close(manifest.recording, [(names.MANIFEST, data), (names.MANIFEST_SIGNATURE, signature)])
    append_end(ledger, manifest, at)


def append_end(ledger: Ledger, manifest: Manifest, at: Timestamp) -> None:
    """The end leaf of a durable, signed manifest."""
    fields = {"recording": manifest.recording, "manifest_sha256": sha256(manifest.to_bytes()).hex(), "cause": manifest.end.cause}
    ledger.append([Draft("end", at, fields)])


def _fragment_at(fragments: Sequence[FragmentRecord], boottime_us: int) -> int:
    """Number of the fragment that holds an instant: the last one that starts at or before it; 0 when none does."""
    seq = 0
    for record in fragments:
        if record.boottime_us > boottime_us:
            break
        seq = record.seq
    return seq
