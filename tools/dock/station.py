"""The dock station as a whole: opens the store, loads its keys, listens.

Responsible for putting the parts together and for stopping them. Composition only: no rule of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from firmware.custody.note import is_key_name
from firmware.errors import UnavailableError, UsageError
from firmware.evidence import pki
from tools.dock.commit import Committer, Store
from tools.dock.config import Identity, StationConfig
from tools.dock.database import Database
from tools.dock.layout import Layout
from tools.dock.ledger import LedgerKeeper, Witness
from tools.dock.orders import Orders
from tools.dock.routes import Routes
from tools.dock.server import DockServer, Peer, identify, server_context

SEED_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Loaded:
    roots: tuple[x509.Certificate, ...]
    dock_ca: tuple[x509.Certificate, ...]
    store: Store
    witness: Witness


class Station:
    """A listening station. ``address`` is bound once the object exists; requests are answered by :meth:`serve` only."""

    def __init__(
        self,
        config: StationConfig,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Raises UnavailableError or UsageError that names the file or the address."""
        if not is_key_name(config.site):
            raise UsageError(f"expected a site name without spaces and '+', got {config.site!r}", remedy="correct 'site' in dock.toml")
        loaded = _load(config)
        layout = Layout(config.store)
        layout.prepare()
        self.database = Database(layout.database, now_ns)
        ledger = LedgerKeeper(layout, self.database, loaded.roots, loaded.witness, now_ns)
        committer = Committer(layout, self.database, loaded.roots, loaded.store, now_ns)
        orders = Orders(layout, config.policy)
        self.routes = Routes(config.site, layout, self.database, ledger, committer, orders, config.limits.reserve_bytes, report)

        def identify_peer(der: bytes) -> Peer:
            return identify(der, loaded.roots, loaded.dock_ca, now_ns())

        address = (config.host, config.port)
        try:
            self._server = DockServer(address, server_context(config.identity), identify_peer, self.routes.dispatch, config.limits, report)
        except OSError as error:
            raise UsageError(f"cannot listen on {config.host}:{config.port}: {error}", remedy="give another --host or --port") from None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that are listened on."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    def serve(self) -> None:
        """Answer until :meth:`stop` is called from another thread."""
        try:
            self._server.serve_forever(poll_interval=0.05)
        finally:
            self._server.server_close()
            self.database.close()

    def stop(self) -> None:
        """End :meth:`serve`; connections that are open end with the process."""
        self._server.shutdown()

    def start(self) -> threading.Thread:
        """Serve in a thread of its own; join it after :meth:`stop`."""
        thread = threading.Thread(target=self.serve, name="dock-station", daemon=True)
        thread.start()
        return thread


def run_station(
    config: StationConfig,
    *,
    listening: Callable[[str, int], None] = lambda host, port: None,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Run a station until KeyboardInterrupt. ``listening`` is told the bound address once, before the first request is answered."""
    station = Station(config, report=report)
    listening(*station.address)
    station.serve()


def _load(config: StationConfig) -> _Loaded:
    identity = config.identity
    store_chain = _certificates(identity.store_certificate)
    store_key = _private_key(identity.store_key)

    def sign_digest(digest: bytes) -> bytes:
        return store_key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))

    return _Loaded(
        roots=_certificates(identity.root),
        dock_ca=_certificates(identity.dock_ca),
        store=Store(pki.common_name(store_chain[0]), tuple(pki.to_der(one) for one in store_chain), sign_digest),
        witness=Witness(config.site, _seed(identity)),
    )


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    return pki.load_certificates_pem(_read(path))


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(_read(path), None)
    except (ValueError, TypeError) as error:
        raise UnavailableError(f"{path} is no usable private key: {error}", remedy="provision the dock again") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise UnavailableError(f"expected an elliptic-curve key in {path}", remedy="provision the dock again")
    return key


def _seed(identity: Identity) -> bytes:
    data = _read(identity.witness_seed)
    try:
        seed = data if len(data) == SEED_BYTES else bytes.fromhex(data.decode("ascii"))
    except ValueError:
        seed = b""
    if len(seed) != SEED_BYTES:
        raise UnavailableError(
            f"expected {SEED_BYTES} bytes or their hexadecimal digits in {identity.witness_seed}", remedy="provision the dock again"
        )
    return seed


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}", remedy="name a dock identity that provisioning made") from None
