"""The spool in which the dock-sync process leaves what the agency has for this camera: a policy, an order; and their check.

Responsible for believing nothing that lies there. A policy counts when the agency's policy key signed it, it is whole and within its
bounds, and its version is above the one installed (BWC-POL-29); an order when a store of the agency signed it for this camera, later
than the one before (BWC-POL-30). Both are kept beside the keys (``board.py``); their leaf is durable before they count, and that of an
order that the camera gives back after it is over: no leaf says what is not. What is refused is kept aside, with a ``fault`` leaf that says
why; what was in force stays. Called from the custodian's worker, while the camera rests in a dock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from firmware.board import Board
from firmware.config import DeviceConfig
from firmware.custody.order import Order, check_order
from firmware.dock.protocol import SignedOrder
from firmware.errors import FormatError, OathcamError, RefusedError
from firmware.evidence.primitives import sha256
from firmware.identity import load_certificates
from firmware.installed import Installed, check_known, check_policy, load_policy_key
from firmware.policy.minisign import PublicKey, accept
from firmware.storage import durable
from firmware.storage.ledger_file import Draft, Ledger
from firmware.storage.unreadable import Unreadable
from firmware.timebase import Timestamp, Trust, parse_utc
from hal.errors import HalError
from hal.interfaces import Volume

POLICY_SPOOL, ORDER_SPOOL = "sync/policy", "sync/order"
POLICY_FILES = ("policy.toml.minisig", "policy.toml")
ORDER_FILES = ("order.json",)
_MAX_BYTES = 1_048_576
_AHEAD_NS = 86_400_000_000_000
"""An order may be this far ahead of the camera's clock: one from a dock whose clock is years off would bar all that follow."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who wears the camera, as far as it knows: which order said so, and the object that names the officer to those who can open it."""

    order_sha256: str
    officer: bytes


@dataclass(frozen=True, slots=True)
class PolicyTaken:
    """A policy was taken in: it is in force from the next boot on."""

    version: int


@dataclass(frozen=True, slots=True)
class AssignmentChanged:
    """``None``: nobody wears it."""

    assigned: Assigned | None


def assigned_now(board: Board, roots: Sequence[x509.Certificate], serial: str) -> tuple[Assigned | None, str]:
    """What the order beside the keys says, and what is wrong with it: a changed one assigns nobody, and the camera records all the same."""
    try:
        kept = board.order()
        if kept is None or not kept[1]:
            return None, ""
        signed = SignedOrder.from_bytes(kept[0])
        check_order(signed.order, signed.signature, signed.officer, roots, serial)
    except OathcamError as error:
        return None, str(error)
    return _assigned(signed), ""


class Papers:
    """What a boot found beside the keys, and in the trust directory; ``faults``: port and reason of what was wrong there."""

    def __init__(self, volume: Volume, config: DeviceConfig, installed: Installed, troubles: Sequence[str]) -> None:
        """``troubles``: of policies that are not in force, in words. Raises what the trust directory's files raise."""
        self.roots = load_certificates(config.trust_directory / "root.crt")
        board = Board(config.key_directory)
        self.assigned, trouble = assigned_now(board, self.roots, config.serial)
        self.faults = [*(("policy", one) for one in troubles), *([("order", trouble)] if trouble else [])]
        self.deliveries = Deliveries(volume, board, self.roots, config.serial, load_policy_key(config), installed)


def _assigned(signed: SignedOrder) -> Assigned | None:
    return Assigned(sha256(signed.order).hex(), signed.officer) if signed.officer else None


