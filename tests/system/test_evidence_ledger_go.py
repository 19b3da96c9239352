"""Go's checksum-database packages and pymerkle, which nobody here wrote, agree on our tree, our proofs and our notes."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pymerkle
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from helpers_evidence import ORIGIN, agency, signer, stream

from firmware.custody import merkle
from firmware.custody.checkpoint import Checkpoint, cosign, digest_to_sign, signed_note
from firmware.custody.entries import Entry
from firmware.evidence import primitives
from firmware.timebase import Timestamp, Trust

GOCODE = Path("/usr/share/gocode")
HAVE_GO = shutil.which("go") is not None and (GOCODE / "src/golang.org/x/mod/sumdb/tlog").is_dir()
PROGRAM = Path(__file__).with_name("ledger_check.go")
WITNESS_SEED = stream("witness")(32)
SIZES = [1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 50]

pytestmark = pytest.mark.system


def leaves(count: int) -> list[bytes]:
    return [Entry(n, "ready", Timestamp(n * 10**9, 1_795_421_687 * 10**9, Trust.RTC), 7, {}).to_bytes() for n in range(count)]


def test_pymerkle_computes_the_same_roots():
    """BWC-POL-29."""
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    ours = merkle.CompactTree()
    for leaf in leaves(40):
        theirs.append_entry(leaf)
        ours.append(merkle.leaf_hash(leaf))
        assert theirs.get_root() == ours.root()


@pytest.fixture(scope="module")
def go_check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checking program, compiled."""
    if not HAVE_GO:
        pytest.skip("Go or golang-golang-x-mod-dev is not installed")
    place = tmp_path_factory.mktemp("go")
    shutil.copy(PROGRAM, place / "main.go")
    settings = {"GO111MODULE": "off", "GOPATH": str(GOCODE), "GOFLAGS": "", "GOCACHE": str(place / "cache"), "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", "check", "main.go"], cwd=place, env={**os.environ, **settings}, check=True, timeout=240)
    return place / "check"


def run(program: Path, task: dict[str, object]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(program)], input=json.dumps(task).encode(), capture_output=True, check=False, timeout=60)


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


def whole_task() -> dict[str, object]:
    """Leaves, roots and proofs between all the sizes, and a cosigned checkpoint of the last."""
    data = leaves(SIZES[-1])
    hashes = [merkle.leaf_hash(one) for one in data]
    consistency = [
        {"old": old, "new": new, "proof": [encoded(one) for one in merkle.consistency_proof(hashes, old, new)]}
        for new in SIZES
        for old in SIZES
        if old <= new
    ]
    inclusion = [
        {"index": index, "size": size, "proof": [encoded(one) for one in merkle.inclusion_proof(hashes, index, size)]}
        for size in SIZES
        for index in range(size)
    ]
    camera = agency().camera
    spki = camera.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = Checkpoint(ORIGIN, len(data), merkle.root_of(hashes)).text()
    note = signed_note(text, ORIGIN, spki, signer(camera.key)(digest_to_sign(text))) + cosign(text, "dock/1", 1_795_421_687, WITNESS_SEED)
    return {
        "leaves": [encoded(one) for one in data],
        "roots": {str(size): encoded(merkle.root_of(hashes[:size])) for size in SIZES},
        "consistency": consistency,
        "inclusion": inclusion,
        "note": encoded(note),
        "name": ORIGIN,
        "spki": encoded(spki),
        "witness": "dock/1",
        "witness_key": encoded(primitives.ed25519_public(WITNESS_SEED)),
    }


def test_go_accepts_roots_proofs_and_note(go_check):
    """BWC-POL-29: the ledger is checked by golang.org/x/mod/sumdb, tlog and note."""
    done = run(go_check, whole_task())
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == {"roots": len(SIZES), "consistency": 66, "inclusion": sum(SIZES), "signatures": 2}


@pytest.mark.parametrize("what", ["leaves", "roots", "consistency", "inclusion", "note", "spki", "witness_key"])
def test_go_refuses_what_was_changed(go_check, what):
    """The check can fail: one bit in any part of the task."""
    task = whole_task()
    match what:
        case "leaves":
            task["leaves"][3] = encoded(b"x")
        case "roots":
            task["roots"]["5"] = encoded(bytes(32))
        case "consistency":
            next(one for one in task["consistency"] if one["proof"])["proof"][0] = encoded(bytes(32))
        case "inclusion":
            next(one for one in task["inclusion"] if one["proof"])["proof"][0] = encoded(bytes(32))
        case "note":
            task["note"] = encoded(base64.b64decode(task["note"]).replace(b"\n50\n", b"\n51\n"))
        case "spki":
            other = agency().store.key.public_key()
            task["spki"] = encoded(other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        case "witness_key":
            task["witness_key"] = encoded(primitives.ed25519_public(bytes(32)))
    assert run(go_check, task).returncode != 0
