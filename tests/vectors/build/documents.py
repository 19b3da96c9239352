"""Canonical JSON, and the two documents that a camera writes of a recording: ``begin.json`` and ``manifest.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from firmware.evidence import manifest as m
from tests.vectors.build.people import house
from tests.vectors.build.vector import Vector

OTHER = {str: 7, int: "7", bool: 1, list: {}, dict: [], type(None): 7}
"""For each JSON type a value that is none of it."""


def good(kind: str, name: str, shows: str, data: bytes, **facts: str) -> Vector:
    label = "json" if kind == "json" else "document"
    return Vector(f"{kind}/{name}", shows, kind, {label: data}, released=data, facts=facts)


def bad(kind: str, name: str, shows: str, data: bytes, reason: str, **facts: str) -> Vector:
    return replace(good(kind, name, shows, data, **facts), expect="format", layer=kind, reason=reason, released=b"")


def json_vectors() -> Iterator[Vector]:
    """RFC 8785, with our bounds: integers within ±(2^53 - 1), 16 levels, and no other number unless asked for."""
    fine = {
        "numbers": ("integers up to their bounds", b"[0,-1,9007199254740991,-9007199254740991]"),
        "key-order": ("keys in order of UTF-16 units: a surrogate pair stands before U+FB33", '{"a":1,"\U0001f600":2,"\ufb33":3}'.encode()),
        "escapes": ("what is escaped, and how", b'"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/\x7f"'),
        "text": ("everything else stands as itself, in UTF-8", '"é€\u2028\ud7ff😀"'.encode()),
        "depth-16": ("16 levels", b"[" * 16 + b"]" * 16),
        "empty": ("empty things", b'[{},[],"",null,true,false]'),
    }
    for name, (shows, data) in fine.items():
        yield good("json", name, shows, data)
    yield good(
        "json",
        "floats",
        "numbers as ECMAScript prints them, where they are allowed",
        b"[1e+21,1e-7,0.5,333333333.3333333]",
        floats="allowed",
    )
    yield bad("json", "floats-long", "0.50 for 0.5", b"[0.50]", "not canonical", floats="allowed")
    yield bad("json", "floats-nan", "NaN", b"[NaN]", "not canonical", floats="allowed")
    yield bad("json", "floats-infinite", "a number beyond the largest", b"[1e999]", "not canonical", floats="allowed")
    wrong = {
        "float": ("a number with a fraction", b"[1.5]"),
        "float-whole": ("1.0 for 1", b"[1.0]"),
        "exponent": ("1e2 for 100", b"[1e2]"),
        "minus-zero": ("-0", b"[-0]"),
        "two-to-53": ("an integer beyond 2^53 - 1", b"[9007199254740992]"),
        "leading-zero": ("01", b"[01]"),
        "plus": ("+1", b"[+1]"),
        "nan": ("NaN", b"[NaN]"),
        "space": ("a space", b'{"a": 1}'),
        "newline": ("a line feed at the end", b"[]\n"),
        "two-values": ("two values", b"[][]"),
        "unsorted": ("keys out of order", b'{"b":1,"a":2}'),
        "unsorted-utf16": ("keys in order of code points instead of UTF-16 units", '{"\ufb33":3,"\U0001f600":2}'.encode()),
        "duplicate": ("a key twice", b'{"a":1,"a":1}'),
        "duplicate-other": ("a key twice, with two values", b'{"a":1,"a":2}'),
        "escape-needless": ("an escape that is not needed", b'"\\u0041"'),
        "escape-slash": ("an escaped slash", b'"\\/"'),
        "escape-upper": ("an escape in upper-case hex", b'"\\u001F"'),
        "escape-long": ("\\u000a for \\n", b'"\\u000a"'),
        "control": ("a control character that is not escaped", b'"\x01"'),
        "surrogate": ("half of a surrogate pair", b'"\\ud800"'),
        "utf8-surrogate": ("half of a surrogate pair in UTF-8", b'"\xed\xa0\x80"'),
        "utf8-overlong": ("an overlong form in UTF-8", b'"\xc0\xaf"'),
        "utf8-cut": ("a character cut in UTF-8", b'"\xc3"'),
        "byte-order-mark": ("a byte order mark", b"\xef\xbb\xbf[]"),
        "utf16": ("UTF-16", "[]".encode("utf-16-le")),
        "comment": ("a comment", b"[/**/]"),
        "trailing-comma": ("a comma at the end", b"[1,]"),
        "single-quotes": ("single quotes", b"['a']"),
        "depth-17": ("17 levels", b"[" * 17 + b"]" * 17),
        "depth-many": ("a thousand levels", b"[" * 1000 + b"]" * 1000),
        "nothing": ("nothing", b""),
    }
    for name, (shows, data) in wrong.items():
        yield bad("json", name, shows, data, "")


def begin_vectors() -> Iterator[Vector]:
    whole = house.begin().to_bytes()
    yield good("begin", "button", "the beginning of a recording", whole)
    silent = replace(house.begin(), audio=None, assignment=m.Notes(house.digest("a"), 900), shortfall="just-booted")
    yield good("begin", "silent", "without audio, with an assignment and a reason for a short pre-event part", silent.to_bytes())
    yield from _twins("begin", whole)
    yield from _fields("begin", whole)
    value = json.loads(whole)
    beyond = {
        "recording": ["../x", "", "a" * 65, ".x"],
        "boot": [-1],
        "utc": ["2026-11-23T08:14:47Z", "2026-11-23T08:14:47.123456+00:00", "2026-13-23T08:14:47.123456Z", "2026-11-23t08:14:47.123456z"],
        "trust": ["gps"],
        "cause": ["remote"],
        "pre_event_ms": [600_001],
        "recipients": [[], ["0" * 63], ["A" * 64]],
        "key_protection": ["none"],
    }
    for name, values in beyond.items():
        for index, one in enumerate(values):
            yield bad("begin", f"beyond-{name.replace('_', '-')}-{index}", f"{name}: {one!r:.70}", _text({**value, name: one}), name)


def manifest_vectors() -> Iterator[Vector]:
    whole = house.manifest(2).to_bytes()
    yield good("manifest", "button", "a recording of two fragments", whole)
    yield good("manifest", "recovered", "closed by the next boot after a power loss", house.closed_later(house.manifest(2)).to_bytes())
    yield good("manifest", "no-fragment", "power was lost before the first fragment was promised", _nothing().to_bytes())
    yield from _twins("manifest", whole)
    yield from _fields("manifest", whole)
    yield from _inner(json.loads(whole))
    yield from _together(json.loads(whole))


def _nothing() -> m.Manifest:
    closed = house.closed_later(house.manifest(0))
    pre = replace(closed.pre_event, fragments=0, activation_fragment=0)
    return replace(closed, init=None, pre_event=pre, marks=(), gaps=())


def _text(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _twins(kind: str, whole: bytes) -> Iterator[Vector]:
    """The same document in another form."""
    value = json.loads(whole)
    first = next(iter(value))
    reversed_keys = json.dumps(dict(reversed(value.items())), separators=(",", ":")).encode()
    boot = b'"boot":7'
    twins = {
        "twin-key-order": ("keys in another order", reversed_keys),
        "twin-duplicate": ("a key twice", b'{"' + first.encode() + b'":0,' + whole[1:]),
        "twin-float": ("an integer as 7.0", whole.replace(boot, b'"boot":7.0', 1)),
        "twin-exponent": ("an integer as 7e0", whole.replace(boot, b'"boot":7e0', 1)),
        "twin-space": ("a space", whole.replace(boot, b'"boot": 7', 1)),
        "twin-newline": ("a line feed at the end", whole + b"\n"),
        "twin-escape": ("a letter escaped", whole.replace(b'"button"', b'"b\\u0075tton"', 1)),
        "twin-byte-order-mark": ("a byte order mark", b"\xef\xbb\xbf" + whole),
    }
    for name, (shows, data) in twins.items():
        yield bad(kind, name, shows, data, "")
    cuts = [place for place in range(1, len(whole)) if whole[place - 1 : place] in b"{}[],:"]
    shows = "cut behind braces, brackets, commas and colons"
    yield replace(bad(kind, "cut", shows, whole, ""), cuts=tuple(cuts[:: max(1, len(cuts) // 60)]))
    yield bad(kind, "nothing", "nothing", b"", "")
    yield bad(kind, "array", "an array", b"[]", "")
    for name, change in (("format-other", "oathcam-other/1"), ("format-next", f"oathcam-{kind}/2"), ("format-number", 1)):
        yield bad(kind, name, f"the format {change!r}", _text({**value, "format": change}), "format")
    yield bad(kind, "format-absent", "no format", _text({k: v for k, v in value.items() if k != "format"}), "format")
    yield bad(kind, "field-unknown", "a field more", _text({**value, "zz": 1}), "zz")


def _fields(kind: str, whole: bytes) -> Iterator[Vector]:
    """Every field absent, and of another type."""
    value = json.loads(whole)
    for name, found in value.items():
        if name == "format":
            continue
        slug = name.replace("_", "-")
        yield bad(kind, f"absent-{slug}", f"{name} is absent", _text({k: v for k, v in value.items() if k != name}), name)
        yield bad(kind, f"type-{slug}", f"{name} has another type", _text({**value, name: OTHER[type(found)]}), name)


def _inner(value: dict[str, Any]) -> Iterator[Vector]:
    """Every field of a fragment record of another type, and beyond its bounds."""
    for name, found in value["fragments"][1].items():
        wrong = {**value["fragments"][1], name: OTHER[type(found)]}
        data = _text({**value, "fragments": [value["fragments"][0], wrong]})
        yield bad("manifest", f"fragment-{name.replace('_', '-')}", f"fragment 1: {name} has another type", data, f"fragments.[1].{name}")
    for name, wrong_value in (("plain_bytes", 0), ("pictures", 100_001), ("sealed_sha256", "0" * 63)):
        wrong = {**value["fragments"][1], name: wrong_value}
        data = _text({**value, "fragments": [value["fragments"][0], wrong]})
        yield bad(
            "manifest", f"fragment-{name.replace('_', '-')}-beyond", f"fragment 1: {name} is {wrong_value!r}", data, f"fragments.[1].{name}"
        )


def _together(value: dict[str, Any]) -> Iterator[Vector]:
    """Fields that are right alone and wrong together."""
    first, second = value["fragments"]
    power, recovered = {**value["end"], "cause": "power-loss"}, {"boot": 8, "utc": house.UTC}
    wrong: dict[str, tuple[str, dict[str, Any], str]] = {
        "swapped": ("two fragments swapped", {"fragments": [second, first]}, "fragments.[0].seq"),
        "repeated": ("a fragment twice", {"fragments": [first, first]}, "fragments.[1].seq"),
        "gap-in-seq": ("a number left out", {"fragments": [first, {**second, "seq": 2}]}, "fragments.[1].seq"),
        "backwards": ("a fragment that begins too early", {"fragments": [first, {**second, "boottime_us": 1}]}, "boottime_us"),
        "no-init": ("fragments without an init segment", {"init": None}, "init"),
        "recipient-twice": ("a recipient twice", {"recipients": [value["recipients"][0]] * 2}, "recipients"),
        "pre-event-beyond": ("more pre-event fragments than all", {"pre_event": {**value["pre_event"], "fragments": 3}}, "pre_event"),
        "activation-beyond": ("an activation beyond the end", {"pre_event": {**value["pre_event"], "activation_fragment": 3}}, "pre_event"),
        "mark-beyond": ("a mark behind the end", {"marks": [{**value["marks"][0], "fragment": 3}]}, "marks.[0]"),
        "gap-beyond": ("a gap behind the end", {"gaps": [{**value["gaps"][0], "after_fragment": 2}]}, "gaps.[0]"),
        "mute-backwards": ("a mute that ends before it begins", {"mutes": [{**value["mutes"][0], "to_us": 1}]}, "mutes.[0]"),
        "power-loss-alone": ("a power loss that no boot closed", {"end": power}, "recovered"),
        "recovered-alone": ("a boot that closed what was ended", {"recovered": recovered}, "recovered"),
        "ledger-backwards": ("a ledger span that ends before it begins", {"ledger": {"begin_index": 5, "last_index": 4}}, "ledger"),
    }  # fmt: skip
    for name, (shows, change, reason) in wrong.items():
        yield bad("manifest", f"together-{name}", shows, _text({**value, **change}), reason)
