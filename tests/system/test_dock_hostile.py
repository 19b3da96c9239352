"""Hostile peers on both sides of the link: certificates, protocol versions, heads, bodies, names."""

import hashlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time

import pytest
from helpers_dock import NOW_NS, VALIDITY, Agency, Camera, station_config, tree_of

from firmware.dock import upload
from firmware.dock.link import client_context
from firmware.dock.protocol import DeviceReport, FileOffer, ProblemBody, RecordingOffer, SessionAnswer, SignedReceipt
from firmware.errors import RefusedError, UnavailableError
from firmware.evidence.pki import Role
from firmware.timebase import Timestamp, Trust
from tools import pki
from tools.dock.config import Limits
from tools.dock.station import Station


@pytest.fixture
def agency():
    return Agency()


@pytest.fixture
def serve(tmp_path, agency):
    running = []

    def start(**values):
        station = Station(station_config(tmp_path, agency, **values), now_ns=lambda: NOW_NS)
        running.append((station, station.start()))
        return station

    yield start
    for station, thread in running:
        station.stop()
        thread.join()


@pytest.fixture
def camera(tmp_path, agency):
    return Camera(tmp_path / "camera", agency)


def connect(station, camera):
    """A raw TLS connection as the camera."""
    raw = socket.create_connection(station.address, timeout=5)
    return client_context(camera.link).wrap_socket(raw)


def ask(station, camera, method, path, body=None, fields=None):
    connection = http.client.HTTPSConnection(*station.address, context=client_context(camera.link), timeout=5)
    try:
        connection.request(method, path, body=body, headers=fields or {})
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def open_session(station, camera, contents):
    files = tuple(FileOffer(name, hashlib.sha256(data).hexdigest(), len(data)) for name, data in contents.items())
    report = DeviceReport(camera.serial, "0.1", 1, 1, (RecordingOffer("A-1", "0" * 64, files),))
    status, _, body = ask(station, camera, "POST", "/v1/session", report.to_bytes())
    assert status == 200, body
    return {file.name: file.sha256 for file in files}, SessionAnswer.from_bytes(body)


def send(station, camera, sha256, data, **changes):
    fields = upload.append_fields(upload.Append(0, len(data), len(data), True), sha256)
    return ask(station, camera, "PATCH", f"/v1/uploads/{sha256}", data, {**fields, **changes})


# --- who is at the other end


def test_a_dock_of_another_agency_is_refused(tmp_path, serve, agency):
    """BWC-POL-35, -38: the camera pins its agency; one line and a remedy."""
    station = serve()
    stranger = Camera(tmp_path / "stranger", Agency(seed=2))
    stranger.record("A-1")
    with pytest.raises(RefusedError) as caught:
        stranger.sync(station.address)
    assert not any((tmp_path / "store").glob("*/*"))
    assert "no dock of this agency" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


def test_a_camera_of_another_agency_is_refused(tmp_path, serve, agency):
    """BWC-POL-38: a camera that trusts this dock but is not the agency's gets nothing."""
    station = serve()
    stranger = Camera(tmp_path / "stranger", Agency(seed=2))
    for name in ("root.crt", "dock-ca.crt"):
        (stranger.directory / "keys" / name).write_bytes((tmp_path / "dock" / name).read_bytes())
    with pytest.raises(RefusedError, match="refuses this camera"):
        stranger.sync(station.address)
    assert not (tmp_path / "store" / "CAM1").exists()


ROLES = [(Role.CAMERA_LINK, "camera link"), (Role.STORE, "store")]


@pytest.mark.parametrize(("role", "name"), ROLES)
def test_a_certificate_of_another_role_is_no_dock(tmp_path, agency, camera, role, name):
    """BWC-POL-38: a stolen camera cannot play the dock, though the same authority issued it."""
    directory = agency.dock(tmp_path / "dock")
    agency.leaf(directory, "tls", agency.dock_ca, role, name)
    station = Station(station_config(tmp_path, agency), now_ns=lambda: NOW_NS)
    thread = station.start()
    try:
        with pytest.raises(RefusedError):
            camera.sync(station.address)
    finally:
        station.stop()
        thread.join()


