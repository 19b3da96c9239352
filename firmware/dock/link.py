"""One authenticated connection to a dock: TLS 1.3, certificates on both sides, HTTP/1.1.

Responsible for proving that the other side is a dock of this camera's agency before a byte is said, and for turning what a
cable can do into two kinds of error. Refuses to know what is transferred. There is no path without TLS and none with an
older version of it.

Validity dates are judged by the time that the caller gives and not by OpenSSL: a camera whose clock is not set must still be
able to hand over its recordings. Called from one thread.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from firmware.dock.fields import MAX_BODY_BYTES
from firmware.errors import FormatError, IntegrityError, RefusedError, UnavailableError
from firmware.evidence import pki

CHUNK_BYTES = 256 * 1024
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL; the ``ssl`` module has no name for it."""

_AGENCY = "check that camera and dock were provisioned by the same agency"


class UnreadableFile(Exception):
    """The card does not give the bytes that the manifest names: this recording cannot be handed over now; others can."""


class LinkCut(Exception):
    """The connection ended or never came up: try again, the transfer resumes where the dock stands."""


@dataclass(frozen=True, slots=True)
class LinkIdentity:
    """Files that make the link, all PEM.

    ``certificate``: the camera link's, with its issuer after it; ``key``: its private key. ``root`` and ``dock_ca``: what the
    other side must come from. ``device_chain``: the camera's *signing* certificate and its issuer, public, which the dock needs
    to check the ledger; the signing key itself is out of this process's reach.
    """

    certificate: Path
    key: Path
    root: Path
    dock_ca: Path
    device_chain: Path


@dataclass(frozen=True, slots=True)
class Trust:
    """The pinned certificates, parsed."""

    roots: tuple[x509.Certificate, ...]
    dock_ca: tuple[x509.Certificate, ...]
    serial: str
    """Device serial in the own certificate: what the dock will bind the session to."""
    device_chain: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: status, header fields with names in lower case, whole body."""

    status: int
    fields: Mapping[str, str]
    body: bytes


def load_trust(identity: LinkIdentity) -> Trust:
    """Read the pinned certificates. Raises UnavailableError that names the file."""
    return Trust(
        roots=_certificates(identity.root),
        dock_ca=_certificates(identity.dock_ca),
        serial=pki.common_name(_certificates(identity.certificate)[0]),
        device_chain=pki_pem(_certificates(identity.device_chain)),
    )


def pki_pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    """Certificates as one PEM text, whatever stood around them in the file."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    try:
        return pki.load_certificates_pem(path.read_bytes())
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}", remedy="provision the camera's dock link") from None


def client_context(identity: LinkIdentity) -> ssl.SSLContext:
    """TLS as the camera speaks it: 1.3 only, own certificate, trust in the pinned authorities alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a dock is known by its authority and role, not by a name or an address
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT | NO_CHECK_TIME
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cafile=str(identity.root))
        context.load_verify_locations(cafile=str(identity.dock_ca))
        context.load_cert_chain(str(identity.certificate), str(identity.key))
    except OSError as error:  # ssl.SSLError is one
        raise UnavailableError(
            f"cannot use the dock link's identity {identity.certificate}: {error}", remedy="provision it again"
        ) from None
    return context


class Link:
    """A connection that is opened on first use and reopened after a cut by the next request."""

    def __init__(self, identity: LinkIdentity, trust: Trust, address: tuple[str, int], at_ns: int | None, timeout_s: float) -> None:
        """``at_ns``: wall time to judge validity dates by, ``None`` when the clock is not set (they are then not judged)."""
        self._context = client_context(identity)
        self._trust = trust
        self._address = address
        self._at_ns = at_ns
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPSConnection | None = None
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    @property
    def name(self) -> str:
        return f"{self._address[0]}:{self._address[1]}"

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def prove(self) -> None:
        """Connect and check who is there, and say nothing. Raises LinkCut or RefusedError."""
        with self._translated():
            self._connected()

    def request(self, method: str, path: str, body: bytes = b"") -> Reply:
        """One exchange with a small body. Raises LinkCut or RefusedError; a refusal by status is returned, not raised."""
        with self._translated():
            connection = self._connected()
            fields = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, body=body if method != "GET" and method != "HEAD" else None, headers=fields)
            return _reply(connection)

    def append(self, path: str, fields: Mapping[str, str], source: BinaryIO, size: int, sent: Callable[[int], None]) -> Reply:
        """PATCH ``size`` bytes of ``source`` from where it stands; ``sent`` is told how many went into the socket."""
        with self._translated():
            connection = self._connected()
            connection.putrequest("PATCH", path, skip_accept_encoding=True)
            for name, value in fields.items():
                connection.putheader(name, value)
            connection.endheaders()
            _pump(connection, source, size, sent, self._buffer)
            return _reply(connection)

    def _connected(self) -> http.client.HTTPSConnection:
        if self._connection is None:
            host, port = self._address
            connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._context)
            self._connection = connection
            connection.connect()
            self._check_peer(connection)
        return self._connection

    def _check_peer(self, connection: http.client.HTTPSConnection) -> None:
        """The role of a dock under the pinned Dock CA: what TLS alone does not ask."""
        der = connection.sock.getpeercert(binary_form=True)
        try:
            leaf = pki.load_certificate(der or b"")
            at_ns = pki.not_before_ns(leaf) if self._at_ns is None else self._at_ns
            pki.check_chain((leaf, *self._trust.dock_ca), self._trust.roots, pki.Role.DOCK, at_ns)
        except (FormatError, IntegrityError, UnavailableError) as error:
            raise RefusedError(f"{self.name} is no dock of this agency: {error}", remedy=_AGENCY) from None

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            self.close()
            raise _translate_tls(error, self.name) from None
        except (OSError, http.client.HTTPException, FormatError) as error:
            self.close()
            raise LinkCut(f"{self.name}: {error or type(error).__name__}") from None
        except (RefusedError, LinkCut, UnreadableFile):
            self.close()
            raise


def _translate_tls(error: ssl.SSLError, name: str) -> Exception:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)):
        return LinkCut(f"{name}: the connection ended")
    if isinstance(error, ssl.SSLCertVerificationError):
        return RefusedError(f"{name} is no dock of this agency: {error.verify_message}", remedy=_AGENCY)
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason or "version" in reason or "protocol" in reason:
        return RefusedError(f"{name} refuses this camera, or is no dock: {reason}", remedy=_AGENCY)
    return LinkCut(f"{name}: {reason}")


def _pump(connection: http.client.HTTPSConnection, source: BinaryIO, size: int, sent: Callable[[int], None], buffer: memoryview) -> None:
    left = size
    while left:
        try:
            count = source.readinto(buffer[: min(left, len(buffer))])  # type: ignore[attr-defined]
        except OSError as error:
            raise UnreadableFile(str(error.strerror)) from None
        if not count:
            raise UnreadableFile(f"the file ended {left} bytes early")
        connection.send(buffer[:count])
        left -= count
        sent(count)


def _reply(connection: http.client.HTTPSConnection) -> Reply:
    response = connection.getresponse()
    if response.length is not None and response.length > MAX_BODY_BYTES:
        raise FormatError("dock", f"expected an answer of at most {MAX_BODY_BYTES} bytes, got {response.length}")
    body = response.read(MAX_BODY_BYTES)
    fields = {name.lower(): value for name, value in response.getheaders()}
    if response.will_close:
        connection.close()
    return Reply(response.status, fields, body)
