"""What the recorder tells of itself while it runs: one small file each second, one line in the journal each minute.

Responsible for gathering (queues, ages, counts, the machine's state) and for the two places where it is told. The file is canonical JSON
in the volatile run directory, replaced as a whole: whoever reads it (``oathcam status``) needs no socket (BWC-POL-38). It holds nothing of
a person and nothing that is evidence. A place that cannot be written is said once, and the recorder goes on.

Called from the loop only. ``docs/metrics.md`` says what each figure means.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.callwatch import CallWatch, WatchedKeyStore
from firmware.capture import Capture, Intake
from firmware.custodian import Custodian
from firmware.evidence.jcs import canonical
from firmware.identity import RecordingContext
from firmware.machine.machine import Model
from firmware.machine.states import State
from firmware.metrics import Losses, Metrics
from firmware.storage.watched import WatchedVolume
from firmware.timebase import Timestamp
from firmware.watching import Watching
from hal.interfaces import Inbox, PowerState

log = logging.getLogger("oathcamd")

FORMAT = "recorder-status/1"
FILE = "status.json"
"""In the run directory."""
_MINUTE_NS = 60_000_000_000
_PAUSE_NS = 1_000_000_000
"""Of a camera that drops all the time, so often is a line written."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The stations of a picture's way, and what is counted there."""

    inbox: Inbox
    intake: Intake
    capture: Capture
    custodian: Custodian
    card: WatchedVolume
    keys: WatchedKeyStore
    watching: Watching
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is left, in minutes of recording (``machine.forecast``); ``None``: it charges, or nobody can say; for heat: it stays."""

    battery: int | None = None
    measured: bool = False
    heat: int | None = None
    cell: int | None = None
    """As ``battery``, also on the charger."""


class Status:
    """What was told last, and what only the loop knows."""

    def __init__(self, path: Path, context: RecordingContext, flow: Flow, began: Timestamp) -> None:
        self._path = path
        self._context = context
        self._flow = flow
        self._began = self._line_at = self._loss_at = began
        self._losses_told = 0
        self._refused = False
        self.power: PowerState | None = None
        self.room_minutes: int | None = None
        self.ahead = Ahead()
        self.recording: tuple[str, Timestamp] | None = None
        """The open recording, and its activation."""
        self.memory = "not asked for"
        """What became of the wish to keep this process's memory out of swap (``hal.memory``)."""

    def tick(self, model: Model, now: Timestamp) -> None:
        """Once a second."""
        self._write(canonical(self.gather(model, now)))
        if now.since(self._line_at) >= _MINUTE_NS:
            self._line_at = now
            log.info("%s", self.line(model, now))

    def look(self, now: Timestamp) -> None:
        """Four times a second: what was dropped is said at once."""
        total = self._flow.metrics.losses.total()
        if total != self._losses_told and (self._losses_told == 0 or now.since(self._loss_at) >= _PAUSE_NS):
            self._losses_told, self._loss_at = total, now
            log.warning("dropped: %s; %s", _losses(self._flow.metrics.losses), self._queues())

    def line(self, model: Model, now: Timestamp) -> str:
        """The journal's summary, and the service's status."""
        ages = ", ".join(f"{name} {age_ns / 1e9:.1f} s" for name, age_ns in self._flow.watching.ages(now).items())
        faults = "".join(f"; fault: {one.value}" for one in sorted(model.faults, key=lambda one: one.value))
        return f"{model.state.value}{faults}; pre-event {self._flow.capture.pre_event_ms / 1000:.0f} s; {ages}; {self._queues()}"

    def _queues(self) -> str:
        waiting, limit = self._flow.inbox.depth()
        lag = self._flow.metrics.lag
        bytes_now, bytes_limit = self._flow.custodian.waiting_bytes, self._flow.custodian.limit_bytes
        return (
            f"inbox {waiting} of {limit}, peak {self._flow.metrics.inbox.peak}; {bytes_now} of {bytes_limit} bytes wait, "
            f"peak {self._flow.custodian.waiting.peak}; promises {lag.last_ns / 1e9:.2f} s behind, at most {lag.longest_ns / 1e9:.2f} s"
        )

    def gather(self, model: Model, now: Timestamp) -> dict[str, Any]:
        """The file's content. Times of calls and lags in microseconds."""
        return {
            "format": FORMAT,
            "serial": self._context.device.serial,
            "backend": self._context.device.backend,
            "firmware": self._context.device.firmware,
            "boot": self._context.boot,
            "boottime_us": now.boottime_ns // 1000,
            "uptime_us": now.since(self._began) // 1000,
            "utc": now.utc,
            "clock_trust": now.trust.value,
            "state": model.state.value,
            "faults": sorted(one.value for one in model.faults),
            "recording": self._recording(now),
            **self._way(),
            "ages_us": {name: age_ns // 1000 for name, age_ns in self._flow.watching.ages(now).items()},
            "card": _calls(self._flow.card.watch, now),
            "signer": _calls(self._flow.keys.signing, now),
            "room_minutes": self.room_minutes,
            "room_warning": model.room_warning,
            "battery": model.battery.value,
            "battery_short": model.battery_short,
            "power": self._power(),
            "forecast": self._forecast(),
            "memory": self.memory,
            "ledger_leaves": self._flow.custodian.ledger_size,
            "unreceipted": self._flow.custodian.unreceipted,
        }

    def _way(self) -> dict[str, Any]:
        """From the camera to the card."""
        waiting, limit = self._flow.inbox.depth()
        metrics, custodian, buffer = self._flow.metrics, self._flow.custodian, self._flow.capture.buffer
        lag = metrics.lag
        return {
            "pictures": self._flow.intake.delivered,
            "inbox": {"now": waiting, "peak": metrics.inbox.peak, "limit": limit},
            "queue": {"now": custodian.operations_waiting, "peak": custodian.queue.peak},
            "waiting_bytes": {"now": custodian.waiting_bytes, "peak": custodian.waiting.peak, "limit": custodian.limit_bytes},
            "promises": {
                "gops": lag.count,
                "last_us": lag.last_ns // 1000,
                "p50_us": lag.quantile_ns(0.5) // 1000,
                "p99_us": lag.quantile_ns(0.99) // 1000,
                "max_us": lag.longest_ns // 1000,
            },
            "dropped": {"gops": dict(metrics.losses.gops), "pictures": dict(metrics.losses.pictures)},
            "pre_event": {
                "span_us": buffer.span_ns // 1000,
                "limit_us": buffer.limit_ns // 1000,
                "bytes": buffer.size_bytes,
                "limit_bytes": buffer.limit_bytes,
            },
        }

    def _recording(self, now: Timestamp) -> dict[str, Any] | None:
        if self.recording is None:
            return None
        name, at = self.recording
        return {"id": name, "length_us": now.since(at) // 1000}

    def _forecast(self) -> dict[str, Any]:
        ahead = self.ahead
        known = [minutes for minutes in (ahead.battery, self.room_minutes) if minutes is not None]
        return {
            "minutes": min(known, default=None),
            "battery_minutes": ahead.battery,
            "battery_measured": ahead.measured,
            "heat_minutes": ahead.heat,
        }

    def _power(self) -> dict[str, Any] | None:
        power = self.power
        return None if power is None else {"percent": power.percent, "charging": power.charging, "celsius": power.celsius}

    def _write(self, data: bytes) -> None:
        """Whole or not at all. A volatile directory: nothing is synced."""
        fresh = self._path.with_suffix(".new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            fresh.replace(self._path)
        except OSError as error:
            if not self._refused:
                log.warning("no status is told: %r: %s", str(error.filename), error.strerror)
            self._refused = True
        else:
            self._refused = False

    def end(self, model: Model, now: Timestamp) -> None:
        """The last file of this run: whoever looks later finds it old, and how it ended."""
        self._write(canonical({**self.gather(model, now), "state": State.HALTED.value}))


def _calls(watch: CallWatch, now: Timestamp) -> dict[str, int]:
    return {"calls": watch.calls, "age_us": watch.waiting_ns(now.boottime_ns) // 1000, "slowest_us": watch.slowest_ns // 1000}


def _losses(losses: Losses) -> str:
    parts = [f"{count} pictures ({cause})" for cause, count in sorted(losses.pictures.items())]
    return ", ".join([*parts, *(f"{count} whole GOPs ({cause})" for cause, count in sorted(losses.gops.items()))])