@pytest.mark.parametrize(
    ("authority", "role"), [("device_ca", Role.CAMERA), ("dock_ca", Role.DOCK), ("dock_ca", Role.STORE), ("root", Role.RECIPIENT)]
)
def test_a_certificate_of_another_role_is_no_camera(tmp_path, serve, agency, camera, authority, role):
    """BWC-POL-38, -39: only a camera link may speak; the device's signing certificate may not."""
    station = serve()
    agency.leaf(camera.directory / "keys", "link", getattr(agency, authority), role, "CAM1")
    with pytest.raises(RefusedError):
        camera.sync(station.address)


def test_no_client_certificate_no_word(tmp_path, serve, camera):
    """BWC-POL-35, -38."""
    station = serve()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cafile=str(camera.link.root))
    context.load_verify_locations(cafile=str(camera.link.dock_ca))
    context.verify_flags |= 0x200000
    with pytest.raises(OSError), socket.create_connection(station.address, timeout=5) as raw, context.wrap_socket(raw) as secure:  # noqa: PT012
        secure.sendall(b"GET /v1/ledger HTTP/1.1\r\n\r\n")
        assert secure.recv(100) == b""
        raise ConnectionError("the dock closed")


def test_tls_1_2_is_refused_by_both(serve, camera):
    """BWC-POL-35, -38: one version of TLS, and nothing below it."""
    station = serve()
    context = client_context(camera.link)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(station.address, timeout=5) as raw, pytest.raises(ssl.SSLError, match=r"(?i)version|alert"):
        context.wrap_socket(raw)
    assert client_context(camera.link).minimum_version is ssl.TLSVersion.TLSv1_3


@pytest.mark.system
def test_openssl_sees_tls_1_3_only(serve, camera):
    """BWC-POL-35, -38, by a client that nobody here wrote."""
    station = serve()
    host, port = station.address
    keys = ["-cert", str(camera.link.certificate), "-key", str(camera.link.key), "-CAfile", str(camera.link.root)]
    outcome = {}
    for version in ("-tls1_2", "-tls1_3"):
        command = ["openssl", "s_client", "-connect", f"{host}:{port}", version, *keys]
        done = subprocess.run(command, input=b"", capture_output=True, check=False, timeout=20)
        outcome[version] = done.stdout
    assert b"New, TLSv1.3" in outcome["-tls1_3"]
    assert b"Cipher is (NONE)" in outcome["-tls1_2"]


def test_a_server_without_tls_is_refused(camera):
    """BWC-POL-35, -38: no plaintext fallback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = []

        def answer():
            near, _ = listener.accept()
            with near:
                heard.append(near.recv(4096))
                near.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RefusedError):
            camera.sync(listener.getsockname())
        thread.join()
    assert b"HTTP" not in heard[0]


def test_nobody_there_is_unavailable_after_some_patience(camera):
    """BWC-POL-41: bounded, ever longer waits, then one line and a remedy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    waits = []
    with pytest.raises(UnavailableError) as caught:
        camera.sync(address, sleep=waits.append)
    assert waits == sorted(waits)
    assert len(waits) == 7
    assert caught.value.remedy


def test_an_expired_dock_is_refused_unless_the_clock_was_never_set(tmp_path, agency, camera):
    """BWC-POL-27: a camera that does not know the date must still be able to hand over."""
    directory = agency.dock(tmp_path / "dock")
    agency.leaf(directory, "tls", agency.dock_ca, Role.DOCK, "dock-1", pki.Validity(VALIDITY.start_ns, 1))
    station = Station(station_config(tmp_path, agency), now_ns=lambda: NOW_NS)
    thread = station.start()
    camera.record("A-1")
    late = NOW_NS + 10**9 * 86_400 * 30
    try:
        with pytest.raises(RefusedError, match="no dock"):
            camera.sync(station.address, now=Timestamp(1, late, Trust.RTC))
        assert camera.sync(station.address, now=Timestamp(1, 0, Trust.UNSET)).complete
    finally:
        station.stop()
        thread.join()


