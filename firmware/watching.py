"""The supervisor's eyes: asks camera, microphone, card, key store and writer how far they are.

Responsible for gathering their times, for the memory between two looks, and for saying what is found as an event of the machine or as
trouble of a device. Refuses to judge (``machine.supervision``) and to act (the daemon). Called from the loop only.
"""

from __future__ import annotations

from collections.abc import Iterator

from firmware.callwatch import WatchedKeyStore
from firmware.capture import Intake
from firmware.custodian import Custodian
from firmware.devices import Devices
from firmware.machine import events as ev
from firmware.machine.machine import Model
from firmware.machine.states import Port, State
from firmware.machine.supervision import (
    CARD_SLOW_NS,
    SIGNER_SLOW_NS,
    SIGNER_STUCK_NS,
    STALL_NS,
    START_NS,
    WRITER_STUCK_NS,
    CameraWatch,
    Step,
    judge_call,
    look,
    sound_stalled,
)
from firmware.reports import DeviceTrouble
from firmware.storage.watched import WatchedVolume
from firmware.timebase import Timestamp

Found = ev.Faulted | ev.Recovered | ev.Escalated | DeviceTrouble


class Watching:
    """One run's."""

    def __init__(self, devices: Devices, intake: Intake, card: WatchedVolume, keys: WatchedKeyStore, custodian: Custodian) -> None:
        self._devices = devices
        self._intake = intake
        self._card = card
        self._keys = keys
        self._custodian = custodian
        self._camera = CameraWatch()
        self._given_up = False
        self._writer_done = 0
        self._writer_at = self._starting_until = devices.now()

    def inherit(self, step: str) -> None:
        """The step of the supervisor's ladder that ended the run before, or ''."""
        self._camera = CameraWatch(inherited=Step(step) if step else None)

    def camera_is_coming(self, model: Model, now: Timestamp, owed: bool) -> bool:
        """While booting. It is starting, within its time; or it has just started, and a recording that goes on (``owed``) begins with a
        picture, not with the wish for one. Neither is a fault yet: the ledger would tell a court of one that was none."""
        stages = self._devices.stages()
        if model.has_fault(Port.CAMERA):
            return False
        if stages.starting:
            self._starting_until = now
            return now.boottime_ns - stages.started_ns < START_NS
        return owed and not stages.encoder_ns and now.since(self._starting_until) < STALL_NS

    def look(self, model: Model, now: Timestamp) -> Iterator[Found]:
        """What has changed since the last look."""
        yield from self._look_at_camera(model, now)
        yield from self._look_at_microphone(now)
        for port, device, limit_ns in ((Port.CARD, self._card, CARD_SLOW_NS), (Port.SIGNER, self._keys, SIGNER_SLOW_NS)):
            yield from self._look_at_calls(model, port, device, limit_ns, now)
        yield from self._look_at_stuck_signer(model, now)

    def _look_at_camera(self, model: Model, now: Timestamp) -> Iterator[Found]:
        """Sensor and encoder by their own times."""
        if not model.camera_on or model.state in (State.BOOTING, State.HALTED):
            return
        self._camera, finding = look(self._camera, self._devices.stages(), model.has_fault(Port.CAMERA), now.boottime_ns)
        if finding is None:
            return
        if finding.step is None:
            yield DeviceTrouble(Port.CAMERA.value, finding.reason)
        else:
            yield ev.Escalated(now, Port.CAMERA, finding.step, finding.reason)

    def _look_at_microphone(self, now: Timestamp) -> Iterator[Found]:
        """By the times of what it delivered, handled or not. What is stalled is started again while sound is wanted."""
        since_ns = self._devices.microphone_since_ns
        if since_ns is not None and (reason := sound_stalled(since_ns, self._intake.heard_ns, now.boottime_ns)):
            yield DeviceTrouble(Port.MICROPHONE.value, reason)

    def _look_at_calls(
        self, model: Model, port: Port, device: WatchedVolume | WatchedKeyStore, limit_ns: int, now: Timestamp
    ) -> Iterator[Found]:
        """A device that does not answer is told at once: what is recorded waits in memory, which is not endless."""
        waiting_ns = device.waiting_ns(now.boottime_ns)
        match judge_call(waiting_ns, limit_ns, model.has_fault(port)):
            case True:
                yield ev.Faulted(now, port, f"has not answered for {waiting_ns / 1e9:.1f} s")
            case False:
                yield ev.Recovered(now, port)

    def _look_at_stuck_signer(self, model: Model, now: Timestamp) -> Iterator[Found]:
        waiting_ns = self._keys.waiting_ns(now.boottime_ns)
        if waiting_ns < SIGNER_STUCK_NS or self._given_up or model.state in (State.BOOTING, State.HALTED):
            return
        self._given_up = True
        yield ev.Escalated(now, Port.SIGNER, Step.RESTART, f"no signature for {waiting_ns / 1e9:.1f} s")

    def signer_hangs(self, now: Timestamp) -> bool:
        """What waits cannot be written, because a signature is still out."""
        return self._keys.waiting_ns(now.boottime_ns) >= SIGNER_SLOW_NS

    def writer_moves(self, now: Timestamp) -> bool:
        """Whether the custodian's worker answers, be it with a refusal of the card: a hung or dead one does not."""
        done = self._custodian.operations_tried
        if done != self._writer_done or not self._custodian.is_busy:
            self._writer_done, self._writer_at = done, now
        return now.since(self._writer_at) < WRITER_STUCK_NS

    def ages(self, now: Timestamp) -> dict[str, int]:
        """Nanoseconds without progress, stage by stage; of a camera or microphone that is off: 0."""
        stages, sound_ns = self._devices.stages(), self._devices.microphone_since_ns
        camera = (max(stages.started_ns, stages.sensor_ns), max(stages.started_ns, stages.encoder_ns)) if self._devices.camera_on else ()
        sensor, encoder = (now.boottime_ns - at for at in camera) if camera else (0, 0)
        return {
            "sensor": sensor,
            "encoder": encoder,
            "sound": 0 if sound_ns is None else now.boottime_ns - max(sound_ns, self._intake.heard_ns),
            "writer": now.since(self._writer_at),
            "card": self._card.waiting_ns(now.boottime_ns),
            "signer": self._keys.waiting_ns(now.boottime_ns),
        }
