"""The listening socket: TLS 1.3 with certificates on both sides, one thread per connection, HTTP/1.1 heads.

Responsible for who may speak and for how much: handshake, role of the peer, sizes, times, number of connections. Refuses to know
what the requests mean. A slow or hostile peer costs one thread for a bounded time and nobody else's turn: the handshake is done
in the connection's own thread.

The peer's validity dates are judged here and not by OpenSSL: an expired camera link is let in and reported, because refusing it
would strand evidence on the camera.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from firmware.dock import wire
from firmware.dock.fields import is_serial
from firmware.dock.link import NO_CHECK_TIME
from firmware.dock.protocol import ProblemBody, Refusal
from firmware.errors import FormatError, IntegrityError, UnavailableError
from firmware.evidence import pki
from tools.dock.config import Identity, Limits
from tools.dock.layout import RESERVED

_FAREWELL_S = 0.5
_FAREWELL_READS = 16


@dataclass(frozen=True, slots=True)
class Peer:
    """The camera at the other end: the serial that its certificate names, and what is odd about that certificate."""

    serial: str
    remark: str = ""


class PeerGone(Exception):
    """The connection ended, timed out or was cut by a newer request."""


@dataclass(slots=True)
class Body:
    """The rest of a request, read by whoever needs it; ``cut`` ends the connection from another thread."""

    connection: Connection
    left: int

    def readinto(self, view: memoryview) -> int:
        """Fill ``view`` as far as the body goes; 0 at its end. Raises PeerGone, after what had come was given out."""
        wanted = min(len(view), self.left)
        done = 0
        while done < wanted:
            try:
                done += self.connection.receive_into(view[done:wanted])
            except PeerGone:
                if done == 0:
                    raise
                break
        self.left -= done
        return done

    def read(self) -> bytes:
        """All of it; the caller has checked the length."""
        data = bytearray(self.left)
        view = memoryview(data)
        while view:
            view = view[self.readinto(view) :]
        return bytes(data)

    def cut(self) -> None:
        self.connection.cut()


Dispatch = Callable[[Peer, wire.RequestHead, Body], wire.Response]


@dataclass(slots=True)
class Connection:
    """Bytes of one TLS connection. One thread reads and writes; :meth:`cut` may be called from any."""

    sock: ssl.SSLSocket
    limits: Limits
    pending: bytearray = field(default_factory=bytearray)

    def read_head(self) -> bytes:
        """The next head, without its empty line; empty when the peer is done. Raises PeerGone and FormatError."""
        deadline = time.monotonic() + self.limits.idle_s
        while (end := self.pending.find(wire.END_OF_HEAD)) < 0:
            if len(self.pending) > wire.MAX_HEAD_BYTES:
                raise FormatError(wire.LAYER, f"expected a head of at most {wire.MAX_HEAD_BYTES} bytes")
            if time.monotonic() > deadline:
                raise PeerGone("the head took too long")
            chunk = self._receive(4096)
            if not chunk:
                if self.pending:
                    raise PeerGone("the connection ended in a head")
                return b""
            self.pending += chunk
        head = bytes(self.pending[:end])
        del self.pending[: end + len(wire.END_OF_HEAD)]
        return head

    def receive_into(self, view: memoryview) -> int:
        """At least one byte of a body. Raises PeerGone."""
        if self.pending:
            count = min(len(view), len(self.pending))
            view[:count] = self.pending[:count]
            del self.pending[:count]
            return count
        try:
            count = int(self.sock.read(len(view), view))
        except OSError as error:
            raise PeerGone(str(error)) from None
        if count == 0:
            raise PeerGone("the connection ended in a body")
        return count

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PeerGone(str(error)) from None

    def cut(self) -> None:
        """End the connection under whoever reads from it."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def _receive(self, size: int) -> bytes:
        try:
            return self.sock.recv(size)
        except OSError as error:
            raise PeerGone(str(error)) from None


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS as the station speaks it: 1.3 only, a client certificate or nothing, trust in the agency's authorities alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT | NO_CHECK_TIME
    context.num_tickets = 0  # every connection proves itself anew
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cafile=str(identity.root))
        context.load_verify_locations(cafile=str(identity.dock_ca))
        context.load_cert_chain(str(identity.tls_certificate), str(identity.tls_key))
    except OSError as error:
        message = f"cannot use the dock's TLS identity {identity.tls_certificate}: {error}"
        raise UnavailableError(message, remedy="provision the dock again") from None
    return context


