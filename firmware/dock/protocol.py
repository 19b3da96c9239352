"""The messages of a dock session: values, their JSON, and the check of everything that comes from the network.

Responsible for the shape of what camera and dock tell each other. Refuses to know sockets, files, clocks and keys; bodies are
canonical JSON (RFC 8785), so that a message has one form only.

Invariants: ``from_bytes`` raises nothing but FormatError; every list and every number that arrives is bounded; a name that
arrives is a name of the vault's own grammar and can therefore be used as a file name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from firmware.dock.fields import (
    LAYER,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_NUMBER,
    MAX_RECORDINGS,
    VERSION,
    Fields,
    checked,
    distinct,
    encode_base64,
    is_recording_id,
    is_serial,
    is_sha256,
    is_text,
    is_vault_name,
)
from firmware.errors import FormatError
from firmware.evidence import jcs


@dataclass(frozen=True, slots=True)
class FileOffer:
    """One file of a recording: name in the vault, SHA-256 in hexadecimal, length."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RecordingOffer:
    """One closed recording: its id, the SHA-256 of its manifest, its files."""

    recording: str
    manifest_sha256: str
    files: tuple[FileOffer, ...]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What a camera tells a dock first: who it is and what it holds."""

    serial: str
    firmware: str
    boot: int
    ledger_size: int
    recordings: tuple[RecordingOffer, ...]

    def to_bytes(self) -> bytes:
        return jcs.canonical(
            {
                "boot": self.boot,
                "firmware": self.firmware,
                "ledger_size": self.ledger_size,
                "recordings": [_offer_value(offer) for offer in self.recordings],
                "serial": self.serial,
                "version": VERSION,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> DeviceReport:
        """Raises FormatError. No two recordings share an id, no two files of a recording a name."""
        fields = Fields.of(data, "report", ("boot", "firmware", "ledger_size", "recordings", "serial", "version"))
        fields.integer("version", VERSION, VERSION)
        recordings = fields.array("recordings", MAX_RECORDINGS, _parse_offer)
        distinct([offer.recording for offer in recordings], "recording")
        files = sum(len(offer.files) for offer in recordings)
        if files > MAX_FILES:
            raise FormatError(LAYER, f"expected at most {MAX_FILES} files in a report, got {files}")
        return cls(
            serial=fields.text("serial", is_serial),
            firmware=fields.text("firmware", is_text),
            boot=fields.integer("boot", 0, MAX_NUMBER),
            ledger_size=fields.integer("ledger_size", 0, MAX_NUMBER),
            recordings=recordings,
        )


def _offer_value(offer: RecordingOffer) -> dict[str, Any]:
    files = [{"bytes": file.size_bytes, "name": file.name, "sha256": file.sha256} for file in offer.files]
    return {"files": files, "manifest": offer.manifest_sha256, "recording": offer.recording}


def _parse_offer(value: object) -> RecordingOffer:
    fields = Fields(value, "recording", ("files", "manifest", "recording"))
    files = fields.array("files", MAX_FILES, _parse_file)
    distinct([file.name for file in files], "file")
    return RecordingOffer(fields.text("recording", is_recording_id), fields.text("manifest", is_sha256), files)


def _parse_file(value: object) -> FileOffer:
    fields = Fields(value, "file", ("bytes", "name", "sha256"))
    return FileOffer(fields.text("name", is_vault_name), fields.text("sha256", is_sha256), fields.integer("bytes", 1, MAX_FILE_BYTES))


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """How far the dock has seen a camera's ledger: leaves, root over them (hexadecimal), bytes of the log. The high-water mark."""

    size: int
    root: str
    log_bytes: int

    def to_bytes(self) -> bytes:
        return jcs.canonical({"log_bytes": self.log_bytes, "root": self.root, "size": self.size})

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerMark:
        fields = Fields.of(data, "ledger mark", ("log_bytes", "root", "size"))
        return cls(fields.integer("size", 0, MAX_NUMBER), fields.text("root", is_sha256), fields.integer("log_bytes", 0, MAX_NUMBER))


