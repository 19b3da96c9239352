"""Signed policy files: minisign's signatures, the file itself, and the rule that a policy never gets older."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from importlib import resources

from firmware.evidence import primitives
from firmware.policy import minisign
from tests.vectors.build import people
from tests.vectors.build.vector import Vector

_FILE = (resources.files("firmware.policy") / "profiles" / "default.toml").read_text(encoding="utf-8")
POLICY = re.sub(r"(?m)^#.*\n|[ ]+#.*$", "", _FILE).encode()
"""The default profile without its remarks, for a vector's size."""
COMMENT = "policy of the Test Agency"


def sign(data: bytes = POLICY, seed: bytes = people.POLICY_SEED, key_id: bytes = people.POLICY_KEY_ID, comment: str = COMMENT) -> str:
    return minisign.sign_minisign(seed, key_id, data, comment)


def vectors() -> Iterator[Vector]:
    yield from _good()
    yield from _signatures()
    yield from _contents()


def _policy(
    name: str, shows: str, data: bytes, signature: str, expect: str = "success", layer: str = "", reason: str = "", force: bytes = b""
) -> Vector:
    inputs = {"policy": data, "signature": signature.encode()} | ({"policy in force": force} if force else {})
    return Vector(
        f"policy/{name}", shows, "policy", inputs, expect, layer, reason, data if expect == "success" else b"", {"policy": "policy.pub"}
    )


def _good() -> Iterator[Vector]:
    text = sign()
    yield _policy("signed", "a policy and its signature", POLICY, text)
    yield _policy("carriage-returns", "a signature whose lines end as on another system", POLICY, text.replace("\n", "\r\n"))
    yield _policy("no-last-line-feed", "a signature without its last line feed", POLICY, text.removesuffix("\n"))
    first, rest = text.split("\n", 1)
    assert first
    yield _policy(
        "untrusted-comment", "the untrusted comment is nobody's word, and not used", POLICY, "untrusted comment: anything\n" + rest
    )
    newer = POLICY.replace(b"version = 1", b"version = 2", 1)
    yield _policy("newer", "a higher version than that in force", newer, sign(newer), force=POLICY)
    yield _policy("same", "the very policy in force", POLICY, text, force=POLICY)


def _signatures() -> Iterator[Vector]:
    lines = sign().split("\n")
    raw = base64.b64decode(lines[1])
    other = people.stream("another policy key")(32)

    def with_line(index: int, line: str) -> str:
        return "\n".join([*lines[:index], line, *lines[index + 1 :]])

    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    formats = {
        "legacy": ("a signature that is not prehashed", with_line(1, encoded(b"Ed" + raw[2:])), "prehashed"),
        "algorithm-other": ("an unknown algorithm", with_line(1, encoded(b"XX" + raw[2:])), "prehashed"),
        "short": ("a signature cut by a byte", with_line(1, encoded(raw[:-1])), "74 bytes"),
        "long": ("a byte more", with_line(1, encoded(raw + b"\0")), "74 bytes"),
        "base64-spaced": ("a space behind the base64", with_line(1, lines[1] + " "), ""),
        "base64-loose": ("another form of the same base64", with_line(3, _loose(lines[3])), "base64"),
        "line-missing": ("the global signature is missing", "\n".join(lines[:3]) + "\n", "4 lines"),
        "line-more": ("a line more", sign() + "more\n", "4 lines"),
        "no-trusted-comment": (
            "a trusted comment that does not say so",
            with_line(2, lines[2].removeprefix("trusted ")),
            "trusted comment",
        ),
        "control-character": ("a control character in the trusted comment", with_line(2, lines[2] + "\x07"), "printable"),
        "nothing": ("nothing", "", "4 lines"),
    }
    for name, (shows, text, reason) in formats.items():
        yield _policy(name, shows, POLICY, text, "format", "minisign", reason)
    bound = primitives.ed25519_sign(people.POLICY_SEED, raw[10:] + b"another comment")
    wrong = {
        "key-id-other": ("another key's id", sign(key_id=bytes(8)), "expected a signature by key"),
        "key-other": ("another key under the same id", sign(seed=other), "does not fit the content"),
        "signature-flipped": (
            "a bit of the signature flipped",
            with_line(1, encoded(raw[:-1] + bytes((raw[-1] ^ 1,)))),
            "does not fit the content",
        ),
        "content-of-other": ("a signature over another policy", sign(POLICY + b"\n"), "does not fit the content"),
        "comment-changed": ("another trusted comment", with_line(2, "trusted comment: policy of the best Agency"), "trusted comment"),
        "comment-empty": ("an empty trusted comment", with_line(2, "trusted comment: "), "trusted comment"),
        "global-of-other": ("a global signature over another comment", with_line(3, encoded(bound)), "trusted comment"),
    }
    for name, (shows, text, reason) in wrong.items():
        yield _policy(name, shows, POLICY, text, "integrity", "minisign", reason)


def _loose(line: str) -> str:
    """64 bytes end in two characters, the second of which carries four bits that mean nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return line[:-3] + alphabet[alphabet.index(line[-3]) + 1] + "=="


def _contents() -> Iterator[Vector]:
    def changed(old: str, new: str) -> bytes:
        assert old.encode() in POLICY, old
        return POLICY.replace(old.encode(), new.encode(), 1)

    wrong = {
        "not-toml": (b"[[[\n", "not TOML"),
        "field-unknown": (b"zz = 1\n" + POLICY, "zz"),
        "field-twice": (b"version = 1\n" + POLICY, "not TOML"),
        "version-text": (changed("version = 1", 'version = "1"'), "version"),
        "version-float": (changed("version = 1", "version = 1.0"), "version"),
        "version-huge": (changed("version = 1", "version = 0x" + "f" * 4000), "more than 64 bits"),
        "version-absent": (changed("version = 1\n", "\n"), "version"),
        "width-odd": (changed("width = 1280", "width = 1279"), "video.width"),
        "width-large": (changed("width = 1280", "width = 100000"), "video.width"),
        "pre-event-long": (changed("seconds = 30", "seconds = 121"), "pre_event.seconds"),
        "nothing": (b"", "policy"),
    }
    for name, (data, reason) in wrong.items():
        yield _policy(f"file-{name}", f"well signed, and no policy: {name.replace('-', ' ')}", data, sign(data), "usage", "policy", reason)
    newer = POLICY.replace(b"version = 1", b"version = 2", 1)
    yield _policy("older", "an older version than that in force", POLICY, sign(), "refused", "policy", "version above 2", newer)
    other = changed("seconds = 30", "seconds = 20")
    yield _policy(
        "same-version-other",
        "another policy under the version in force",
        other,
        sign(other),
        "refused",
        "policy",
        "version above 1",
        POLICY,
    )
