"""From an opened HAL to a daemon that is ready: the boot, in its order.

Responsible for the sequence: camera first (house: the button and the first buffered picture wait for nothing), then identity,
ledger, recovery and the boot leaf. Refuses to choose a back-end: the composition root opened it.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path

from firmware.capture import Intake
from firmware.config import DeviceConfig
from firmware.custodian import Custodian, DeviceTrouble, ReceiptAccepted
from firmware.daemon import Daemon
from firmware.devices import video_format
from firmware.errors import UsageError
from firmware.evidence.primitives import sha256
from firmware.identity import RecordingContext, load_certificates, open_context
from firmware.machine.indicators import CUES, CueName, View, lamps
from firmware.machine.states import State
from firmware.policy.load import parse_policy
from firmware.policy.minisign import parse_public_key, parse_signature, verify_minisign
from firmware.policy.model import Policy
from firmware.receipts import ReceiptInbox
from firmware.recovery import Previous, Recovery, open_ledger, previous_end, tail_drafts
from firmware.shellclock import read_clock
from firmware.storage import durable
from firmware.storage.ledger_file import LEDGER, Draft
from firmware.storage.vault import Vault
from firmware.storage.watched import WatchedVolume
from firmware.timebase import Timestamp
from hal.errors import HalError
from hal.interfaces import Colour, Cue, Hal, Lamp, LampName, Volume

log = logging.getLogger("oathcamd")

WRITER_DEPTH = 64
TRIES = 3
"""How often a boot tries a volume that fails."""
DEVICE_CHAIN = f"{LEDGER}/device.pem"


def load_policy(config: DeviceConfig) -> tuple[Policy, str]:
    """The installed policy and the SHA-256 of its bytes. UsageError when it is unsigned, changed or not a policy."""
    path = config.policy
    public = parse_public_key(_read_text(config.trust_directory / "policy.pub"))
    text, signature = _read_text(path), parse_signature(_read_text(path.with_name(path.name + ".minisig")))
    verify_minisign(public, text.encode("utf-8"), signature)
    return parse_policy(text), hashlib.sha256(text.encode("utf-8")).hexdigest()


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {str(path)!r}: {error}", remedy="Provision the camera again.") from None


def boot(hal: Hal, config: DeviceConfig) -> Daemon:
    """Bring the camera up. Raises UsageError for what provisioning got wrong; device faults become events instead."""
    policy, policy_sha256 = load_policy(config)
    card = WatchedVolume(hal.volume, hal.clock)
    hal = replace(hal, volume=card)
    intake = Intake(hal.inbox)
    try:
        hal.camera.start(video_format(policy), intake)
    except HalError as error:
        hal.inbox.put(DeviceTrouble("camera", str(error)), urgent=True)
    now = read_clock(hal.clock)
    boot_number = hal.key_store.counter_increment()
    context = open_context(config, hal, policy, policy_sha256, boot_number)
    custodian, previous = _open_evidence(hal, config, context, policy, now)
    daemon = Daemon(hal, context, policy, custodian, intake, card, config.officer, previous)
    daemon.begin()
    return daemon


def _open_evidence(hal: Hal, config: DeviceConfig, context: RecordingContext, policy: Policy, now: Timestamp) -> tuple[Custodian, Previous]:
    """Ledger and vault, recovered. A volume that fails is tried again, then shown and felt as a fault (BWC-POL-47); the error
    that leaves here ends the daemon, and the service manager starts it anew."""
    for tries_left in reversed(range(TRIES)):
        try:
            return _open_once(hal, config, context, policy, now)
        except HalError as error:
            log.error("boot: %s", error)
            if not tries_left:
                _alarm(hal)
                raise
    raise AssertionError("unreachable")


def _open_once(hal: Hal, config: DeviceConfig, context: RecordingContext, policy: Policy, now: Timestamp) -> tuple[Custodian, Previous]:
    vault = Vault(hal.volume)
    vault.prepare()
    opened = open_ledger(hal.volume, vault, hal.key_store, context.public_key, f"oathcam/{config.serial}")
    ledger = opened.ledger
    ledger.boot = context.boot
    # Leaves of this very boot were written by a try before this one.
    earlier = [entry for entry in opened.entries if entry.boot != context.boot]
    previous = previous_end(earlier, now)
    _keep_chain(hal.volume, context)
    known = len(earlier) < len(opened.entries)
    drafts = [*tail_drafts(opened, now), *([] if known else [_boot_draft(context, previous, now)])]
    if drafts:
        ledger.append(drafts)
    roots = load_certificates(config.trust_directory / "root.crt")
    recovery = Recovery(context, vault, ledger, previous, roots)
    closed = recovery.run(opened.entries, now)
    for recording in closed:
        log.warning("recording %s was open when the last run ended (%s); closed now", recording, previous.how)
    receipts = ReceiptInbox(hal.volume, roots, config.serial)
    receipts.prepare()
    for recording in recovery.warrants:
        hal.inbox.put(ReceiptAccepted(recording, recovery.receipted[recording]), urgent=True)
    custodian = Custodian(
        context=context,
        vault=vault,
        ledger=ledger,
        receipts=receipts,
        clock=hal.clock,
        worker=hal.make_worker("custodian", WRITER_DEPTH),
        volume=hal.volume,
        limit_bytes=policy.pre_event.max_bytes * 2,
        reserve_bytes=policy.storage.reserve_bytes,
        report=lambda item: hal.inbox.put(item, urgent=True),
        warrants=recovery.warrants,
        receipted=recovery.receipted,
    )
    return custodian, previous


def _alarm(hal: Hal) -> None:
    """The fault signal, without a daemon to give it."""
    subject, status = lamps(State.FAULT, View())
    for name, lamp in ((LampName.SUBJECT, subject), (LampName.STATUS, status)):
        hal.indicators.set_lamp(name, Lamp(Colour(lamp.colour.value), lamp.blink_ms))
    cue = CUES[CueName.FAULT]
    hal.indicators.play(Cue(cue.tones, cue.pulses))


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


def _keep_chain(volume: Volume, context: RecordingContext) -> None:
    """The camera's certificates lie beside its ledger, so that a verifier needs only the agency's root."""
    if "device.pem" not in {name for name, _ in volume.list(LEDGER)} or volume.read(DEVICE_CHAIN) != context.chain_pem:
        durable.write_file(volume, DEVICE_CHAIN, context.chain_pem)