def identify(der: bytes, roots: tuple[x509.Certificate, ...], dock_ca: tuple[x509.Certificate, ...], now_ns: int) -> Peer:
    """Who a TLS client is: a camera link under the Dock CA. Raises IntegrityError, FormatError or UnavailableError."""
    leaf = pki.load_certificate(der)
    chain = (leaf, *dock_ca)
    pki.check_chain(chain, roots, pki.Role.CAMERA_LINK, pki.not_before_ns(leaf))
    serial = pki.common_name(leaf)
    if not is_serial(serial) or serial.lower() in RESERVED:
        raise IntegrityError("certificate", f"expected a device serial, got {serial[:80]!r}")
    try:
        pki.check_chain(chain, roots, pki.Role.CAMERA_LINK, now_ns)
    except IntegrityError as error:
        return Peer(serial, f"link certificate is not valid today: {error}")
    return Peer(serial)


class DockServer(socketserver.ThreadingTCPServer):
    """Accepts, bounds, and hands requests to ``dispatch``; no other address than the one given is listened on."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        context: ssl.SSLContext,
        identify_peer: Callable[[bytes], Peer],
        dispatch: Dispatch,
        limits: Limits,
        report: Callable[[str], None],
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._context = context
        self._identify = identify_peer
        self._dispatch = dispatch
        self._limits = limits
        self._report = report
        self._slots = threading.BoundedSemaphore(limits.connections)
        super().__init__(address, socketserver.BaseRequestHandler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Take a slot or hang up at once: a full station says so by closing, and the camera tries again."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        try:
            if isinstance(request, socket.socket):
                self._serve(request, str(client_address))
        finally:
            self.shutdown_request(request)
            self._slots.release()

    def _serve(self, raw: socket.socket, name: str) -> None:
        raw.settimeout(self._limits.handshake_s)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as secure:
                _shake_hands(secure)
                secure.settimeout(self._limits.idle_s)
                self._converse(Connection(secure, self._limits))
        except PeerGone:
            return
        except OSError as error:  # ssl.SSLError is one: a peer that is no camera of this agency, or no TLS 1.3
            self._report(f"{name}: handshake refused: {error}")

    def _converse(self, connection: Connection) -> None:
        try:
            peer = self._identify(connection.sock.getpeercert(binary_form=True) or b"")
        except (FormatError, IntegrityError, UnavailableError) as error:
            self._report(f"refused a peer: {error}")
            with contextlib.suppress(PeerGone):
                connection.read_head()
            _answer(connection, _problem(403, f"no camera link of this agency: {error}"), with_body=True, close=True)
            return
        while self._exchange(connection, peer):
            pass

    def _exchange(self, connection: Connection, peer: Peer) -> bool:
        """One request and its answer; whether the connection goes on."""
        try:
            data = connection.read_head()
            if not data:
                return False
            head = wire.parse_request_head(data)
        except FormatError as error:
            _answer(connection, _problem(400, str(error)), with_body=True, close=True)
            return False
        body = Body(connection, head.content_length or 0)
        response = self._dispatch(peer, head, body)
        close = not _drain(body, self._limits.drain_bytes) or head.fields.get("connection", "").lower() == "close"
        _answer(connection, response, with_body=head.method != "HEAD", close=close)
        return not close


def _shake_hands(secure: ssl.SSLSocket) -> None:
    """The handshake. A refused peer gets to read why: closing over what it has sent meanwhile would reset the connection, and
    the alert would be lost with it."""
    try:
        secure.do_handshake()
    except ssl.SSLError:
        with contextlib.suppress(OSError):
            secure.settimeout(_FAREWELL_S)
            socket.socket.shutdown(secure, socket.SHUT_WR)
            for _ in range(_FAREWELL_READS):
                if not socket.socket.recv(secure, 4096):
                    break
        raise


def _answer(connection: Connection, response: wire.Response, *, with_body: bool, close: bool) -> None:
    connection.send(wire.response_bytes(response, with_body=with_body, close=close))


def _drain(body: Body, limit: int) -> bool:
    """Read what a refused request still sends, if it is little, so that the answer arrives; otherwise the connection must end."""
    if body.left > limit:
        return False
    scrap = memoryview(bytearray(64 * 1024))
    while body.left:
        body.readinto(scrap)
    return True


def _problem(status: int, detail: str) -> wire.Response:
    return wire.Response(status, ProblemBody(status, Refusal.OTHER, detail).to_bytes(), content_type="application/problem+json")