class Deliveries:
    """Remembers what is installed and what was refused in this run."""

    def __init__(
        self, volume: Volume, board: Board, roots: Sequence[x509.Certificate], serial: str, policy_key: PublicKey, installed: Installed
    ) -> None:
        self._volume = volume
        self._board = board
        self._roots = tuple(roots)
        self._serial = serial
        self._policy_key = policy_key
        self._installed = installed
        self._refused: set[str] = set()
        self._unreadable = Unreadable()
        self._return_owed = True
        """Whether an order may be over without its leaf; in a new run it may."""

    def prepare(self) -> None:
        """Make the spool's directories where the system did not."""
        for spool in (POLICY_SPOOL, ORDER_SPOOL):
            have = {name for name, _ in self._volume.list("sync")}
            if spool.rpartition("/")[2] not in have:
                durable.make_directory(self._volume, spool)
            if "refused" not in {name for name, _ in self._volume.list(spool)}:
                durable.make_directory(self._volume, f"{spool}/refused")

    def take(self, ledger: Ledger, now: Timestamp, report: Callable[[object], object]) -> None:
        """Look at what waits. May be repeated after an error of the volume, and after a power cut at any step."""
        self._tell_returned(ledger, now)
        self._take(POLICY_SPOOL, POLICY_FILES, "policy", self._take_policy, ledger, now, report)
        self._take(ORDER_SPOOL, ORDER_FILES, "order", self._take_order, ledger, now, report)

    def camera_returned(self, ledger: Ledger, now: Timestamp, report: Callable[[object], object]) -> None:
        """The wearer gave it back, and the policy wants nobody to have it then."""
        self._tell_returned(ledger, now)
        try:
            kept = self._board.order()
            if kept is None or not kept[1] or not SignedOrder.from_bytes(kept[0]).officer:
                return
            self._board.return_order()
        except FormatError:
            return  # told at boot; it assigns nobody
        except OathcamError as error:  # it is in force as before
            ledger.append([Draft("fault", now, {"port": "order", "reason": f"cannot be returned: {error}"[:200]})])
            return
        self._return_owed = True
        report(AssignmentChanged(None))
        self._tell_returned(ledger, now)

    def _tell_returned(self, ledger: Ledger, now: Timestamp) -> None:
        """The leaf of an order that is over, where power or the card may have kept it away: at the next look, or at the next visit. An
        error of the volume leaves it owed; one of the board is told once a run."""
        if not self._return_owed:
            return
        try:
            kept = self._board.returning_order()
            if kept is not None:
                signed = SignedOrder.from_bytes(kept)
                ledger.append([Draft("unassign", now, {"order_sha256": sha256(signed.order).hex(), "cause": "returned"})])
                self._board.settle_return()
        except OathcamError as error:
            ledger.append([Draft("fault", now, {"port": "order", "reason": f"its return cannot be settled: {error}"[:200]})])
        self._return_owed = False

    def _take(self, spool: str, names: Sequence[str], port: str, believe: Callable[..., None], ledger: Ledger, *more: Any) -> None:
        sizes = dict(self._volume.list(spool))
        if not all(0 <= sizes.get(name, -1) <= _MAX_BYTES for name in names):
            return
        if self._unreadable.is_given_up(spool):
            return
        try:
            files = [self._volume.read(f"{spool}/{name}") for name in names]
        except HalError as error:
            if self._unreadable.failed(spool):
                ledger.append([Draft("fault", more[0], {"port": port, "reason": f"cannot be read: {error}"[:200]})])
            return
        seen = sha256(b"\0".join(files)).hex()
        if seen not in self._refused:
            try:
                believe(*files, ledger, *more)
            except OathcamError as error:
                ledger.append([Draft("fault", more[0], {"port": port, "reason": f"refused: {error}"[:200]})])
                for name in names:
                    durable.move(self._volume, f"{spool}/{name}", f"{spool}/refused/{name}")
                self._refused.add(seen)
                return
        for name in reversed(names):
            self._volume.remove(f"{spool}/{name}")
        self._volume.sync_directory(spool)

    def _take_policy(self, signature: bytes, data: bytes, ledger: Ledger, now: Timestamp, report: Callable[[object], object]) -> None:
        if sha256(data).hex() == self._installed.sha256:
            return  # the dock offers at every visit what it has
        found = check_policy(self._policy_key, data, signature, "delivered by a dock")
        policy = found.policy
        check_known(policy)
        accept(policy, self._installed.policy)
        if policy.version == self._installed.policy.version:
            return  # the same rules in other words
        self._board.stage_policy(policy.version, data, signature)
        ledger.append([Draft("policy", now, {"profile": policy.profile, "version": policy.version, "sha256": found.sha256})])
        self._board.commit_policy(policy.version)
        self._installed = found
        report(PolicyTaken(policy.version))

    def _take_order(self, data: bytes, ledger: Ledger, now: Timestamp, report: Callable[[object], object]) -> None:
        signed = SignedOrder.from_bytes(data)
        kept = self._board.order()
        if kept is not None and kept[0] == data:
            return  # in force, or over since the camera came back
        order = check_order(signed.order, signed.signature, signed.officer, self._roots, self._serial)
        _check_newer(order, kept[0] if kept else None, now)
        self._board.stage_order(data)
        digest = sha256(signed.order).hex()
        if order.officer is not None:
            draft = Draft("assign", now, {"order_sha256": digest, "issued_utc": order.issued_utc, "store": order.store})
        else:
            draft = Draft("unassign", now, {"order_sha256": digest, "cause": "order"})
        ledger.append([draft])
        self._board.commit_order()
        report(AssignmentChanged(_assigned(signed)))


def _check_newer(order: Order, kept: bytes | None, now: Timestamp) -> None:
    issued_ns = parse_utc(order.issued_utc)
    if now.trust is not Trust.UNSET and issued_ns > now.wall_ns + _AHEAD_NS:
        raise RefusedError(f"issued {order.issued_utc}, more than a day after this camera's clock", remedy="Set the dock's clock.")
    if kept is None:
        return
    try:
        before = Order.from_bytes(SignedOrder.from_bytes(kept).order).issued_utc
    except OathcamError:
        return  # what lies beside the keys is damaged: any good order is better
    if issued_ns <= parse_utc(before):
        raise RefusedError(f"issued {order.issued_utc}, expected later than {before}, the one before", remedy="Assign the camera again.")
