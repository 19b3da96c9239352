"""minisign's format: a known answer, the round trip, and everything that must not pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from nacl.signing import SigningKey

from firmware.errors import FormatError, IntegrityError, RefusedError
from firmware.policy import minisign
from firmware.policy.model import Policy

SEED = bytes(range(32))
KEY_ID = bytes.fromhex("0102030405060708")
PUBLIC = bytes(SigningKey(SEED).verify_key)
DATA = b"format = ...\n"
COMMENT = "policy of an agency, version 7"
TEXT = minisign.sign_minisign(SEED, KEY_ID, DATA, COMMENT)
KEY = minisign.parse_public_key(minisign.public_key_text(KEY_ID, PUBLIC))


def verify(data: bytes = DATA, text: str = TEXT, key: minisign.PublicKey = KEY) -> None:
    minisign.verify_minisign(key, data, minisign.parse_signature(text))


def test_round_trip() -> None:
    verify()
    assert minisign.parse_signature(TEXT).trusted_comment == COMMENT
    assert minisign.public_key_text(KEY_ID, PUBLIC).startswith("untrusted comment: minisign public key 807060504030201\n")
    verify(text=TEXT.replace("\n", "\r\n"))
    verify(text=TEXT.replace("signature of an oathcam artefact", "anything"))


def test_made_by_the_stock_tool() -> None:
    """A key and a signature over ``test`` made by minisign 0.11 (Debian 12): a known answer that is not ours."""
    key = minisign.parse_public_key(STOCK_KEY)
    signature = minisign.parse_signature(STOCK_SIGNATURE)
    minisign.verify_minisign(key, b"test", signature)
    assert signature.trusted_comment == "a comment that is signed"


STOCK_KEY = """\
untrusted comment: minisign public key E4C29B876F5A4B2
RWSypPV2uClMDrXffU41mbrQ3Ga+hOkXzJ1PboReXpSgBx5M2d8FdNsd
"""
STOCK_SIGNATURE = """\
untrusted comment: signature from minisign secret key
RUSypPV2uClMDtNGtIv5ThivcNaTlqd4CSb47WRQdcdwChInGy7FQr1OST43PqHd36D+wy3lApeaBLVBmFurHS6kgu6Lv0X/bgA=
trusted comment: a comment that is signed
JigKWuvbqjsrTdmzo2IVVfgfqCgnD6jl9X5LaK51MvDo6IACQ6HrFcFzv8zCDFhRibbgcMDMtZuXxZ5Bb8+LDA==
"""


def test_what_was_not_signed_does_not_pass() -> None:
    other = replace(KEY, key=bytes(SigningKey(bytes(32)).verify_key))
    for attempt in (
        lambda: verify(data=DATA + b" "),
        lambda: verify(text=TEXT.replace("version 7", "version 8")),
        lambda: verify(key=other),
        lambda: verify(key=replace(KEY, key_id=bytes(8))),
    ):
        with pytest.raises(IntegrityError):
            attempt()


def test_a_signature_over_one_comment_does_not_fit_another() -> None:
    """The global signature binds them: lines of two good signatures do not mix."""
    first, second = TEXT.splitlines(), minisign.sign_minisign(SEED, KEY_ID, b"other", COMMENT).splitlines()
    with pytest.raises(IntegrityError):
        verify(text="\n".join(first[:2] + second[2:]))
    with pytest.raises(IntegrityError):
        verify(text="\n".join(second[:2] + first[2:]))


@pytest.mark.parametrize("length", range(len(TEXT) - 1))
def test_truncated_anywhere(length: int) -> None:
    with pytest.raises(FormatError):
        minisign.parse_signature(TEXT[:length])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.replace("untrusted comment: ", "untrusted: ", 1),
        lambda t: t.replace("trusted comment: policy", "policy", 1),
        lambda t: t + "\n",
        lambda t: t.replace("\n", "\n\n", 1),
        lambda t: t.replace("RUQ", "RWQ", 1),
        lambda t: t.replace("RUQ", "RUQ ", 1),
        lambda t: t.replace("RUQ", "RUQé", 1),
        lambda t: t.replace("version 7", "version\t7"),
        lambda t: t + "x" * 20_000,
    ],
)
def test_not_the_format(spoil: Callable[[str], str]) -> None:
    """Among them the legacy form, which hashes nothing before it signs."""
    assert spoil(TEXT) != TEXT
    with pytest.raises(FormatError):
        minisign.parse_signature(spoil(TEXT))


@pytest.mark.parametrize("line", [1, 3])
def test_base64_has_one_form(line: int) -> None:
    """The bits that padding leaves over must be zero: a signature has one text only."""
    lines = TEXT.splitlines()
    body, padding = lines[line].rstrip("="), lines[line].count("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    assert padding
    twin = body[:-1] + alphabet[alphabet.index(body[-1]) + 1] + "=" * padding
    with pytest.raises(FormatError, match="expected the base64 of"):
        minisign.parse_signature("\n".join([*lines[:line], twin, *lines[line + 1 :]]))


def test_public_keys_that_are_none() -> None:
    good = minisign.public_key_text(KEY_ID, PUBLIC)
    for text in ("", good[:-2], good + "x\n", good.replace("RWQ", "RUQ"), good.splitlines()[1]):
        with pytest.raises(FormatError):
            minisign.parse_public_key(text)


def test_signing_refuses_what_the_format_cannot_hold() -> None:
    for comment in ("two\nlines", "x" * 9_000):
        with pytest.raises(ValueError, match="one printable line"):
            minisign.sign_minisign(SEED, KEY_ID, DATA, comment)
    with pytest.raises(ValueError, match="8 bytes of key id"):
        minisign.sign_minisign(SEED, b"short", DATA, "")


def test_versions_only_grow() -> None:
    """BWC-POL-29: an older policy, signed as it may be, is refused; the same one again is not news."""
    current = Policy(version=3)
    minisign.accept(current, None)
    minisign.accept(current, current)
    minisign.accept(Policy(version=4), current)
    for new in (Policy(version=2), Policy(version=3, agency="another")):
        with pytest.raises(RefusedError, match="expected a version above 3"):
            minisign.accept(new, current)
