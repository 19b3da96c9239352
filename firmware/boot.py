"""From an opened HAL to a daemon that is ready: the boot, in its order.

Responsible for the sequence: camera and buttons first (house: the button and the first buffered picture wait for nothing), then identity;
ledger, recovery and the boot leaf on the writer's thread. Refuses to choose a back-end: the composition root opened it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from firmware.bootmark import BootMark
from firmware.bootwatch import BootWatch
from firmware.callwatch import WatchedKeyStore
from firmware.capture import Intake
from firmware.config import DeviceConfig
from firmware.custodian import Custodian
from firmware.custody.entries import Entry
from firmware.custody.flags import is_on_hold
from firmware.daemon import Daemon, post
from firmware.deliveries import Papers
from firmware.devices import video_format
from firmware.docktime import DockClock, lifetime, load_witnesses
from firmware.evidence.primitives import sha256
from firmware.identity import RecordingContext, open_context
from firmware.installed import choose_policy
from firmware.lastrun import UNKNOWN
from firmware.opened import Evidence
from firmware.receipts import ReceiptInbox
from firmware.recovery import Previous, Recovery, open_ledger, previous_end, tail_drafts
from firmware.reports import DeviceTrouble, HoldRead
from firmware.rereading import Rereading
from firmware.shellclock import read_clock
from firmware.storage import durable
from firmware.storage.ledger_file import LEDGER, LOG, Draft, Ledger, OpenedLedger, peek
from firmware.storage.unreadable import Unreadable
from firmware.storage.vault import Vault
from firmware.storage.watched import WatchedVolume
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Hal, Volume

log = logging.getLogger("oathcamd")

WRITER_DEPTH = 64
LOG_PATIENCE_NS = 10_000_000_000
"""A card that sulks for seconds keeps its ledger."""
DEVICE_CHAIN = f"{LEDGER}/device.pem"


def boot(hal: Hal, config: DeviceConfig) -> Daemon:
    """Bring the camera up. Raises UsageError for what provisioning got wrong; device faults become events instead.

    Camera and buttons first; ledger and vault are opened and recovered by the worker that writes them, while pictures are buffered
    and presses are obeyed: what is to be written waits in memory behind the recovery (BWC-POL-01, -28).
    """
    installed, troubles = choose_policy(config)
    policy, policy_sha256 = installed.policy, installed.sha256
    card = WatchedVolume(hal.volume, hal.clock)
    keys = WatchedKeyStore(hal.key_store, hal.clock)
    hal = replace(hal, volume=card, key_store=keys)
    intake = Intake(hal.inbox)
    hal.buttons.subscribe(lambda edge: post(hal.inbox, edge))
    try:
        hal.camera.start(video_format(policy), intake)
    except HalError as error:
        hal.inbox.put(DeviceTrouble("camera", str(error)), urgent=True)
    now = read_clock(hal.clock)
    with BootWatch(hal, keys):
        boot_number = hal.key_store.counter_increment()
        context = open_context(config, hal, policy, policy_sha256, boot_number)
    mark = BootMark(config.run_directory, hal.clock.boot_id())
    papers = Papers(hal.volume, config, installed, troubles)
    opening = Opening(hal, config.serial, context, now, mark, papers)
    custodian = Custodian(
        context=context,
        open_evidence=opening.run,
        clock=hal.clock,
        worker=hal.make_worker("custodian", WRITER_DEPTH),
        volume=hal.volume,
        limit_bytes=policy.pre_event.max_bytes * 2,
        reserve_bytes=policy.storage.reserve_bytes,
        report=lambda item: post(hal.inbox, item),
    )
    origin, life = f"oathcam/{config.serial}", lifetime(context.chain[0])
    dock_clock = DockClock(card, hal.clock, origin, context.public_key, load_witnesses(config.trust_directory / "witnesses"), life)
    daemon = Daemon(hal, context, policy, custodian, intake, card, keys, papers.assigned, config.run_directory, now, dock_clock)
    custodian.kick()
    daemon.begin()
    return daemon


class Opening:
    """Vault and ledger, from what a volume holds to what the custodian works with. Runs on its worker; may be run again after an error."""

    def __init__(self, hal: Hal, serial: str, context: RecordingContext, now: Timestamp, mark: BootMark, papers: Papers) -> None:
        self._hal = hal
        self._serial = serial
        self._context = context
        self._roots = papers.roots
        self._now = now
        self._mark = mark
        self._papers = papers
        self._told = self._told_hold = False
        self._unreadable_since: Timestamp | None = None
        self._unreadable = Unreadable()
        self._ledger: Ledger | None = None

    def run(self, beat: Callable[[], object]) -> Evidence:
        """The volume's error leaves everything as it can be found again. ``beat`` is called as the work goes on."""
        context, now, volume = self._context, self._now, self._hal.volume
        with suppress(HalError):  # a log that cannot be read is told below, or opened at a later try
            self._tell(self._peek)
        if self._ledger is not None:
            self._ledger.mend()
        vault = Vault(volume)
        vault.prepare()
        opened = self._open_ledger(vault)
        self._tell(lambda: UNKNOWN)
        beat()
        on_hold = is_on_hold(opened.entries, opened.snapshot is not None and opened.snapshot.on_hold)
        if not self._told_hold:
            post(self._hal.inbox, HoldRead(on_hold))
            self._told_hold = True
        self._ledger = ledger = opened.ledger
        ledger.boot = context.boot
        # Leaves of this very boot were written by a try before this one.
        earlier = [entry for entry in opened.entries if entry.boot != context.boot]
        previous = self._previous(earlier) if earlier or not opened.snapshot else UNKNOWN
        _keep_chain(volume, context)
        known = len(earlier) < len(opened.entries)
        faults = [Draft("fault", now, {"port": port, "reason": reason[:200]}) for port, reason in self._papers.faults]
        drafts = [*tail_drafts(opened, now), *([] if known else [_boot_draft(context, previous, now), *faults])]
        if drafts:
            ledger.append(drafts)
        self._mark.leave(context.boot)
        recovery = Recovery(context, vault, ledger, previous, self._roots, self._unreadable, beat)
        closed = recovery.run(opened.entries, now, opened.snapshot)
        for recording in closed:
            log.warning("recording %s was open when the last run ended (%s); closed now", recording, previous.how)
        receipts = ReceiptInbox(volume, self._roots, self._serial)
        receipts.prepare(vault)
        self._papers.deliveries.prepare()
        rereading = Rereading(context.chain[0], self._roots)
        may_snapshot, deliveries = not recovery.stays_open, self._papers.deliveries
        return Evidence(vault, ledger, receipts, rereading, recovery.warrants, recovery.receipted, may_snapshot, deliveries, on_hold)

    def _open_ledger(self, vault: Vault) -> OpenedLedger:
        """A log with a bad sector is moved aside as it is, once it was tried for long enough: a camera must record. The new one's first
        leaves say so, and the dock calls it rolled back. Whatever else the card refuses is no reason to part with a log."""
        volume, boot = self._hal.volume, self._context.boot
        opening = partial(open_ledger, volume, vault, self._hal.key_store, self._context.public_key, f"oathcam/{self._serial}")
        try:
            return opening()
        except HalError as error:
            now = read_clock(self._hal.clock)
            self._unreadable_since = self._unreadable_since or now
            if now.since(self._unreadable_since) < LOG_PATIENCE_NS or _is_readable(volume):
                raise
            self._unreadable_since = None
            kept = vault.move_aside(LOG, f"ledger-unreadable-{boot:06d}")
            log.error("the ledger cannot be read, and was kept as %s: %s", kept, error)
            self._papers.faults.append(("storage", f"the ledger cannot be read, and was kept as {kept}: {error}"))
            return opening()

    def _tell(self, previous: Callable[[], Previous]) -> None:
        """How the last run ended, once: the loop waits for it."""
        if not self._told:
            post(self._hal.inbox, previous())
            self._told = True

    def _peek(self) -> Previous:
        """How the last run ended, by the newest leaves alone; the ``boot`` leaf goes by what was checked."""
        earlier = [entry for entry in peek(self._hal.volume) if entry.boot != self._context.boot]
        return self._previous(earlier)

    def _previous(self, earlier: Sequence[Entry]) -> Previous:
        return previous_end(earlier, self._now, self._mark.stayed_up(earlier[-1].boot) if earlier else None)


def _boot_draft(context: RecordingContext, previous: Previous, now: Timestamp) -> Draft:
    fields = {
        "counter": context.boot,
        "firmware": context.device.firmware,
        "firmware_sha256": context.device.firmware_sha256,
        "backend": context.device.backend,
        "key_protection": context.key_protection,
        "key_sha256": sha256(context.chain[0]).hex(),
        "policy_sha256": context.policy.sha256,
        "previous": previous.how,
        "down_us": previous.down_us,
    }
    return Draft("boot", now, fields)


def _is_readable(volume: Volume) -> bool:
    """Whether the card gives the ledger's log, whole."""
    try:
        volume.read(LOG)
    except HalError:
        return False
    return True


def _keep_chain(volume: Volume, context: RecordingContext) -> None:
    """The camera's certificates lie beside its ledger, so that a verifier needs only the agency's root."""
    kept = b""
    with suppress(HalError):  # absent, or a bad sector: it is written anew
        kept = volume.read(DEVICE_CHAIN)
    if kept != context.chain_pem:
        durable.write_file(volume, DEVICE_CHAIN, context.chain_pem)
