"""The check-up's papers: clock, key, certificates, policy, recipients, ledger, service manager.

Responsible for whether this camera's word will be believed. Refuses to sign anything that could be taken for evidence, to
count a boot and to touch the ledger: it is read, never opened for writing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from firmware.config import DeviceConfig
from firmware.custody.checkpoint import LogState, read_log
from firmware.errors import OathcamError
from firmware.evidence import pki
from firmware.evidence.primitives import sha256
from firmware.identity import load_certificates, load_recipients
from firmware.policy.model import Policy
from firmware.storage.ledger_file import LEDGER, LOG
from firmware.timebase import format_utc
from hal.errors import HalError
from hal.interfaces import ClockReading, ClockTrust, Hal
from tools.checkup import Row, amber, green, red

EXPIRES_SOON_DAYS = 90
PREFIX = b"oathcam doctor: this signature proves that the key store works, and nothing else\n"
"""Neither a CMS attribute set (DER) nor a checkpoint (its first line is the origin) nor a TLS transcript begins like this."""
UNIT_DIRECTORIES = (Path("/etc/systemd/system"), Path("/usr/lib/systemd/system"), Path("/lib/systemd/system"))
UNIT = "oathcamd.service"
PROVISION = "Provision the camera again."
KEY_REMEDY = "Check that the TPM or token is fitted and works, and provision the camera again if it holds no key."


def read_ledger(hal: Hal, config: DeviceConfig) -> LogState | None:
    """The ledger as a boot would read it, without touching it; ``None`` before the first boot."""
    if "log" not in {name for name, _ in hal.volume.list(LEDGER)}:
        return None
    key = pki.public_key(_leaf(hal))
    return read_log(hal.volume.read(LOG), f"oathcam/{config.serial}", key)


def _leaf(hal: Hal) -> x509.Certificate:
    return pki.load_certificate(hal.key_store.certificate_chain()[0])


def check_ledger(hal: Hal, config: DeviceConfig) -> Row:
    """Every leaf hashes to a root that this camera signed; what a power cut left behind is counted."""
    state = read_ledger(hal, config)
    if state is None:
        return green("ledger", "none yet: the first boot begins it")
    found = f"{len(state.entries)} leaves, continuous and signed"
    if not state.entries:
        remedy = "Keep the card as it is, and have `oathcam verify` look at a copy of it."
        return red("ledger", "no leaf of it is signed by this camera's key", remedy)
    if state.tail:
        return amber("ledger", f"{found}; {len(state.tail)} unsigned bytes after them", "Start the recorder: it sets the torn end aside.")
    return green("ledger", f"{found}; the last is {state.entries[-1].kind!r}")


def check_clock(hal: Hal, config: DeviceConfig) -> Row:
    """Trust, and plausibility: not before the certificate was made, nor before what the ledger says has happened."""
    before, now = hal.clock.now(), hal.clock.now()
    found = f"{format_utc(now.wall_ns)}, trust {now.trust.value}, uncertainty {now.uncertainty_ns / 1e6:.0f} ms"
    if origin := hal.describe.get("rtc"):  # a back-end with a clock chip says what it found of it
        found = f"{found}; {origin}"
    if now.boottime_ns < before.boottime_ns:
        return red("clock", "boot time goes backwards", "Replace the board: order and durations rest on this clock.")
    if now.trust is ClockTrust.UNSET:
        remedy = "Dock the camera so that it is given the time; if it forgets it again, replace the clock's coin cell."
        return amber("clock", f"never set since power came on ({found})", remedy)
    floor_ns, what = _floor(hal, config)
    if now.wall_ns < floor_ns:
        remedy = "Set the clock by docking the camera, and replace the clock's coin cell."
        return red("clock", f"{found}: before {format_utc(floor_ns)}, {what}", remedy)
    return green("clock", found)


def _floor(hal: Hal, config: DeviceConfig) -> tuple[int, str]:
    """The latest instant that has surely passed; 0 where key store or ledger cannot say, which their own rows report."""
    try:
        made_ns = pki.not_before_ns(_leaf(hal))
        state = read_ledger(hal, config)
    except (HalError, OathcamError):  # the rows of key store and ledger report it
        return 0, ""
    if state is not None and state.entries and state.entries[-1].time.wall_ns > made_ns:
        return state.entries[-1].time.wall_ns, "the last leaf of the ledger"
    return made_ns, "the start of this camera's certificate"


def check_key_store(hal: Hal) -> Row:
    """What protects the key; that it signs, and that the signature verifies under the first certificate of the chain."""
    info = hal.key_store.info()
    digest = sha256(PREFIX + hal.entropy.random_bytes(16))
    signature = hal.key_store.sign_digest(digest)
    try:
        pki.public_key(_leaf(hal)).verify(signature, digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    except InvalidSignature:
        return red("key store", "its signature does not verify under the installed certificate", PROVISION)
    backing = "hardware-backed" if info.hardware_backed else "not hardware-backed"
    return green("key store", f"{info.protection.value}: {info.description}; signs; {backing}")


def check_certificates(hal: Hal, config: DeviceConfig) -> Row:
    """The chain leads to the agency's root in the trust directory, is this camera's, and will be valid for a while."""
    chain = [pki.load_certificate(der) for der in hal.key_store.certificate_chain()]
    roots = load_certificates(config.trust_directory / "root.crt")
    at_ns, remark = _instant(hal.clock.now(), chain[0])
    pki.check_chain(chain, roots, pki.Role.CAMERA, at_ns)
    serials = [str(item.value) for item in chain[0].subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)]
    if serials != [config.serial]:
        remedy = "Install the certificate of this camera, or correct 'serial' in the configuration."
        return red("certificates", f"the certificate is for {serials!r}, the configuration says {config.serial!r}", remedy)
    last = min(one.not_valid_after_utc for one in chain)
    days = (last - datetime.fromtimestamp(at_ns / 1e9, UTC)).days
    found = f"chain of {len(chain)} to the agency's root, valid until {last:%Y-%m-%d} ({days} days){remark}"
    if days < EXPIRES_SOON_DAYS:
        return amber("certificates", found, "Have the agency issue a new certificate for this camera's key before that day.")
    return green("certificates", found)


def _instant(now: ClockReading, leaf: x509.Certificate) -> tuple[int, str]:
    """When validity is judged: now, or where the clock was never set the start of the certificate, with a remark."""
    if now.trust is ClockTrust.UNSET:
        return pki.not_before_ns(leaf), "; judged at its start, because the clock is not set"
    return now.wall_ns, ""


def check_counter(hal: Hal, config: DeviceConfig) -> Row:
    """The key store's counter is read, not counted up, and is not behind the ledger."""
    counter = hal.key_store.counter_read()
    state = read_ledger(hal, config)
    newest = max((entry.boot for entry in state.entries), default=0) if state is not None else 0
    if counter < newest:
        remedy = "Have the key store examined: it was replaced, restored from a copy, or belongs to another camera."
        return red("counter", f"{counter}, but the ledger knows boot {newest}", remedy)
    return green("counter", f"{counter} boots; the ledger's newest is {newest}")


