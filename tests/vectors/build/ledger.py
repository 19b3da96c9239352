"""The custody ledger: leaves, and the file of leaves with its signed lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

from firmware.custody import merkle
from firmware.custody.checkpoint import Checkpoint, checkpoint_line, digest_to_sign
from firmware.custody.entries import KINDS, MAX_LEAF_BYTES, Entry
from firmware.timebase import Timestamp, Trust
from tests.unit.helpers_evidence import ORIGIN, signer
from tests.vectors.build import people
from tests.vectors.build.people import NOW_NS, agency, house
from tests.vectors.build.vector import Vector

CAMERA = {"camera": "camera.crt"}
RECORDING = "R-1"
_SAMPLES = {
    "counter": 1, "firmware": "0.1.0", "backend": "sim", "key_protection": "simulated", "previous": "first", "down_us": None,
    "cause": "button", "seq": 0, "start_us": 1, "start_utc": house.UTC, "duration_us": 1_000_000, "pictures": 30, "audio_frames": 47,
    "plain_bytes": 5, "sealed_bytes": 6, "about": "category", "after": -1, "name": "000009.m4s.p7m", "bytes": 7, "unattested_leaves": 1,
    "port": "camera", "reason": "no picture", "step": "reopen", "owed": True, "from_us": 5, "offset_us": -5, "source": "dock",
    "uncertainty_us": 2, "action": "set", "old_trust": "rtc", "entered": True, "new_trust": "synced",
    "event": "low", "percent": 10, "profile": "dhs", "version": 3, "size": 9, "store": "store-1", "issued_utc": house.UTC,
    "finding": "covered", "go": False, "failed": ["microphone"],
}  # fmt: skip


def entry(n: int, kind: str, **fields: object) -> Entry:
    """A leaf with fields that fit its kind."""
    body = {name: "c2VhbGVk" if (kind, name) == ("annotation", "sealed") else _sample(name) for name in KINDS[kind]}
    body |= {"cause": "order"} if kind == "unassign" else {}
    body |= {"name": "begin.json", "content": "c2VhbGVk"} if kind == "paper" else {}
    return Entry(n, kind, Timestamp((5 + n) * 10**9, NOW_NS + n * 10**9, Trust.RTC), 1, {**body, **fields})


def _sample(name: str) -> object:
    if name == "recording":
        return RECORDING
    return _SAMPLES[name] if name in _SAMPLES else house.digest(name)


# --- leaves


def leaf_vectors() -> Iterator[Vector]:
    for index, kind in enumerate(KINDS):
        yield _leaf(kind, f"a leaf of the kind {kind!r}", entry(index, kind).to_bytes())
    whole = entry(3, "begin").to_bytes()
    value, sealed = json.loads(whole), json.loads(entry(4, "annotation").to_bytes())
    paper = json.loads(entry(4, "paper").to_bytes())
    early = entry(3, "dock").to_bytes().replace(b'"utc":"2026', b'"utc":"0026')
    yield _leaf("year-26", "a clock far off: years have four digits", early)
    wrong = {
        "unknown-kind": ("a kind that nobody knows", {**value, "type": "erase"}, "type"),
        "kind-number": ("a kind that is no text", {**value, "type": 1}, "type"),
        "kind-absent": ("no kind", {k: v for k, v in value.items() if k != "type"}, "type"),
        "field-more": ("a field more", {**value, "officer": "4711"}, "officer"),
        "field-of-other-kind": ("another kind's field", {**value, "seq": 1}, "seq"),
        "n-negative": ("a negative index", {**value, "n": -1}, "n"),
        "boot-text": ("a boot that is a text", {**value, "boot": "1"}, "boot"),
        "time-negative": ("a negative boot time", {**value, "boottime_us": -1}, "boottime_us"),
        "utc-seconds": ("a time without microseconds", {**value, "utc": "2026-11-23T08:14:47Z"}, "utc"),
        "utc-leap": ("a leap second", {**value, "utc": "2026-12-31T23:59:60.000000Z"}, "utc"),
        "utc-zone": ("a time with a zone", {**value, "utc": "2026-11-23T08:14:47.123456+00:00"}, "utc"),
        "utc-digits": ("digits of another script", {**value, "utc": "２026-11-23T08:14:47.123456Z"}, "utc"),
        "trust-other": ("a trust that is none", {**value, "trust": "gps"}, "trust"),
        "digest-upper": ("a digest in upper case", {**value, "begin_sha256": "A" * 64}, "begin_sha256"),
        "recording-path": ("a recording that climbs", {**value, "recording": "../x"}, "recording"),
        "sealed-other-base64": ("a sealed answer in another base64", {**sealed, "sealed": "c2VhbGV="}, "sealed"),
        "about-other": ("an answer to what nobody asks", {**sealed, "about": "mood"}, "about"),
        "paper-other": ("a file that no leaf carries", {**paper, "name": "manifest.json"}, "name"),
        "paper-other-base64": ("a file in another base64", {**paper, "content": "c2VhbGV="}, "content"),
        "cause-spaced": ("a cause that is no token", {**value, "cause": "by hand"}, "cause"),
    }
    for name, (shows, document, reason) in wrong.items():
        data = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
        yield _leaf(name, shows, data, "format", reason)
    for name in value:
        data = json.dumps({k: v for k, v in value.items() if k != name}, separators=(",", ":"), sort_keys=True).encode()
        yield _leaf(f"absent-{name.replace('_', '-')}", f"{name} is absent", data, "format", name)
    twins = {
        "twin-key-order": ("keys in another order", json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()),
        "twin-duplicate": ("a key twice", b'{"boot":2,' + whole[1:]),
        "twin-float": ("an integer as 1.0", whole.replace(b'"boot":1', b'"boot":1.0')),
        "twin-newline": ("a line feed inside the leaf", whole + b"\n"),
        "twin-carriage-return": ("a carriage return behind the leaf", whole + b"\r"),
        "too-long": ("more bytes than a leaf may have", whole + b" " * MAX_LEAF_BYTES),
    }
    for name, (shows, data) in twins.items():
        yield _leaf(name, shows, data, "format", "")
    cuts = tuple(place for place in range(1, len(whole)) if whole[place - 1 : place] in b"{},:")
    yield replace(_leaf("cut", "cut behind braces, commas and colons", whole, "format", ""), cuts=cuts)


def _leaf(name: str, shows: str, data: bytes, expect: str = "success", reason: str = "") -> Vector:
    layer = "ledger entry" if expect != "success" else ""
    return Vector(f"leaf/{name}", shows, "leaf", {"leaf": data}, expect, layer, reason, b"" if layer else data)


# --- the file


def line(leaves: list[bytes], origin: str = ORIGIN, size: int | None = None, root: bytes | None = None, who=None) -> bytes:
    """The signed line behind ``leaves``; or a signed line that says something else."""
    found = merkle.root_of([merkle.leaf_hash(one) for one in leaves])
    claim = Checkpoint(origin, len(leaves) if size is None else size, found if root is None else root)
    return checkpoint_line(claim, signer((who or agency().camera).key)(digest_to_sign(claim.text())))


LEAVES = [
    entry(0, "boot").to_bytes(),
    *(entry(n, kind).to_bytes() for n, kind in enumerate(("ready", "begin", "init", "fragment", "end"), 1)),
]
FIRST, SECOND = LEAVES[:3], LEAVES[3:]


def log(first: list[bytes], second: list[bytes], signed_first: bytes | None = None, signed_second: bytes | None = None) -> bytes:
    one = line(first) if signed_first is None else signed_first
    two = line([*first, *second]) if signed_second is None else signed_second
    return _lines(first) + one + _lines(second) + two


def _lines(leaves: list[bytes]) -> bytes:
    return b"".join(one + b"\n" for one in leaves)


def log_vectors() -> Iterator[Vector]:
    yield from _logs_that_are_read()
    yield from _logs_that_are_not()
    yield from _logs_at_boot()


def _log(name: str, shows: str, data: bytes, leaves: list[bytes] | None, reason: str = "", expect: str = "", **changes: str) -> Vector:
    """``leaves``: those that the file proves; ``None`` when it must be refused."""
    facts = {"origin": ORIGIN, "reader": "verifier", **changes}
    if leaves is not None:
        return Vector(
            f"log/{name}", shows, "log", {"log": data}, released=_lines(leaves), keys=CAMERA, facts={**facts, "leaves": str(len(leaves))}
        )
    layer = "ledger" if expect != "leaf" else "ledger entry"
    family = "format" if expect in ("leaf", "format") else "integrity"
    return Vector(f"log/{name}", shows, "log", {"log": data}, family, layer, reason, keys=CAMERA, facts=facts)


def _logs_that_are_read() -> Iterator[Vector]:
    whole = log(FIRST, SECOND)
    first, second = _lines(FIRST) + line(FIRST), _lines(SECOND)
    last = line(LEAVES)
    yield _log("two-batches", "two batches, each with its signed line", whole, LEAVES)
    yield _log("one-batch", "one batch", first, FIRST)
    yield _log("nothing", "an empty file proves nothing", b"", [])
    yield _log("unsigned", "leaves without a signed line prove nothing", _lines(LEAVES), [])
    yield _log("without-first-line", "the last signed line covers all: the first may be missing", _lines(LEAVES) + last, LEAVES)
    yield _log("line-twice", "the same signed line twice", whole + last, LEAVES)
    shows = "cut at a signed line: nothing in the file tells; only who has seen more does (a dock's high-water mark)"
    yield _log("rolled-back", shows, first, FIRST)
    yield _log("tail-leaf", "a leaf behind the last signed line is nobody's word", whole + _lines([entry(6, "dock").to_bytes()]), LEAVES)
    yield _log("tail-junk", "junk behind the last signed line is nobody's word", whole + b"\x00\xff junk", LEAVES)
    yield _log("cut-second-leaf", "cut inside the second batch", first + second[:40], FIRST)
    yield _log("cut-second-line", "cut inside the second signed line", whole[:-20], FIRST)
    yield _log("cut-line-feed", "the last line feed is missing: the line is not whole", whole[:-1], FIRST)
    flipped = log(FIRST, SECOND, signed_second=_flip_signature(last))
    yield _log("last-signature-flipped", "a bad signature on the last line: it is as if it were not there", flipped, FIRST)
    stranger = log(FIRST, SECOND, signed_second=line(LEAVES, who=people.likeness().camera))
    yield _log("last-by-another", "the last line signed by another camera", stranger, FIRST)
    other_log = log(FIRST, SECOND, signed_second=line(LEAVES, origin="oathcam/OC-000002"))
    yield _log("last-of-another-log", "the last line signed for another log", other_log, FIRST)
    padded = last.replace(b"= 6 ", b"= 06 ")
    yield _log(
        "last-size-padded", "a size with a leading zero is no signed line, but a leaf that nobody signed", first + second + padded, FIRST
    )
    spaced = last.replace(b"= 6 ", b"=  6 ")
    yield _log("last-two-spaces", "two spaces in a signed line", first + second + spaced, FIRST)
    yield _log("last-not-canonical-base64", "a signed line in another form of base64", first + second + _loose_base64(last), FIRST)
    yield _log("last-carriage-return", "a carriage return in a signed line", first + second + last[:-1] + b"\r\n", FIRST)


def _flip_signature(signed: bytes) -> bytes:
    head, _, encoded = signed.rstrip(b"\n").rpartition(b" ")
    raw = bytearray(base64.b64decode(encoded))
    raw[-1] ^= 1
    return head + b" " + base64.b64encode(raw) + b"\n"


def _loose_base64(signed: bytes) -> bytes:
    """The root's last character carries two bits that mean nothing."""
    parts = signed.split(b" ")
    root = parts[2]
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    parts[2] = root[:42] + alphabet[alphabet.index(root[42:43]) + 1 :][:1] + root[43:]
    return b" ".join(parts)


