"""Which stage of the path from sensor to card has stopped, and what is tried next.

Responsible for judging progress, never "the thread is alive" (picamera2#1392, #1004): the sensor's, the encoder's and the microphone's
own times, the writer's heartbeat, the age of the call that card or key store has not answered. Refuses to act: the daemon does, and the
machine writes it.

The ladder for the camera, each rung a ledger entry and a felt signal (BWC-POL-05, -47):

    encoder   pictures leave the sensor and not the encoder: another encoder, before the recording suffers
    reopen    no picture for ``STALL_NS``: a fault; the camera is opened anew at once, then every few seconds (``transition.py``)
    restart   still none: the daemon ends in order and the service manager starts another process
    reboot    the new process has not seen a picture either: what hangs is in the kernel

A rung that did not help is not tried for ever: ``restart`` wants a run whose camera had proven itself, ``reboot`` a run that a
``restart`` began, and after a ``reboot`` a camera that gives nothing is broken: it stays a fault and is tried every few seconds.
Behind all this is the watchdog, which is fed by progress alone.

A microphone that goes silent is started again for as long as its sound is wanted, and nothing else suffers. A key store that hangs
keeps every promise waiting: another process is to try (``restart``), before the watchdog would bite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

_MS = 1_000_000
_S = 1_000_000_000
ENCODER_NS = 750 * _MS
"""An encoder that is this far behind a sensor that moves is replaced: the new one is at work before ``STALL_NS``."""
BEHIND_NS = 200 * _MS
"""The encoder holds this much of what the sensor gave: more than its own delay, less than the camera's buffers take. A sensor whose
buffers a stalled encoder keeps stops too, a moment later."""
STALL_NS = 1500 * _MS
"""No picture for this long is a camera fault: with the time between two looks it is felt within 2 s (BWC-POL-47)."""
START_NS = 8 * _S
"""A device that has not said that it runs after this long does not start."""
ENCODER_REST_NS = 5 * _S
"""A new encoder is given this long before another one is tried."""
GIVE_UP_NS = 10 * _S
"""A fault that lasts this long, with the camera opened anew meanwhile, wants another process."""
PROVEN_NS = 60 * _S
"""Pictures for this long: this run's camera works, so that a restart may bring it back."""
CARD_SLOW_NS = 1500 * _MS
"""The card has not answered a call for this long: told, within 2 s as above; what is recorded waits in memory (BWC-POL-47)."""
WRITER_STUCK_NS = 10 * _S
"""A card may stall for seconds; a writer that does not even fail for this long is stuck, and the watchdog's business."""
SIGNER_SLOW_NS = 1500 * _MS
"""A signature that takes this long is told: five times what a TPM may take, and felt within 2 s (BWC-POL-47)."""
SIGNER_STUCK_NS = WRITER_STUCK_NS
"""A signature that takes this long will not come in this process. The watchdog would bite a ``WatchdogSec`` later."""
SOUND_STALL_NS = 1500 * _MS
"""No sound for this long, from a microphone that was started, is a fault; felt within 2 s (BWC-POL-47)."""


class Step(Enum):
    """A rung; the value stands in the ledger."""

    ENCODER = "encoder"
    REOPEN = "reopen"
    RESTART = "restart"
    REBOOT = "reboot"


@dataclass(frozen=True, slots=True)
class Stages:
    """What the camera tells, boot times in ns: when it was started, whether it has not said yet that it runs, and how far it is."""

    started_ns: int
    starting: bool
    sensor_ns: int
    encoder_ns: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be done now. ``step`` None: the camera is at fault, and ``reason`` says which stage."""

    step: Step | None
    reason: str


@dataclass(frozen=True, slots=True)
class CameraWatch:
    """What the ladder remembers. ``inherited`` is the last rung of the run before, if that run ended by it."""

    inherited: Step | None = None
    first_picture_ns: int | None = None
    fault_since_ns: int | None = None
    encoder_tried_ns: int | None = None
    given_up: bool = False


def look(watch: CameraWatch, stages: Stages, faulted: bool, now_ns: int) -> tuple[CameraWatch, Finding | None]:
    """Judge a camera that is wanted. ``faulted``: the machine knows of its fault already."""
    watch = _remember(watch, stages, faulted, now_ns)
    if faulted:
        return _climb(watch, now_ns)
    if stages.starting:
        late = now_ns - stages.started_ns > START_NS
        return watch, Finding(None, f"does not start: no answer for {START_NS // _S} s") if late else None
    encoder_age = now_ns - max(stages.started_ns, stages.encoder_ns)
    behind = stages.sensor_ns - max(stages.started_ns, stages.encoder_ns) > BEHIND_NS
    if encoder_age > STALL_NS:
        stage = "encoder" if behind else "sensor"
        return watch, Finding(None, f"{stage}: no picture for {encoder_age / _S:.1f} s")
    rested = watch.encoder_tried_ns is None or now_ns - watch.encoder_tried_ns > ENCODER_REST_NS
    if encoder_age > ENCODER_NS and behind and rested:
        reason = f"the encoder is {encoder_age / _S:.1f} s behind the sensor"
        return replace(watch, encoder_tried_ns=now_ns), Finding(Step.ENCODER, reason)
    return watch, None


def judge_call(waiting_ns: int, limit_ns: int, known: bool) -> bool | None:
    """A call that card or key store has not answered: ``True`` it is late now, ``False`` it is late no more, ``None`` nothing new."""
    late = waiting_ns > limit_ns
    return None if late is known else late


def sound_stalled(started_ns: int, heard_ns: int, now_ns: int) -> str:
    """What is wrong with a microphone that is on: its newest sound is from ``heard_ns``, 0 for none yet. Empty: nothing."""
    age_ns = now_ns - max(started_ns, heard_ns)
    return f"no sound for {age_ns / _S:.1f} s" if age_ns > SOUND_STALL_NS else ""


def _remember(watch: CameraWatch, stages: Stages, faulted: bool, now_ns: int) -> CameraWatch:
    if faulted:
        return watch if watch.fault_since_ns is not None else replace(watch, fault_since_ns=now_ns)
    first = watch.first_picture_ns
    if first is None and stages.encoder_ns > stages.started_ns:
        first = stages.encoder_ns
    inherited = None if _proven(watch, now_ns) else watch.inherited
    if watch.fault_since_ns is None and first == watch.first_picture_ns and inherited is watch.inherited:
        return watch
    return replace(watch, fault_since_ns=None, first_picture_ns=first, inherited=inherited)


def _proven(watch: CameraWatch, now_ns: int) -> bool:
    first = watch.first_picture_ns
    return first is not None and (watch.fault_since_ns or now_ns) - first >= PROVEN_NS


def _climb(watch: CameraWatch, now_ns: int) -> tuple[CameraWatch, Finding | None]:
    since = watch.fault_since_ns
    if watch.given_up or since is None or now_ns - since < GIVE_UP_NS:
        return watch, None
    watch = replace(watch, given_up=True)
    if _proven(watch, now_ns):
        return watch, Finding(Step.RESTART, f"no picture for {GIVE_UP_NS // _S} s, reopened in vain")
    if watch.inherited is Step.RESTART:
        return watch, Finding(Step.REBOOT, "no picture in a new process either")
    return watch, None