def test_an_expired_camera_link_is_let_in_and_reported(tmp_path, serve, agency):
    """BWC-POL-42, -44: refusing it would strand evidence on the camera."""
    station = serve()
    old = Camera(tmp_path / "old", agency, link_validity=pki.Validity(VALIDITY.start_ns, 30))
    old.record("A-1")
    report = old.sync(station.address)
    assert report.complete
    assert any("not valid today" in alarm for alarm in report.alarms)


def test_a_receipt_by_somebody_else_is_not_spooled(tmp_path, agency, camera):
    """BWC-POL-23, -42: a dock whose store key is not of this agency's stores cannot make the camera delete."""
    directory = agency.dock(tmp_path / "dock")
    agency.leaf(directory, "store", agency.dock_ca, Role.DOCK, "store-1")
    station = Station(station_config(tmp_path, agency), now_ns=lambda: NOW_NS)
    thread = station.start()
    camera.record("A-1")
    try:
        report = camera.sync(station.address)
    finally:
        station.stop()
        thread.join()
    assert not report.complete
    assert "the receipt does not fit" in report.recordings[0].reason
    assert tree_of(camera.state / "sync" / "receipts") == {}


# --- what it says


HEADS = [
    b"GET /v1/ledger HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /v1/ledger HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(100)) + b"\r\n",
    b"GET /v1/../../etc/passwd HTTP/1.1\r\n\r\n",
    b"POST /v1/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/session HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\n{}",
    b"\x00\xff\r\n\r\n",
]


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
def test_a_hostile_head_gets_400_and_the_door(serve, camera, head):
    """BWC-POL-39."""
    station = serve()
    with connect(station, camera) as secure:
        secure.sendall(head)
        answer = secure.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Connection: close" in answer
    assert ask(station, camera, "GET", "/v1/ledger")[0] == 200


def test_a_body_beyond_its_bound_is_refused_unread(serve, camera):
    """BWC-POL-39."""
    station = serve()
    with connect(station, camera) as secure:
        secure.sendall(b"POST /v1/session HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n")
        assert secure.recv(65536).startswith(b"HTTP/1.1 413 ")
    with connect(station, camera) as secure:
        secure.sendall(b"POST /v1/session HTTP/1.1\r\n\r\n")
        assert secure.recv(65536).startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"[" * 50_000, b'{"serial":"CAM1"}', b"\xff\xfe", b'"' + b"a" * 1_000_000 + b'"']
)
@pytest.mark.parametrize("path", ["/v1/session", "/v1/ledger"])
def test_hostile_json_gets_a_400(serve, camera, path, body):
    """BWC-POL-39."""
    status, _, answer = ask(serve(), camera, "POST", path, body)
    assert status == 400
    assert ProblemBody.from_bytes(answer).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/uploads/..",
        "/v1/receipts/a..b",
        "/v1/receipts/.hidden",
        "/v1/uploads/" + "A" * 64,
        "/v1/recordings/A-1/commit/x",
        "/v2/session",
    ],
)
def test_what_is_no_resource_is_not_found(serve, camera, path):
    """BWC-POL-39."""
    assert ask(serve(), camera, "GET", path)[0] in (400, 404)


def test_names_that_leave_the_store_are_refused_before_anything_is_made(tmp_path, serve, camera):
    """BWC-POL-39: path traversal through ids, file names and serials."""
    station = serve()
    before = tree_of(tmp_path / "store").keys()
    good = {"bytes": 1, "name": "begin.json", "sha256": "0" * 64}
    for recording, name, serial in [("../../x", "begin.json", "CAM1"), ("A-1", "../begin.json", "CAM1"), ("A-1", "begin.json", "../CAM1")]:
        report = {
            "boot": 1, "firmware": "0", "ledger_size": 0, "serial": serial, "version": 1,
            "recordings": [{"files": [{**good, "name": name}], "manifest": "0" * 64, "recording": recording}],
        }  # fmt: skip
        assert ask(station, camera, "POST", "/v1/session", json.dumps(report, sort_keys=True, separators=(",", ":")).encode())[0] == 400
    assert tree_of(tmp_path / "store").keys() == before


