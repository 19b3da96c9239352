"""Properties of the evidence and custody formats: one form per value, one error family per lie."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import rfc8785
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))

from helpers_evidence import NOW_NS, ORIGIN, agency, begin, manifest, stream

from firmware.custody import merkle
from firmware.custody.checkpoint import Checkpoint, parse_note, read_log
from firmware.custody.entries import Entry, printable
from firmware.custody.receipt import Receipt
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import cms, fields, jcs, pki
from firmware.evidence.manifest import Begin, Manifest
from firmware.timebase import Timestamp, Trust, format_utc, parse_utc

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, database=None)
many = settings(few, max_examples=300)

scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4), max_leaves=12
)
PARSERS = {
    "jcs": lambda data: jcs.parse(data, "test"),
    "begin": Begin.from_bytes,
    "manifest": Manifest.from_bytes,
    "entry": Entry.from_bytes,
    "receipt": Receipt.from_bytes,
    "note": parse_note,
    "checkpoint": Checkpoint.from_text,
    "certificate": pki.load_certificate,
    "certificates": pki.load_certificates_pem,
    "sealed": cms.recipient_key_ids,
    "signature": lambda data: cms.verify_detached(b"", data, agency().roots),
}
GENUINE = {
    "jcs": jcs.canonical({"a": [1, {"b": "é"}]}),
    "begin": begin().to_bytes(),
    "manifest": manifest().to_bytes(),
    "entry": Entry(0, "dock", Timestamp(1000, 0, Trust.UNSET), 1, {}).to_bytes(),
    "certificate": agency().camera.chain[0],
    "sealed": cms.seal(b"x", agency().recipients, stream("fuzz")),
    "signature": agency().camera.sign(b""),
}


@given(values)
@many
@example({"\ufb33": 1, "\U0001f600": 2})
@example({"a": '\x7f\x1f\u2028\\"/'})
def test_the_fast_encoder_writes_what_rfc8785_writes(value):
    """BWC-POL-24: one canonical form, that of the public library."""
    try:
        expected = rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        with pytest.raises(ValueError):
            jcs.canonical(value)
        return
    assert jcs.canonical(value) == expected
    assert jcs.parse(expected, "test") == value


@given(values, st.booleans())
@few
def test_only_the_canonical_form_is_read(value, ascii_only):
    loose = json.dumps(value, ensure_ascii=ascii_only).encode()
    try:
        assert jcs.canonical(jcs.parse(loose, "test")) == loose
    except FormatError:
        assert loose != jcs.canonical(value)


@pytest.mark.parametrize("kind", PARSERS)
@given(data=st.binary(max_size=300))
@few
def test_parsers_raise_nothing_but_format_errors(kind, data):
    """Whatever the input: a parser that meets hostile bytes says so, and does nothing else."""
    try:
        PARSERS[kind](data)
    except FormatError:
        pass


@pytest.mark.parametrize("kind", GENUINE)
@given(data=st.data())
@few
def test_damaged_documents_raise_one_error_family(kind, data):
    """BWC-POL-24: cut, doubled, overwritten anywhere: an error of ours, or the same meaning; never another exception."""
    genuine = GENUINE[kind]
    at = data.draw(st.integers(0, len(genuine)))
    until = data.draw(st.integers(at, min(len(genuine), at + 40)))
    damaged = genuine[:at] + data.draw(st.binary(max_size=20)) + genuine[until:]
    try:
        found = PARSERS[kind](damaged)
    except (FormatError, IntegrityError, UnavailableError):
        return
    if kind in ("begin", "manifest", "entry"):
        assert found.to_bytes() == damaged
    if kind == "signature":
        assert damaged == genuine


@given(st.binary(max_size=3000), st.binary(min_size=1, max_size=8))
@few
def test_what_is_sealed_comes_back_to_each_recipient(plain, seed):
    """BWC-POL-33."""
    data = cms.seal([plain[:100], plain[100:]], agency().recipients, stream(seed.hex()))
    for who in (agency().agency, agency().oversight):
        assert cms.open_sealed(data, who.key, who.certificate) == plain


@given(st.binary(max_size=500), st.integers(NOW_NS, NOW_NS + 9 * 10**17))
@few
def test_what_is_signed_verifies_and_its_neighbour_does_not(content, at_ns):
    """BWC-POL-24."""
    signature = agency().camera.sign(content, at_ns)
    assert cms.verify_detached(content, signature, agency().roots).signing_time_ns == at_ns // 10**9 * 10**9
    with pytest.raises(IntegrityError):
        cms.verify_detached(content + b"\0", signature, agency().roots)


@given(st.lists(st.binary(max_size=40), max_size=40), st.data())
@few
def test_proofs_connect_any_two_sizes(leaves, data):
    """BWC-POL-29."""
    hashes = [merkle.leaf_hash(one) for one in leaves]
    new = data.draw(st.integers(0, len(hashes)))
    old = data.draw(st.integers(0, new))
    roots = [merkle.root_of(hashes[:old]), merkle.root_of(hashes[:new])]
    proof = merkle.consistency_proof(hashes, old, new)
    merkle.verify_consistency(old, roots[0], new, roots[1], proof)
    if old:
        changed = [bytes([hashes[0][0] ^ 1]) + hashes[0][1:], *hashes[1:]]
        with pytest.raises(IntegrityError):
            merkle.verify_consistency(old, merkle.root_of(changed[:old]), new, roots[1], proof)


@given(st.binary(max_size=600))
@few
def test_a_ledger_file_of_any_bytes_proves_nothing(data):
    """BWC-POL-29: without the camera's signature there is no entry."""
    state = read_log(data, ORIGIN, agency().camera.key.public_key())
    assert (state.entries, state.tail) == ((), data)


@given(st.integers(0, 4_000_000_000_000_000))
@few
def test_times_are_read_as_the_time_base_reads_them(microseconds):
    text = format_utc(microseconds * 1000)
    assert fields.utc_ns(text) == parse_utc(text) == microseconds * 1000


@given(st.text(st.characters(), max_size=300))
@few
def test_any_text_can_be_told_in_a_leaf(text):
    entry = Entry(0, "fault", Timestamp(0, 0, Trust.UNSET), 1, {"port": "camera", "reason": text})
    assert Entry.from_bytes(entry.to_bytes()).fields["reason"] == printable(text)
