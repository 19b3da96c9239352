"""Time-stamp tokens of a local ``openssl ts`` authority: asked for, checked, kept, and checked again by openssl."""

from __future__ import annotations

import base64
import contextlib
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from firmware.custody.note import cosign, signed_note
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.evidence import cms, cms_token, pki, timestamp
from firmware.evidence.findings import Report, Severity, Verdict
from firmware.evidence.primitives import sha256
from firmware.evidence.verify import verify_device
from firmware.evidence.verify_store import with_store
from hal.interfaces import ButtonName
from hal.sim.world import World
from tools.sources import DirectorySource, load_key, load_roots

pytestmark = [pytest.mark.system, pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")]
RECORDING = "SIM-0001-000001-0001"

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
[tsa]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[wrong]
basicConstraints = critical, CA:false
extendedKeyUsage = critical, timeStamping, codeSigning
[ts]
serial = serial
crypto_device = builtin
signer_digest = {digest}
default_policy = 1.2.3.4.1
digests = sha256, sha384
accuracy = secs:1, millisecs:500
ess_cert_id_alg = sha256
"""


class Authority:
    """A throwaway time-stamp authority: root, its own certificate, and openssl to answer."""

    def __init__(
        self,
        directory: Path,
        name: str,
        key: tuple[str, ...] = ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        profile: str = "tsa",
        digest: str = "sha256",
    ) -> None:
        directory.mkdir(parents=True)
        self.directory = directory
        (directory / "openssl.cnf").write_text(CONFIG.format(name=name, digest=digest))
        (directory / "serial").write_text("01\n")
        config = ("-config", "openssl.cnf")
        self.run(
            "req",
            "-x509",
            "-newkey",
            *key,
            "-nodes",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            *config,
            "-extensions",
            "ca",
            "-days",
            "30",
        )
        self.run("req", "-new", "-newkey", *key, "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", *config, "-subj", f"/CN={name} stamps")
        signing = ("-CA", "root.pem", "-CAkey", "root.key", "-extfile", "openssl.cnf", "-extensions", profile, "-days", "20")
        self.run("x509", "-req", "-in", "tsa.csr", "-out", "tsa.pem", *signing)

    def run(self, *arguments: str) -> bytes:
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def answer(self, query: bytes) -> bytes:
        (self.directory / "query").write_bytes(query)
        signer = ("-signer", "tsa.pem", "-inkey", "tsa.key")
        self.run("ts", "-reply", "-config", "openssl.cnf", "-section", "ts", "-queryfile", "query", *signer, "-out", "reply")
        return (self.directory / "reply").read_bytes()

    def token(self, imprint: bytes, nonce: int = 7) -> bytes:
        return timestamp.token_of_reply(self.answer(timestamp.build_query(timestamp.Query(imprint, nonce))))

    def accepts(self, token: bytes, data: bytes) -> bool:
        """``openssl ts -verify`` over what was stamped."""
        (self.directory / "token").write_bytes(token)
        (self.directory / "data").write_bytes(data)
        command = ["openssl", "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-CAfile", "root.pem"]
        return subprocess.run(command, cwd=self.directory, capture_output=True, check=False, timeout=60).returncode == 0

    @property
    def root(self) -> Path:
        return self.directory / "root.pem"

    @property
    def roots(self) -> list:
        return load_roots(self.root)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa") / "one", "Test Time")


@pytest.fixture(scope="module")
def card(tmp_path_factory, agency) -> Path:
    """One recording, made an hour ago."""
    return record(tmp_path_factory.mktemp("camera"), agency, time.time_ns() - 3_600 * 10**9)


def record(where: Path, agency, wall_ns: int) -> Path:
    from camerabench import leave, make_camera_bench, receipt_for

    where.mkdir(exist_ok=True)

    bench = make_camera_bench(where, agency, 0, 1, {}, 7)
    bench.world = World(wall_ns, seed=7)
    bench.world.double_press(bench.at(2))
    bench.world.press(ButtonName.RECORD, bench.at(3), hold_ms=3300)
    bench.run(8)
    leave(bench, receipt_for(bench), agency.directory / "dock")
    return bench.card


def as_store(card: Path, store: Path) -> Path:
    """As a dock keeps it: the newest checkpoint as a cosigned note beside the ledger."""
    shutil.copytree(card, store / "SIM-0001")
    (store / "store.sqlite").touch()
    ledger = store / "SIM-0001" / "ledger"
    shutil.copytree(store / "SIM-0001" / "sync" / "receipts", ledger / "receipts", dirs_exist_ok=True)
    line = [one for one in (ledger / "log").read_bytes().splitlines() if one.startswith(b"= ")][-1]
    _, size, root, signature = line.split(b" ")
    text = b"oathcam/SIM-0001\n%s\n%s\n" % (size, root)
    chain = pki.load_certificates_pem((ledger / "device.pem").read_bytes())
    note = signed_note(text, "oathcam/SIM-0001", pki.spki_der(chain[0]), base64.b64decode(signature))
    (ledger / "checkpoint").write_bytes(note + cosign(text, "site-1", 1, bytes(32)))
    return store / "SIM-0001"


@pytest.fixture
def store(card, tmp_path) -> Path:
    return as_store(card, tmp_path / "store")


@pytest.fixture
def verify(agency) -> Callable[..., Report]:
    def run(store: Path, roots: list) -> Report:
        key = load_key(agency.directory / "agency.key", None)
        source, trusted = DirectorySource(store), load_roots(agency.directory / "root.crt")
        return with_store(verify_device(source, trusted, key), source, trusted, roots)

    return run


def oathcam(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "tools.cli", *arguments], cwd=where, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr + done.stdout
    return done


def stamps(report: Report) -> list:
    findings = [*report.findings, *(one for recording in report.recordings for one in recording.findings)]
    return [one for one in findings if one.layer == "time stamp"]


def receipts(report: Report) -> list:
    return [one.severity for recording in report.recordings for one in recording.findings if one.layer == "receipt"]


def add_token(store: Path, token: bytes) -> None:
    path = store / "vault" / RECORDING / "manifest.json.p7s"
    data = cms_token.add_token(path.read_bytes(), token)
    path.unlink()
    path.write_bytes(data)


# --- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("key", [("ec", "-pkeyopt", "ec_paramgen_curve:P-384"), ("rsa:2048",)], ids=["P-384", "RSA"])
def test_a_token_of_openssl_is_understood(tmp_path, key, digest):
    one = Authority(tmp_path / "tsa", "Other Time", key, digest=digest)
    stamp = timestamp.verify_token(one.token(sha256(b"data"), 99), sha256(b"data"), one.roots, 99)
    assert abs(stamp.time_ns - time.time_ns()) < 60 * 10**9
    assert (stamp.accuracy_ns, stamp.authority, stamp.policy, stamp.nonce) == (1_500_000_000, "CN=Other Time stamps", "1.2.3.4.1", 99)


def test_a_token_for_something_else_is_refused(authority):
    token = authority.token(sha256(b"data"))
    with pytest.raises(IntegrityError, match="imprint"):
        timestamp.verify_token(token, sha256(b"other"), authority.roots)
    with pytest.raises(IntegrityError, match="nonce"):
        timestamp.verify_token(token, sha256(b"data"), authority.roots, 8)


def test_another_root_is_refused(authority, tmp_path):
    token = authority.token(sha256(b"data"))
    with pytest.raises(UnavailableError, match="no root certificate"):
        timestamp.verify_token(token, sha256(b"data"), Authority(tmp_path / "other", "Other Time").roots)
    namesake = Authority(tmp_path / "namesake", "Test Time")
    with pytest.raises(IntegrityError, match="not signed by"):
        timestamp.verify_token(token, sha256(b"data"), namesake.roots)


def test_a_flipped_bit_anywhere_in_a_token_is_refused_or_changes_nothing(authority):
    """Few bits are covered by nothing (versions, an algorithm named twice); what the token says is not among them."""
    token = authority.token(sha256(b"data"))
    good = timestamp.verify_token(token, sha256(b"data"), authority.roots)
    changed_words, survived = [], 0
    for position in range(len(token)):
        changed = bytearray(token)
        changed[position] ^= 0x01
        try:
            if timestamp.verify_token(bytes(changed), sha256(b"data"), authority.roots) != good:
                changed_words.append(position)
            survived += 1
        except (FormatError, IntegrityError, UnavailableError):
            continue
    assert changed_words == []
    assert survived < 10


def test_whatever_the_bytes_only_our_errors_come_out(authority):
    token, reply = authority.token(sha256(b"data")), authority.answer(timestamp.build_query(timestamp.Query(sha256(b"data"), 5)))
    draw = random.Random(7)
    junk = [token[:length] for length in range(len(token))]
    for _ in range(1500):
        changed = bytearray(token)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(changed))
            changed[at : at + draw.randint(0, 3)] = draw.randbytes(draw.randint(0, 3))
        junk.append(bytes(changed))
    for data in junk:
        with contextlib.suppress(FormatError, IntegrityError, UnavailableError):
            timestamp.verify_token(data, sha256(b"data"), authority.roots)
        with contextlib.suppress(FormatError, RefusedError):
            timestamp.token_of_reply(reply[:9] + data)
    for length in range(len(token)):
        with pytest.raises(FormatError):
            timestamp.claim(token[:length])


def test_a_certificate_for_other_things_too_is_refused(tmp_path):
    """RFC 3161 §2.3."""
    one = Authority(tmp_path / "tsa", "Test Time")
    token = one.token(sha256(b"data"))
    shutil.copy(one.directory / "openssl.cnf", one.directory / "copy")
    parsed = timestamp._parse(token)
    timestamp._check_purpose(parsed.certificates[0])
    signing = ("-CA", "root.pem", "-CAkey", "root.key", "-extfile", "openssl.cnf", "-extensions", "wrong", "-days", "20")
    one.run("x509", "-req", "-in", "tsa.csr", "-out", "wrong.pem", *signing)
    with pytest.raises(IntegrityError, match="alone"):
        timestamp._check_purpose(load_roots(one.directory / "wrong.pem")[0])


def test_a_refusal_is_told(authority):
    query = timestamp.build_query(timestamp.Query(sha256(b"data"), 1))
    assert timestamp.parse_query(query) == timestamp.Query(sha256(b"data"), 1)
    reply = authority.answer(query.replace(bytes.fromhex("0609608648016503040201"), bytes.fromhex("0609608648016503040203")))
    with pytest.raises(RefusedError, match="rejection"):
        timestamp.token_of_reply(reply)
    for junk in (b"", b"x", reply[:-1], query):
        with pytest.raises((FormatError, RefusedError)):
            timestamp.token_of_reply(junk)


# --- in the store -----------------------------------------------------------------------------------------------------


def stamped_by_files(store: Path, authority: Authority, tmp_path: Path) -> None:
    command = ("stamp", str(store.parent), "--tsa-root", str(authority.root), "--queries", "queries")
    first = oathcam(tmp_path, *command)
    assert (first.returncode, "0 stamped, 2 queries" in first.stdout) == (0, True), first.stderr
    for query in (tmp_path / "queries").glob("*.tsq"):
        query.with_suffix(".tsr").write_bytes(authority.answer(query.read_bytes()))
    second = oathcam(tmp_path, *command)
    assert (second.returncode, "2 stamped" in second.stdout) == (0, True), second.stderr


def test_tokens_by_files_verify_here_and_with_openssl(store, authority, agency, verify, tmp_path):
    before = verify(store, [])
    assert (before.verdict, stamps(before)) == (Verdict.AUTHENTIC, [])
    assert receipts(before) == [Severity.GOOD]
    stamped_by_files(store, authority, tmp_path)
    report = verify(store, authority.roots)
    assert report.verdict is Verdict.AUTHENTIC
    assert receipts(report) == [Severity.GOOD]  # given for the signature as the camera made it
    found = stamps(report)
    assert [one.severity for one in found] == [Severity.GOOD, Severity.GOOD]
    assert all("existed not later than" in one.text for one in found)
    told = oathcam(tmp_path, "verify", str(store.parent), "--trust", str(agency.directory / "root.crt"), "--tsa-root", str(authority.root))
    assert (told.returncode, "time stamp" in told.stdout) == (0, True)
    folder = store / "vault" / RECORDING
    signature = (folder / "manifest.json.p7s").read_bytes()
    (token,) = cms_token.unsigned_of(signature).tokens
    assert authority.accepts(token, cms_token.signature_value(signature))
    (kept,) = (store / "ledger" / "stamps").glob("*.checkpoint")
    assert kept.read_bytes() == (store / "ledger" / "checkpoint").read_bytes()
    assert authority.accepts(kept.with_name(kept.name + ".tst").read_bytes(), kept.read_bytes())
    assert not authority.accepts(token, b"something else")


def test_a_token_changes_nothing_that_was_signed(card, store, authority, agency, tmp_path):
    """openssl verifies the signature as before, and without the token it is the camera's, byte for byte."""
    stamped_by_files(store, authority, tmp_path)
    signature = store / "vault" / RECORDING / "manifest.json.p7s"
    original = card / "vault" / RECORDING / "manifest.json.p7s"
    assert signature.read_bytes() != original.read_bytes()
    assert cms_token.as_signed(signature.read_bytes()) == original.read_bytes()
    content = signature.with_suffix("")
    arguments = [
        "-binary",
        "-inform",
        "DER",
        "-in",
        str(signature),
        "-content",
        str(content),
        "-CAfile",
        str(agency.directory / "root.crt"),
    ]
    done = subprocess.run(["openssl", "cms", "-verify", *arguments, "-purpose", "any"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    cms.verify_detached(content.read_bytes(), signature.read_bytes(), load_roots(agency.directory / "root.crt"), pki.Role.CAMERA)


def test_tokens_over_http(store, authority, verify, tmp_path):
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            seen.append(self.headers["Content-Type"])
            reply = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        command = ("stamp", str(store.parent), "--tsa-root", str(authority.root), "--tsa-url", url)
        done = oathcam(tmp_path, *command)
        assert (done.returncode, "2 stamped" in done.stdout) == (0, True), done.stderr
        server.shutdown()
        thread.join()
    assert seen == ["application/timestamp-query"] * 2
    assert [one.severity for one in stamps(verify(store, authority.roots))] == [Severity.GOOD] * 2
    done = oathcam(tmp_path, *command)
    assert (done.returncode, "0 stamped" in done.stdout) == (0, True)  # nothing to do: the authority is not asked


def test_a_card_is_not_stamped(card, authority, tmp_path):
    done = oathcam(tmp_path, "stamp", str(card), "--tsa-root", str(authority.root), "--queries", "queries")
    assert (done.returncode, (tmp_path / "queries").exists()) == (2, False)


def test_an_authority_that_does_not_answer(store, authority, tmp_path):
    done = oathcam(tmp_path, "stamp", str(store), "--tsa-root", str(authority.root), "--tsa-url", "http://127.0.0.1:9/")
    assert done.returncode == 3
    assert "does not answer" in done.stderr


def test_a_reply_that_does_not_verify_is_not_kept(store, authority, tmp_path):
    other = Authority(tmp_path / "namesake", "Test Time")
    command = ("stamp", str(store), "--tsa-root", str(authority.root), "--queries", "queries")
    oathcam(tmp_path, *command)
    before = (store / "vault" / RECORDING / "manifest.json.p7s").read_bytes()
    for query in (tmp_path / "queries").glob("*.tsq"):
        query.with_suffix(".tsr").write_bytes(other.answer(query.read_bytes()))
    assert oathcam(tmp_path, *command).returncode == 1
    assert (store / "vault" / RECORDING / "manifest.json.p7s").read_bytes() == before
    assert not (store / "ledger" / "stamps").exists()


# --- what the verifier says -------------------------------------------------------------------------------------------


def test_a_token_without_a_root_is_named_and_not_called_good(store, authority, verify, tmp_path):
    add_token(store, authority.token(cms_token.imprint_of((store / "vault" / RECORDING / "manifest.json.p7s").read_bytes())))
    for roots in ([], Authority(tmp_path / "other", "Other Time").roots):
        report = verify(store, roots)
        assert report.verdict is Verdict.AUTHENTIC
        assert [one.severity for one in stamps(report)] == [Severity.UNCHECKED]


@pytest.mark.parametrize("spoil", ["imprint", "signature", "time"])
def test_a_bad_token_is_named(store, authority, verify, spoil):
    right = cms_token.imprint_of((store / "vault" / RECORDING / "manifest.json.p7s").read_bytes())
    token = authority.token(sha256(b"else") if spoil == "imprint" else right)
    if spoil != "imprint":
        changed = bytearray(token)
        year = token.index(b"\x18\x0f20") + 2
        changed[year + 3 if spoil == "time" else -1] ^= 1
        token = bytes(changed)
    add_token(store, token)
    report = verify(store, authority.roots)
    assert [(one.severity, one.file) for one in stamps(report)] == [(Severity.BAD, "manifest.json.p7s")]


def test_a_token_of_a_later_checkpoint_than_the_ledgers_is_named(store, authority, verify, tmp_path):
    """Who cuts the ledger's tail after it was stamped has a stamped checkpoint that it does not continue."""
    stamped_by_files(store, authority, tmp_path)
    log = store / "ledger" / "log"
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(index for index, line in enumerate(lines[:-1]) if line.startswith(b"= "))
    log.write_bytes(b"".join(lines[: last + 1]))
    found = stamps(verify(store, authority.roots))
    assert [one.severity for one in found if one.file.startswith("ledger/stamps")] == [Severity.BAD]


def test_a_recording_stamped_before_it_ended_has_a_clock_that_was_ahead(agency, authority, verify, tmp_path):
    """Evidence that was stamped existed: a camera that says "tomorrow" is wrong."""
    store = as_store(record(tmp_path / "camera", agency, time.time_ns() + 86_400 * 10**9), tmp_path / "store")
    add_token(store, authority.token(cms_token.imprint_of((store / "vault" / RECORDING / "manifest.json.p7s").read_bytes())))
    good, order = stamps(verify(store, authority.roots))
    assert good.severity is Severity.GOOD
    assert "was ahead" in order.text
    trust = DirectorySource(store).read(f"vault/{RECORDING}/manifest.json").split(b'"end":{')[1].split(b'"trust":"')[1].split(b'"')[0]
    assert order.severity is (Severity.BAD if trust == b"synced" else Severity.NOTE)
