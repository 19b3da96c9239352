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

from firmware.config import DeviceConfig
from firmware.dock.client import Outcome, Stage, SyncProgress, SyncReport, sync
from firmware.dock.link import LinkIdentity
from firmware.errors import UsageError
from firmware.timebase import Timestamp, Trust

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
    """Exit code: 0 every closed recording has its receipt, 1 some have not."""
    if not host or not 0 < port < 65_536:
        raise UsageError(
            "no dock to sync with", remedy="Set [dock] host and port in the configuration, or give --dock-host and --dock-port."
        )
    report = sync(config.state_directory, link_identity(config), (host, port), now=_now(), progress=_log_progress())
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