def check_policy(policy: Policy | None, trouble: str, remedy: str) -> Row:
    """What the composition root found when it loaded the policy as the recorder would."""
    if policy is None:
        return red("policy", trouble, remedy or PROVISION)
    return green("policy", f"{policy.profile!r} version {policy.version} of {policy.agency!r}, signed by the agency's policy key")


def check_recipients(hal: Hal, config: DeviceConfig) -> Row:
    """Somebody can open what is sealed, and each recipient is one of this agency's."""
    directory = config.trust_directory / "recipients"
    recipients = load_recipients(directory)
    roots = load_certificates(config.trust_directory / "root.crt")
    names = []
    for path in sorted(directory.glob("*.crt")):
        certificate = load_certificates(path)[0]
        at_ns, _ = _instant(hal.clock.now(), certificate)
        pki.check_chain([certificate], roots, pki.Role.RECIPIENT, at_ns)
        names.append(pki.common_name(certificate))
    if len(recipients) < 2:
        return amber("recipients", f"only {names[0]}", "Add a second recipient, so that one lost key does not lose the evidence.")
    return green("recipients", f"{len(recipients)}: {', '.join(names)}")


def check_watchdog(notified: bool, directories: Sequence[Path] = UNIT_DIRECTORIES) -> Row:
    """Whether something would restart the recorder. This command is not the service: it only looks for the unit."""
    if notified:
        return green("watchdog", "started by a service manager that listens")
    remedy = f"Install the unit files of systemd/ and enable {UNIT}, so that a recorder that hangs is started again."
    for path in (directory / UNIT for directory in directories):
        if path.is_file():
            if "WatchdogSec=" in path.read_text(encoding="utf-8", errors="replace"):
                return green("watchdog", f"{path} sets WatchdogSec; this command itself runs outside it")
            return amber("watchdog", f"{path} sets no WatchdogSec", remedy)
    return amber("watchdog", "no service of the recorder is installed here", remedy)