def _logs_that_are_not() -> Iterator[Vector]:
    told = "not those that the camera signed there"
    changed = [LEAVES[0], LEAVES[1], LEAVES[2].replace(b'"button"', b'"policy"')]
    first, last = line(FIRST), line(LEAVES)
    yield _log("leaf-changed", "a leaf changed", log(changed, SECOND, first, last), None, told)
    yield _log("leaf-removed", "a leaf removed", log(FIRST[:2], SECOND, first, last), None, told)
    yield _log("leaf-added", "a leaf added", log([*FIRST, LEAVES[1]], SECOND, first, last), None, told)
    yield _log("leaves-swapped", "two leaves swapped", log([FIRST[0], FIRST[2], FIRST[1]], SECOND, first, last), None, told)
    yield _log(
        "second-leaf-changed",
        "a leaf of the last batch changed",
        log(FIRST, [SECOND[0], SECOND[1] + b" ", SECOND[2]], first, last),
        None,
        told,
    )
    yield _log("batch-removed", "the first batch removed", _lines(SECOND) + last, None, told)
    yield _log("batches-swapped", "the batches swapped", _lines(SECOND) + last + _lines(FIRST) + first, None, told)
    yield _log("batch-twice", "the first batch twice", _lines(FIRST) + first + _lines(FIRST) + first, None, told)
    yield _log("carriage-returns", "every line ends as on another system", log(FIRST, SECOND).replace(b"\n", b"\r\n"), [])
    yield _log("empty-line", "an empty line is a leaf that nobody signed", _lines([*FIRST, b""]) + first, None, told)
    yield _log(
        "first-signature-flipped",
        "a bad signature on a line before the last",
        log(FIRST, SECOND, _flip_signature(first), last),
        None,
        "not signed by the camera",
    )
    by_other = line(FIRST, who=people.likeness().camera)
    yield _log(
        "first-by-another",
        "a line before the last signed by another camera",
        log(FIRST, SECOND, by_other, last),
        None,
        "not signed by the camera",
    )
    yield _log("size-larger", "the camera signed a larger size", log(FIRST, SECOND, signed_second=line(LEAVES, size=7)), None, told)
    yield _log("root-other", "the camera signed another root", log(FIRST, SECOND, signed_second=line(LEAVES, root=bytes(32))), None, told)
    numbered = [LEAVES[0], LEAVES[1], entry(7, "begin").to_bytes()]
    yield _log(
        "n-other",
        "a signed leaf with another's number",
        _lines(numbered) + line(numbered),
        None,
        "leaf 2 says that it is number 7",
        "format",
    )
    loose = [LEAVES[0], LEAVES[1].replace(b'"boot":1', b'"boot": 1')]
    yield _log("leaf-not-canonical", "a signed leaf that is not canonical", _lines(loose) + line(loose), None, "not canonical", "leaf")
    unknown = [LEAVES[0], LEAVES[1].replace(b'"ready"', b'"erase"')]
    yield _log("leaf-unknown", "a signed leaf of an unknown kind", _lines(unknown) + line(unknown), None, "known kind", "leaf")
    node = merkle.node_hash(merkle.leaf_hash(FIRST[0]), merkle.leaf_hash(FIRST[1]))
    shows = "an inner node passed off as a leaf (second preimage): leaves and nodes are hashed apart"
    inner = b"\x01" + merkle.leaf_hash(FIRST[0]) + merkle.leaf_hash(FIRST[1])
    if b"\n" not in inner:
        yield _log("node-as-leaf", shows, _lines([inner]) + line([], size=1, root=node), None, told)


def _logs_at_boot() -> Iterator[Vector]:
    """A camera that boots takes a torn last batch for a power cut, a verifier for what it is."""
    boot = {"reader": "boot"}
    last = line(LEAVES)
    torn = _lines(FIRST) + line(FIRST) + _lines(SECOND[:2]) + last
    yield _log("boot-torn", "a last batch that lost a leaf: set aside at boot", torn, FIRST, **boot)
    yield _log("verifier-torn", "the same before a verifier", torn, None, "not those that the camera signed there")
    yield _log("boot-whole", "a whole file at boot", log(FIRST, SECOND), LEAVES, **boot)
    changed = log([*FIRST[:2], FIRST[2].replace(b'"button"', b'"policy"')], SECOND, line(FIRST), last)
    yield _log("boot-changed", "a changed leaf at boot", changed, None, "not those that the camera signed there", **boot)