def test_a_serial_that_is_a_name_of_the_store_itself_is_refused(tmp_path, serve, agency):
    """BWC-POL-39: a certificate is checked like any other input."""
    station = serve()
    for serial in ("incoming", "Quarantine"):
        with pytest.raises(RefusedError):
            Camera(tmp_path / serial, agency, serial=serial).sync(station.address)


def test_a_report_of_another_serial_is_refused(tmp_path, serve, camera):
    """BWC-POL-39: the session is the certificate's."""
    report = DeviceReport("CAM2", "0.1", 1, 1, ())
    assert ask(serve(), camera, "POST", "/v1/session", report.to_bytes())[0] == 403


def test_one_camera_reaches_nothing_of_another(tmp_path, serve, agency, camera):
    """BWC-POL-39: uploads, commits and receipts are those of the session's serial."""
    station = serve()
    camera.record("A-1")
    camera.sync(station.address)
    other = Camera(tmp_path / "other", agency, serial="CAM2")
    assert ask(station, camera, "GET", "/v1/receipts/A-1")[0] == 200
    assert ask(station, other, "GET", "/v1/receipts/A-1")[0] == 404
    assert ask(station, other, "POST", "/v1/recordings/A-1/commit")[0] == 404


def test_content_that_was_not_offered_is_not_taken(tmp_path, serve, agency, camera):
    """BWC-POL-39: not by the same camera, not under another camera's offer."""
    station = serve()
    data = b"x" * 100
    digest = hashlib.sha256(data).hexdigest()
    assert send(station, camera, digest, data)[0] == 404
    open_session(station, camera, {"notes.json.p7m": data})
    other = Camera(tmp_path / "other", agency, serial="CAM2")
    assert send(station, other, digest, data)[0] == 404
    assert send(station, camera, digest, data)[0] == 200


# --- uploads, request by request


def test_an_upload_follows_the_draft(serve, camera):
    """BWC-POL-41: HEAD tells the offset, PATCH appends there, a conflict names the offset, completion is stated."""
    station = serve()
    data = bytes(range(256)) * 40
    digests, answer = open_session(station, camera, {"notes.json.p7m": data})
    digest = digests["notes.json.p7m"]
    assert [file.offset for file in answer.answers[0].files] == [0]
    path = f"/v1/uploads/{digest}"
    first = upload.append_fields(upload.Append(0, 4000, len(data), False), digest)
    status, fields, _ = ask(station, camera, "PATCH", path, data[:4000], first)
    assert (status, fields["upload-offset"], fields["upload-complete"]) == (200, "4000", "?0")
    status, fields, body = ask(station, camera, "PATCH", path, data[:4000], first)
    assert (status, fields["upload-offset"], ProblemBody.from_bytes(body).expected_offset) == (409, "4000", 4000)
    status, fields, body = ask(station, camera, "HEAD", path)
    assert (status, fields["upload-offset"], fields["upload-length"], body) == (204, "4000", str(len(data)), b"")
    assert fields["cache-control"] == "no-store"
    rest = upload.append_fields(upload.Append(4000, len(data) - 4000, len(data), True), digest)
    status, fields, _ = ask(station, camera, "PATCH", path, data[4000:], rest)
    assert (status, fields["upload-complete"]) == (200, "?1")
    assert ask(station, camera, "PATCH", path, data[4000:], rest)[0] == 409
    assert ask(station, camera, "HEAD", path)[1]["upload-complete"] == "?1"


def test_an_append_beyond_the_reported_length_is_refused(tmp_path, serve, camera):
    """BWC-POL-42."""
    station = serve()
    data = b"x" * 100
    digests, _ = open_session(station, camera, {"notes.json.p7m": data})
    digest = digests["notes.json.p7m"]
    assert send(station, camera, digest, data + b"y")[0] == 400
    assert send(station, camera, digest, data, **{"Upload-Offset": "-1"})[0] == 400
    assert send(station, camera, digest, data, **{"Content-Type": "text/plain"})[0] == 400
    assert tree_of(tmp_path / "store" / "incoming") == {}


