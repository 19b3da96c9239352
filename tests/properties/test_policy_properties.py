"""Whatever the bytes: one family of errors, or the very thing that was meant."""

from __future__ import annotations

from importlib import resources

from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from firmware.errors import FormatError, IntegrityError, UsageError
from firmware.policy import minisign
from firmware.policy.load import parse_policy
from firmware.policy.model import Policy

DEFAULT = (resources.files("firmware.policy") / "profiles" / "default.toml").read_text(encoding="utf-8")
SEED, KEY_ID, DATA = bytes(32), bytes(8), b"content"
KEY = minisign.PublicKey(KEY_ID, bytes(SigningKey(SEED).verify_key))
TEXT = minisign.sign_minisign(SEED, KEY_ID, DATA, "comment")
SIGNED_FROM = TEXT.index("\n") + 1


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_is_refused_in_one_way(text: str) -> None:
    try:
        parse_policy(text)
    except UsageError:
        return
    raise AssertionError("a random text passed for a policy")


@given(st.integers(0, len(DEFAULT) - 1), st.characters(codec="utf-8"))
@settings(max_examples=150, deadline=None)
def test_a_policy_with_one_character_changed(place: int, character: str) -> None:
    try:
        assert isinstance(parse_policy(DEFAULT[:place] + character + DEFAULT[place + 1 :]), Policy)
    except UsageError as error:
        said = error.remedy
    else:
        said = "accepted"
    assert said


@given(st.integers(SIGNED_FROM, len(TEXT) - 2), st.characters(codec="utf-8"))
@settings(max_examples=200, deadline=None)
def test_a_signature_with_one_character_changed(place: int, character: str) -> None:
    """Every character after the untrusted comment counts."""
    spoilt = TEXT[:place] + character + TEXT[place + 1 :]
    try:
        minisign.verify_minisign(KEY, DATA, minisign.parse_signature(spoilt))
    except (FormatError, IntegrityError):
        return
    assert spoilt == TEXT