@dataclass(frozen=True, slots=True)
class LedgerExtension:
    """Bytes of the log from the dock's mark on (whole batches), and the proof that the old tree is a prefix of the new one.

    ``checkpoint`` is the last checkpoint line; with an empty ``log`` it is the camera's latest, for a dock that has seen more.
    ``chain`` is the camera's signing certificate and its issuer, PEM: what the checkpoint's signature is checked with.
    """

    old_size: int
    log_offset: int
    log: bytes
    checkpoint: bytes
    proof: tuple[bytes, ...]
    chain: bytes

    def to_bytes(self) -> bytes:
        return jcs.canonical(
            {
                "chain": self.chain.decode("ascii"),
                "checkpoint": self.checkpoint.decode("utf-8"),
                "log": self.log.decode("utf-8"),
                "log_offset": self.log_offset,
                "old_size": self.old_size,
                "proof": [node.hex() for node in self.proof],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerExtension:
        fields = Fields.of(data, "ledger extension", ("chain", "checkpoint", "log", "log_offset", "old_size", "proof"))
        proof = fields.array("proof", 128, lambda value: bytes.fromhex(checked(value, "proof", is_sha256)))
        return cls(
            old_size=fields.integer("old_size", 0, MAX_NUMBER),
            log_offset=fields.integer("log_offset", 0, MAX_NUMBER),
            log=fields.text("log", lambda _: True).encode("utf-8"),
            checkpoint=fields.text("checkpoint", lambda text: len(text) <= 1024).encode("utf-8"),
            proof=proof,
            chain=fields.text("chain", lambda text: len(text) <= 16384 and text.isascii()).encode("ascii"),
        )


class OfferState(Enum):
    """What the dock says to one offered recording."""

    WANTED = "wanted"
    STORED = "stored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Progress:
    """One file that the dock still wants, and how many bytes of it lie there durably."""

    sha256: str
    offset: int


@dataclass(frozen=True, slots=True)
class OfferAnswer:
    """The dock's word on one recording; ``reason`` says why it is refused."""

    recording: str
    state: OfferState
    files: tuple[Progress, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SessionAnswer:
    """Who the dock is, how far it knows the ledger, and what it wants."""

    site: str
    mark: LedgerMark
    answers: tuple[OfferAnswer, ...]

    def to_bytes(self) -> bytes:
        mark = {"log_bytes": self.mark.log_bytes, "root": self.mark.root, "size": self.mark.size}
        return jcs.canonical({"ledger": mark, "recordings": [_answer_value(answer) for answer in self.answers], "site": self.site})

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionAnswer:
        fields = Fields.of(data, "session", ("ledger", "recordings", "site"))
        mark = LedgerMark.from_bytes(jcs.canonical(fields.value("ledger")))
        return cls(fields.text("site", is_text), mark, fields.array("recordings", MAX_RECORDINGS, _parse_answer))


def _answer_value(answer: OfferAnswer) -> dict[str, Any]:
    files = [{"offset": file.offset, "sha256": file.sha256} for file in answer.files]
    return {"files": files, "reason": answer.reason, "recording": answer.recording, "state": answer.state.value}


def _parse_answer(value: object) -> OfferAnswer:
    fields = Fields(value, "answer", ("files", "reason", "recording", "state"))
    state = fields.text("state", lambda text: text in {state.value for state in OfferState})
    files = fields.array("files", MAX_FILES, _parse_progress)
    return OfferAnswer(fields.text("recording", is_recording_id), OfferState(state), files, fields.text("reason", is_text))


def _parse_progress(value: object) -> Progress:
    fields = Fields(value, "progress", ("offset", "sha256"))
    return Progress(fields.text("sha256", is_sha256), fields.integer("offset", 0, MAX_FILE_BYTES))


@dataclass(frozen=True, slots=True)
class LedgerAnswer:
    """The dock accepted the extension: its new mark, and the checkpoint as a signed note with the dock's cosignature."""

    mark: LedgerMark
    note: str

    def to_bytes(self) -> bytes:
        mark = {"log_bytes": self.mark.log_bytes, "root": self.mark.root, "size": self.mark.size}
        return jcs.canonical({"ledger": mark, "note": self.note})

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerAnswer:
        fields = Fields.of(data, "ledger answer", ("ledger", "note"))
        return cls(LedgerMark.from_bytes(jcs.canonical(fields.value("ledger"))), fields.text("note", lambda text: len(text) <= 8192))


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt as it was signed, byte for byte, and the detached signature over it (CMS, DER)."""

    receipt: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        return jcs.canonical({"receipt": encode_base64(self.receipt), "signature": encode_base64(self.signature)})

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedReceipt:
        fields = Fields.of(data, "receipt", ("receipt", "signature"))
        return cls(fields.binary("receipt"), fields.binary("signature"))


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A policy file and its minisign signature, byte for byte (``firmware.policy``)."""

    policy: bytes
    signature: bytes

    def to_bytes(self) -> bytes:
        return jcs.canonical({"policy": encode_base64(self.policy), "signature": encode_base64(self.signature)})

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedPolicy:
        fields = Fields.of(data, "policy", ("policy", "signature"))
        return cls(fields.binary("policy"), fields.binary("signature"))


@dataclass(frozen=True, slots=True)
class SignedOrder:
    """An order as it was signed, its detached signature (CMS, DER), and the sealed officer; empty when it names nobody (BWC-POL-30)."""

    order: bytes
    signature: bytes
    officer: bytes

    def to_bytes(self) -> bytes:
        return jcs.canonical({name: encode_base64(getattr(self, name)) for name in ("officer", "order", "signature")})

    @classmethod
    def from_bytes(cls, data: bytes) -> SignedOrder:
        fields = Fields.of(data, "order", ("officer", "order", "signature"))
        return cls(fields.binary("order"), fields.binary("signature"), fields.binary("officer"))


@dataclass(frozen=True, slots=True)
class SessionClose:
    """What the dock has to say at the end: recordings that the ledger names and nobody has delivered, and open alarms."""

    missing: tuple[str, ...]
    alarms: tuple[str, ...]

    def to_bytes(self) -> bytes:
        return jcs.canonical({"alarms": list(self.alarms), "missing": list(self.missing)})

    @classmethod
    def from_bytes(cls, data: bytes) -> SessionClose:
        fields = Fields.of(data, "session end", ("alarms", "missing"))
        missing = fields.array("missing", MAX_FILES, lambda value: checked(value, "missing", is_recording_id))
        return cls(missing, fields.array("alarms", MAX_FILES, lambda value: checked(value, "alarms", is_text)))


class Refusal(Enum):
    """Kinds of refusal that the camera acts upon; everything else is just shown."""

    OFFSET = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset"
    DIGEST = "urn:oathcam:dock:digest-mismatch"
    """The bytes received do not have the hash that names them; they may be sent again, from the beginning."""
    FILE = "urn:oathcam:dock:file-refused"
    """The same, too often: the dock keeps what it got and asks no more."""
    MISSING = "urn:oathcam:dock:files-missing"
    """A commit before every file was there."""
    LEDGER = "urn:oathcam:dock:ledger-refused"
    """The ledger is shorter than, or not a continuation of, what the dock has seen. An alarm was recorded."""
    RECORDING = "urn:oathcam:dock:recording-refused"
    """The recording is in quarantine with the reason; there is no receipt."""
    OTHER = "about:blank"


@dataclass(frozen=True, slots=True)
class ProblemBody:
    """A refusal as it travels (RFC 9457)."""

    status: int
    kind: Refusal
    detail: str
    expected_offset: int = -1

    def to_bytes(self) -> bytes:
        value: dict[str, Any] = {"detail": self.detail[:400], "status": self.status, "type": self.kind.value}
        if self.expected_offset >= 0:
            value["expected-offset"] = self.expected_offset
        return jcs.canonical(value)

    @classmethod
    def from_bytes(cls, data: bytes) -> ProblemBody:
        value = jcs.parse(data, LAYER)
        keys: tuple[str, ...] = ("detail", "status", "type")
        offset = -1
        if isinstance(value, dict) and "expected-offset" in value:
            keys = ("detail", "expected-offset", "status", "type")
        fields = Fields(value, "problem", keys)
        if len(keys) == 4:
            offset = fields.integer("expected-offset", 0, MAX_FILE_BYTES)
        known = {kind.value: kind for kind in Refusal}
        kind = known.get(fields.text("type", is_text), Refusal.OTHER)
        return cls(fields.integer("status", 400, 599), kind, fields.text("detail", is_text), offset)


def wanted(offer: RecordingOffer, offset_of: Callable[[FileOffer], int]) -> tuple[Progress, ...]:
    """The files of ``offer`` that are not whole at the dock yet, in the order of the offer, with what is there."""
    progress = ((file, offset_of(file)) for file in offer.files)
    return tuple(Progress(file.sha256, offset) for file, offset in progress if offset < file.size_bytes)