def test_wrong_bytes_may_be_sent_again_three_times_and_are_then_kept_as_they_are(tmp_path, serve, camera):
    """BWC-POL-44: re-requested, then set aside; never an endless loop."""
    station = serve()
    data, wrong = b"x" * 100, b"y" * 100
    digests, _ = open_session(station, camera, {"notes.json.p7m": data})
    digest = digests["notes.json.p7m"]
    kinds = [ProblemBody.from_bytes(send(station, camera, digest, wrong)[2]).kind.name for _ in range(3)]
    assert kinds == ["DIGEST", "DIGEST", "FILE"]
    assert tree_of(tmp_path / "store" / "incoming") == {f"CAM1/{digest}.bad": wrong}


def test_a_newer_request_ends_the_older_one(tmp_path, serve, camera):
    """BWC-POL-41: after a cut the camera need not wait until the dock notices that the old connection is dead."""
    station = serve()
    data = b"z" * 50_000
    digests, _ = open_session(station, camera, {"notes.json.p7m": data})
    digest = digests["notes.json.p7m"]
    fields = upload.append_fields(upload.Append(0, len(data), len(data), True), digest)
    head = f"PATCH /v1/uploads/{digest} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
    with connect(station, camera) as hanging:
        hanging.sendall(head.encode() + data[:20_000])
        part = tmp_path / "store" / "incoming" / "CAM1" / f"{digest}.part"
        deadline = time.monotonic() + 5
        while not part.exists() and time.monotonic() < deadline:  # until the hanging request holds the upload it is not the older one
            pass
        status, state, _ = ask(station, camera, "HEAD", f"/v1/uploads/{digest}")
        assert status == 204
        offset = int(state["upload-offset"])
        rest = upload.append_fields(upload.Append(offset, len(data) - offset, len(data), True), digest)
        status, state, _ = ask(station, camera, "PATCH", f"/v1/uploads/{digest}", data[offset:], rest)
        assert (status, state["upload-complete"]) == (200, "?1")


def test_an_offer_that_does_not_fit_is_refused_at_once(tmp_path, agency, camera, serve):
    """BWC-POL-23, -44: no room is said before the transfer, not after it."""
    station = serve(limits=Limits(reserve_bytes=2**60))
    camera.record("A-1")
    with pytest.raises(UnavailableError, match="room"):
        camera.sync(station.address)


# --- how many, how slow


def test_a_silent_peer_does_not_keep_others_out(serve, camera):
    """BWC-POL-41: the handshake is done in the connection's own thread."""
    station = serve()
    with socket.create_connection(station.address), socket.create_connection(station.address):
        assert ask(station, camera, "GET", "/v1/ledger")[0] == 200


def test_connections_beyond_the_bound_are_closed_and_come_again(serve, camera):
    """BWC-POL-39: a full station hangs up; when there is room the camera gets through."""
    station = serve(limits=Limits(connections=1, reserve_bytes=0, handshake_s=2.0, idle_s=2.0))
    camera.record("A-1")
    held = [connect(station, camera)]

    def leave_and_wait(seconds):
        """The station notices in its own time that the other one left: the camera's real delays are what it is given."""
        if held:
            held.pop().close()
        time.sleep(seconds)

    report = camera.sync(station.address, sleep=leave_and_wait)
    assert report.complete
    assert report.cuts >= 1


def test_the_same_recording_id_with_another_manifest_is_an_alarm(tmp_path, serve, camera):
    """BWC-POL-42: the first receipt stands."""
    station = serve()
    directory = camera.record("A-1")
    camera.sync(station.address)
    for path in (camera.state / "sync" / "receipts").iterdir():
        path.unlink()
    (directory / "manifest.json").write_bytes(
        (directory / "manifest.json").read_bytes().replace(b'"model":"oathcam"', b'"model":"oathcat"')
    )
    report = camera.sync(station.address)
    assert not report.complete
    assert "another manifest" in report.recordings[0].reason
    status, _, body = ask(station, camera, "GET", "/v1/receipts/A-1")
    assert (status, SignedReceipt.from_bytes(body)) == (200, station.database.receipt("CAM1", "A-1")[1])
