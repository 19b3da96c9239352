"""Checkpoints, notes, and a ledger file that is believed as far as its last good signature and no further."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from helpers_evidence import ORIGIN, agency, signer, stream

from firmware.custody import merkle
from firmware.custody.checkpoint import (
    Checkpoint,
    checkpoint_line,
    cosign,
    digest_to_sign,
    parse_note,
    read_log,
    signed_note,
    verify_cosignature,
    verify_note,
)
from firmware.custody.entries import Entry
from firmware.errors import FormatError, IntegrityError
from firmware.evidence import primitives
from firmware.timebase import Timestamp, Trust

KEY = agency().camera.key
PUBLIC = KEY.public_key()
SPKI = PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
SEED = stream("witness")(32)
WITNESS = primitives.ed25519_public(SEED)


def leaf(n: int, kind: str = "ready") -> bytes:
    return Entry(n, kind, Timestamp(n * 10**9, 1_795_421_687 * 10**9, Trust.RTC), 7, {}).to_bytes()


def signed_line(leaves: list[bytes], key=KEY) -> bytes:
    checkpoint = Checkpoint(ORIGIN, len(leaves), merkle.root_of([merkle.leaf_hash(one) for one in leaves]))
    return checkpoint_line(checkpoint, signer(key)(digest_to_sign(checkpoint.text())))


def log(*batches: int) -> bytes:
    """A ledger file with batches of so many leaves."""
    leaves: list[bytes] = []
    out = b""
    for count in batches:
        new = [leaf(len(leaves) + at) for at in range(count)]
        leaves += new
        out += b"".join(one + b"\n" for one in new) + signed_line(leaves)
    return out


def read(data: bytes, verify_all: bool = False):
    return read_log(data, ORIGIN, PUBLIC, verify_all)


# --- checkpoint and note ----------------------------------------------------------------------------------------------


def test_the_text_is_the_known_one():
    root = bytes(range(32))
    checkpoint = Checkpoint(ORIGIN, 12, root)
    assert checkpoint.text() == b"oathcam/OC-000001\n12\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    assert Checkpoint.from_text(checkpoint.text()) == checkpoint


ROOT64 = base64.b64encode(bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a\n1\nAA==\n",
        b"a\n01\n" + ROOT64 + b"\n",
        b"a b\n1\n" + ROOT64 + b"\n",
        b"a\n1\n" + ROOT64 + b"\nmore\n",
        b"a\n1\n" + ROOT64,
        b"\xff\n1\n" + ROOT64 + b"\n",
        b"a\n" + b"9" * 20 + b"\n" + ROOT64 + b"\n",
    ],
)
def test_other_texts_are_a_format_error(text):
    with pytest.raises(FormatError):
        Checkpoint.from_text(text)


def test_a_note_is_the_known_bytes_and_names_its_key():
    """BWC-POL-29: the checkpoint is signed by the device key."""
    text = Checkpoint(ORIGIN, 12, bytes(range(32))).text()
    note = signed_note(text, ORIGIN, SPKI, signer(KEY)(digest_to_sign(text)))
    assert hashlib.sha256(note).hexdigest() == "348ba97bde9c846d87b61ad34cfdcbc8b9b3e320d54b79a6e45ab253e20c888e"
    parsed = parse_note(note)
    assert parsed.text == text
    assert parsed.signatures[0].key_id == hashlib.sha256(SPKI).digest()[:4]
    verify_note(parsed, ORIGIN, PUBLIC)
    verify_note(parsed, ORIGIN, agency().camera.certificate)
    for name, key in ((ORIGIN + "x", PUBLIC), (ORIGIN, agency().store.certificate)):
        with pytest.raises(IntegrityError):
            verify_note(parsed, name, key)


def test_a_witness_cosigns_with_its_time():
    text = Checkpoint(ORIGIN, 12, bytes(range(32))).text()
    note = signed_note(text, ORIGIN, SPKI, signer(KEY)(digest_to_sign(text))) + cosign(text, "dock.example/1", 1_795_421_687, SEED)
    assert hashlib.sha256(note).hexdigest() == "7f640c4c7690a5f21905629bd94ff749d010720ebab5bbaa1c75a43a4ee6db3c"
    parsed = parse_note(note)
    assert verify_cosignature(parsed, "dock.example/1", WITNESS) == 1_795_421_687
    verify_note(parsed, ORIGIN, PUBLIC)
    with pytest.raises(IntegrityError):
        verify_cosignature(parsed, "dock.example/2", WITNESS)
    with pytest.raises(IntegrityError):
        verify_cosignature(parsed, "dock.example/1", primitives.ed25519_public(stream("other")(32)))
    other = Checkpoint(ORIGIN, 13, bytes(range(32))).text()
    with pytest.raises(IntegrityError):
        verify_cosignature(parse_note(note.replace(text, other)), "dock.example/1", WITNESS)


def test_every_flipped_bit_of_a_note_is_seen():
    text = Checkpoint(ORIGIN, 12, bytes(range(32))).text()
    note = signed_note(text, ORIGIN, SPKI, signer(KEY)(digest_to_sign(text))) + cosign(text, "dock", 5, SEED)
    for position in range(len(note) * 8):
        flipped = bytearray(note)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises((FormatError, IntegrityError)):
            verify_both(bytes(flipped))


def verify_both(note: bytes) -> None:
    parsed = parse_note(note)
    verify_note(parsed, ORIGIN, PUBLIC)
    verify_cosignature(parsed, "dock", WITNESS)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"\xff\n\n",
        b"t\tx\n\n",
        b"text\n\n- a AAAAAAAA\n",
        "text\n\n\u2014 a AAAA\n".encode(),
        "text\n\n\u2014 a b AAAAAAAA\n".encode(),
        "text\n\n\u2014 a AAAAAAB=\n".encode(),
        "text\n\n\u2014 a+b AAAAAAAA\n".encode(),
        b"x" * 70_000,
    ],
)
def test_other_bytes_are_no_note(data):
    with pytest.raises(FormatError):
        parse_note(data)


def test_a_name_that_would_break_the_line_is_refused():
    for name in ("", "a b", "a+b", "a\nb"):
        with pytest.raises(ValueError):
            signed_note(b"x\n", name, SPKI, b"sig")
        with pytest.raises(ValueError):
            Checkpoint(name, 1, bytes(32))


# --- the ledger file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify_all", [False, True])
def test_a_whole_log_is_believed_whole(verify_all):
    state = read(log(1, 3, 2), verify_all)
    assert [one.n for one in state.entries] == list(range(6))
    assert (state.checkpoint.size, state.checkpoint.root, state.tail) == (6, merkle.root_of(state.hashes), b"")
    empty = read(b"", verify_all)
    assert (empty.entries, empty.checkpoint, empty.tail) == ((), None, b"")


def test_a_torn_write_at_any_byte_costs_the_last_batch_and_nothing_else():
    """BWC-POL-28: power may go at any instant; leaves and their signature are one write."""
    before, whole = log(1, 3), log(1, 3, 2)
    for length in range(len(before), len(whole)):
        for verify_all in (False, True):
            state = read(whole[:length], verify_all)
            assert (len(state.entries), state.tail) == (4, whole[len(before) : length])


def test_a_last_batch_that_lost_a_sector_is_torn_at_boot_and_altered_to_a_verifier():
    """Un-synced pages may reach the card in any order; a finished log that reads so has been changed."""
    before, whole = log(1, 3), log(1, 3, 2)
    damaged = bytearray(whole)
    damaged[len(before) + 5 : len(before) + 20] = bytes(15)
    state = read(bytes(damaged))
    assert (len(state.entries), state.tail) == (4, bytes(damaged[len(before) :]))
    with pytest.raises(IntegrityError):
        read(bytes(damaged), verify_all=True)


def test_planted_leaves_and_planted_signatures_are_nobodys_word():
    """BWC-POL-29: whoever holds the card can append, and it is not believed."""
    whole = log(1, 3)
    leaves = [leaf(n) for n in range(5)]
    for planted in (leaf(4) + b"\n", leaf(4) + b"\n" + signed_line(leaves, agency().store.key), b"= 5 x y\n", b"\n", b"= 4\n", b"\xff\n"):
        for verify_all in (False, True):
            state = read(whole + planted, verify_all)
            assert (len(state.entries), state.tail) == (4, planted)


def test_a_changed_leaf_inside_the_signed_part_is_not_a_torn_write():
    """BWC-POL-24, BWC-POL-29: flip any byte of any signed leaf or signature and a verifier sees it."""
    whole = log(2, 2, 1)
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        try:
            state = read(bytes(flipped), verify_all=True)
        except (IntegrityError, FormatError):
            continue
        assert len(state.entries) < 5  # the last signature itself was hit: what it covered is not believed
        assert state.tail


def test_a_changed_leaf_in_the_middle_is_refused_at_boot_too():
    whole = log(2, 2, 1)
    damaged = whole.replace(b'"n":1,', b'"n":7,')
    with pytest.raises(IntegrityError, match="not those that the camera signed"):
        read(damaged)


def test_a_removed_batch_is_seen():
    """BWC-POL-29: a leaf cannot be taken out."""
    whole = log(2, 2, 1)
    first, second = len(log(2)), len(log(2, 2))
    for data in (whole[:first] + whole[second:], whole[first:]):
        with pytest.raises(IntegrityError):
            read(data, verify_all=True)
    with pytest.raises(IntegrityError):
        read(whole[first:])
    assert len(read(whole[:first] + whole[second:]).entries) == 2  # at boot, all behind the hole is nobody's word


def test_an_unsigned_checkpoint_line_in_the_signed_part_is_seen_by_a_verifier():
    whole, first = log(2, 2), len(log(2))
    planted = signed_line([leaf(0), leaf(1)], agency().store.key)
    data = whole[:first] + planted + whole[first:]
    assert len(read(data).entries) == 4
    with pytest.raises(IntegrityError, match="not signed"):
        read(data, verify_all=True)


def test_a_signed_leaf_that_does_not_parse_is_a_format_error():
    for bad in (b"{}", leaf(3)):
        with pytest.raises(FormatError):
            read(bad + b"\n" + signed_line([bad]))


def test_another_cameras_log_proves_nothing():
    for origin, key in (("oathcam/OTHER", PUBLIC), (ORIGIN, agency().store.key.public_key())):
        state = read_log(log(1, 1), origin, key)
        assert (state.entries, state.checkpoint, state.tail) == ((), None, log(1, 1))
