"""One visit to the dock, from the device's configuration: what ``oathcamd sync`` does.

The process that runs this has the link's key and the vault's sealed files; it has no camera and no signing key. It prints one
JSON line of what it did, for whoever started it, and logs the rest.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

from firmware.config import DeviceConfig
from firmware.dock.client import Outcome, Stage, SyncProgress, SyncReport, sync
from firmware.dock.link import Link, LinkCut, LinkIdentity, load_trust
from firmware.errors import FormatError, RefusedError, UnavailableError, UsageError
from firmware.timebase import Timestamp, Trust
from hal.hint import HINT_FILE, MAX_LINE_BYTES, BadHint, Bay, decode

PROBE_TIMEOUT_S = 3.0
"""Twice this is the most that a hinted address can cost that is no dock: once to connect, once for the handshake."""
HINT_WAIT_S, HINT_POLL_S = 10.0, 0.1
_NO_CLOCK_BEFORE_S = 1_780_000_000
log = logging.getLogger("oathcam.sync")


def link_identity(config: DeviceConfig) -> LinkIdentity:
    """Where provisioning put the link's files."""
    return LinkIdentity(
        certificate=config.link_directory / "link.crt",
        key=config.link_directory / "link.key",
        root=config.trust_directory / "root.crt",
        dock_ca=config.trust_directory / "dock-ca.crt",
        device_chain=config.state_directory / "ledger" / "device.pem",
    )


def sync_once(config: DeviceConfig, host: str, port: int) -> int:
    """Exit code: 0 every closed recording has its receipt, 1 some have not. An empty ``host`` is the configured dock, and before it
    whatever address the bay has hinted at: a hint that lies costs time and nothing else, because TLS decides who is a dock."""
    address = host or config.dock_host, port or config.dock_port
    hinted = None if host else _wait_for_hint(config.run_directory / HINT_FILE, 0 if address[0] else HINT_WAIT_S)
    identity, now = link_identity(config), _now()
    if hinted is not None and hinted != address:
        report = _try_hinted(config, identity, hinted, now)
        if report is not None:
            return _conclude(report)
    if not address[0] or not 0 < address[1] < 65_536:
        raise UsageError(
            "no dock to sync with", remedy="Set [dock] host and port in the configuration, or give --dock-host and --dock-port."
        )
    return _conclude(sync(config.state_directory, identity, address, now=now, progress=_log_progress()))


def read_hint(path: Path) -> tuple[str, int] | None:
    """The address that the bay named, as the recorder left it; ``None`` when there is none, or it is no hint."""
    try:
        with path.open("rb") as file:
            message = decode(file.read(MAX_LINE_BYTES))
    except (OSError, BadHint):
        return None
    return (message.host, message.port) if isinstance(message, Bay) else None


def _wait_for_hint(path: Path, seconds: float) -> tuple[str, int] | None:
    """A camera that has no dock configured lives by its bay's hint, which may come some seconds after the contact closes."""
    end = time.monotonic() + seconds
    while (hinted := read_hint(path)) is None and time.monotonic() < end:
        time.sleep(HINT_POLL_S)
    return hinted


def _try_hinted(config: DeviceConfig, identity: LinkIdentity, address: tuple[str, int], now: Timestamp) -> SyncReport | None:
    """A session with the hinted dock; ``None`` when there is no dock of this agency, or it fails."""
    at_ns = None if now.trust is Trust.UNSET else now.wall_ns
    probe = Link(identity, load_trust(identity), address, at_ns, PROBE_TIMEOUT_S)
    try:
        probe.prove()
        log.info("the bay says %s:%d", *address)
        return sync(config.state_directory, identity, address, now=now, progress=_log_progress())
    except (LinkCut, RefusedError, UnavailableError, FormatError) as error:
        log.warning("the bay's hint was no good: %s", error)
        return None
    finally:
        probe.close()


def _conclude(report: SyncReport) -> int:
    for result in report.recordings:
        level = logging.INFO if result.outcome is Outcome.RECEIPTED else logging.WARNING
        log.log(level, "%s: %s %s", result.recording, result.outcome.value, result.reason)
    sys.stdout.write(json.dumps(_as_dict(report)) + "\n")
    return 0 if report.complete else 1


def _now() -> Timestamp:
    """The clocks of the machine this runs on; a wall clock from before this firmware was written was never set."""
    trust = Trust.RTC if time.time() > _NO_CLOCK_BEFORE_S else Trust.UNSET
    return Timestamp(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns(), trust)


def _log_progress() -> Callable[[SyncProgress], None]:
    seen: dict[str, Stage] = {}

    def show(progress: SyncProgress) -> None:
        if seen.get("stage") is not progress.stage:
            seen["stage"] = progress.stage
            log.info("%s %s", progress.stage.value, progress.recording)

    return show


def _as_dict(report: SyncReport) -> dict[str, object]:
    return {
        "site": report.site,
        "complete": report.complete,
        "recordings": [{"recording": one.recording, "outcome": one.outcome.value, "reason": one.reason} for one in report.recordings],
        "bytes_sent": report.bytes_sent,
        "bytes_resumed": report.bytes_resumed,
        "cuts": report.cuts,
        "ledger_size": report.ledger_size,
        "missing": list(report.missing),
        "alarms": list(report.alarms),
    }
