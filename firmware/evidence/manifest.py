# ruff: noqa: RUF009  (a field's check is made by a call on purpose; it holds no state)
"""What a camera says of one recording, in canonical JSON: ``begin.json`` at its start and ``manifest.json`` at its close.

Responsible for the two documents' fields, their types, ranges and inner consistency (evidence format §1; BWC-POL-03, -09,
-10, -24, -28). Refuses to know files, keys and ciphers, and whether what the documents say is true: that is verification.

Boot times are integers of microseconds since the camera booted; wall times are RFC 3339 in UTC with microseconds; hashes are
SHA-256 in lower-case hex. Invariant: ``from_bytes(data).to_bytes() == data`` for every ``data`` that ``from_bytes`` accepts,
and ``to_bytes`` writes nothing that ``from_bytes`` would refuse. Totals are not stored: they are derived from the fragments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from firmware.errors import FormatError
from firmware.evidence import fields as f
from firmware.evidence import jcs
from firmware.evidence.fields import field

BEGIN_FORMAT = "oathcam-begin/1"
MANIFEST_FORMAT = "oathcam-manifest/1"
MAX_BEGIN_BYTES = 64 * 1024
MAX_FRAGMENTS = 1_000_000
MAX_MARKS = MAX_MUTES = 10_000
MAX_GAPS = 100_000
"""What is beyond a full list of marks, mutes or gaps stands in the ledger alone: a recording must be closed whatever happened in it."""
MAX_PRE_EVENT_MS = 600_000
TRUSTS = ("unset", "rtc", "synced")
KEY_PROTECTIONS = ("file", "tpm", "pkcs11", "simulated")
BEGIN_CAUSES = ("button", "peer", "policy", "max-length", "recovery")
"""Why a recording began (BWC-POL-03). "max-length": it continues one that was split (BWC-POL-06); "recovery": a fault had
ended one that nobody had asked to end."""
END_CAUSES = (
    "button",
    "policy",
    "low-battery",
    "storage",
    "storage-full",
    "thermal",
    "docked",
    "power-loss",
    "fault",
    "max-length",
    "shutdown",
)
"""Why a recording ended (BWC-POL-03). "power-loss" and "fault" may have been written by the next boot."""

_trust = f.one_of(*TRUSTS)
_recipients = f.each(f.digest, 16, 1)


@dataclass(frozen=True, slots=True)
class Device:
    serial: str = field(f.text(64))
    model: str = field(f.text(64))
    firmware: str = field(f.text(64))
    firmware_sha256: str = field(f.digest)
    backend: str = field(f.text(64))
    """The hardware back-end; "sim" says that no real camera was involved."""


@dataclass(frozen=True, slots=True)
class PolicyRef:
    profile: str = field(f.text(64))
    version: int = field(f.integer())
    sha256: str = field(f.digest)


@dataclass(frozen=True, slots=True)
class Video:
    width: int = field(f.integer(16, 16_384))
    height: int = field(f.integer(16, 16_384))
    fps: int = field(f.integer(1, 1000))
    codec: str = field(f.text(64))


@dataclass(frozen=True, slots=True)
class Audio:
    sample_rate: int = field(f.integer(8_000, 192_000))
    channels: int = field(f.integer(1, 8))


@dataclass(frozen=True, slots=True)
class Moment:
    """When and why a recording began. ``boot`` numbers the boot (the key store's counter)."""

    boot: int = field(f.integer())
    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    trust: str = field(_trust)
    cause: str = field(f.one_of(*BEGIN_CAUSES))


@dataclass(frozen=True, slots=True)
class End:
    """When and why it ended. After a power loss: the end of the last promised fragment, in the boot it began in."""

    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    trust: str = field(_trust)
    cause: str = field(f.one_of(*END_CAUSES))


@dataclass(frozen=True, slots=True)
class Notes:
    """``assignment.json.p7m`` or ``notes.json.p7m``: sealed, because a stolen card must not tell who wore it and where."""

    sealed_sha256: str = field(f.digest)
    sealed_bytes: int = field(f.integer(1))


@dataclass(frozen=True, slots=True)
class Begin:
    """``begin.json``: signed and durable before the first fragment. Nothing personal stands in it.

    It holds all that a later boot needs, with the ledger's leaves, to write the manifest that a power cut prevented.
    """

    recording: str = field(f.name)
    device: Device = field(f.nested(Device))
    key_protection: str = field(f.one_of(*KEY_PROTECTIONS))
    policy: PolicyRef = field(f.nested(PolicyRef))
    counter: int = field(f.integer())
    """The key store's counter."""
    boot: int = field(f.integer())
    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    trust: str = field(_trust)
    cause: str = field(f.one_of(*BEGIN_CAUSES))
    pre_event_ms: int = field(f.integer(0, MAX_PRE_EVENT_MS))
    """As configured."""
    pre_event_audio: bool = field(f.boolean)
    shortfall: str | None = field(f.nullable(f.text(120)))
    video: Video = field(f.nested(Video))
    audio: Audio | None = field(f.nullable(f.nested(Audio)))
    recipients: tuple[str, ...] = field(_recipients)
    """Key ids: hex SHA-256 of each recipient's SubjectPublicKeyInfo."""
    ledger_index: int = field(f.integer())
    """Index of the recording's begin leaf."""
    assignment: Notes | None = field(f.nullable(f.nested(Notes)), None)
    """Who wore the camera and where, as known at the activation (BWC-POL-30): durable from the first moment on."""
    order: str | None = field(f.nullable(f.digest), None)
    """SHA-256 of the order by which the camera was assigned; null says, without any key, that nobody was: UNASSIGNED (BWC-POL-30)."""

    def moment(self) -> Moment:
        """What the manifest repeats of the beginning."""
        return Moment(self.boot, self.boottime_us, self.utc, self.trust, self.cause)

    def to_bytes(self) -> bytes:
        """Canonical JSON. ``FormatError`` when a field would not be accepted by :meth:`from_bytes`."""
        return _write(self, BEGIN_FORMAT, "begin")

    @classmethod
    def from_bytes(cls, data: bytes) -> Begin:
        """``FormatError`` naming the field that does not fit."""
        return f.read(cls, _unwrap(data, BEGIN_FORMAT, "begin", MAX_BEGIN_BYTES), "begin")


@dataclass(frozen=True, slots=True)
class Recovered:
    """Which boot closed the recording, and when."""

    boot: int = field(f.integer())
    utc: str = field(f.utc)


@dataclass(frozen=True, slots=True)
class PreEvent:
    """The part from before the activation (BWC-POL-08 to -10): the first ``fragments`` fragments."""

    configured_ms: int = field(f.integer(0, MAX_PRE_EVENT_MS))
    actual_ms: int = field(f.integer(0, MAX_PRE_EVENT_MS))
    fragments: int = field(f.integer())
    activation_fragment: int = field(f.integer())
    """The fragment in which the activation lies, or the next one to come."""
    audio: bool = field(f.boolean)
    """Whether the policy lets this part carry audio: without it, silence is by design and no fault."""
    shortfall: str | None = field(f.nullable(f.text(120)))
    """Why it is shorter than configured; null when it is not."""


@dataclass(frozen=True, slots=True)
class SealedObject:
    """A file by its content and by its sealed bytes: the CMAF init segment."""

    plain_sha256: str = field(f.digest)
    plain_bytes: int = field(f.integer(1))
    sealed_sha256: str = field(f.digest)
    sealed_bytes: int = field(f.integer(1))


@dataclass(frozen=True, slots=True)
class FragmentRecord:
    """One fragment: one closed GOP, one sealed file. Times are those of its first picture."""

    seq: int = field(f.integer())
    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    duration_us: int = field(f.integer())
    pictures: int = field(f.integer(0, 100_000))
    audio_frames: int = field(f.integer(0, 1_000_000))
    plain_sha256: str = field(f.digest)
    plain_bytes: int = field(f.integer(1))
    sealed_sha256: str = field(f.digest)
    sealed_bytes: int = field(f.integer(1))


@dataclass(frozen=True, slots=True)
class Mark:
    """The wearer's marker (BWC-POL-18) and the fragment that holds it, or that would have come next."""

    boottime_us: int = field(f.integer())
    utc: str = field(f.utc)
    fragment: int = field(f.integer())


@dataclass(frozen=True, slots=True)
class Gap:
    """Pictures that were captured or due and are not there; ``after_fragment`` is -1 before the first."""

    after_fragment: int = field(f.integer(-1))
    boottime_us: int = field(f.integer())
    duration_us: int = field(f.integer())
    pictures_lost: int = field(f.integer())
    cause: str = field(f.token)


@dataclass(frozen=True, slots=True)
class Mute:
    """A time in which audio was not captured (BWC-POL-17), in boot time."""

    from_us: int = field(f.integer())
    to_us: int = field(f.integer())
    cause: str = field(f.token)


@dataclass(frozen=True, slots=True)
class LedgerSpan:
    """Where the ledger speaks of the recording: its begin leaf and the last leaf before the manifest."""

    begin_index: int = field(f.integer())
    last_index: int = field(f.integer())


@dataclass(frozen=True, slots=True)
class Manifest:
    """``manifest.json``: everything a recording consists of, signed at its close."""

    recording: str = field(f.name)
    device: Device = field(f.nested(Device))
    key_protection: str = field(f.one_of(*KEY_PROTECTIONS))
    policy: PolicyRef = field(f.nested(PolicyRef))
    begin: Moment = field(f.nested(Moment))
    begin_sha256: str = field(f.digest)
    """Hash of ``begin.json``."""
    end: End = field(f.nested(End))
    pre_event: PreEvent = field(f.nested(PreEvent))
    video: Video = field(f.nested(Video))
    audio: Audio | None = field(f.nullable(f.nested(Audio)))
    init: SealedObject | None = field(f.nullable(f.nested(SealedObject)))
    """null only when power was lost before the first fragment was promised."""
    fragments: tuple[FragmentRecord, ...] = field(f.each(f.nested(FragmentRecord), MAX_FRAGMENTS))
    marks: tuple[Mark, ...] = field(f.each(f.nested(Mark), MAX_MARKS))
    gaps: tuple[Gap, ...] = field(f.each(f.nested(Gap), MAX_GAPS))
    notes: Notes | None = field(f.nullable(f.nested(Notes)))
    recipients: tuple[str, ...] = field(_recipients)
    ledger: LedgerSpan = field(f.nested(LedgerSpan))
    recovered: Recovered | None = field(f.nullable(f.nested(Recovered)), None)
    """The boot that closed it, when the one it began in could not."""
    mutes: tuple[Mute, ...] = field(f.each(f.nested(Mute), MAX_MUTES), ())
    assignment: Notes | None = field(f.nullable(f.nested(Notes)), None)
    """As in ``begin.json``."""
    unattested: tuple[str, ...] = field(f.each(f.text(255), 10_000), ())
    """Files found at recovery without a leaf: kept, and not vouched for."""

    def to_bytes(self) -> bytes:
        """Canonical JSON. ``FormatError`` when a field would not be accepted by :meth:`from_bytes`."""
        _check_manifest(self)
        return _write(self, MANIFEST_FORMAT, "manifest")

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """``FormatError`` naming the field that does not fit."""
        manifest = f.read(cls, _unwrap(data, MANIFEST_FORMAT, "manifest", jcs.MAX_BYTES), "manifest")
        _check_manifest(manifest)
        return manifest

    def as_dict(self) -> dict[str, Any]:
        """The document's fields as JSON values."""
        return dict(f.to_value(self))

    @property
    def duration_us(self) -> int:
        """Length of what was kept: the sum of the fragments'."""
        return sum(one.duration_us for one in self.fragments)

    @property
    def pictures(self) -> int:
        return sum(one.pictures for one in self.fragments)


def fragment_name(seq: int) -> str:
    """The file of fragment ``seq``: ``000000.m4s.p7m``."""
    return f"{seq:06d}.m4s.p7m"


def _check_manifest(manifest: Manifest) -> None:
    """What no single field shows: order, references and the facts that exclude each other."""
    count = len(manifest.fragments)
    _require(manifest.init is not None or count == 0, "init", "an init segment where there are fragments")
    _check_fragments(manifest.fragments)
    _require(len(set(manifest.recipients)) == len(manifest.recipients), "recipients", "no key id twice")
    pre = manifest.pre_event
    _require(pre.fragments <= count, "pre_event.fragments", f"at most {count}")
    _require(pre.fragments <= pre.activation_fragment + 1 <= count + 1, "pre_event.activation_fragment", f"{pre.fragments - 1} to {count}")
    for index, mark in enumerate(manifest.marks):
        _require(mark.fragment <= count, f"marks.[{index}].fragment", f"at most {count}")
    for index, gap in enumerate(manifest.gaps):
        _require(gap.after_fragment < count, f"gaps.[{index}].after_fragment", f"less than {count}")
    for index, mute in enumerate(manifest.mutes):
        _require(mute.from_us <= mute.to_us, f"mutes.[{index}].to_us", "not before from_us")
    cause, recovered = manifest.end.cause, manifest.recovered
    _require(recovered is not None or cause != "power-loss", "recovered", "the boot that closed it after a power loss")
    _require(recovered is None or cause in ("power-loss", "fault"), "recovered", f"null when it ended by {cause!r}")
    _require(manifest.ledger.last_index >= manifest.ledger.begin_index, "ledger.last_index", "not before begin_index")


def _check_fragments(fragments: tuple[FragmentRecord, ...]) -> None:
    for index, one in enumerate(fragments):
        _require(one.seq == index, f"fragments.[{index}].seq", str(index))
        if index:
            _require(
                one.boottime_us >= fragments[index - 1].boottime_us, f"fragments.[{index}].boottime_us", "not before the fragment before it"
            )


def _require(condition: bool, path: str, expected: str) -> None:
    if not condition:
        raise FormatError("manifest", f"{path}: expected {expected}")


def _write(document: Any, name: str, layer: str) -> bytes:
    value = f.to_value(document)
    f.read(type(document), value, layer)  # what would be refused is not written
    return jcs.canonical({"format": name, **value})


def _unwrap(data: bytes, name: str, layer: str, max_bytes: int) -> dict[str, Any]:
    value = jcs.parse(data, layer, max_bytes)
    if not isinstance(value, dict) or value.pop("format", None) != name:
        raise FormatError(layer, f"expected an object with the format {name!r}")
    return value
