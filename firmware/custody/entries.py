"""The ledger's leaves: what a camera says of itself, one canonical JSON object each (BWC-POL-05, -29).

Responsible for the table of kinds and their fields. Refuses to know the tree, the file and the reasons. Every leaf carries
``n`` (its index), ``type``, ``boot`` (the key store's counter), ``boottime_us``, ``utc`` and ``trust``; the time is that of
the event, which for things told late lies before that of earlier leaves. The fields of each kind, beside those:

=============  =======================================================================================================
boot           counter, firmware (version), firmware_sha256, backend, key_protection, key_sha256 (device certificate),
               policy_sha256, previous ("first", "clean", "power-loss", "crash"), down_us (null: unknown)
ready          nothing: from here on a press records at once, with the pre-event buffer running
sleep, wake    nothing: no pictures at all, by the wearer's wish, and back (BWC-POL-16)
begin          recording, begin_sha256 (of begin.json), cause
paper          recording, name, content (base64): a file that the `begin` leaf of the same batch names, and that is not written before it
init           recording, plain, plain_bytes, sealed, sealed_bytes: the init segment is durable
fragment       recording, seq, start_us, start_utc, duration_us, pictures, audio_frames, plain, plain_bytes, sealed,
               sealed_bytes: the fragment is promised
mark           recording (BWC-POL-18)
mute, unmute   recording, cause ("button", "policy": the policy's longest mute; BWC-POL-17)
annotation     recording, about ("category", "stop-reason", "mute-reason"), sealed (base64 of a sealed object): what the wearer answered, or
               that no answer was given (BWC-POL-04, -18); a later answer is another leaf (BWC-POL-31)
critical       recording: the wearer called it a critical incident; it is uploaded first and kept longest (BWC-POL-21)
hold           entered (or released), cause ("critical": with that leaf; "boot": taken over from the run before; "docked", "policy": the one
               in force wants none): after the recording that is open, if one is, no new one before the dock (BWC-POL-21)
stealth        entered (or left), cause ("button", "policy", "docked", "sleep", "shutdown"): lamps and sounds off, or on again (BWC-POL-15)
drop           recording, after (fragment, -1: before the first), pictures, duration_us, cause: seen, and not kept
end            recording, manifest_sha256, cause
unattested     recording, name, sealed (SHA-256 of the file as found): a file without a leaf, set aside at boot
torn           bytes_sha256, bytes, unattested_leaves: a ledger tail without a good signature, set aside at boot
fault          port, reason
recovered      port
escalation     port, step ("encoder", "reopen", "restart", "reboot"), owed (a recording was on, or was to go on), reason: what the
               supervisor tried to bring the port back
gap            from_us (microseconds since 1970 UTC), duration_us, cause: undocked and not able to record at once
clock          offset_us (new minus old wall time), uncertainty_us, source ("system", "dock"), action ("set": written before the
               clock is stepped; "kept": measured; "noticed": stepped by something else, or its trust changed), old_trust,
               new_trust
power          event, percent
policy         profile, version, sha256: taken from a dock; in force from the next boot on
assign         order_sha256, issued_utc, store: from here on the camera is worn by the officer whom that signed order names, sealed
               (BWC-POL-30)
unassign       order_sha256, cause ("order": that order names nobody; "returned": it came back to a dock, and the policy clears it)
dock, undock   nothing
offload        size, root: every recording has its receipt; the newest checkpoint that the stores had accepted by then, as they signed
receipt        recording, receipt_sha256, store
release        recording: removed from the camera, after its receipt
shutdown       reason: the last leaf of a clean run
picture        finding ("covered", "dark", "frozen", "blurred", "upside-down", "clear"): the lens sees otherwise now (BWC-POL-40)
selftest       go, failed (the parts), duration_us: the result of the self-test at undocking (BWC-POL-46)
=============  =======================================================================================================

Invariants: ``Entry.from_bytes(leaf).to_bytes() == leaf`` for every leaf that is accepted; nothing personal is a field in plain: who, where
and what it was are sealed, and only that a recording is critical is not.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firmware.errors import FormatError, escaped
from firmware.evidence import fields as f
from firmware.evidence import jcs
from firmware.evidence.annotation import ABOUT
from firmware.timebase import Timestamp, Trust, format_utc

LAYER = "ledger entry"
MAX_LEAF_BYTES = 16_384
MAX_ANNOTATION_BYTES = 11_800
"""Bytes of a sealed annotation: sixteen recipients with RSA keys of 4096 bits need 10,326, sixteen on P-384 4,149."""
MAX_PAPER_BYTES = MAX_ANNOTATION_BYTES
"""Bytes of a file that a leaf carries; larger ones are written before the leaf that names them."""
_MAX_TEXT = 200

_any_integer = f.integer(-f.MAX_INTEGER)
_trust = f.one_of("unset", "rtc", "synced")
_text = f.text(_MAX_TEXT)
_sealed_object: dict[str, f.Check] = {"plain": f.digest, "plain_bytes": f.integer(1), "sealed": f.digest, "sealed_bytes": f.integer(1)}
_recording: dict[str, f.Check] = {"recording": f.name}

KINDS: Mapping[str, dict[str, f.Check]] = {
    "boot": {
        "counter": f.integer(),
        "firmware": _text,
        "firmware_sha256": f.digest,
        "backend": _text,
        "key_protection": f.one_of("file", "tpm", "pkcs11", "simulated"),
        "key_sha256": f.digest,
        "policy_sha256": f.digest,
        "previous": f.one_of("first", "clean", "power-loss", "crash"),
        "down_us": f.nullable(f.integer()),
    },
    "ready": {},
    "sleep": {},
    "wake": {},
    "begin": {**_recording, "begin_sha256": f.digest, "cause": f.token},
    "paper": {**_recording, "name": f.one_of("assignment.json.p7m", "begin.json"), "content": f.base64_of(MAX_PAPER_BYTES)},
    "init": {**_recording, **_sealed_object},
    "fragment": {
        **_recording,
        "seq": f.integer(),
        "start_us": f.integer(),
        "start_utc": f.utc,
        "duration_us": f.integer(),
        "pictures": f.integer(),
        "audio_frames": f.integer(),
        **_sealed_object,
    },
    "mark": _recording,
    "mute": {**_recording, "cause": f.token},
    "unmute": {**_recording, "cause": f.token},
    "annotation": {**_recording, "about": f.one_of(*ABOUT), "sealed": f.base64_of(MAX_ANNOTATION_BYTES)},
    "drop": {**_recording, "after": f.integer(-1), "pictures": f.integer(), "duration_us": f.integer(), "cause": f.token},
    "end": {**_recording, "manifest_sha256": f.digest, "cause": f.token},
    "unattested": {"recording": _text, "name": _text, "sealed": f.digest},
    "torn": {"bytes_sha256": f.digest, "bytes": f.integer(), "unattested_leaves": f.integer()},
    "fault": {"port": f.token, "reason": _text},
    "recovered": {"port": f.token},
    "escalation": {"port": f.token, "step": f.one_of("encoder", "reopen", "restart", "reboot"), "owed": f.boolean, "reason": _text},
    "gap": {"from_us": _any_integer, "duration_us": f.integer(), "cause": f.token},
    "clock": {
        "offset_us": _any_integer,
        "uncertainty_us": f.integer(),
        "source": f.token,
        "action": f.one_of("set", "kept", "noticed"),
        "old_trust": _trust,
        "new_trust": _trust,
    },
    "power": {"event": f.token, "percent": f.integer(0, 100)},
    "policy": {"profile": _text, "version": f.integer(), "sha256": f.digest},
    "assign": {"order_sha256": f.digest, "issued_utc": f.utc, "store": _text},
    "unassign": {"order_sha256": f.digest, "cause": f.one_of("order", "returned")},
    "dock": {},
    "undock": {},
    "offload": {"size": f.integer(), "root": f.digest},
    "receipt": {**_recording, "receipt_sha256": f.digest, "store": _text},
    "release": _recording,
    "shutdown": {"reason": _text},
    "critical": _recording,
    "stealth": {"entered": f.boolean, "cause": f.token},
    "picture": {"finding": f.one_of("covered", "dark", "frozen", "blurred", "upside-down", "clear")},
    "selftest": {"go": f.boolean, "failed": f.each(f.token, 8), "duration_us": f.integer()},
    "hold": {"entered": f.boolean, "cause": f.token},
}
_HEAD: dict[str, f.Check] = {
    "n": f.integer(),
    "type": f.one_of(*KINDS),
    "boot": f.integer(),
    "boottime_us": f.integer(),
    "utc": f.utc_ns,
    "trust": f.one_of(*(one.value for one in Trust)),
}
_CHECKS = {kind: {**_HEAD, **fields} for kind, fields in KINDS.items()}
_TRUST = {one.value: one for one in Trust}
_FREE_TEXT = {kind: [name for name, check in fields.items() if check is _text] for kind, fields in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf. ``time`` has microseconds when read back; ``uncertainty_ns`` is not kept."""

    n: int
    kind: str
    time: Timestamp
    boot: int
    fields: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """The leaf: canonical JSON without a newline. ``FormatError`` for an unknown kind, or a field amiss.

        Free text (a fault's reason, a name found on the card) is made printable and cut, so that no text from outside can
        keep a leaf from being written.
        """
        time = self.time
        head = {
            "n": self.n,
            "type": self.kind,
            "boot": self.boot,
            "boottime_us": time.boottime_ns // 1000,
            "utc": format_utc(time.wall_ns),
            "trust": time.trust.value,
        }
        body = {name: printable(text) if name in _FREE_TEXT.get(self.kind, ()) else f.to_value(text) for name, text in self.fields.items()}
        if not head.keys().isdisjoint(body):
            raise FormatError(LAYER, f"a field of {self.kind!r} has the name of a common one")
        value = {**head, **body}
        _read(value)  # what would be refused is not written
        return jcs.canonical(value)

    @classmethod
    def from_bytes(cls, leaf: bytes) -> Entry:
        """``FormatError`` naming the field that does not fit."""
        value = jcs.parse(leaf, LAYER, MAX_LEAF_BYTES)
        found = _read(value)
        time = Timestamp(found["boottime_us"] * 1000, found["utc"], _TRUST[found["trust"]])
        kind = found["type"]
        return cls(found["n"], kind, time, found["boot"], {name: found[name] for name in KINDS[kind]})


def carried(papers: Sequence[Entry]) -> dict[str, bytes]:
    """The files that these ``paper`` leaves carry, by name."""
    return {str(entry.fields["name"]): base64.b64decode(entry.fields["content"]) for entry in papers}


def printable(text: object) -> str:
    """Text fit for a leaf: what is not printable escaped, at most 200 characters, never empty."""
    return escaped(str(text)[:_MAX_TEXT])[:_MAX_TEXT] or "-"


def _read(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise FormatError(LAYER, "expected an object")
    kind = value.get("type")
    if type(kind) is not str or kind not in _CHECKS:
        raise FormatError(LAYER, f"type: expected a known kind, got {kind!r:.80}")
    try:
        return f.read_fields(_CHECKS[kind], value)
    except f.Mismatch as error:
        raise FormatError(LAYER, f"{kind}: {error.sentence()}") from None
